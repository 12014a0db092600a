//! What a network's maps cost an accelerator in memory traffic, time and energy, without the codec and with it.

mod accelerator;
mod energy;
mod estimate;
mod rates;
mod text;

pub use accelerator::{Accelerator, Arithmetic, PRESETS};
pub use energy::Energy;
pub use estimate::{Cost, Estimate, LayerEstimate, Run, TapCost, estimate};
pub use rates::MeasuredRates;
pub use text::{assumptions, bound, bytes, joules, memory_facts, per_value, seconds, text};

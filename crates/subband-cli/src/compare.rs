//! Every coder on the very same tensors: what `subband compare` measures.

mod coder;
mod general;
mod hardware;
mod measure;
mod memory;
mod ours;
#[cfg(feature = "peers-c")]
mod peers_c;
mod plain_u8;
mod report;
mod row;
mod sample;
mod stored;
mod synthetic;

pub use coder::{names, of_sample};
pub use measure::{Repeats, measure};
pub use memory::{PeakArgs, peak_in_this_process, peak_of};
pub use report::{figures, plot, summary, totals, write_csv, write_json};
pub use row::Row;
pub use sample::{Quantization, Sample, StepRule};
pub use synthetic::tensors as synthetic;

//! From coefficients to indices and back: the dead-zone quantizer and the table of steps.

mod dead_zone;
mod diffusion;
mod step_size;

pub(crate) use dead_zone::{IndexRange, constants, dequantize, quantize};
pub(crate) use diffusion::Diffusion;
pub(crate) use step_size::StepTable;
pub use step_size::Steps;

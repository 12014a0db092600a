//! CPU kernels.
mod conv;
mod isa;
pub mod reference;
mod scratch;
mod simd;

pub use conv::{ConvShape, Epilogue, conv2d, conv2d_input_gradient, conv2d_weight_gradient};
pub use isa::Isa;

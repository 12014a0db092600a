//! CPU kernels.
mod batch_norm;
mod conv;
mod isa;
mod planes;
pub mod reference;
mod scratch;
mod simd;

pub use batch_norm::{BatchNorm, BatchNormGradients, BatchStats};
pub use conv::{ConvShape, Epilogue, conv2d, conv2d_input_gradient, conv2d_weight_gradient};
pub use isa::Isa;

//! The native module `subband._native`: what the Python package cannot do in Python.
//!
//! It knows NumPy arrays and nothing of dtypes beyond their names, of strides beyond numbers, or of defaults: python/subband
//! puts those in order and passes flat arrays. Floats of 16 bits come and go as `uint16`. Every function releases the GIL
//! while it works.
#![forbid(unsafe_code)]

mod arrays;
mod batch_norm;
mod codec;
mod config;
mod errors;
mod evaluation;
mod floats;
mod layer;
mod packed;
mod pool;
mod profile;
mod streams;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::batch_norm::{batch_norm_gradient, batch_norm_sums};
    #[pymodule_export]
    use crate::codec::Codec;
    #[pymodule_export]
    use crate::evaluation::{Calibrator, Evaluator};
    #[pymodule_export]
    use crate::layer::{lifting, quantize_backward, quantize_forward, subband_gains, subband_names, subband_sizes};
    #[pymodule_export]
    use crate::packed::{Packed, Packer};
    #[pymodule_export]
    use crate::pool::{set_threads, threads};
    #[pymodule_export]
    use crate::profile::Profile;
    #[pymodule_export]
    use crate::streams::{compress, compress_with_profile, decompress_into, inspect, read_into, shape_of};
}

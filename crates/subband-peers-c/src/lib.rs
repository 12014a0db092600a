//! Safe calls of compressors written in C that `subband compare` measures. Each is behind a feature; without any this crate
//! is empty.
#![warn(missing_docs)]

#[cfg(feature = "blosc2")]
mod blosc2;
#[cfg(feature = "zfp")]
mod zfp;

#[cfg(feature = "blosc2")]
pub use blosc2::{Blosc2, Blosc2Codec};
#[cfg(feature = "zfp")]
pub use zfp::Zfp;

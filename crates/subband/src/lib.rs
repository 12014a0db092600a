//! Subband compresses the feature maps of convolutional networks: a wavelet transform, a quantizer and a
//! rANS entropy coder, with a stream format that decodes in independent chunks.
//!
//! A tensor `[..., C, H, W]` becomes planes, a plane coefficients, coefficients quantized indices, indices
//! symbols, and symbols bits:
//!
//! * [`compress`] and [`decompress`] turn tensors of any supported dtype into self-contained streams and
//!   back; [`read`] takes single items and channels out of one, [`inspect`] tells what is inside.
//! * A [`Profile`] holds what the encoder and the decoder of a network share: steps, masks and frequency
//!   tables for each tap. [`TapCalibrator`] makes it from training maps, [`TapCodec`] codes single maps
//!   against it with a few bytes of framing, [`compress_with_profile`] whole batches. [`CodedTaps`] sends the maps of all
//!   taps through their codecs and counts what [`Rates`] reports.
//!
//! The stream format is docs/FORMAT.md of the repository.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod chunk_indices;
mod coded_taps;
mod coding;
mod compress;
mod config;
mod decompress;
mod effort;
mod entropy;
mod error;
mod floats;
mod format;
mod index_blocks;
mod index_walk;
mod inspect;
#[allow(unsafe_code)]
mod kernel;
mod mask;
mod max_check;
mod mixing;
mod parallel;
mod pieces;
mod plane;
mod profile;
mod quantize;
mod rate;
mod rates;
mod report;
mod spread;
mod stream_model;
mod tap_codec;
mod tensor;
mod token_blocks;
mod wavelet;
mod work;

pub use coded_taps::{CodedMap, CodedTaps, Totals, Worker};
pub use coding::Coding;
pub use compress::{Compressed, ProfileOptions, Workspace, compress, compress_into, compress_with_profile};
pub use config::{Config, NonFinite, Target};
pub use decompress::{DecompressOptions, decompress, decompress_into, read, read_into};
pub use effort::Effort;
pub use entropy::SegLength;
pub use error::{Error, ErrorKind, Result};
pub use format::{Limits, StreamShape, shape_of};
pub use inspect::{StreamInfo, SubbandInfo, inspect};
#[doc(hidden)]
pub use kernel::force_kernel;
pub use mask::ChannelMask;
pub use profile::{Profile, ProfileHash, TapProfile};
pub use quantize::Steps;
pub use rates::{Rates, TapReport};
pub use report::{ErrorReport, Report};
pub use tap_codec::{MapIndices, MapStats, Scratch, TapCalibrator, TapCodec};
pub use tensor::{DType, ElementsMut, Tensor, TensorData, TensorView, Values};
#[doc(hidden)]
pub use wavelet::{Extension, Lifting, LiftingStep};
pub use wavelet::{MAX_LEVELS, Operations, Orientation, Subband, Wavelet};
pub use work::TapWork;

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

//! Networks, data sets, training, calibration and evaluation for the Subband feature-map codec, on burn.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod calibrate;
pub mod data;
mod device;
mod error;
pub mod evaluate;
mod files;
mod layers;
mod network;
mod ops;
mod per_image;
mod progress;
mod rank;
mod resnet;
pub mod retrain;
mod rng;
mod taps;
mod tensor_map;
pub mod train;
mod weights;

pub use device::Backend;
pub use error::{Error, ErrorKind, Result};
pub use layers::{Layer, Layers};
pub use network::{Network, NetworkKind, Shortcut};
pub use per_image::for_each_map;
pub use progress::{LogProgress, Progress};
pub use rank::rank;
pub use rng::shuffled;
pub use taps::{TapHook, TapSite, Taps};
pub use tensor_map::{Array, TensorMap};

/// The codec, so that callers see the same version of its types.
pub use subband;

/// burn's device, so that callers need not depend on burn.
pub use burn::tensor::Device;

//! Subband as a codec of Zarr version 3 for the [`zarrs`](https://docs.rs/zarrs) crate.
//!
//! A chunk of an array is one stream of [`subband`]: the codec takes the place of `bytes`, without compressors behind it. Name and
//! configuration in `zarr.json` are those of `subband.zarr` of the Python package, and both read each other's arrays.
//!
//! The codec registers itself in any program that this crate is linked into; one that only reads mentions it with
//! `use subband_zarrs as _;`. To write, give [`SubbandCodec`] to the builder of an array:
//!
//! ```
//! use std::sync::Arc;
//! use subband_zarrs::{SubbandCodec, SubbandConfiguration};
//! use zarrs::array::{Array, ArrayBuilder, data_type};
//! use zarrs::storage::store::MemoryStore;
//!
//! let store = Arc::new(MemoryStore::new());
//! let codec = SubbandCodec::new(SubbandConfiguration { max_error: Some(0.01), ..Default::default() })?;
//! let array = ArrayBuilder::new(vec![100, 16, 32, 32], vec![4, 16, 32, 32], data_type::float32(), 0.0f32)
//!     .array_to_bytes_codec(Arc::new(codec))
//!     .build(store.clone(), "/maps")?;
//! array.store_metadata()?;
//! array.store_chunk(&[0, 0, 0, 0], vec![0.5f32; 4 * 16 * 32 * 32])?;
//!
//! let again = Array::open(store, "/maps")?;
//! let channels: Vec<f32> = again.retrieve_array_subset(&[3..4, 0..2, 0..32, 0..32])?;
//! assert!(channels.iter().all(|x| (x - 0.5).abs() <= 0.01));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An array has two axes or more, the last two being the plane, and one of the data types `float32`, `float16`, `bfloat16`, `uint8`,
//! `int8`, `uint16` and `int16`. Of a chunk that is wanted in part, only the batch items and channels asked for are decoded; smaller
//! [`channels_per_chunk`](SubbandConfiguration::channels_per_chunk) make finer parts.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod codec;
mod configuration;
mod elements;
mod partial;

pub use codec::SubbandCodec;
pub use configuration::{StepConfiguration, SubbandConfiguration};

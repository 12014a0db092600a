//! Any ONNX model with the Subband codec at chosen places inside.
//!
//! * [`Model`] is an ONNX file as a graph, [`candidates`] the places in it whose maps can be coded, [`TapChoice`] picks
//!   among them.
//! * [`TappedNetwork`] is a model cut at taps: it runs from cut to cut on an [`Engine`], and hands every tap's map to a
//!   hook whose result all readers of the map see.
//! * [`evaluate`] measures bytes and what is left of the network's outputs with a profile, [`calibrate`] makes a profile
//!   by one rule, [`tune`] the one of fewest bytes that keeps a budget.
//! * [`layers`] counts what a model costs, layer by layer.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod calibrate;
mod cut;
mod engine;
mod error;
mod evaluate;
mod gains;
mod inputs;
mod layers;
mod layout;
mod maps;
mod margin;
mod measure;
mod model;
mod network;
mod pattern;
mod peek;
mod preprocess;
mod spell_out;
mod taps;
mod tune;
mod types;

pub use calibrate::{
    CalibrateConfig, Calibrated, TableOptions, TapCoding, TapStatistics, calibrate, profile_of, recalibrate,
};
#[cfg(feature = "ort")]
pub use engine::Ort;
pub use engine::{Data, Engine, Prepared, Rten, Segment, Value};
pub use error::{Error, ErrorKind, Result};
pub use evaluate::{ModelEvaluation, Runnable, evaluate};
pub use inputs::{InputBatch, Inputs};
pub use layers::layers;
pub use layout::{Layout, Planes};
pub use margin::Outcome;
pub use measure::Measured;
pub use model::{Model, Port};
pub use network::{Hook, TappedNetwork, Walk};
pub use pattern::Kind;
pub use peek::maps;
pub use preprocess::{Axes, Colours, Preprocess, Settled, Size};
pub use taps::{Candidate, TapChoice, candidates, input_shape};
pub use tune::{Budget, FormBits, OneRule, Point, RunFolder, Trial, TuneConfig, TuneReport, Tuned, TunedTap, tune};

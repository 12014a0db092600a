//! Training from scratch: a configuration, a run folder, and epochs that can be interrupted and resumed.
//!
//! A run folder holds `config.toml` (the whole configuration, and the crate's version in a comment), `metrics.csv` (one
//! row an epoch), `last.safetensors` (the checkpoint: parameters, velocity, position) and `best.safetensors` (the
//! parameters of the epoch with the best held-out accuracy, loadable as a network). All are written atomically, so a run
//! killed at any moment goes on from its last complete epoch and ends as the unbroken run would have.

mod augment;
mod checkpoint;
mod config;
mod metrics;
mod optimizer;
mod or_none;
mod run;
mod schedule;

pub use config::TrainConfig;
pub use metrics::{EpochMetrics, RateMetrics};
pub use run::{TrainOutcome, train, train_on};
pub use schedule::Schedule;

pub(crate) use checkpoint::{RunFolder, State};
pub(crate) use optimizer::Sgd;
pub(crate) use run::{check_images, run, shuffled_batches, split, validate};

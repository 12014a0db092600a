//! Training from scratch: a configuration, a run folder, and epochs that can be interrupted and resumed.
//!
//! A run folder holds `config.toml` (the whole configuration, and the crate's version in a comment), `metrics.csv` (one
//! row an epoch), `last.safetensors` (the checkpoint: parameters, velocity, position) and `best.safetensors` (the
//! parameters of the epoch with the best held-out accuracy, loadable as a network). All are written atomically, so a run
//! killed at any moment goes on from its last complete epoch and ends as the unbroken run would have.
//!
//! Several devices share each batch (`devices` in the configuration) by burn's data-parallel step. Every device normalises
//! by the statistics of its own part of the batch, as PyTorch's `DistributedDataParallel` does by default; gradients and
//! running statistics are averaged after each step, in the order of the devices, so that the outcome does not depend on
//! which is done first.

mod augment;
mod checkpoint;
mod config;
mod metrics;
mod optimizer;
mod or_none;
mod pass;
mod replicas;
mod run;
mod schedule;
#[cfg(test)]
mod tests;
mod validate;

pub use config::TrainConfig;
pub use metrics::{EpochMetrics, RateMetrics};
pub use run::{TrainOutcome, train, train_on};
pub use schedule::Schedule;

pub(crate) use checkpoint::{RunFolder, State};
pub(crate) use optimizer::Sgd;
pub(crate) use run::{check_images, run, shuffled_batches, split};
pub(crate) use validate::validate;

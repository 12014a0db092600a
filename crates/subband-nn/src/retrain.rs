//! Retraining with the codec in the loop: a trained network learns to live with coded maps, and the codec learns its steps
//! and its channel selection with it.
//!
//! Every tapped map goes through [`ops::quantize`](crate::ops), one differentiable operation whose forward values are the
//! decoder's. The loss is that of training (and of a teacher, the network before retraining) plus `lambda` times an
//! estimate of the bits per value ([`rate`]). The weights learn by SGD as in training from scratch, steps and selections
//! by Adam. `train/run.rs` has the loop for both.

mod adam;
mod codec_in_loop;
mod codec_layer;
mod config;
mod finish;
mod rate;
mod selection;
#[cfg(test)]
mod tests;
mod unfold;

pub use config::{CodecConfig, DistillationConfig, FinishConfig, RateConfig, RetrainConfig, StepGranularity};
pub use finish::{RetrainOutcome, retrain, retrain_on};
pub use selection::{SelectionConfig, SelectionMethod};

pub(crate) use codec_in_loop::{CodecInLoop, Position};
pub(crate) use codec_layer::LayerGradients;
pub(crate) use rate::{Rate, one_sided, two_sided};

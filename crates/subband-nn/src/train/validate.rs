use burn::nn::loss::CrossEntropyLossConfig;

use super::pass::targets;
use crate::calibrate::large_batch_size;
use crate::data::Dataset;
use crate::error::Result;
use crate::network::Network;
use crate::rank::hits;
use crate::retrain::CodecInLoop;

/// What held-out images say.
pub(crate) struct HeldOut {
    /// Mean cross entropy.
    pub loss: f64,
    /// Share classified right, 0 to 1.
    pub accuracy: f64,
}

/// Measures a network for inference, with `codec` in the loop if there is one.
pub(crate) fn validate(network: &Network, data: &Dataset, codec: Option<&CodecInLoop>) -> Result<HeldOut> {
    let device = network.device();
    let loss_of = CrossEntropyLossConfig::new().init(device);
    let (mut right, mut seen, mut loss) = (0, 0, 0.0);
    for batch in data.batches(large_batch_size(network)) {
        let batch = batch?;
        if batch.is_empty() {
            continue;
        }
        let images = network.input(&batch);
        let scores = match codec {
            Some(codec) => codec.infer(network, images)?,
            None => network.forward(images)?,
        };
        let mean = loss_of.forward(scores.clone(), targets(&batch.labels, device));
        loss += f64::from(mean.into_scalar::<f32>()) * batch.len() as f64;
        right += hits(scores, &batch.labels)?.top1;
        seen += batch.len();
    }
    let seen = seen.max(1) as f64;
    Ok(HeldOut { loss: loss / seen, accuracy: right as f64 / seen })
}

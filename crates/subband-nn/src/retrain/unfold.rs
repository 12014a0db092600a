//! Networks whose files hold no BatchNorm statistics: exporters fold them into scales and shifts, and leave means of 0 and
//! variances of 1 where the file format wants some. Such a network infers well, but training, which normalises by the
//! statistics of its batches, would begin as another function altogether.

use burn::nn::BatchNorm;
use burn::tensor::Tensor;

use crate::calibrate::large_batch_size;
use crate::data::Dataset;
use crate::error::Result;
use crate::network::Network;
use crate::progress::Progress;
use crate::resnet::NormStatistics;

/// Training images that statistics are taken from.
const IMAGES: usize = 256;

/// `network`, or where it lacks statistics one that infers the same and has those of some of `data`.
pub(super) fn with_statistics(network: Network, data: &Dataset, progress: &mut dyn Progress) -> Result<Network> {
    let mut found = network.valid();
    if !found.model.norms_mut().all(|norm| lacks_statistics(norm)) {
        return Ok(network);
    }
    let data = data.spread(IMAGES);
    progress.begin("taking BatchNorm statistics", data.len() as u64);
    let mut seen = 0;
    for batch in data.batches(large_batch_size(&network)) {
        let batch = batch?;
        if batch.is_empty() {
            continue;
        }
        let measured = found.norm_statistics(found.input(&batch))?;
        seen += batch.len();
        let share = batch.len() as f64 / seen as f64;
        found.model.norms_mut().zip(measured).for_each(|(norm, measured)| refit(norm, measured, share));
        // New statistics are in force in a copy.
        found = found.valid();
        progress.advance(seen as u64, "");
    }
    progress.message(&format!(
        "the weights hold no BatchNorm statistics (means of 0, variances of 1): those of {seen} training images are \
         put in, scales and shifts fitted to them"
    ));
    Network::from_tensors(network.kind(), found.to_tensors(), network.device())
}

fn lacks_statistics(norm: &BatchNorm) -> bool {
    let all = |values: Tensor<1>, value: f32| values.into_data().iter::<f32>().all(|v| v == value);
    all(norm.running_mean.value(), 0.0) && all(norm.running_var.value(), 1.0)
}

/// Moves the running statistics by `share` towards those measured; scale and shift make up for it.
fn refit(norm: &mut BatchNorm, measured: NormStatistics, share: f64) {
    let moved = |old: Tensor<1>, new: Tensor<1>| old.mul_scalar(1.0 - share) + new.mul_scalar(share);
    let (old_mean, old_variance) = (norm.running_mean.value(), norm.running_var.value());
    let mean = moved(old_mean.clone(), measured.mean);
    let variance = moved(old_variance.clone(), measured.variance);
    let deviation = |variance: Tensor<1>| (variance + norm.epsilon).sqrt();
    let scale = norm.gamma.val() / deviation(old_variance);
    norm.beta = norm.beta.clone().map(|beta| beta + (mean.clone() - old_mean) * scale.clone());
    norm.gamma = norm.gamma.clone().map(|_| scale * deviation(variance.clone()));
    norm.running_mean.update(mean);
    norm.running_var.update(variance);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::made_up;
    use crate::network::{NetworkKind, Shortcut};
    use burn::tensor::Device;

    fn images(count: usize) -> Dataset {
        made_up(count, 0)
    }

    fn scores(network: &Network, data: &Dataset) -> Vec<f32> {
        let batch = data.batch(&(0..data.len()).collect::<Vec<_>>()).unwrap();
        network.forward(network.input(&batch)).unwrap().into_data().try_to_vec().unwrap()
    }

    fn furthest(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn training_begins_as_the_function_that_was_there() {
        let data = images(12);
        let network = Network::init(NetworkKind::ResNet20, Shortcut::B, 1, &Device::flex().autodiff());
        let inferred = scores(&network.valid(), &data);
        let range = inferred.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        // As it came, training sees another function.
        assert!(furthest(&inferred, &scores(&network.clone(), &data)) > 0.2 * range);

        let network = Network::init(NetworkKind::ResNet20, Shortcut::B, 1, &Device::flex().autodiff());
        let refitted = with_statistics(network, &data, &mut ()).unwrap();
        assert!(furthest(&inferred, &scores(&refitted.valid(), &data)) < 1e-3 * range);
        assert!(furthest(&inferred, &scores(&refitted, &data)) < 1e-2 * range);
    }

    #[test]
    fn statistics_that_are_there_stay() {
        let mut network = Network::init(NetworkKind::ResNet20, Shortcut::A, 1, &Device::flex().autodiff());
        let variance = Tensor::full([16], 0.5, network.device());
        network.model.norms_mut().nth(3).unwrap().running_var.update(variance);
        let network = network.valid();
        let before = network.to_tensors();
        let after = with_statistics(network, &images(4), &mut ()).unwrap().to_tensors();
        assert!(before.iter().zip(after.iter()).all(|(a, b)| a == b));
    }
}

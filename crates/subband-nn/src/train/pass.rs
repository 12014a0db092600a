use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::data::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::network::Network;
use crate::rank::hits;
use crate::resnet::ResNet;
use crate::retrain::{CodecInLoop, LayerGradients, Position};

/// What a training pass leaves for the step after it.
#[derive(Debug)]
pub(super) struct Pass {
    /// By parameter.
    pub gradients: GradientsParams,
    /// By layer of the codec, if there is one.
    pub codec: Vec<LayerGradients>,
    pub images: usize,
    /// Images classified right.
    pub right: usize,
    /// Mean over the images, with the price of bits.
    pub loss: f64,
    /// The estimate that the loss pays for.
    pub bits_per_value: f64,
}

/// One pass of a network in training over some images, forward and backward, with `codec` in the loop if there is one. The
/// running statistics of BatchNorm move towards those of the images.
///
/// # Errors
/// `NonFinite` where the loss stops being a number.
pub(super) fn pass(
    network: &Network,
    codec: Option<&CodecInLoop>,
    batch: &Batch,
    label_smoothing: f64,
    at: Position,
) -> Result<Pass> {
    let device = network.device();
    let smoothing = (label_smoothing > 0.0).then_some(label_smoothing as f32);
    let loss_of = CrossEntropyLossConfig::new().with_smoothing(smoothing).init(device);
    let images = network.input(batch);
    let (mut leaves, mut bits_per_value, mut price) = (Vec::new(), 0.0, 0.0);
    let (loss, scores) = match codec {
        None => {
            let scores = network.forward(images)?;
            (loss_of.forward(scores.clone(), targets(&batch.labels, device)), scores)
        }
        Some(codec) => {
            let coded = codec.forward(network, images.clone(), at)?;
            let labels_loss = loss_of.forward(coded.scores.clone(), targets(&batch.labels, device));
            let loss = codec.loss(&coded, images, labels_loss)?;
            (leaves, bits_per_value, price) = (coded.leaves, coded.bits_per_value, coded.price);
            (loss, coded.scores)
        }
    };
    let right = hits(scores.without_autodiff(), &batch.labels)?.top1;
    let value = f64::from(loss.clone().into_scalar::<f32>()) + price;
    if !value.is_finite() {
        let (step, epoch) = (at.step, at.epoch as usize);
        return Err(Error::new(
            ErrorKind::NonFinite,
            format!(
                "the loss is {value} at step {step} (epoch {}); the checkpoint of epoch {epoch} is kept; try a smaller \
                 learning_rate",
                epoch + 1
            ),
        ));
    }
    let mut gradients = loss.backward();
    Ok(Pass {
        gradients: GradientsParams::from_module(&mut gradients, &network.model),
        codec: leaves.into_iter().map(|leaves| leaves.take_gradients(&mut gradients)).collect(),
        images: batch.len(),
        right,
        loss: value,
        bits_per_value,
    })
}

/// Labels as a tensor.
pub(super) fn targets(labels: &[u32], device: &Device) -> Tensor<1, Int> {
    let labels: Vec<i64> = labels.iter().map(|&l| i64::from(l)).collect();
    let count = labels.len();
    Tensor::from_data(TensorData::new(labels, [count]), device)
}

impl Pass {
    /// What one pass over all images would have left, from passes over parts of them, each with BatchNorm's statistics of
    /// its own part. Gradients are of `model`'s parameters and come to `device`; they are summed in the order of `parts`.
    pub fn mean(parts: Vec<Self>, model: &ResNet, device: &Device) -> Self {
        let images: usize = parts.iter().map(|part| part.images).sum();
        let shares: Vec<f64> = parts.iter().map(|part| part.images as f64 / images.max(1) as f64).collect();
        let mean = |value: fn(&Self) -> f64| parts.iter().zip(&shares).map(|(part, share)| share * value(part)).sum();
        let (loss, bits_per_value) = (mean(|part| part.loss), mean(|part| part.bits_per_value));
        let right = parts.iter().map(|part| part.right).sum();
        let layers = parts.first().map_or(0, |part| part.codec.len());
        let codec = (0..layers).filter_map(|layer| {
            let found = shares.iter().zip(&parts).map(|(&share, part)| (share, &part.codec[layer]));
            LayerGradients::mean(&found.collect::<Vec<_>>())
        });
        let codec = codec.collect();
        let gradients = shares.into_iter().zip(parts).map(|(share, part)| (share, part.gradients)).collect();
        let mut mean = GradientMean { parts: gradients, device, mean: GradientsParams::new() };
        model.visit(&mut mean);
        Self { gradients: mean.mean, codec, images, right, loss, bits_per_value }
    }
}

struct GradientMean<'a> {
    /// With their shares.
    parts: Vec<(f64, GradientsParams)>,
    device: &'a Device,
    mean: GradientsParams,
}

impl ModuleVisitor for GradientMean<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let found = self.parts.iter_mut().filter_map(|(share, part)| {
            let gradient = part.remove::<D>(param.id)?;
            Some(gradient.to_device(self.device).mul_scalar(*share))
        });
        if let Some(sum) = found.reduce(|sum, more| sum + more) {
            self.mean.register(param.id, sum);
        }
    }
}

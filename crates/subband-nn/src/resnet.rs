//! The residual networks of He et al. (2016), CIFAR and ImageNet layouts, as burn modules.

use std::cell::RefCell;

use burn::module::{Module, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor, s};

use crate::error::Result;
use crate::network::{NetworkKind, Shortcut};
use crate::ops;
use crate::taps::{TapHook, TapSite};

/// Whose statistics BatchNorm normalises by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Norms<'a> {
    /// Those of the batch; the running ones move towards them.
    Batch,
    /// The running ones.
    Running,
    /// The running ones, while those of the batch are noted, in the order of [`ResNet::norms_mut`].
    Noted(&'a RefCell<Vec<NormStatistics>>),
}

/// What a normalisation's input is like, by channel.
#[derive(Clone, Debug)]
pub(crate) struct NormStatistics {
    pub mean: Tensor<1>,
    /// Unbiased.
    pub variance: Tensor<1>,
}

impl NormStatistics {
    pub fn moved_to(self, device: &Device) -> Self {
        Self { mean: self.mean.to_device(device), variance: self.variance.to_device(device) }
    }
}

/// The modules of one residual network; `weights.rs` knows which PyTorch name each parameter carries.
#[derive(Module, Debug)]
pub(crate) struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    /// The ImageNet stem's 3x3 stride-2 pooling.
    pool: Option<MaxPool2d>,
    /// `stages[i]` is PyTorch's `layer{i+1}`.
    stages: Vec<Vec<BasicBlock>>,
    head: Linear,
}

/// Two 3x3 convolutions around a shortcut.
#[derive(Module, Debug)]
pub(crate) struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    /// Option B. Without it a block that changes the shape subsamples and pads with zero channels (option A).
    projection: Option<Projection>,
}

/// A strided 1x1 convolution that fits the shortcut to a new shape.
#[derive(Module, Debug)]
pub(crate) struct Projection {
    conv: Conv2d,
    bn: BatchNorm,
}

impl ResNet {
    pub fn init(kind: NetworkKind, shortcut: Shortcut, device: &Device) -> Self {
        let stem = kind.stem_width();
        let (kernel, stride) = if kind.is_imagenet() { (7, 2) } else { (3, 1) };
        let mut channels = stem;
        let stages = kind
            .blocks()
            .iter()
            .enumerate()
            .map(|(stage, &blocks)| {
                let width = stem << stage;
                (0..blocks)
                    .map(|block| {
                        let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                        let from = std::mem::replace(&mut channels, width);
                        BasicBlock::init(from, width, stride, shortcut, device)
                    })
                    .collect()
            })
            .collect();
        Self {
            conv1: conv(3, stem, kernel, stride, device),
            bn1: BatchNormConfig::new(stem).init(device),
            pool: kind.is_imagenet().then(|| {
                MaxPool2dConfig::new([3, 3])
                    .with_strides([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .init()
            }),
            stages,
            head: LinearConfig::new(channels, kind.classes()).init(device),
        }
    }

    /// Sets how far the running statistics move towards those of each training batch, 0 to 1.
    pub fn set_norm_momentum(&mut self, momentum: f64) {
        self.norms_mut().for_each(|norm| norm.momentum = momentum);
    }

    /// All normalisations, in the order of the forward pass.
    pub fn norms_mut(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
        let blocks = self.stages.iter_mut().flatten().flat_map(|block| {
            let projection = block.projection.iter_mut().map(|projection| &mut projection.bn);
            [&mut block.bn1].into_iter().chain(projection).chain([&mut block.bn2])
        });
        [&mut self.bn1].into_iter().chain(blocks)
    }

    /// The running statistics, in the order of [`norms_mut`](Self::norms_mut), updates by this thread included.
    pub fn running_statistics(&mut self) -> Vec<NormStatistics> {
        let of = |norm: &mut BatchNorm| NormStatistics {
            mean: norm.running_mean.value_sync(),
            variance: norm.running_var.value_sync(),
        };
        self.norms_mut().map(of).collect()
    }

    /// Puts running statistics in, for this model alone: clones, which shared the ones before, keep those.
    pub fn set_running_statistics(&mut self, statistics: Vec<NormStatistics>) {
        for (norm, NormStatistics { mean, variance }) in self.norms_mut().zip(statistics) {
            (norm.running_mean, norm.running_var) = (RunningState::new(mean), RunningState::new(variance));
        }
    }

    /// Class scores for a batch of normalised images; `hook` sees every ReLU output, in the order of `sites`.
    ///
    /// # Shapes
    /// `[N, 3, H, W]` to `[N, classes]`.
    pub fn forward(
        &self,
        images: Tensor<4>,
        norms: Norms<'_>,
        sites: &[TapSite],
        hook: &mut TapHook<'_>,
    ) -> Result<Tensor<2>> {
        let mut sites = sites.iter();
        let mut tap = |map: Tensor<4>| match sites.next() {
            Some(site) => hook(site, map),
            None => Ok(map),
        };
        let mut x = tap(conv_norm(images, &self.conv1, &self.bn1, None, true, norms))?;
        if let Some(pool) = &self.pool {
            x = pool.forward(x);
        }
        for block in self.stages.iter().flatten() {
            x = block.forward(x, norms, &mut tap)?;
        }
        let [batch, channels, height, width] = x.dims();
        let pooled = x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels]);
        Ok(self.head.forward(pooled))
    }
}

impl BasicBlock {
    fn init(from: usize, to: usize, stride: usize, shortcut: Shortcut, device: &Device) -> Self {
        let reshapes = from != to || stride != 1;
        Self {
            conv1: conv(from, to, 3, stride, device),
            bn1: BatchNormConfig::new(to).init(device),
            conv2: conv(to, to, 3, 1, device),
            bn2: BatchNormConfig::new(to).init(device),
            projection: (reshapes && shortcut == Shortcut::B).then(|| Projection {
                conv: conv(from, to, 1, stride, device),
                bn: BatchNormConfig::new(to).init(device),
            }),
        }
    }

    fn forward(
        &self,
        x: Tensor<4>,
        norms: Norms<'_>,
        tap: &mut impl FnMut(Tensor<4>) -> Result<Tensor<4>>,
    ) -> Result<Tensor<4>> {
        let inner = tap(conv_norm(x.clone(), &self.conv1, &self.bn1, None, true, norms))?;
        let shortcut = match &self.projection {
            Some(projection) => conv_norm(x, &projection.conv, &projection.bn, None, false, norms),
            None => subsample_and_pad(x, inner.dims()),
        };
        tap(conv_norm(inner, &self.conv2, &self.bn2, Some(shortcut), true, norms))
    }
}

/// The option-A shortcut: every second pixel where the size halves, and new zero channels split equally before and after.
fn subsample_and_pad(x: Tensor<4>, [_, to, height, width]: [usize; 4]) -> Tensor<4> {
    let [_, from, height_in, width_in] = x.dims();
    let x =
        if (height_in, width_in) == (height, width) { x } else { x.slice(s![.., .., 0..height_in; 2, 0..width_in; 2]) };
    if from == to {
        return x;
    }
    let before = (to - from) / 2;
    let after = to - from - before;
    x.pad([(0, 0), (before, after), (0, 0), (0, 0)], PadMode::Constant(0.0))
}

/// A convolution, normalised, with `residual` added and clipped at zero if `clip`.
fn conv_norm(
    x: Tensor<4>,
    conv: &Conv2d,
    bn: &BatchNorm,
    residual: Option<Tensor<4>>,
    clip: bool,
    norms: Norms<'_>,
) -> Tensor<4> {
    let (weight, stride, padding) = (conv.weight.val(), conv.stride[0], conv.kernel_size[0] / 2);
    let (gamma, beta) = (bn.gamma.val(), bn.beta.val());
    if !matches!(norms, Norms::Batch) {
        // Folded: (x * w - mean) * scale + beta is one convolution with a bias.
        let scale = gamma.clone() / (bn.running_var.value() + bn.epsilon).sqrt();
        let bias = beta.clone() - bn.running_mean.value() * scale.clone();
        let [channels] = scale.dims();
        let folded = weight.clone() * scale.reshape([channels, 1, 1, 1]);
        if let Norms::Noted(noted) = norms {
            let x = ops::conv(x.clone(), weight, stride, padding);
            noted.borrow_mut().push(normalised(x, gamma, beta, None, false, bn.epsilon).1);
        }
        return ops::conv_bias(x, folded, bias, residual, clip, [stride, padding]);
    }
    let x = ops::conv(x, weight, stride, padding);
    let (output, NormStatistics { mean, variance }) = normalised(x, gamma, beta, residual, clip, bn.epsilon);
    for (running, new) in [(&bn.running_mean, mean), (&bn.running_var, variance)] {
        let old = running.value_sync();
        running.update((old.mul_scalar(1.0 - bn.momentum) + new.mul_scalar(bn.momentum)).detach());
    }
    output
}

/// Normalises by the statistics of the batch, which are given too.
fn normalised(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    residual: Option<Tensor<4>>,
    clip: bool,
    epsilon: f64,
) -> (Tensor<4>, NormStatistics) {
    let [batch, _, height, width] = x.dims();
    let count = (batch * height * width) as f64;
    let result = ops::norm(x, gamma, beta, residual, clip, epsilon);
    // As PyTorch, which averages the unbiased variance: what is normalised by later is the whole population's.
    let variance = result.variance.mul_scalar(count / (count - 1.0).max(1.0));
    (result.output, NormStatistics { mean: result.mean, variance })
}

/// A convolution without bias that keeps the size at stride 1.
fn conv(from: usize, to: usize, kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new([from, to], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(false)
        .init(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_a_keeps_every_second_pixel_and_pads_both_sides() {
        let device = Device::flex();
        // One image, two channels of 3x3: 0..9 and 10..19.
        let values: Vec<f32> = (0..9).chain(10..19).map(|v| v as f32).collect();
        let x = Tensor::<1>::from_floats(values.as_slice(), &device).reshape([1, 2, 3, 3]);
        let y = subsample_and_pad(x, [1, 4, 2, 2]);
        let expected = [0., 0., 0., 0., 0., 2., 6., 8., 10., 12., 16., 18., 0., 0., 0., 0.];
        assert_eq!(y.dims(), [1, 4, 2, 2]);
        assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), expected);
    }
}

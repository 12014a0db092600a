//! Batch normalisation, fused with what follows it in a residual network.
//!
//! These are bound by memory, so what counts is how often each tensor is read. A task takes one channel of all
//! images, half a megabyte in the largest layer of ResNet-20. The first pass goes through the images in order, the
//! second backwards, starting with what the first has just left in the cache.
//!
//! Sums run in f32 over stretches of about a thousand values, centred on the mean of the stretch where squares are
//! taken, and from there on in f64: the variance is exact to f32 even if the mean is a thousand times larger. The
//! stretches depend on the shape alone, so threads change no result.

mod backward;
mod forward;

use rayon::prelude::*;

use crate::Isa;
use crate::planes::Planes;
use backward::BackwardChannel;
use forward::{ForwardChannel, Moments};

/// Sizes and parameters of a normalisation of a tensor `[batch, channels, plane]`, where `plane` is height times width.
///
/// `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`, per channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    pub batch: usize,
    pub channels: usize,
    pub plane: usize,
    /// `[channels]`.
    pub gamma: &'a [f32],
    /// `[channels]`.
    pub beta: &'a [f32],
    /// Added to the variance; positive.
    pub epsilon: f32,
}

/// Mean and variance over batch and plane, `[channels]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStats {
    pub mean: Vec<f32>,
    /// Biased: the sum of squares divided by the number of values, as used for normalising. Running statistics
    /// usually want it times `n / (n - 1)`, with `n = batch * plane`.
    pub variance: Vec<f32>,
    /// `1 / sqrt(variance + epsilon)`, what the backward pass needs.
    pub inv_std: Vec<f32>,
}

/// Where the backward pass writes. Shapes as the tensors they are gradients of.
#[derive(Debug)]
pub struct BatchNormGradients<'a> {
    pub dx: &'a mut [f32],
    /// `dy` behind the gradient of the ReLU: what a residual that was added, and with it a shortcut, receives.
    pub dresidual: Option<&'a mut [f32]>,
    pub dgamma: &'a mut [f32],
    pub dbeta: &'a mut [f32],
}

/// What the forward pass did last, for its gradient.
#[derive(Clone, Copy, Debug)]
pub enum Clipped<'a> {
    /// It did not clip: `relu` was false.
    No,
    /// It clipped at zero and this is its output.
    Output(&'a [f32]),
    /// It clipped at zero, and there was no residual: then the sign follows from `x`, by the same operations on the
    /// same instruction set, and the output need not be read. Takes 1.4 instead of 2.3 ms for
    /// `[128, 16, 32 x 32]` on one core.
    WithoutResidual,
}

/// Values per stretch that is summed in f32, at least.
const STRETCH: usize = 1024;

impl BatchNorm<'_> {
    /// Training: normalises by the statistics of this batch, adds the `residual` if there is one, then clips at zero
    /// if `relu`. Tensors are `[batch, channels, plane]`; updating running statistics is left to the caller.
    ///
    /// # Panics
    /// If the tensor is empty or a slice has another length than the sizes say.
    pub fn forward(&self, isa: Isa, x: &[f32], residual: Option<&[f32]>, relu: bool, y: &mut [f32]) -> BatchStats {
        self.check(x);
        self.check(y);
        residual.inspect(|residual| self.check(residual));
        assert!(!x.is_empty(), "statistics of no values");
        let y = Planes::new(y, self.plane);
        let stats: Vec<Moments> = (0..self.channels)
            .into_par_iter()
            .map(|channel| isa.run(ForwardChannel { norm: self, channel, x, residual, relu, known: None, y: &y }))
            .collect();
        BatchStats {
            mean: stats.iter().map(|m| m.mean as f32).collect(),
            variance: stats.iter().map(|m| m.variance() as f32).collect(),
            inv_std: stats.iter().map(|m| self.inv_std(m.variance())).collect(),
        }
    }

    /// Inference: as [`BatchNorm::forward`] with the `mean` and `variance` given, `[channels]` each.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say.
    #[expect(clippy::too_many_arguments, reason = "six tensors and a flag")]
    pub fn inference(
        &self,
        isa: Isa,
        x: &[f32],
        mean: &[f32],
        variance: &[f32],
        residual: Option<&[f32]>,
        relu: bool,
        y: &mut [f32],
    ) {
        self.check(x);
        self.check(y);
        residual.inspect(|residual| self.check(residual));
        assert_eq!([mean.len(), variance.len()], [self.channels; 2], "length of mean and variance");
        let y = Planes::new(y, self.plane);
        (0..self.channels).into_par_iter().for_each(|channel| {
            let (mean, variance) = (f64::from(mean[channel]), f64::from(variance[channel]));
            let known = Some(Moments { count: 1.0, mean, squares: variance });
            isa.run(ForwardChannel { norm: self, channel, x, residual, relu, known, y: &y });
        });
    }

    /// The gradients, given `dy`, that of the output. `stats` is what [`BatchNorm::forward`] returned.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say.
    pub fn backward(
        &self,
        isa: Isa,
        x: &[f32],
        stats: &BatchStats,
        clipped: Clipped<'_>,
        dy: &[f32],
        to: BatchNormGradients<'_>,
    ) {
        self.check(x);
        self.check(dy);
        self.check(to.dx);
        if let Clipped::Output(output) = clipped {
            self.check(output);
        }
        to.dresidual.as_deref().inspect(|dresidual| self.check(dresidual));
        let lengths = [to.dgamma.len(), to.dbeta.len(), stats.mean.len(), stats.inv_std.len()];
        assert_eq!(lengths, [self.channels; 4], "length of the gradients of gamma and beta, mean and inv_std");
        let dx = Planes::new(to.dx, self.plane);
        let dresidual = to.dresidual.map(|dresidual| Planes::new(dresidual, self.plane));
        let parameters = to.dgamma.par_iter_mut().zip(to.dbeta).enumerate();
        parameters.for_each(|(channel, (dgamma, dbeta))| {
            let channel = BackwardChannel {
                norm: self,
                channel,
                x,
                mean: stats.mean[channel],
                inv_std: stats.inv_std[channel],
                clipped,
                dy,
                dx: &dx,
                dresidual: dresidual.as_ref(),
            };
            (*dgamma, *dbeta) = isa.run(channel);
        });
    }

    /// Multiplies the weights of the convolution before it, `[channels, ..]`, so that the convolution with the
    /// returned bias `[channels]` gives what both gave in inference.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say.
    pub fn fold(&self, mean: &[f32], variance: &[f32], weights: &mut [f32]) -> Vec<f32> {
        assert_eq!([mean.len(), variance.len()], [self.channels; 2], "length of mean and variance");
        assert_eq!(weights.len() % self.channels, 0, "length of the weights");
        let per_channel = weights.len() / self.channels;
        let fold = |(channel, weights): (usize, &mut [f32])| {
            let scale = self.gamma[channel] * self.inv_std(f64::from(variance[channel]));
            for w in weights {
                *w *= scale;
            }
            self.beta[channel] - mean[channel] * scale
        };
        weights.chunks_exact_mut(per_channel).enumerate().map(fold).collect()
    }

    fn inv_std(&self, variance: f64) -> f32 {
        (1.0 / (variance + f64::from(self.epsilon)).sqrt()) as f32
    }

    fn check(&self, tensor: &[f32]) {
        assert!(self.channels > 0 && self.plane > 0, "{self:?} has an empty axis");
        assert_eq!(tensor.len(), self.batch * self.channels * self.plane, "length of a tensor of {self:?}");
        assert_eq!([self.gamma.len(), self.beta.len()], [self.channels; 2], "length of gamma and beta");
    }

    /// The planes of one channel, first to last.
    #[inline(always)]
    fn planes(&self, channel: usize) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator {
        (channel..self.batch * self.channels).step_by(self.channels)
    }

    #[inline(always)]
    fn plane_of<'t>(&self, tensor: &'t [f32], plane: usize) -> &'t [f32] {
        &tensor[plane * self.plane..][..self.plane]
    }
}

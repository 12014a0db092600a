//! Batch normalisation, fused with what follows it in a residual network.
//!
//! These are bound by memory, so what counts is how often each tensor is read. A task takes one channel of all
//! images, half a megabyte in the largest layer of ResNet-20. The first pass goes through the images in order, the
//! second backwards, starting with what the first has just left in the cache.
//!
//! Sums run in f32 over stretches of about a thousand values, centred on the mean of the stretch where squares are
//! taken, and from there on in f64: the variance is exact to f32 even if the mean is a thousand times larger. The
//! stretches depend on the shape alone, so threads change no result.

use rayon::prelude::*;

use crate::Isa;
use crate::planes::Planes;
use crate::simd::{Kernel, LANES, Simd};

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

    /// The gradients, given that of the output. `stats` is what [`BatchNorm::forward`] returned; `output` is what it
    /// wrote, if it clipped at zero, and `None` if not.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say.
    pub fn backward(
        &self,
        isa: Isa,
        x: &[f32],
        stats: &BatchStats,
        output: Option<&[f32]>,
        dy: &[f32],
        to: BatchNormGradients<'_>,
    ) {
        self.check(x);
        self.check(dy);
        self.check(to.dx);
        output.inspect(|output| self.check(output));
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
                output,
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

/// Count, mean and sum of squared deviations.
#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn variance(&self) -> f64 {
        self.squares / self.count
    }

    /// Of the values of both (Chan, Golub and LeVeque 1979).
    fn join(self, other: Moments) -> Moments {
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        let share = other.count / count;
        Moments {
            count,
            mean: self.mean + apart * share,
            squares: self.squares + other.squares + apart * apart * self.count * share,
        }
    }
}

struct ForwardChannel<'a> {
    norm: &'a BatchNorm<'a>,
    channel: usize,
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    relu: bool,
    known: Option<Moments>,
    y: &'a Planes<'a>,
}

impl Kernel for ForwardChannel<'_> {
    type Out = Moments;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Moments {
        let moments = match self.known {
            Some(moments) => moments,
            None => moments(s, self.norm, self.channel, self.x),
        };
        match (self.residual.is_some(), self.relu) {
            (false, false) => self.normalise::<S, false, false>(s, &moments),
            (false, true) => self.normalise::<S, false, true>(s, &moments),
            (true, false) => self.normalise::<S, true, false>(s, &moments),
            (true, true) => self.normalise::<S, true, true>(s, &moments),
        }
        moments
    }
}

#[inline(always)]
fn moments<S: Simd>(s: S, norm: &BatchNorm<'_>, channel: usize, x: &[f32]) -> Moments {
    let mut all = Moments { count: 0.0, mean: 0.0, squares: 0.0 };
    let images = STRETCH.div_ceil(norm.plane);
    for first in (0..norm.batch).step_by(images) {
        let images = first..(first + images).min(norm.batch);
        let count = (images.len() * norm.plane) as f64;
        let mut sum = Sums::<S, 1>::new(s);
        for n in images.clone() {
            sum.add(s, norm.plane_of(x, n * norm.channels + channel), 0.0);
        }
        let mean = (sum.totals(s)[0] / count) as f32;
        let mut around = Sums::<S, 2>::new(s);
        for n in images {
            around.add(s, norm.plane_of(x, n * norm.channels + channel), mean);
        }
        // The mean has been rounded; what that leaves is in the first sum.
        let [rest, squares] = around.totals(s);
        let stretch = Moments { count, mean: f64::from(mean) + rest / count, squares: squares - rest * rest / count };
        all = all.join(stretch);
    }
    all
}

/// Sums of the first `POWERS` powers of the distances from a centre.
struct Sums<S: Simd, const POWERS: usize> {
    /// Several of each, to hide the latency of the addition.
    lanes: [[S::V; 4]; POWERS],
    rest: [f32; POWERS],
}

impl<S: Simd, const POWERS: usize> Sums<S, POWERS> {
    #[inline(always)]
    fn new(s: S) -> Self {
        Sums { lanes: [[s.splat(0.0); 4]; POWERS], rest: [0.0; POWERS] }
    }

    #[inline(always)]
    fn add(&mut self, s: S, values: &[f32], centre: f32) {
        let (whole, rest) = values.split_at(values.len() / LANES * LANES);
        let (fours, singles) = whole.split_at(whole.len() / (4 * LANES) * (4 * LANES));
        let around = s.splat(centre);
        for values in fours.chunks_exact(4 * LANES) {
            for i in 0..4 {
                self.add_vector(s, i, s.sub(s.load(&values[i * LANES..]), around));
            }
        }
        for values in singles.chunks_exact(LANES) {
            self.add_vector(s, 0, s.sub(s.load(values), around));
        }
        for value in rest {
            let d = value - centre;
            self.rest[0] += d;
            if POWERS == 2 {
                self.rest[1] += d * d;
            }
        }
    }

    #[inline(always)]
    fn add_vector(&mut self, s: S, i: usize, d: S::V) {
        self.lanes[0][i] = s.add(self.lanes[0][i], d);
        if POWERS == 2 {
            self.lanes[1][i] = s.fma(d, d, self.lanes[1][i]);
        }
    }

    #[inline(always)]
    fn totals(&self, s: S) -> [f64; POWERS] {
        let mut totals = [0.0; POWERS];
        for p in 0..POWERS {
            let [a, b, c, d] = self.lanes[p];
            totals[p] = f64::from(s.sum(s.add(s.add(a, b), s.add(c, d)))) + f64::from(self.rest[p]);
        }
        totals
    }
}

impl ForwardChannel<'_> {
    #[inline(always)]
    fn normalise<S: Simd, const RESIDUAL: bool, const RELU: bool>(&self, s: S, moments: &Moments) {
        let norm = self.norm;
        // Not folded into one addend: the difference is exact where the mean is large.
        let mean = s.splat(moments.mean as f32);
        let scale = s.splat(norm.gamma[self.channel] * norm.inv_std(moments.variance()));
        let beta = s.splat(norm.beta[self.channel]);
        for plane in norm.planes(self.channel).rev() {
            let x = norm.plane_of(self.x, plane);
            let residual = if RESIDUAL { norm.plane_of(self.residual.unwrap_or(self.x), plane) } else { x };
            // SAFETY: plane `plane` belongs to this task's channel, and each channel to one task.
            let y = unsafe { self.y.get(plane) };
            for i in (0..norm.plane).step_by(LANES) {
                let end = (i + LANES).min(norm.plane);
                let x = s.load_any(&x[i..end]);
                let mut v = s.fma(s.sub(x, mean), scale, beta);
                if RESIDUAL {
                    v = s.add(v, s.load_any(&residual[i..end]));
                }
                if RELU {
                    v = s.relu(v);
                }
                s.store_any(v, &mut y[i..end]);
            }
        }
    }
}

struct BackwardChannel<'a> {
    norm: &'a BatchNorm<'a>,
    channel: usize,
    x: &'a [f32],
    mean: f32,
    inv_std: f32,
    output: Option<&'a [f32]>,
    dy: &'a [f32],
    dx: &'a Planes<'a>,
    dresidual: Option<&'a Planes<'a>>,
}

impl Kernel for BackwardChannel<'_> {
    /// The gradients of gamma and beta.
    type Out = (f32, f32);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32) {
        match (self.output.is_some(), self.dresidual.is_some()) {
            (false, false) => self.both_passes::<S, false, false>(s),
            (false, true) => self.both_passes::<S, false, true>(s),
            (true, false) => self.both_passes::<S, true, false>(s),
            (true, true) => self.both_passes::<S, true, true>(s),
        }
    }
}

impl BackwardChannel<'_> {
    /// With `g` the gradient behind the ReLU and `d = x - mean`:
    /// `dbeta = sum g`, `dgamma = inv_std * sum g d`,
    /// `dx = gamma * inv_std * (g - dbeta / n - d * inv_std^2 * sum g d / n)`.
    #[inline(always)]
    fn both_passes<S: Simd, const RELU: bool, const RESIDUAL: bool>(&self, s: S) -> (f32, f32) {
        let norm = self.norm;
        let mean = s.splat(self.mean);
        let (mut sum_g, mut sum_gd) = (0.0, 0.0);
        let planes_at_once = STRETCH.div_ceil(norm.plane);
        let zero = s.splat(0.0);
        let mut lanes = [[zero; 2]; 2];
        for (i, plane) in norm.planes(self.channel).enumerate() {
            let x = norm.plane_of(self.x, plane);
            let dy = norm.plane_of(self.dy, plane);
            let output = norm.plane_of(self.output.unwrap_or(self.x), plane);
            // SAFETY: plane `plane` belongs to this task's channel, and each channel to one task.
            let mut dresidual = self.dresidual.map(|d| unsafe { d.get(plane) });
            for i in (0..norm.plane).step_by(LANES) {
                let end = (i + LANES).min(norm.plane);
                // Past the end of the plane `g` is zero, and with it both summands.
                let g = gradient::<S, RELU>(s, &output[i..end], &dy[i..end]);
                if RESIDUAL && let Some(dresidual) = &mut dresidual {
                    s.store_any(g, &mut dresidual[i..end]);
                }
                let d = s.sub(s.load_any(&x[i..end]), mean);
                let [of_g, of_gd] = &mut lanes[i / LANES % 2];
                *of_g = s.add(*of_g, g);
                *of_gd = s.fma(g, d, *of_gd);
            }
            if (i + 1) % planes_at_once == 0 || i + 1 == norm.batch {
                let [[g0, gd0], [g1, gd1]] = lanes;
                sum_g += f64::from(s.sum(s.add(g0, g1)));
                sum_gd += f64::from(s.sum(s.add(gd0, gd1)));
                lanes = [[zero; 2]; 2];
            }
        }

        let count = (norm.batch * norm.plane) as f64;
        let inv_std = f64::from(self.inv_std);
        let scale = f64::from(norm.gamma[self.channel]) * inv_std;
        let scale_v = s.splat(scale as f32);
        let offset = s.splat((-scale * sum_g / count) as f32);
        let slope = s.splat((-scale * inv_std * inv_std * sum_gd / count) as f32);
        for plane in norm.planes(self.channel).rev() {
            let x = norm.plane_of(self.x, plane);
            let dy = norm.plane_of(self.dy, plane);
            let output = norm.plane_of(self.output.unwrap_or(self.x), plane);
            // SAFETY: plane `plane` belongs to this task's channel, and each channel to one task.
            let (dx, g) = unsafe { (self.dx.get(plane), self.dresidual.map(|d| &*d.get(plane))) };
            for i in (0..norm.plane).step_by(LANES) {
                let end = (i + LANES).min(norm.plane);
                // The first pass has left the gradient in `dresidual`, one tensor to read instead of two.
                let g = match g {
                    Some(g) if RESIDUAL => s.load_any(&g[i..end]),
                    _ => gradient::<S, RELU>(s, &output[i..end], &dy[i..end]),
                };
                let d = s.sub(s.load_any(&x[i..end]), mean);
                s.store_any(s.fma(d, slope, s.fma(g, scale_v, offset)), &mut dx[i..end]);
            }
        }
        ((inv_std * sum_gd) as f32, sum_g as f32)
    }
}

/// The gradient behind the ReLU.
#[inline(always)]
fn gradient<S: Simd, const RELU: bool>(s: S, output: &[f32], dy: &[f32]) -> S::V {
    let dy = s.load_any(dy);
    if RELU { s.where_positive(s.load_any(output), dy) } else { dy }
}

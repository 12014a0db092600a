//! The codec as a layer of a network: transform, quantize, dequantize and transform back, with gradients.
//!
//! A vector holds the same sample of 16 planes. A task takes 16 neighbouring planes of the tensor, whatever images and
//! channels they belong to, and transposes them, a band of rows at a time, into a block `[pixels][16]`. From there on
//! the lifting of any wavelet, the quantizer and the sums are plain vector arithmetic without a shuffle, on planes of
//! any size, with the step and the gate of each plane in its own lane. The transform works in place: low-pass samples
//! stay on the even positions, so a subband is a grid of positions with a stride, and nothing is split or joined.
//!
//! Haar and no transform at all do not look beyond blocks of `2^levels` rows, so their bands are only as high as the
//! first level cache allows; the others take a plane as one band.
//!
//! The backward pass transforms `x` again instead of having the forward pass store its coefficients: that costs a
//! fraction of what writing a tensor to memory and reading it again does.

mod backward;
mod forward;
mod haar;
mod lanes;
mod noise;
mod quantizer;
mod transform;

use rayon::prelude::*;
use subband::{Subband, Wavelet};

use crate::Isa;
use crate::simd::LANES;
use backward::BackwardGroup;
use forward::ForwardGroup;
use lanes::{LaneTable, sum_by_channel};

/// Sizes and parameters of the layer on a tensor `[batch, channels, height, width]`.
///
/// With `S = 3 * levels + 1` subbands in the coding order of the codec (LL, then HL, LH, HH from the coarsest level to
/// the finest), each coefficient `c = analysis(x)` is divided by its step, quantized to an index `k` and decoded to
/// `kept * sign(k) * max(|k| - reconstruction, 0) * step`, with `|k| = floor(|c| / step + rounding)`; `y` is the
/// synthesis of that, clamped at 0 if `nonnegative`. With gates of 0 and 1 these are the bits of
/// `subband::decompress(subband::compress(x))` on every instruction set.
///
/// Two things of the codec are left out. There is no pre-scaling. And indices are not clamped, to 24 bits at most in
/// the codec, which a network in training does not get near; so NaN and infinity come out as such, and a loss that
/// diverges is seen to.
///
/// ```
/// use subband::Wavelet;
/// use subband_kernels::{Isa, WaveletQuantize, WaveletQuantizeGradients};
///
/// // Two planes of 4 x 4; the second keeps its approximation alone.
/// let layer = WaveletQuantize {
///     batch: 1, channels: 2, height: 4, width: 4, wavelet: Wavelet::Haar, levels: 1, steps: &[0.5; 4],
///     kept: &[1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
///     rounding: 0.5, reconstruction: 0.0, nonnegative: true, noise: None,
/// };
/// let x: Vec<f32> = (0..32).map(|i| (i % 5) as f32).collect();
/// let (mut y, mut dx, mut dlog_steps, mut dkept) = ([0.0; 32], [0.0; 32], [0.0; 4], [0.0; 8]);
/// let mean_magnitudes = layer.forward(Isa::best(), &x, &mut y);
/// assert_eq!(mean_magnitudes.len(), 8);
/// assert_eq!(y[16], y[17]);
///
/// let to = WaveletQuantizeGradients { dx: &mut dx, dlog_steps: &mut dlog_steps, dkept: &mut dkept };
/// layer.backward(Isa::best(), &x, &y, &[1.0; 32], &[0.0; 8], to);
/// // Where nothing is clamped, the gradient of a sum passes unchanged: it is approximation alone.
/// assert!((dx[16] - 1.0).abs() < 1e-6);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WaveletQuantize<'a> {
    pub batch: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub wavelet: Wavelet,
    /// 0 to 8, and 0 for [`Wavelet::None`].
    pub levels: u8,
    /// Nominal steps, positive: `[S]` for all channels alike, or `[channels, S]`. The actual step is the nominal one
    /// divided by [`Wavelet::synthesis_gain`].
    pub steps: &'a [f32],
    /// `[channels, S]`: 0 drops a subband, 1 keeps it, and what is between damps it. Finite.
    pub kept: &'a [f32],
    /// Rounding offset, 0 to 0.5; 0.5 rounds to nearest, less widens the dead zone.
    pub rounding: f32,
    /// Shift of the point of reconstruction towards zero, 0 to 0.5 steps.
    pub reconstruction: f32,
    /// Values below 0 become 0.
    pub nonnegative: bool,
    /// A seed: instead of being rounded, `c / step` has noise added, uniform in -0.5 to 0.5, and is decoded as it is:
    /// `rounding` and `reconstruction` do not matter. The noise of a coefficient depends on the seed, the place of its
    /// plane in the tensor and its own place in the plane, and on nothing else.
    pub noise: Option<u64>,
}

/// Where the backward pass writes.
#[derive(Debug)]
pub struct WaveletQuantizeGradients<'a> {
    /// Shape of `x`.
    pub dx: &'a mut [f32],
    /// Of the natural logarithm of the steps, `[S]` or `[channels, S]` as they are.
    pub dlog_steps: &'a mut [f32],
    /// `[channels, S]`, by way of `y` alone.
    pub dkept: &'a mut [f32],
}

/// Number of coefficients in each subband of a plane over `levels` levels, in coding order.
pub fn subband_sizes(levels: u8, height: usize, width: usize) -> Vec<usize> {
    let subbands = 3 * usize::from(levels) + 1;
    (0..subbands).map(|subband| lanes::positions(subband, levels, height, width).len()).collect()
}

impl WaveletQuantize<'_> {
    /// Number of subbands `S`.
    pub fn subbands(&self) -> usize {
        3 * usize::from(self.levels) + 1
    }

    /// Number of coefficients of a plane in each subband, `[S]`.
    pub fn subband_sizes(&self) -> Vec<usize> {
        subband_sizes(self.levels, self.height, self.width)
    }

    /// Writes `y` and returns the mean over batch and positions of `|k|`, gates left aside: `[channels, S]`. With noise
    /// it is the mean of `|c / step + noise|`. A subband without coefficients has 0.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say, or a parameter is outside its range.
    pub fn forward(&self, isa: Isa, x: &[f32], y: &mut [f32]) -> Vec<f32> {
        self.check(&[x, y]);
        if x.is_empty() {
            return vec![0.0; self.kept.len()];
        }
        let table = LaneTable::new(self, None);
        let mut sums = vec![0.0; self.groups() * self.subbands() * LANES];
        let group = LANES * self.plane();
        let tasks = x.par_chunks(group).zip(y.par_chunks_mut(group)).zip(sums.par_chunks_mut(self.subbands() * LANES));
        tasks.enumerate().for_each(|(group, ((x, y), sums))| {
            isa.run(ForwardGroup { layer: self, group, lanes: table.of(group), x, y, sums });
        });
        let sizes = self.subband_sizes();
        let sums = sum_by_channel(self, &sums, self.subbands());
        let mean = |(i, sum): (usize, &f64)| {
            let count = self.batch * sizes[i % self.subbands()];
            if count == 0 { 0.0 } else { (sum / count as f64) as f32 }
        };
        sums.iter().enumerate().map(mean).collect()
    }

    /// The gradients, given `dy`, that of the output, and `rate_gradient`, that of what [`WaveletQuantize::forward`]
    /// returned times `kept`: a dropped subband has no rate. What a rate means for the gates is left to the caller.
    ///
    /// Rounding is passed straight through (with noise there is none, and everything is exact): with `g` the gradient of
    /// a decoded coefficient `kept * step * d`, `M` the number of values in a mean and `u = c / step`,
    ///
    /// * `dc = kept * (g + rate_gradient * sign(c) / (M * step))`, so that coefficients in the dead zone are pulled to
    ///   zero as well, but zeros are left alone;
    /// * `dlog_step` is the sum of `kept * (g * step * (d - u) - rate_gradient * |u| / M)`;
    /// * `dkept` is the sum of `g * step * d`.
    ///
    /// With noise `sign(c)` is that of `u + noise`, and `|u|` is `u` with that sign. Transposing the transforms is exact
    /// at every border. Clamping passes the gradient where `y > 0`, and, since rounding is passed straight through, where
    /// `x > 0` was rounded to nothing: what is quantized to zero would never come back otherwise. With noise the former
    /// alone, which is exact.
    ///
    /// `y` is what the forward pass wrote; it is only read if `nonnegative`, and may be empty otherwise.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say, or a parameter is outside its range.
    pub fn backward(
        &self,
        isa: Isa,
        x: &[f32],
        y: &[f32],
        dy: &[f32],
        rate_gradient: &[f32],
        to: WaveletQuantizeGradients<'_>,
    ) {
        self.check(&[x, dy, to.dx, if self.nonnegative { y } else { x }]);
        assert_eq!(rate_gradient.len(), self.kept.len(), "length of the gradient of the rate");
        assert_eq!(to.dlog_steps.len(), self.steps.len(), "length of the gradient of the steps");
        assert_eq!(to.dkept.len(), self.kept.len(), "length of the gradient of the gates");
        to.dlog_steps.fill(0.0);
        to.dkept.fill(0.0);
        if x.is_empty() {
            return;
        }
        let table = LaneTable::new(self, Some(rate_gradient));
        let rows = 2 * self.subbands();
        let mut sums = vec![0.0; self.groups() * rows * LANES];
        let group = LANES * self.plane();
        let tasks = x.par_chunks(group).zip(dy.par_chunks(group)).zip(to.dx.par_chunks_mut(group));
        let tasks = tasks.zip(sums.par_chunks_mut(rows * LANES)).enumerate();
        tasks.for_each(|(group, (((x, dy), dx), sums))| {
            let start = group * LANES * self.plane();
            let passes = self.nonnegative.then(|| {
                let y = &y[start..start + x.len()];
                if self.noise.is_some() { [y, y] } else { [y, x] }
            });
            isa.run(BackwardGroup { layer: self, group, lanes: table.of(group), x, passes, dy, dx, sums });
        });
        let sums = sum_by_channel(self, &sums, rows);
        let mut dlog_steps = vec![0.0; self.steps.len()];
        for (i, sum) in sums.chunks_exact(2).enumerate() {
            dlog_steps[i % self.steps.len()] += sum[0];
            to.dkept[i] = sum[1] as f32;
        }
        for (to, sum) in to.dlog_steps.iter_mut().zip(dlog_steps) {
            *to = sum as f32;
        }
    }

    fn plane(&self) -> usize {
        self.height * self.width
    }

    fn planes(&self) -> usize {
        self.batch * self.channels
    }

    /// Number of tasks.
    fn groups(&self) -> usize {
        self.planes().div_ceil(LANES)
    }

    /// The step that a subband of a channel is divided by; the arithmetic of the codec's table.
    fn step(&self, channel: usize, subband: usize) -> f32 {
        let row = if self.steps.len() == self.subbands() { 0 } else { channel };
        let gain = self.wavelet.synthesis_gain(&Subband::at(subband, self.levels));
        self.steps[row * self.subbands() + subband] / gain
    }

    /// Rows that are worked on at once: a whole plane, or about 16 KiB of 16 planes where the transform allows.
    fn band(&self) -> usize {
        const PIXELS: usize = 256;
        match self.wavelet {
            Wavelet::None | Wavelet::Haar => {
                let blocks = PIXELS / (self.width << self.levels).max(1);
                (blocks.max(1) << self.levels).min(self.height)
            }
            _ => self.height,
        }
    }

    fn check(&self, tensors: &[&[f32]]) {
        let subbands = self.subbands();
        assert!(self.levels <= subband::MAX_LEVELS, "{} levels, at most {}", self.levels, subband::MAX_LEVELS);
        assert!(self.wavelet != Wavelet::None || self.levels == 0, "{} levels of no wavelet", self.levels);
        for (name, offset) in [("rounding", self.rounding), ("reconstruction", self.reconstruction)] {
            assert!((0.0..=0.5).contains(&offset), "{name} is {offset}: allowed are 0 to 0.5");
        }
        assert_eq!(self.kept.len(), self.channels * subbands, "length of the gates, {subbands} subbands");
        let steps = self.steps.len();
        assert!(
            steps == subbands || steps == self.channels * subbands,
            "{steps} steps for {subbands} subbands of {} channels",
            self.channels
        );
        for tensor in tensors {
            assert_eq!(tensor.len(), self.planes() * self.plane(), "length of a tensor of {self:?}");
        }
    }
}

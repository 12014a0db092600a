//! The matrix products of one frequency.

use super::FREQUENCIES;
use crate::simd::{Kernel, LANES, Simd};

/// From one tile to the next in `sums`, `[tile][frequency][16]` with a vector of space: without it the vectors of one
/// frequency would compete for the same few lines of the first level cache.
pub(super) const TILE_STEP: usize = (FREQUENCIES + 1) * LANES;

/// `sums[tile][out_channel] = sum over c of inputs[tile][c] * weights[c][out_channel]`, for 16 out_channels.
pub(super) struct Multiply<'a> {
    /// `[16-channel block][tile][16]`, blocks `step` apart.
    pub inputs: &'a [f32],
    pub step: usize,
    /// `[channel][16]`, whole blocks of channels.
    pub weights: &'a [f32],
    pub tiles: usize,
    /// Room for a few tiles more, see [`split`].
    pub sums: &'a mut [f32],
}

impl Kernel for Multiply<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // With two registers to a vector, 6 tiles take 12 of 16 for their sums.
        match S::TILE {
            16 => self.all_tiles::<S, 16, 8>(s),
            _ => self.all_tiles::<S, 6, 4>(s),
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn all_tiles<S: Simd, const WIDE: usize, const NARROW: usize>(self, s: S) {
        let [wides, narrows] = split::<WIDE, NARROW>(self.tiles);
        let Multiply { mut inputs, step, weights, mut sums, .. } = self;
        for _ in 0..wides {
            some_tiles::<S, WIDE>(s, inputs, step, weights, sums);
            (inputs, sums) = (&inputs[WIDE * LANES..], &mut sums[WIDE * TILE_STEP..]);
        }
        for _ in 0..narrows {
            some_tiles::<S, NARROW>(s, inputs, step, weights, sums);
            (inputs, sums) = (&inputs[NARROW * LANES..], &mut sums[NARROW * TILE_STEP..]);
        }
    }
}

/// Groups of `WIDE` and of `NARROW` that cover `tiles` with the least excess, which is less than 16.
#[inline(always)]
fn split<const WIDE: usize, const NARROW: usize>(tiles: usize) -> [usize; 2] {
    let with = |narrows: usize| [tiles.saturating_sub(narrows * NARROW).div_ceil(WIDE), narrows];
    let covered = |[wides, narrows]: &[usize; 2]| wides * WIDE + narrows * NARROW;
    (0..=2).map(with).min_by_key(covered).expect("three ways")
}

#[inline(always)]
fn some_tiles<S: Simd, const TILES: usize>(s: S, inputs: &[f32], step: usize, weights: &[f32], to: &mut [f32]) {
    let mut sums = [s.splat(0.0); TILES];
    for (weights, inputs) in weights.chunks_exact(LANES * LANES).zip(inputs.chunks(step)) {
        let inputs = &inputs[..TILES * LANES];
        // In fours, so that the compiler makes straight code of all 16. One loop of 16 rounds it leaves a loop.
        some_products(s, inputs, weights, 0, &mut sums);
        some_products(s, inputs, weights, 4, &mut sums);
        some_products(s, inputs, weights, 8, &mut sums);
        some_products(s, inputs, weights, 12, &mut sums);
    }
    for (t, sum) in sums.iter().enumerate() {
        s.store(*sum, &mut to[t * TILE_STEP..]);
    }
}

/// Four channels.
#[inline(always)]
fn some_products<S: Simd, const TILES: usize>(
    s: S,
    inputs: &[f32],
    weights: &[f32],
    first: usize,
    sums: &mut [S::V; TILES],
) {
    for c in first..first + 4 {
        let weight = s.load(&weights[c * LANES..]);
        for t in 0..TILES {
            sums[t] = s.fma(s.splat(inputs[t * LANES + c]), weight, sums[t]);
        }
    }
}

/// `sums[in_channel][out_channel] += sum over the tiles of inputs[tile][in_channel] * gradients[tile][out_channel]`, 16
/// times 16 channels.
pub(super) struct MultiplyTransposed<'a> {
    /// `[tile][16]`.
    pub inputs: &'a [f32],
    pub gradients: &'a [f32],
    pub sums: &'a mut [f32],
}

impl Kernel for MultiplyTransposed<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let MultiplyTransposed { inputs, gradients, sums } = self;
        match S::TILE {
            16 => some_channels::<S, 16>(s, inputs, gradients, sums),
            _ => {
                // All sums at once would take twice the registers there are.
                some_channels::<S, 5>(s, inputs, gradients, sums);
                some_channels::<S, 5>(s, &inputs[5..], gradients, &mut sums[5 * LANES..]);
                some_channels::<S, 6>(s, &inputs[10..], gradients, &mut sums[10 * LANES..]);
            }
        }
    }
}

#[inline(always)]
fn some_channels<S: Simd, const CHANNELS: usize>(s: S, inputs: &[f32], gradients: &[f32], to: &mut [f32]) {
    let mut sums = [s.splat(0.0); CHANNELS];
    for (sum, to) in sums.iter_mut().zip(to.chunks_exact(LANES)) {
        *sum = s.load(to);
    }
    for (inputs, gradient) in inputs.chunks(LANES).zip(gradients.chunks_exact(LANES)) {
        let inputs = &inputs[..CHANNELS];
        let gradient = s.load(gradient);
        for c in 0..CHANNELS {
            sums[c] = s.fma(s.splat(inputs[c]), gradient, sums[c]);
        }
    }
    for (sum, to) in sums.iter().zip(to.chunks_exact_mut(LANES)) {
        s.store(*sum, to);
    }
}

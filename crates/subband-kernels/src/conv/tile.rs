//! The innermost loops.
//!
//! Both hold 16 (or on some instruction sets 4) vectors of accumulators in registers and do, per step, one
//! multiply-add on each with one vector operand and one broadcast scalar. Loads and multiply-adds then come one to
//! one, which is what AVX-512 cores sustain: on Zen 4 both loops run at 99% of the multiply-add peak out of the first
//! level cache, the direct walk through one list of taps no slower than loops over rows and columns of the kernel
//! that the compiler unrolls, which keep three taps in registers.

use crate::simd::{Kernel, LANES, Simd};

/// One register tile of a convolution: `ROWS` x `COLS` pixels of 16 channels, summed over all taps.
pub(super) struct Convolve<'a, const STEP: usize, const ROWS: usize, const COLS: usize, const SPREAD: usize> {
    pub x: &'a [f32],
    /// From a pixel to the one below it in the target. The next pixel of a row is `STEP` further on.
    pub row_step: usize,
    /// For each tap, where in `x` its pixel for the tile's first target pixel lies.
    pub taps: &'a [usize],
    /// A vector for each tap.
    pub weights: &'a [f32],
    /// Pixel `(r, p)` becomes vector `(r * COLS + p) * SPREAD`; the spread lets two tiles of alternating columns
    /// share one output.
    pub out: &'a mut [f32],
}

impl<const STEP: usize, const ROWS: usize, const COLS: usize, const SPREAD: usize> Kernel
    for Convolve<'_, STEP, ROWS, COLS, SPREAD>
{
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = [[s.splat(0.0); COLS]; ROWS];
        for (&tap, weight) in self.taps.iter().zip(self.weights.chunks_exact(LANES)) {
            let weight = s.load(weight);
            for (r, sums) in sums.iter_mut().enumerate() {
                // One bounds check for the row: its length is known when this is compiled.
                let pixels = &self.x[tap + r * self.row_step..][..(COLS - 1) * STEP + 1];
                for (p, sum) in sums.iter_mut().enumerate() {
                    *sum = s.fma(s.splat(pixels[p * STEP]), weight, *sum);
                }
            }
        }
        for (i, sum) in sums.as_flattened().iter().enumerate() {
            s.store(*sum, &mut self.out[i * SPREAD * LANES..]);
        }
    }
}

/// Adds to the weight gradients of `TAPS` taps and 16 channels what one row of pixels contributes:
/// `sums[t] += dy[p] * x[taps[t] + p * STEP]` over the pixels `p`, of which there are a multiple of `COLS`.
///
/// The address of each tap is computed once for `COLS` pixels. With registers for it, these pixels of `dy` stay there
/// while the taps pass by; else the taps' sums and one pixel do.
#[inline(always)]
pub(super) fn correlate<S: Simd, const STEP: usize, const COLS: usize, const TAPS: usize>(
    s: S,
    x: &[f32],
    taps: &[usize; TAPS],
    dy: &[f32],
    sums: &mut [S::V; TAPS],
) {
    for (i, dy) in dy.chunks_exact(COLS * LANES).enumerate() {
        let x = &x[i * COLS * STEP..];
        if S::TILE == 16 {
            let mut d = [s.splat(0.0); COLS];
            for (d, dy) in d.iter_mut().zip(dy.chunks_exact(LANES)) {
                *d = s.load(dy);
            }
            for t in 0..TAPS {
                let pixels = &x[taps[t]..][..(COLS - 1) * STEP + 1];
                for p in 0..COLS {
                    sums[t] = s.fma(s.splat(pixels[p * STEP]), d[p], sums[t]);
                }
            }
        } else {
            let mut pixels = [x; TAPS];
            for t in 0..TAPS {
                pixels[t] = &x[taps[t]..][..(COLS - 1) * STEP + 1];
            }
            for p in 0..COLS {
                let d = s.load(&dy[p * LANES..]);
                for t in 0..TAPS {
                    sums[t] = s.fma(s.splat(pixels[t][p * STEP]), d, sums[t]);
                }
            }
        }
    }
}

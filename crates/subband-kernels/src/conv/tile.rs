//! The innermost loops.
//!
//! Both hold 16 (or on some instruction sets 4) vectors of accumulators in registers and do, per step, one
//! multiply-add on each with one vector operand and one broadcast scalar. Loads and multiply-adds then come one to
//! one, which is what AVX-512 cores sustain: on Zen 4 both loops run at 99% of the multiply-add peak out of the first
//! level cache, the direct walk through one list of taps no slower than loops over rows and columns of the kernel
//! that the compiler unrolls, which keep three taps in registers.

use crate::simd::{LANES, Simd};

/// One register tile of a convolution: `ROWS` x `COLS` pixels of 16 channels, summed over all taps.
///
/// `taps` holds, for each tap, where in `x` its pixel for the tile's first output pixel lies, and `weights` its
/// vector. The next pixel of a row is `STEP` further on, the next row `row_step`. Pixel `(r, p)` is stored in
/// `out[first + (r * COLS + p) * SPREAD]`; the spread lets two tiles of alternating columns share one `out`.
#[inline(always)]
pub(super) fn convolve<
    S: Simd,
    const STEP: usize,
    const ROWS: usize,
    const COLS: usize,
    const SPREAD: usize,
>(
    s: S,
    x: &[f32],
    row_step: usize,
    taps: &[usize],
    weights: &[f32],
    out: &mut [S::V; LANES],
    first: usize,
) {
    let mut sums = [[s.splat(0.0); COLS]; ROWS];
    for (&tap, weight) in taps.iter().zip(weights.chunks_exact(LANES)) {
        let weight = s.load(weight);
        for r in 0..ROWS {
            // One bounds check for the row: its length is known when this is compiled.
            let pixels = &x[tap + r * row_step..][..(COLS - 1) * STEP + 1];
            for p in 0..COLS {
                sums[r][p] = s.fma(s.splat(pixels[p * STEP]), weight, sums[r][p]);
            }
        }
    }
    for r in 0..ROWS {
        for p in 0..COLS {
            out[first + (r * COLS + p) * SPREAD] = sums[r][p];
        }
    }
}

/// Adds to the weight gradients of 16 taps and 16 channels what one row of pixels contributes:
/// `sums[t] += dy[p] * x[taps[t] + p * STEP]` over the pixels `p`, of which there are a multiple of `COLS`.
///
/// `COLS` pixels of `dy` stay in registers while the taps pass by, so that the address of each tap is computed once
/// for all of them.
#[inline(always)]
pub(super) fn correlate<S: Simd, const STEP: usize, const COLS: usize>(
    s: S,
    x: &[f32],
    taps: &[usize; LANES],
    dy: &[f32],
    sums: &mut [S::V; LANES],
) {
    for (i, dy) in dy.chunks_exact(COLS * LANES).enumerate() {
        let x = &x[i * COLS * STEP..];
        let mut d = [s.splat(0.0); COLS];
        for p in 0..COLS {
            d[p] = s.load(&dy[p * LANES..]);
        }
        for t in 0..LANES {
            let pixels = &x[taps[t]..][..(COLS - 1) * STEP + 1];
            for p in 0..COLS {
                sums[t] = s.fma(s.splat(pixels[p * STEP]), d[p], sums[t]);
            }
        }
    }
}

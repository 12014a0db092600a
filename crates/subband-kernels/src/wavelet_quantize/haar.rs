//! One level of the Haar transform, rows and columns at once.

use super::lanes::Lanes;
use super::transform::Region;
use crate::simd::Simd;

/// From pixels to coefficients if `ANALYSIS`, else back; `unpaired` is the factor of samples without a partner.
#[inline(always)]
pub(super) fn level<S: Simd, const ANALYSIS: bool>(
    s: S,
    region: Region,
    factor: f32,
    unpaired: f32,
    data: &mut [Lanes],
) {
    let Region { stride, row, rows, columns, more_rows } = region;
    let factor = s.splat(factor);
    // A single sample is no signal and stays as it is.
    let single_column = s.splat(if columns > 1 { unpaired } else { 1.0 });
    let single_row = s.splat(if more_rows { unpaired } else { 1.0 });
    let width = columns.div_ceil(2) * 2 * stride;
    for y in 0..rows / 2 {
        let (top, bottom) = data[2 * y * row..].split_at_mut(row);
        let last = top.len().min(bottom.len()).min(width);
        let (top, bottom) = (&mut top[..last], &mut bottom[..last]);
        for x in 0..columns / 2 {
            let (left, right) = (2 * x * stride, (2 * x + 1) * stride);
            let [a, b, c, d] = [s.load(&top[left]), s.load(&top[right]), s.load(&bottom[left]), s.load(&bottom[right])];
            let [a, b, c, d] = square::<S, ANALYSIS>(s, factor, [a, b, c, d]);
            s.store(a, &mut top[left]);
            s.store(b, &mut top[right]);
            s.store(c, &mut bottom[left]);
            s.store(d, &mut bottom[right]);
        }
        if columns % 2 == 1 {
            let x = (columns - 1) * stride;
            let [mut a, mut c] = [s.load(&top[x]), s.load(&bottom[x])];
            if ANALYSIS {
                [a, c] = pair::<S, true>(s, factor, [s.mul(a, single_column), s.mul(c, single_column)]);
            } else {
                [a, c] = pair::<S, false>(s, factor, [a, c]);
                [a, c] = [s.mul(a, single_column), s.mul(c, single_column)];
            }
            s.store(a, &mut top[x]);
            s.store(c, &mut bottom[x]);
        }
    }
    if rows % 2 == 1 {
        let last = &mut data[(rows - 1) * row..];
        for x in 0..columns / 2 {
            let (left, right) = (2 * x * stride, (2 * x + 1) * stride);
            let [mut a, mut b] = [s.load(&last[left]), s.load(&last[right])];
            if ANALYSIS {
                [a, b] = pair::<S, true>(s, factor, [a, b]);
                [a, b] = [s.mul(a, single_row), s.mul(b, single_row)];
            } else {
                [a, b] = pair::<S, false>(s, factor, [s.mul(a, single_row), s.mul(b, single_row)]);
            }
            s.store(a, &mut last[left]);
            s.store(b, &mut last[right]);
        }
        if columns % 2 == 1 {
            let corner = &mut last[(columns - 1) * stride];
            let (first, second) = if ANALYSIS { (single_column, single_row) } else { (single_row, single_column) };
            s.store(s.mul(s.mul(s.load(corner), first), second), corner);
        }
    }
}

/// `[top left, top right, bottom left, bottom right]`, for which LL, HL, LH and HH stand in.
#[inline(always)]
fn square<S: Simd, const ANALYSIS: bool>(s: S, factor: S::V, [a, b, c, d]: [S::V; 4]) -> [S::V; 4] {
    if ANALYSIS {
        let ([a, b], [c, d]) = (pair::<S, true>(s, factor, [a, b]), pair::<S, true>(s, factor, [c, d]));
        let ([a, c], [b, d]) = (pair::<S, true>(s, factor, [a, c]), pair::<S, true>(s, factor, [b, d]));
        [a, b, c, d]
    } else {
        let ([a, c], [b, d]) = (pair::<S, false>(s, factor, [a, c]), pair::<S, false>(s, factor, [b, d]));
        let ([a, b], [c, d]) = (pair::<S, false>(s, factor, [a, b]), pair::<S, false>(s, factor, [c, d]));
        [a, b, c, d]
    }
}

#[inline(always)]
fn pair<S: Simd, const ANALYSIS: bool>(s: S, factor: S::V, [a, b]: [S::V; 2]) -> [S::V; 2] {
    if ANALYSIS {
        [s.mul(s.add(a, b), factor), s.mul(s.sub(b, a), factor)]
    } else {
        [s.mul(s.sub(a, b), factor), s.mul(s.add(a, b), factor)]
    }
}

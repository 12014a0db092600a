//! The transforms into frequencies and back, 16 channels at a time.

use std::ops::Range;

use super::multiply::TILE_STEP;
use super::{FREQUENCIES, Tiling};
use crate::conv::store::Block;
use crate::conv::window::interleave_pixels;
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd};

/// Pieces of four frequencies, `pitch` apart.
#[inline(always)]
fn four(from: &mut [f32], pitch: usize, len: usize) -> [&mut [f32]; 4] {
    let (a, rest) = from.split_at_mut(pitch);
    let (b, rest) = rest.split_at_mut(pitch);
    let (c, d) = rest.split_at_mut(pitch);
    [&mut a[..len], &mut b[..len], &mut c[..len], &mut d[..len]]
}

/// The pixels of some rows of tiles of some images, a vector of 16 channels each, with the row before and the row after.
pub(super) struct Interleave<'a> {
    pub tiling: &'a Tiling,
    /// `[image][channel][height][width]`.
    pub maps: &'a [f32],
    /// Of tiles.
    pub rows: Range<usize>,
    /// `[image][16-channel block][row][width][16]`.
    pub to: &'a mut [f32],
}

impl Kernel for Interleave<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Interleave { tiling, maps, rows, to } = self;
        let Tiling { height, width, .. } = *tiling;
        let plane = height * width;
        let row_len = width * LANES;
        let above = usize::from(rows.start == 0);
        let shown = 2 * rows.start + above - 1..(2 * rows.end + 1).min(height);
        let below = above + shown.len();
        let mut to = to.chunks_exact_mut((2 * rows.len() + 2) * row_len);
        for map in maps.chunks_exact(tiling.map_len()) {
            for (planes, to) in map.chunks(LANES * plane).zip(&mut to) {
                to[..above * row_len].fill(0.0);
                let pixels = shown.start * width..shown.end * width;
                interleave_pixels(s, planes, plane, pixels, &mut to[above * row_len..below * row_len]);
                to[below * row_len..].fill(0.0);
            }
        }
    }
}

/// `BT d B` of some rows of tiles of some images.
pub(super) struct TransformInput<'a> {
    pub tiling: &'a Tiling,
    /// What [`Interleave`] made of `strip` rows of tiles.
    pub lanes: &'a [f32],
    pub strip: usize,
    pub images: usize,
    /// Of tiles, counted from the first that is in `lanes`.
    pub rows: Range<usize>,
    /// `[frequency][16-channel block][tile][16]`.
    pub to: &'a mut [f32],
}

impl Kernel for TransformInput<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let TransformInput { tiling, lanes, strip, images, rows, to } = self;
        let Tiling { channels, width, cols, capacity, .. } = *tiling;
        let row_len = width * LANES;
        let len = cols * LANES;
        let pitch = tiling.pitch();
        let blocks = channels.div_ceil(LANES);
        for (i, lanes) in lanes.chunks_exact((2 * strip + 2) * row_len).take(images * blocks).enumerate() {
            let (image, block) = (i / blocks, i % blocks);
            for (y, row) in rows.clone().enumerate() {
                let (first, rest) = lanes[2 * row * row_len..].split_at(row_len);
                let (second, rest) = rest.split_at(row_len);
                let (third, rest) = rest.split_at(row_len);
                let fourth = &rest[..row_len];
                let to = &mut to[(block * capacity + (image * rows.len() + y) * cols) * LANES..];
                input_row::<S, false>(s, first, third, four(to, pitch, len));
                input_row::<S, true>(s, second, third, four(&mut to[4 * pitch..], pitch, len));
                input_row::<S, false>(s, third, second, four(&mut to[8 * pitch..], pitch, len));
                input_row::<S, false>(s, second, fourth, four(&mut to[12 * pitch..], pitch, len));
            }
        }
    }
}

/// Four frequencies of a row of tiles: along the column `a - b` or `a + b`, along the row all.
#[inline(always)]
fn input_row<S: Simd, const ADD: bool>(s: S, a: &[f32], b: &[f32], to: [&mut [f32]; 4]) {
    let [to0, to1, to2, to3] = to.map(|to| to.chunks_exact_mut(LANES));
    let zero = s.splat(0.0);
    let (mut d0, mut d1) = (zero, column::<S, ADD>(s, a, b));
    let (a, b) = (a[LANES..].chunks_exact(2 * LANES), b[LANES..].chunks_exact(2 * LANES));
    let (last_a, last_b) = (a.remainder(), b.remainder());
    let mut to = to0.zip(to1).zip(to2.zip(to3));
    for ((a, b), ((to0, to1), (to2, to3))) in a.zip(b).zip(&mut to) {
        let d2 = column::<S, ADD>(s, a, b);
        let d3 = column::<S, ADD>(s, &a[LANES..], &b[LANES..]);
        s.store(s.sub(d0, d2), to0);
        s.store(s.add(d1, d2), to1);
        s.store(s.sub(d2, d1), to2);
        s.store(s.sub(d1, d3), to3);
        (d0, d1) = (d2, d3);
    }
    // The last tile reaches over the edge, by two columns if the width is odd.
    if let Some(((to0, to1), (to2, to3))) = to.next() {
        let d2 = if last_a.is_empty() { zero } else { column::<S, ADD>(s, last_a, last_b) };
        s.store(s.sub(d0, d2), to0);
        s.store(s.add(d1, d2), to1);
        s.store(s.sub(d2, d1), to2);
        s.store(d1, to3);
    }
}

#[inline(always)]
fn column<S: Simd, const ADD: bool>(s: S, a: &[f32], b: &[f32]) -> S::V {
    let (a, b) = (s.load(a), s.load(b));
    if ADD { s.add(a, b) } else { s.sub(a, b) }
}

/// `AT m A`: the pixels of 16 channels of an image, stored.
pub(super) struct FromSums<'a> {
    pub tiling: &'a Tiling,
    /// Of tiles.
    pub rows: Range<usize>,
    /// From the image's first tile on: `[tile][frequency][16]`, [`TILE_STEP`] apart.
    pub sums: &'a [f32],
    pub block: Block<'a>,
}

impl Kernel for FromSums<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let FromSums { tiling, rows, sums, mut block } = self;
        let row_len = tiling.width * LANES;
        // Whole rows lie one after the other, also in the map: squares of 16 pixels are cut without regard to them.
        let mut pixels = Scratch::take((2 * rows.len() * tiling.width + LANES) * LANES);
        let pairs = pixels.chunks_exact_mut(2 * row_len).take(rows.len());
        for (pair, sums) in pairs.zip(sums.chunks_exact(tiling.cols * TILE_STEP)) {
            let (upper, lower) = pair.split_at_mut(row_len);
            let (mut upper, mut lower) = (upper.chunks_exact_mut(2 * LANES), lower.chunks_exact_mut(2 * LANES));
            let mut sums = sums.chunks_exact(TILE_STEP);
            for ((upper, lower), sums) in (&mut upper).zip(&mut lower).zip(&mut sums) {
                let [a, b, c, d] = output_tile(s, sums);
                s.store(a, upper);
                s.store(b, &mut upper[LANES..]);
                s.store(c, lower);
                s.store(d, &mut lower[LANES..]);
            }
            if tiling.width % 2 == 1
                && let Some(sums) = sums.next()
            {
                let [a, _, c, _] = output_tile(s, sums);
                s.store(a, upper.into_remainder());
                s.store(c, lower.into_remainder());
            }
        }
        let Range { start, end } = tiling.pixels(&rows);
        for (at, pixels) in (start..end).step_by(LANES).zip(pixels.chunks_exact(LANES * LANES)) {
            block.store(s, pixels, at, LANES.min(end - at));
        }
    }
}

/// Upper left and right, lower left and right pixel.
#[inline(always)]
fn output_tile<S: Simd>(s: S, sums: &[f32]) -> [S::V; 4] {
    let sums = &sums[..FREQUENCIES * LANES];
    let [u0, l0] = output_column(s, sums);
    let [u1, l1] = output_column(s, &sums[LANES..]);
    let [u2, l2] = output_column(s, &sums[2 * LANES..]);
    let [u3, l3] = output_column(s, &sums[3 * LANES..]);
    [s.add(s.add(u0, u1), u2), s.sub(s.sub(u1, u2), u3), s.add(s.add(l0, l1), l2), s.sub(s.sub(l1, l2), l3)]
}

#[inline(always)]
fn output_column<S: Simd>(s: S, sums: &[f32]) -> [S::V; 2] {
    let m1 = s.load(&sums[4 * LANES..]);
    let m2 = s.load(&sums[8 * LANES..]);
    [s.add(s.add(s.load(sums), m1), m2), s.sub(s.sub(m1, m2), s.load(&sums[12 * LANES..]))]
}

/// `A dy AT` of 16 channels, with the last row and column of `A` negated: see [`backward`].
pub(super) struct TransformGradient<'a> {
    pub tiling: &'a Tiling,
    /// `[image][channel][height][width]`, of which `channels` are transformed.
    pub maps: &'a [f32],
    pub channels: Range<usize>,
    /// Of tiles.
    pub rows: Range<usize>,
    /// `[frequency][tile][16]`.
    pub to: &'a mut [f32],
}

impl Kernel for TransformGradient<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let TransformGradient { tiling, maps, channels, rows, to } = self;
        let Tiling { height, width, cols, .. } = *tiling;
        let plane = height * width;
        let row_len = width * LANES;
        let pitch = to.len() / FREQUENCIES;
        let shown = 2 * rows.start..(2 * rows.end).min(height);
        let mut lanes = Scratch::take(2 * rows.len() * row_len);
        lanes[shown.len() * row_len..].fill(0.0);
        for (image, map) in maps.chunks_exact(tiling.map_len()).enumerate() {
            let planes = &map[channels.start * plane..channels.end * plane];
            let pixels = shown.start * width..shown.end * width;
            interleave_pixels(s, planes, plane, pixels, &mut lanes[..shown.len() * row_len]);
            for (y, pair) in lanes.chunks_exact(2 * row_len).enumerate() {
                let (upper, lower) = pair.split_at(row_len);
                let to = &mut to[(image * rows.len() + y) * cols * LANES..];
                gradient_row::<S, UPPER>(s, upper, lower, four(to, pitch, cols * LANES));
                gradient_row::<S, SUM>(s, upper, lower, four(&mut to[4 * pitch..], pitch, cols * LANES));
                gradient_row::<S, DIFFERENCE>(s, upper, lower, four(&mut to[8 * pitch..], pitch, cols * LANES));
                gradient_row::<S, LOWER>(s, upper, lower, four(&mut to[12 * pitch..], pitch, cols * LANES));
            }
        }
    }
}

// The rows of `A`.
const UPPER: u8 = 0;
const SUM: u8 = 1;
const DIFFERENCE: u8 = 2;
const LOWER: u8 = 3;

#[inline(always)]
fn gradient_row<S: Simd, const ROW: u8>(s: S, upper: &[f32], lower: &[f32], to: [&mut [f32]; 4]) {
    let [to0, to1, to2, to3] = to.map(|to| to.chunks_exact_mut(LANES));
    let (upper, lower) = (upper.chunks_exact(2 * LANES), lower.chunks_exact(2 * LANES));
    let (last_upper, last_lower) = (upper.remainder(), lower.remainder());
    let mut to = to0.zip(to1).zip(to2.zip(to3));
    for ((upper, lower), ((to0, to1), (to2, to3))) in upper.zip(lower).zip(&mut to) {
        let d0 = gradient_column::<S, ROW>(s, upper, lower);
        let d1 = gradient_column::<S, ROW>(s, &upper[LANES..], &lower[LANES..]);
        s.store(d0, to0);
        s.store(s.add(d0, d1), to1);
        s.store(s.sub(d0, d1), to2);
        s.store(d1, to3);
    }
    // Of an odd width one column is left.
    if !last_upper.is_empty()
        && let Some(((to0, to1), (to2, to3))) = to.next()
    {
        let d0 = gradient_column::<S, ROW>(s, last_upper, last_lower);
        s.store(d0, to0);
        s.store(d0, to1);
        s.store(d0, to2);
        s.store(s.splat(0.0), to3);
    }
}

#[inline(always)]
fn gradient_column<S: Simd, const ROW: u8>(s: S, upper: &[f32], lower: &[f32]) -> S::V {
    match ROW {
        UPPER => s.load(upper),
        SUM => s.add(s.load(upper), s.load(lower)),
        DIFFERENCE => s.sub(s.load(upper), s.load(lower)),
        _ => s.load(lower),
    }
}

/// `GT s G`: the gradient of a kernel from the sums over its 16 frequencies.
///
/// What [`TransformGradient`] left out is made up for here: the last row and column of `G` are negated.
#[inline(always)]
pub(super) fn backward<S: Simd>(s: S, sums: &[S::V; FREQUENCIES]) -> [S::V; 9] {
    let mut rows = [[s.splat(0.0); 4]; 3];
    for j in 0..4 {
        let column = taps(s, [sums[j], sums[4 + j], sums[8 + j], sums[12 + j]]);
        for i in 0..3 {
            rows[i][j] = column[i];
        }
    }
    let [[a, b, c], [d, e, f], [g, h, i]] = [taps(s, rows[0]), taps(s, rows[1]), taps(s, rows[2])];
    [a, b, c, d, e, f, g, h, i]
}

/// `GT s`, the last of `s` negated.
#[inline(always)]
fn taps<S: Simd>(s: S, [s0, s1, s2, s3]: [S::V; 4]) -> [S::V; 3] {
    let (half, zero) = (s.splat(0.5), s.splat(0.0));
    let outer = s.fma(s.add(s1, s2), half, zero);
    [s.add(s0, outer), s.fma(s.sub(s1, s2), half, zero), s.sub(outer, s3)]
}

/// `G g GT` of 16 output channels.
pub(super) struct TransformWeights<'a> {
    /// `[channel][row][column][16]`.
    pub taps: &'a [f32],
    /// `[frequency][channel, to a multiple of 16][16]`.
    pub to: &'a mut [f32],
}

impl Kernel for TransformWeights<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let TransformWeights { taps, to } = self;
        let channels = taps.len() / (9 * LANES);
        let pitch = to.len() / FREQUENCIES;
        for (c, taps) in taps.chunks_exact(9 * LANES).enumerate() {
            let mut rows = [[s.splat(0.0); 3]; 4];
            for col in 0..3 {
                let g = &taps[col * LANES..];
                let column = halves(s, [s.load(g), s.load(&g[3 * LANES..]), s.load(&g[6 * LANES..])]);
                for i in 0..4 {
                    rows[i][col] = column[i];
                }
            }
            for (i, row) in rows.iter().enumerate() {
                for (j, v) in halves(s, *row).iter().enumerate() {
                    s.store(*v, &mut to[(4 * i + j) * pitch + c * LANES..]);
                }
            }
        }
        for to in to.chunks_exact_mut(pitch) {
            to[channels * LANES..].fill(0.0);
        }
    }
}

/// `G g`.
#[inline(always)]
fn halves<S: Simd>(s: S, [g0, g1, g2]: [S::V; 3]) -> [S::V; 4] {
    let (half, zero) = (s.splat(0.5), s.splat(0.0));
    let (outer, middle) = (s.add(g0, g2), g1);
    [g0, s.fma(s.add(outer, middle), half, zero), s.fma(s.sub(outer, middle), half, zero), g2]
}

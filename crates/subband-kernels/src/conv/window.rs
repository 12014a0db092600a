//! Copies of a map with its border of zeros, and of a map with its channels in the lanes.

use std::ops::Range;

use crate::simd::{LANES, Simd};

/// A stretch of rows of all channels of one image, with `margin` zeros (or rows of other bands) before and what the
/// pitch and the row count leave behind: `[channels][rows][pitch]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub channels: usize,
    /// Of the whole map.
    pub height: usize,
    pub width: usize,
    /// Rows and columns before the first of the map.
    pub margin: usize,
    pub rows: usize,
    pub pitch: usize,
}

impl Window {
    pub fn plane(&self) -> usize {
        self.rows * self.pitch
    }

    pub fn len(&self) -> usize {
        self.channels * self.plane()
    }

    /// Fills `to` from `image`, `[channels][height][width]`; row `margin` of the window is row `first` of the map.
    ///
    /// Writes no column outside the map: those of `to` must be zero beforehand, which a buffer used for one geometry
    /// only stays.
    #[inline(always)]
    pub fn fill<S: Simd>(&self, s: S, image: &[f32], first: usize, to: &mut [f32]) {
        // Rows of the map that the window shows.
        let shown = first.saturating_sub(self.margin)..(first + self.rows).saturating_sub(self.margin).min(self.height);
        let above = self.margin.saturating_sub(first);
        for (plane, to) in image.chunks_exact(self.height * self.width).zip(to.chunks_exact_mut(self.plane())) {
            let shown_rows = plane[shown.start * self.width..shown.end * self.width].chunks_exact(self.width);
            let below = above + shown_rows.len();
            for (from, to) in shown_rows.zip(to[above * self.pitch..].chunks_exact_mut(self.pitch)) {
                copy(s, from, &mut to[self.margin..][..self.width]);
            }
            // Only a window that moves over the map has these twice: another band's rows are in them.
            to[..above * self.pitch].fill(0.0);
            to[below * self.pitch..].fill(0.0);
        }
    }
}

/// A call into the system's `memcpy` takes longer than these short rows.
#[inline(always)]
fn copy<S: Simd>(s: S, from: &[f32], to: &mut [f32]) {
    let whole = from.len() / LANES * LANES;
    for (from, to) in from[..whole].chunks_exact(LANES).zip(to.chunks_exact_mut(LANES)) {
        s.store(s.load(from), to);
    }
    if whole < from.len() {
        s.store_part(s.load_part(&from[whole..]), &mut to[whole..]);
    }
}

/// Turns up to 16 planes of `rows` x `width` pixels into `[rows][pitch][16]`: one vector per pixel, missing planes
/// and the pixels from `width` to `pitch` zero.
#[inline(always)]
pub(super) fn interleave<S: Simd>(s: S, planes: &[f32], rows: usize, width: usize, pitch: usize, to: &mut [f32]) {
    let plane = rows * width;
    // Rows without a gap are as well one long row.
    let (rows, width, pitch) = if pitch == width { (1, plane, plane) } else { (rows, width, pitch) };
    for (y, to) in to.chunks_exact_mut(pitch * LANES).take(rows).enumerate() {
        interleave_pixels(s, planes, plane, y * width..(y + 1) * width, to);
    }
}

/// Turns the `pixels` of up to 16 planes of length `plane` into one vector per pixel; missing planes, and what `to`
/// has room for beyond, are zero.
#[inline(always)]
pub(super) fn interleave_pixels<S: Simd>(s: S, planes: &[f32], plane: usize, pixels: Range<usize>, to: &mut [f32]) {
    for (i, to) in to.chunks_mut(LANES * LANES).enumerate() {
        let start = (pixels.start + i * LANES).min(pixels.end);
        let end = (start + LANES).min(pixels.end);
        if end - start == LANES && planes.len() >= LANES * plane {
            s.transpose_rows(&planes[start..], plane, to, LANES);
            continue;
        }
        let mut square = [s.splat(0.0); LANES];
        for (v, plane) in square.iter_mut().zip(planes.chunks_exact(plane)) {
            *v = s.load_any(&plane[start..end]);
        }
        s.transpose(&mut square);
        for (v, to) in square.iter().zip(to.chunks_exact_mut(LANES)) {
            s.store(*v, to);
        }
    }
}

//! The gradient of the weights.
//!
//! The 16 lanes are output channels, so the sums have the layout of the packed weights of the forward pass and need
//! no addition across lanes. Tasks are (block of images, block of 16 output channels); the cut depends on the shape
//! alone, and the partial sums of the image blocks are added in their order, so the result does not depend on the
//! number of threads.

use rayon::prelude::*;

use super::window::{Window, interleave};
use super::{ConvShape, tile};
use crate::Isa;
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd, prefetch_part};

/// Tasks that a convolution is cut into, where it has that many images: enough to keep some dozen threads evenly
/// busy, few enough that the partial sums stay small.
pub(super) const TASKS: usize = 32;

/// Floats that a task works on at once, a quarter of a second level cache of 1 MiB.
const GROUP_FLOATS: usize = 64 << 10;

pub(super) fn run(isa: Isa, shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let blocks = shape.out_channels.div_ceil(LANES);
    let image_blocks = TASKS.div_ceil(blocks).min(shape.batch);
    if image_blocks == 0 {
        dw.fill(0.0);
        return;
    }
    let images_per_block = shape.batch.div_ceil(image_blocks);
    let image_blocks = shape.batch.div_ceil(images_per_block);
    let plan = Plan::new(shape, isa);

    let taps = shape.in_channels * shape.kernel * shape.kernel;
    // Written in groups of taps, read in squares.
    let part_len = plan.taps.len().max(taps.next_multiple_of(LANES)) * LANES;
    let mut parts = Scratch::take(image_blocks * blocks * part_len);
    parts.par_chunks_exact_mut(part_len).enumerate().for_each(|(i, sums)| {
        let (image_block, block) = (i / blocks, i % blocks);
        let first = image_block * images_per_block;
        let images = images_per_block.min(shape.batch - first);
        isa.run(Part { shape, plan: &plan, x, dy, first, images, block, sums });
    });

    // [image block][block of channels][tap][16] to [channel][tap].
    dw.par_chunks_mut(LANES * taps).enumerate().for_each(|(block, dw)| {
        isa.run(Reduce { parts: &parts, block, blocks, part_len, taps, dw });
    });
}

struct Plan {
    cols: usize,
    /// Pixels per row of `dy`, a multiple of `cols`.
    dy_pitch: usize,
    window: Window,
    /// Images that are packed at a time.
    group: usize,
    /// Where in a window each (input channel, row, column) of the kernel is; padded with copies of the first to
    /// whole groups.
    taps: Vec<usize>,
}

impl Plan {
    fn new(shape: &ConvShape, isa: Isa) -> Plan {
        /// Columns per step that [`tile::correlate`] is compiled for, the longest first, and taps.
        struct Widths;
        impl Kernel for Widths {
            type Out = (&'static [usize], usize);
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> (&'static [usize], usize) {
                if S::TILE == 16 { (&[8, 7], 16) } else { (&[8, 7, 4], 6) }
            }
        }
        let (out_height, out_width) = (shape.out_height(), shape.out_width());
        let (widths, group_taps) = isa.run(Widths);
        let &cols = widths.iter().min_by_key(|&&cols| out_width.next_multiple_of(cols)).expect("a width");
        let dy_pitch = out_width.next_multiple_of(cols);
        let window = Window {
            channels: shape.in_channels,
            height: shape.height,
            width: shape.width,
            margin: shape.padding,
            rows: (out_height - 1) * shape.stride + shape.kernel,
            pitch: ((dy_pitch - 1) * shape.stride + shape.kernel).max(shape.width + shape.padding),
        };
        let k2 = shape.kernel * shape.kernel;
        let offset = |c: usize, i: usize| c * window.plane() + i / shape.kernel * window.pitch + i % shape.kernel;
        let mut taps: Vec<usize> = (0..shape.in_channels).flat_map(|c| (0..k2).map(move |i| offset(c, i))).collect();
        taps.resize(taps.len().next_multiple_of(group_taps), 0);
        let group = GROUP_FLOATS / (window.len() + out_height * dy_pitch * LANES);
        Plan { cols, dy_pitch, window, group: group.max(1), taps }
    }
}

/// The sums of one block of images and one block of channels: `[tap][16]`.
struct Part<'a> {
    shape: &'a ConvShape,
    plan: &'a Plan,
    x: &'a [f32],
    dy: &'a [f32],
    first: usize,
    images: usize,
    block: usize,
    sums: &'a mut [f32],
}

impl Kernel for Part<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match (S::TILE, self.shape.stride, self.plan.cols) {
            (16, 1, 8) => self.sum::<S, 1, 8, 16>(s),
            (16, 1, 7) => self.sum::<S, 1, 7, 16>(s),
            (16, 2, 8) => self.sum::<S, 2, 8, 16>(s),
            (16, 2, 7) => self.sum::<S, 2, 7, 16>(s),
            (4, 1, 8) => self.sum::<S, 1, 8, 6>(s),
            (4, 1, 7) => self.sum::<S, 1, 7, 6>(s),
            (4, 1, 4) => self.sum::<S, 1, 4, 6>(s),
            (4, 2, 8) => self.sum::<S, 2, 8, 6>(s),
            (4, 2, 7) => self.sum::<S, 2, 7, 6>(s),
            (4, 2, 4) => self.sum::<S, 2, 4, 6>(s),
            other => unreachable!("no tile for {other:?}"),
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn sum<S: Simd, const STEP: usize, const COLS: usize, const TAPS: usize>(self, s: S) {
        let Part { shape, plan, x, dy, first, images, block, sums } = self;
        let (out_height, out_width) = (shape.out_height(), shape.out_width());
        let x_len = shape.in_channels * shape.height * shape.width;
        let plane = out_height * out_width;
        let channels = LANES.min(shape.out_channels - block * LANES);
        let row_len = plan.dy_pitch * LANES;
        let (window_len, lanes_len) = (plan.window.len(), out_height * row_len);

        let mut windows = Scratch::take(plan.group.min(images) * window_len);
        windows.fill(0.0);
        let mut lanes = Scratch::take(plan.group.min(images) * lanes_len);
        sums.fill(0.0);
        for first in (first..first + images).step_by(plan.group) {
            let images = plan.group.min(self.first + images - first);
            for i in 0..images {
                let x = &x[(first + i) * x_len..][..x_len];
                plan.window.fill(s, x, 0, &mut windows[i * window_len..][..window_len]);
                let planes = &dy[((first + i) * shape.out_channels + block * LANES) * plane..][..channels * plane];
                let lanes = &mut lanes[i * lanes_len..][..lanes_len];
                interleave(s, planes, out_height, out_width, plan.dy_pitch, lanes);
            }
            let (windows, lanes) = (&windows[..images * window_len], &lanes[..images * lanes_len]);
            let tap_tiles = plan.taps.len() / TAPS;
            for (t, (taps, sums)) in plan.taps.chunks_exact(TAPS).zip(sums.chunks_exact_mut(TAPS * LANES)).enumerate() {
                let taps = taps.first_chunk().expect("as many taps");
                let mut tile = [s.splat(0.0); TAPS];
                for (i, (window, lanes)) in
                    windows.chunks_exact(window_len).zip(lanes.chunks_exact(lanes_len)).enumerate()
                {
                    let next = first + plan.group + i;
                    let next_x = x.get(next * x_len..(next + 1) * x_len).unwrap_or(&[]);
                    let next_dy = (next * shape.out_channels + block * LANES) * plane;
                    let next_dy = dy.get(next_dy..next_dy + channels * plane).unwrap_or(&[]);
                    // Once a map: its divisions take as long as a short row.
                    prefetch_part(next_x, t, tap_tiles);
                    prefetch_part(next_dy, t, tap_tiles);
                    for (y, dy) in lanes.chunks_exact(row_len).enumerate() {
                        let x = &window[y * STEP * plan.window.pitch..];
                        tile::correlate::<S, STEP, COLS, TAPS>(s, x, taps, dy, &mut tile);
                    }
                }
                for (sum, v) in sums.chunks_exact_mut(LANES).zip(tile) {
                    s.store(s.add(s.load(sum), v), sum);
                }
            }
        }
    }
}

/// Adds the parts of one block of channels in the order of their images.
pub(super) struct Reduce<'a> {
    /// `[image block][block of channels][tap][16]`.
    pub parts: &'a [f32],
    pub block: usize,
    pub blocks: usize,
    pub part_len: usize,
    pub taps: usize,
    pub dw: &'a mut [f32],
}

impl Kernel for Reduce<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for tap in (0..self.taps).step_by(LANES) {
            let mut square = [s.splat(0.0); LANES];
            for part in self.parts.chunks_exact(self.part_len).skip(self.block).step_by(self.blocks) {
                for (v, part) in square.iter_mut().zip(part[tap * LANES..].chunks_exact(LANES)) {
                    *v = s.add(*v, s.load(part));
                }
            }
            s.transpose(&mut square);
            let taps = LANES.min(self.taps - tap);
            for (v, dw) in square.iter().zip(self.dw.chunks_exact_mut(self.taps)) {
                s.store_any(*v, &mut dw[tap..][..taps]);
            }
        }
    }
}

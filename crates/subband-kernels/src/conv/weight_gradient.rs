//! The gradient of the weights.
//!
//! The 16 lanes are output channels, so the sums have the layout of the packed weights of the forward pass and need
//! no addition across lanes. Tasks are (block of images, some blocks of 16 output channels); the cut depends on the shape
//! alone, and the partial sums of the image blocks are added in their order, so the result does not depend on the
//! number of threads.

use std::ops::Range;

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

/// Output pixels of a task at least, to outweigh that its sums are written and read once more.
const TASK_PIXELS: usize = 512;

/// Floats of sums that a task has at once, half a second level cache of 512 KiB. Every group of images passes over them.
const SUM_FLOATS: usize = 64 << 10;

pub(super) fn run(isa: Isa, shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    if shape.batch == 0 {
        dw.fill(0.0);
        return;
    }
    let plan = Plan::new(shape, isa);
    let taps = shape.in_channels * shape.kernel * shape.kernel;
    // Written in groups of taps, read in squares.
    let block_len = plan.taps.len().max(taps.next_multiple_of(LANES)) * LANES;
    let blocks = shape.out_channels.div_ceil(LANES);
    let per_task = (SUM_FLOATS / block_len).clamp(1, blocks);
    let groups = blocks.div_ceil(per_task);
    let pixels = shape.batch * shape.out_height() * shape.out_width();
    let image_blocks = TASKS.div_ceil(groups).min(pixels.div_ceil(TASK_PIXELS)).min(shape.batch);
    let images_per_block = shape.batch.div_ceil(image_blocks);
    let image_blocks = shape.batch.div_ceil(images_per_block);

    let mut parts = Scratch::take(image_blocks * groups * per_task * block_len);
    parts.par_chunks_exact_mut(per_task * block_len).enumerate().for_each(|(i, sums)| {
        let (first, block) = (i / groups * images_per_block, i % groups * per_task);
        let images = first..(first + images_per_block).min(shape.batch);
        let blocks = block..(block + per_task).min(blocks);
        isa.run(Part { shape, plan: &plan, x, dy, images, blocks, block_len, sums });
    });

    // [image block][block of channels][tap][16] to [channel][tap].
    let blocks = groups * per_task;
    dw.par_chunks_mut(LANES * taps).enumerate().for_each(|(block, dw)| {
        isa.run(Reduce { parts: &parts, block, blocks, part_len: block_len, taps, dw });
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

/// The sums of some images and some blocks of channels: `[block][tap][16]`.
struct Part<'a> {
    shape: &'a ConvShape,
    plan: &'a Plan,
    x: &'a [f32],
    dy: &'a [f32],
    images: Range<usize>,
    blocks: Range<usize>,
    block_len: usize,
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
        let Part { shape, plan, x, dy, images, blocks, block_len, sums } = self;
        let (out_height, out_width) = (shape.out_height(), shape.out_width());
        let x_len = shape.in_channels * shape.height * shape.width;
        let plane = out_height * out_width;
        let dy_len = shape.out_channels * plane;
        let row_len = plan.dy_pitch * LANES;
        let (window_len, lanes_len) = (plan.window.len(), out_height * row_len);

        let mut windows = Scratch::take(plan.group.min(images.len()) * window_len);
        windows.fill(0.0);
        let mut lanes = Scratch::take(plan.group.min(images.len()) * lanes_len);
        sums.fill(0.0);
        for first in images.clone().step_by(plan.group) {
            let group = first..(first + plan.group).min(images.end);
            let next = group.end..(group.end + plan.group).min(images.end);
            for (window, image) in windows.chunks_exact_mut(window_len).zip(group.clone()) {
                plan.window.fill(s, &x[image * x_len..][..x_len], 0, window);
            }
            let tap_tiles = plan.taps.len() / TAPS;
            for (block, sums) in blocks.clone().zip(sums.chunks_exact_mut(block_len)) {
                let channels = LANES.min(shape.out_channels - block * LANES);
                for (lanes, image) in lanes.chunks_exact_mut(lanes_len).zip(group.clone()) {
                    let planes = &dy[image * dy_len + block * LANES * plane..][..channels * plane];
                    interleave(s, planes, out_height, out_width, plan.dy_pitch, lanes);
                }
                for (t, (taps, sums)) in
                    plan.taps.chunks_exact(TAPS).zip(sums.chunks_exact_mut(TAPS * LANES)).enumerate()
                {
                    let (step, steps) = ((block - blocks.start) * tap_tiles + t, blocks.len() * tap_tiles);
                    prefetch_part(&x[next.start * x_len..next.end * x_len], step, steps);
                    prefetch_part(&dy[next.start * dy_len..next.end * dy_len], step, steps);
                    let taps = taps.first_chunk().expect("as many taps");
                    let mut tile = [s.splat(0.0); TAPS];
                    let maps = windows.chunks_exact(window_len).zip(lanes.chunks_exact(lanes_len));
                    for (window, lanes) in maps.take(group.len()) {
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

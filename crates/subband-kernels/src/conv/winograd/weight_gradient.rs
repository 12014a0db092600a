//! The gradient of the weights, `GT (sum over the tiles of (BT d B) * (A dy AT)) G`.
//!
//! Tasks are (block of images, some blocks of 16 output channels), cut as the shape alone decides; the partial sums of
//! the image blocks are added in their order.

use rayon::prelude::*;

use super::multiply::MultiplyTransposed;
use super::transform::{Interleave, TransformGradient, TransformInput, backward};
use super::{FREQUENCIES, Tiling};
use crate::Isa;
use crate::conv::ConvShape;
use crate::conv::weight_gradient::{Reduce, TASKS};
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd, prefetch_part};

/// Floats of transformed inputs that a task keeps at once.
const INPUT_FLOATS: usize = 48 << 10;

/// Floats of sums that a task has at once, half a second level cache of 512 KiB. Every block of tiles passes over them.
const SUM_FLOATS: usize = 64 << 10;

/// Tiles of a task at least, to outweigh that its sums are written and read once more.
const TASK_TILES: usize = 256;

pub(crate) fn run(isa: Isa, shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    if shape.batch == 0 {
        dw.fill(0.0);
        return;
    }
    let tiling = Tiling::new([shape.in_channels, shape.height, shape.width], INPUT_FLOATS);
    let in_blocks = shape.in_channels.div_ceil(LANES);
    let out_blocks = shape.out_channels.div_ceil(LANES);
    // `[frequency][in block][16][16]` of one block of output channels.
    let block_len = FREQUENCIES * in_blocks * LANES * LANES;
    let group = (SUM_FLOATS / block_len).clamp(1, out_blocks);
    let groups = out_blocks.div_ceil(group);
    let tiles = shape.batch * tiling.rows * tiling.cols;
    let image_blocks = TASKS.div_ceil(groups).min(tiles.div_ceil(TASK_TILES)).min(shape.batch);
    let images_per_block = shape.batch.div_ceil(image_blocks);
    let image_blocks = shape.batch.div_ceil(images_per_block);

    let part_len = group * block_len;
    let mut parts = Scratch::take(image_blocks * groups * part_len);
    parts.par_chunks_exact_mut(part_len).enumerate().for_each(|(i, sums)| {
        let (first, block) = (i / groups * images_per_block, i % groups * group);
        let images = first..(first + images_per_block).min(shape.batch);
        let blocks = block..(block + group).min(out_blocks);
        isa.run(Part { shape, tiling: &tiling, x, dy, images, blocks, sums });
    });

    let taps = shape.in_channels * 9;
    dw.par_chunks_mut(LANES * taps).enumerate().for_each(|(block, dw)| {
        let first = block / group * part_len + block % group * block_len;
        isa.run(Finish { parts: &parts[first..], step: groups * part_len, block_len, taps, dw });
    });
}

/// The sums of some images and some blocks of output channels.
struct Part<'a> {
    shape: &'a ConvShape,
    tiling: &'a Tiling,
    x: &'a [f32],
    dy: &'a [f32],
    images: std::ops::Range<usize>,
    blocks: std::ops::Range<usize>,
    sums: &'a mut [f32],
}

impl Kernel for Part<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Part { shape, tiling, x, dy, images, blocks, sums } = self;
        let dy_tiling = tiling.with_channels(shape.out_channels);
        let (x_len, dy_len) = (tiling.map_len(), dy_tiling.map_len());
        let in_blocks = shape.in_channels.div_ceil(LANES);
        let block_len = FREQUENCIES * in_blocks * LANES * LANES;
        let gradient_pitch = tiling.with_channels(LANES).pitch();
        let mut lanes = Scratch::take(tiling.lanes_len());
        let mut inputs = Scratch::take(tiling.transformed_len());
        let mut gradients = Scratch::take(FREQUENCIES * gradient_pitch);
        sums.fill(0.0);
        for first in images.clone().step_by(tiling.images) {
            let end = (first + tiling.images).min(images.end);
            let (x_maps, dy_maps) = (&x[first * x_len..end * x_len], &dy[first * dy_len..end * dy_len]);
            let next = end..(end + tiling.images).min(images.end);
            let next_x = &x[next.start * x_len..next.end * x_len];
            let next_dy = &dy[next.start * dy_len..next.end * dy_len];
            for strip in tiling.strips() {
                s.run(Interleave { tiling, maps: x_maps, rows: strip.clone(), to: &mut lanes });
                // The planes of a strip are scattered; they are left to the hardware.
                let (next_x, next_dy) = if strip.len() == tiling.rows { (next_x, next_dy) } else { (&[][..], &[][..]) };
                let bands = tiling.bands(&strip);
                let steps = bands.len() * blocks.len() * FREQUENCIES;
                let mut step = 0;
                for band in bands {
                    let (lanes, strip_rows) = (&lanes, strip.len());
                    let rows = strip.start + band.start..strip.start + band.end;
                    let tiles = (end - first) * rows.len() * tiling.cols;
                    let images = end - first;
                    s.run(TransformInput { tiling, lanes, strip: strip_rows, images, rows: band, to: &mut inputs });
                    for (block, sums) in blocks.clone().zip(sums.chunks_exact_mut(block_len)) {
                        let channels = block * LANES..((block + 1) * LANES).min(shape.out_channels);
                        let (rows, to) = (rows.clone(), &mut gradients);
                        s.run(TransformGradient { tiling: &dy_tiling, maps: dy_maps, channels, rows, to });
                        let gradients = gradients.chunks_exact(gradient_pitch);
                        let sums = sums.chunks_exact_mut(in_blocks * LANES * LANES);
                        for ((inputs, gradients), sums) in inputs.chunks_exact(tiling.pitch()).zip(gradients).zip(sums)
                        {
                            prefetch_part(next_x, step, steps);
                            prefetch_part(next_dy, step, steps);
                            step += 1;
                            let inputs = inputs.chunks(tiling.capacity * LANES);
                            for (inputs, sums) in inputs.zip(sums.chunks_exact_mut(LANES * LANES)) {
                                let (inputs, gradients) = (&inputs[..tiles * LANES], &gradients[..tiles * LANES]);
                                s.run(MultiplyTransposed { inputs, gradients, sums });
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Adds the parts of one block of output channels in the order of their images and transforms the sum.
struct Finish<'a> {
    /// From the block on in the first part.
    parts: &'a [f32],
    /// From one part to the next.
    step: usize,
    block_len: usize,
    taps: usize,
    dw: &'a mut [f32],
}

impl Kernel for Finish<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Finish { parts, step, block_len, taps, dw } = self;
        let pitch = block_len / FREQUENCIES;
        let part_len = taps.next_multiple_of(LANES) * LANES;
        // `[channel][tap][16]`.
        let mut gradient = Scratch::take(part_len);
        for (c, to) in gradient.chunks_mut(9 * LANES).take(taps / 9).enumerate() {
            let mut sums = [s.splat(0.0); FREQUENCIES];
            for part in parts.chunks(step) {
                for (f, sum) in sums.iter_mut().enumerate() {
                    *sum = s.add(*sum, s.load(&part[f * pitch + c * LANES..]));
                }
            }
            for (v, to) in backward(s, &sums).iter().zip(to.chunks_exact_mut(LANES)) {
                s.store(*v, to);
            }
        }
        s.run(Reduce { parts: &gradient, block: 0, blocks: 1, part_len, taps, dw });
    }
}

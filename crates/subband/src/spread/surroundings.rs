//! What estimates look at, place by place, in each channel by channel.

use super::model::{INPUTS, SpreadModel};
use crate::coding::Coding;
use crate::kernel::{ApproximationRows, Isa, add_levels, add_signed_levels, add_twice, refine, shape_of};
use crate::plane::PlaneQuantizer;
use crate::quantize::Steps;
use crate::wavelet::{SubbandBlock, SubbandLayout};

/// Largest magnitude of the approximation.
const HIGHEST: i32 = 1 << 20;
/// Indices are this much at most where the approximation is made of them.
pub(crate) const SIGNED_CAP: i32 = 4095;

/// Orientation of a subband: 0 for HL, 1 for LH, 2 for HH.
pub(super) fn orientation(subband: usize) -> usize {
    (subband - 1) % 3
}

/// The parents of a subband, its own orientation first, then the others in coding order.
fn parents(subband: usize) -> [usize; 3] {
    let own = subband - 3;
    let first = own - orientation(subband);
    let mut others = (first..first + 3).filter(|&number| number != own);
    std::array::from_fn(|i| if i == 0 { own } else { others.next().expect("there are two") })
}

/// Levels and signs of a chunk, and the approximation at the level in work.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub channels: usize,
    /// By subband, place and channel; 0 for what is not decoded yet.
    pub levels: Vec<u8>,
    /// As `levels`: the indices.
    pub signed: Vec<i16>,
    /// The approximation with one place more on each side, which repeats the outermost.
    approximation: Vec<i32>,
    finer: Vec<i32>,
    /// By place and channel.
    heights: Vec<u8>,
    /// Signed levels of the slopes X, Y, D.
    pub slopes: [Vec<i8>; 3],
    parents: Vec<i16>,
    /// By subband and channel: steps in 16ths of that of LL.
    scales: Vec<i32>,
    outside: Vec<i32>,
    zeros: Vec<i16>,
}

impl Surroundings {
    pub fn reset(&mut self, quantizer: &PlaneQuantizer, first_channel: usize, channels: usize) {
        let values = quantizer.layout.plane() * channels;
        self.channels = channels;
        self.levels.clear();
        self.levels.resize(values, 0);
        self.signed.clear();
        self.signed.resize(values, 0);
        self.outside.resize(channels, 0);
        self.zeros.clear();
        self.zeros.resize(channels, 0);
        scales_of(&quantizer.coding, quantizer.layout.blocks.len(), first_channel, channels, &mut self.scales);
    }

    /// Makes the approximation for the level that begins with this subband; all before are known.
    pub fn begin_level(&mut self, quantizer: &PlaneQuantizer, isa: Isa, subband: usize) {
        let layout = &quantizer.layout;
        let c = self.channels;
        let depth = layout.levels - ((subband - 1) / 3) as u8;
        let (height, width) = region(layout, depth);
        let stride = (width + 2) * c;
        self.finer.clear();
        self.finer.resize((height + 2) * stride, 0);
        let lowest = if quantizer.coding.nonnegative { 0 } else { -HIGHEST };
        if subband == 1 {
            for (y, row) in self.signed[..height * width * c].chunks_exact((width * c).max(1)).enumerate() {
                let target = &mut self.finer[(y + 1) * stride + c..][..width * c];
                target.iter_mut().zip(row).for_each(|(a, &index)| *a = 16 * i32::from(index));
            }
        } else {
            self.refine(layout, isa, subband, [lowest, HIGHEST], (height, width));
        }
        std::mem::swap(&mut self.finer, &mut self.approximation);
        pad(&mut self.approximation, height, width, c);
        self.heights.resize(height * width * c, 0);
        self.slopes.iter_mut().for_each(|slopes| slopes.resize(height * width * c, 0));
        for y in 0..height {
            let row = |y: usize| &self.approximation[y * stride..(y + 1) * stride];
            let rows = ApproximationRows { above: row(y), here: row(y + 1), below: row(y + 2) };
            let range = y * width * c..(y + 1) * width * c;
            let heights = &mut self.heights[range.clone()];
            let slopes = self.slopes.each_mut().map(|slopes| &mut slopes[range.clone()]);
            shape_of(isa, c, rows, heights, slopes);
        }
    }

    /// The approximation of the level above, with its details, into `finer`.
    fn refine(
        &mut self,
        layout: &SubbandLayout,
        isa: Isa,
        subband: usize,
        range: [i32; 2],
        (height, width): (usize, usize),
    ) {
        let c = self.channels;
        let stride = (width + 2) * c;
        let coarse_width = width.div_ceil(2);
        let coarse_stride = (coarse_width + 2) * c;
        let numbers = [subband - 3, subband - 2, subband - 1];
        let scales = numbers.map(|number| &self.scales[number * c..(number + 1) * c]);
        for y in 0..height.div_ceil(2) {
            for x in 0..coarse_width {
                let coarse = &self.approximation[(y + 1) * coarse_stride + (x + 1) * c..][..c];
                let details = numbers.map(|number| {
                    let block = layout.blocks[number];
                    match y < block.height && x < block.width {
                        true => &self.signed[(block.offset + y * block.width + x) * c..][..c],
                        false => &self.zeros[..],
                    }
                });
                let (top, bottom) = self.finer[(2 * y + 1) * stride..].split_at_mut(stride);
                let [top, bottom] = [top, bottom].map(|row| &mut row[(2 * x + 1) * c..][..2 * c]);
                // What is outside the plane lands in the border, which is filled later.
                let (top_left, top_right) = top.split_at_mut(c);
                let (bottom_left, bottom_right) = bottom.split_at_mut(c);
                refine(isa, coarse, details, scales, range, [top_left, top_right, bottom_left, bottom_right]);
            }
        }
    }

    /// What the estimates of a subband are but for the neighbours to the left and above, of all places and channels.
    pub fn sums(
        &mut self,
        layout: &SubbandLayout,
        isa: Isa,
        subband: usize,
        model: &SpreadModel,
        first_channel: usize,
        sums: &mut Vec<i16>,
    ) {
        let c = self.channels;
        let block = layout.blocks[subband];
        let weights = model.weights(subband).map(i16::from);
        let offsets = &model.offsets(subband)[first_channel..first_channel + c];
        sums.clear();
        (0..block.len()).for_each(|_| sums.extend_from_slice(offsets));
        if subband == 0 || block.len() == 0 {
            return;
        }
        let row = block.width * c;
        for before in 1..=orientation(subband) {
            self.add_block(layout.blocks[subband - before], isa, weights[1 + before], sums, block);
        }
        if subband > 3 {
            let (height, width) = (block.height.div_ceil(2), block.width.div_ceil(2));
            let grid = SubbandBlock { height, width, offset: 0 };
            let mut of_parents = std::mem::take(&mut self.parents);
            of_parents.clear();
            of_parents.resize(height * width * c, 0);
            for (parent, weight) in parents(subband).into_iter().zip(&weights[4..7]) {
                self.add_block(layout.blocks[parent], isa, *weight, &mut of_parents, grid);
            }
            for (y, sums) in sums.chunks_exact_mut(row).enumerate() {
                add_twice(isa, c, &of_parents[y / 2 * width * c..][..width * c], sums);
            }
            self.parents = of_parents;
        }
        let (_, width) = region(layout, layout.levels - ((subband - 1) / 3) as u8);
        for (y, sums) in sums.chunks_exact_mut(row).enumerate() {
            let places = y * width * c..y * width * c + row;
            add_levels(isa, weights[7], &self.heights[places.clone()], sums);
            for (slopes, &weight) in self.slopes.iter().zip(&weights[8..]) {
                add_signed_levels(isa, weight, &slopes[places.clone()], sums);
            }
        }
    }

    /// Adds the levels of a block, place by place, as far as both reach.
    fn add_block(&self, from: SubbandBlock, isa: Isa, weight: i16, sums: &mut [i16], to: SubbandBlock) {
        let c = self.channels;
        let width = from.width.min(to.width) * c;
        for y in 0..from.height.min(to.height) {
            let levels = &self.levels[(from.offset + y * from.width) * c..][..width];
            add_levels(isa, weight, levels, &mut sums[y * to.width * c..][..width]);
        }
    }

    /// The plain form of all that: what the estimate of one index looks at. The approximation is that of its level.
    pub fn inputs(&self, layout: &SubbandLayout, subband: usize, y: usize, x: usize, slot: usize) -> [u8; INPUTS] {
        let c = self.channels;
        let at = |number: usize, y: usize, x: usize| {
            let block = layout.blocks[number];
            let inside = y < block.height && x < block.width;
            if inside { self.levels[(block.offset + y * block.width + x) * c + slot] } else { 0 }
        };
        let mut inputs = [0; INPUTS];
        inputs[0] = if x > 0 { at(subband, y, x - 1) } else { 0 };
        inputs[1] = if y > 0 { at(subband, y - 1, x) } else { 0 };
        if subband == 0 {
            return inputs;
        }
        for before in 1..=orientation(subband) {
            inputs[1 + before] = at(subband - before, y, x);
        }
        if subband > 3 {
            let of_parents = parents(subband).map(|parent| at(parent, y / 2, x / 2));
            inputs[4..7].copy_from_slice(&of_parents);
        }
        let (_, width) = region(layout, layout.levels - ((subband - 1) / 3) as u8);
        let place = (y * width + x) * c + slot;
        inputs[7] = self.heights[place];
        for (input, slopes) in inputs[8..].iter_mut().zip(&self.slopes) {
            *input = slopes[place].unsigned_abs();
        }
        inputs
    }
}

/// Height and width of LL of a level.
pub(super) fn region(layout: &SubbandLayout, level: u8) -> (usize, usize) {
    layout.region(level + 1)
}

/// Fills the border of a grid of places with the places next to it.
fn pad(grid: &mut [i32], height: usize, width: usize, channels: usize) {
    if height == 0 || width == 0 {
        return;
    }
    let stride = (width + 2) * channels;
    for row in grid[stride..(height + 1) * stride].chunks_exact_mut(stride) {
        row.copy_within(channels..2 * channels, 0);
        row.copy_within(width * channels..(width + 1) * channels, (width + 1) * channels);
    }
    grid.copy_within(stride..2 * stride, 0);
    grid.copy_within(height * stride..(height + 1) * stride, (height + 1) * stride);
}

/// Steps in 16ths of that of LL, from the bits of the floats, so that every machine finds the same.
fn scales_of(coding: &Coding, subbands: usize, first_channel: usize, channels: usize, scales: &mut Vec<i32>) {
    scales.clear();
    for subband in 0..subbands {
        let scale = |steps: &[f32]| scale(steps[0], steps[subband]);
        match &coding.steps {
            Steps::Uniform(_) => scales.extend((0..channels).map(|_| 16)),
            Steps::PerSubband(steps) => {
                let scale = scale(steps);
                scales.extend((0..channels).map(|_| scale));
            }
            Steps::PerChannel(rows) => {
                scales.extend(rows[first_channel..first_channel + channels].iter().map(|steps| scale(steps)));
            }
        }
    }
}

/// 16 times the second step by the first, by the logarithm that the bits of a float are; up to 2^16.
fn scale(first: f32, step: f32) -> i32 {
    const SIXTEEN: i64 = 131 << 23;
    let bits = SIXTEEN + i64::from(step.to_bits()) - i64::from(first.to_bits());
    f32::from_bits(bits.clamp(0, 143 << 23) as u32) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_by_hand() {
        // A power of two is exact; between them the mantissa counts linearly.
        assert_eq!([1.0, 2.0, 0.5, 3.0, 1e9, 1e-9].map(|step| scale(1.0, step)), [16, 32, 8, 48, 65_536, 0]);
        assert_eq!(scale(1.5, 3.0), 32);
        assert_eq!(scale(1.5, 2.0), 24);
    }

    #[test]
    fn parents_begin_with_the_own_one() {
        assert_eq!([4, 5, 6, 9].map(parents), [[1, 2, 3], [2, 1, 3], [3, 1, 2], [6, 4, 5]]);
    }
}

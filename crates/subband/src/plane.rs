//! One plane to its indices and back: pre-scale, transform, quantize, and the inverses.

use std::ops::Range;

use crate::coding::Coding;
use crate::error::Result;
use crate::kernel::{Isa, clamp_at_zero, count_negative};
use crate::quantize::{IndexRange, StepTable, dequantize, quantize};
use crate::wavelet::{
    PlaneScratch, Regions, SubbandLayout, Wavelet, forward_f32, forward_i32, forward_planes, inverse_f32, inverse_i32,
    inverse_planes,
};

/// Values transformed at a time, where planes are small: they, their coefficients and indices stay in the first cache.
const VALUES_AT_A_TIME: usize = 4096;

/// Quantized indices of some channels of one map: subband after subband in coding order, in each the
/// blocks of the channels.
#[derive(Debug, Default, Clone)]
pub(crate) struct IndexBlocks {
    values: Vec<i32>,
    channels: usize,
}

impl IndexBlocks {
    /// Makes room for `channels` channels; the old contents are of no use afterwards.
    pub fn reset(&mut self, layout: &SubbandLayout, channels: usize) {
        self.channels = channels;
        self.values.resize(layout.plane() * channels, 0);
    }

    pub fn block(&self, layout: &SubbandLayout, subband: usize, channel: usize) -> &[i32] {
        &self.values[self.range(layout, subband, channel)]
    }

    pub fn block_mut(&mut self, layout: &SubbandLayout, subband: usize, channel: usize) -> &mut [i32] {
        let range = self.range(layout, subband, channel);
        &mut self.values[range]
    }

    fn range(&self, layout: &SubbandLayout, subband: usize, channel: usize) -> Range<usize> {
        self.range_of(layout, subband, channel..channel + 1)
    }

    /// Where the blocks of a subband lie that channels next to each other have.
    fn range_of(&self, layout: &SubbandLayout, subband: usize, channels: Range<usize>) -> Range<usize> {
        let block = layout.blocks[subband];
        let start = block.offset * self.channels + channels.start * block.len();
        start..start + channels.len() * block.len()
    }

    /// The blocks of a subband that channels next to each other have, one after the other.
    pub fn blocks(&self, layout: &SubbandLayout, subband: usize, channels: Range<usize>) -> &[i32] {
        &self.values[self.range_of(layout, subband, channels)]
    }

    /// As [`IndexBlocks::blocks`].
    pub fn blocks_mut(&mut self, layout: &SubbandLayout, subband: usize, channels: Range<usize>) -> &mut [i32] {
        let range = self.range_of(layout, subband, channels);
        &mut self.values[range]
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Whether LL has an index below 0.
    pub fn has_negative_approximation(&self, layout: &SubbandLayout) -> bool {
        self.values[..layout.blocks[0].len() * self.channels].iter().any(|&index| index < 0)
    }

    pub fn values(&self) -> &[i32] {
        &self.values
    }

    pub fn values_mut(&mut self) -> &mut [i32] {
        &mut self.values
    }
}

/// Working memory for planes; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct PlaneBuffers {
    float: PlaneScratch<f32>,
    regions: Regions,
    prescaled: Vec<f32>,
    integer: PlaneScratch<i32>,
    coefficients: Vec<f32>,
    integer_coefficients: Vec<i32>,
}

/// A coding prepared for planes of one size.
#[derive(Debug, Clone)]
pub(crate) struct PlaneQuantizer {
    pub coding: Coding,
    pub layout: SubbandLayout,
    steps: StepTable,
    range: IndexRange,
}

impl PlaneQuantizer {
    /// Errors: a coding that does not validate.
    pub fn new(coding: Coding, channels: usize, height: usize, width: usize) -> Result<Self> {
        coding.validate(channels)?;
        Ok(PlaneQuantizer {
            layout: SubbandLayout::new(height, width, coding.levels),
            steps: StepTable::new(&coding.steps, coding.wavelet, coding.levels),
            range: IndexRange::of_bits(coding.index_bits),
            coding,
        })
    }

    /// How many planes are best handed to [`PlaneQuantizer::forward_planes`] at a time, at most.
    pub fn planes_at_a_time(&self) -> usize {
        if self.is_haar() { (VALUES_AT_A_TIME / self.layout.plane().max(1)).max(1) } else { 1 }
    }

    fn is_haar(&self) -> bool {
        self.coding.wavelet == Wavelet::Haar && self.layout.levels > 0 && self.layout.plane() > 0
    }

    /// Indices of one plane of channel `channel`, into the blocks of `slot`.
    /// Returns how many values and indices were clamped.
    #[cfg(test)]
    pub fn forward(
        &self,
        channel: usize,
        plane: &[f32],
        slot: usize,
        buffers: &mut PlaneBuffers,
        indices: &mut IndexBlocks,
    ) -> usize {
        self.forward_planes(channel..channel + 1, plane, slot, buffers, indices)
    }

    /// Indices of planes of channels next to each other, up to [`PlaneQuantizer::planes_at_a_time`], into the blocks from
    /// `slot` on. Returns how many values and indices were clamped.
    pub fn forward_planes(
        &self,
        channels: Range<usize>,
        planes: &[f32],
        slot: usize,
        buffers: &mut PlaneBuffers,
        indices: &mut IndexBlocks,
    ) -> usize {
        let (layout, count) = (&self.layout, channels.len());
        let PlaneBuffers { float, regions, prescaled, coefficients, .. } = buffers;
        let (mut clamped, planes) = match self.coding.prescale {
            Some(scale) => {
                prescaled.clear();
                prescaled.extend_from_slice(planes);
                (prescale(prescaled, scale), prescaled.as_slice())
            }
            None if self.coding.nonnegative => (count_negative(Isa::current(), planes), planes),
            None => (0, planes),
        };
        coefficients.resize(planes.len(), 0.0);
        if self.is_haar() {
            forward_planes(layout, planes, count, regions, coefficients);
        } else {
            debug_assert_eq!(count, 1);
            forward_f32(self.coding.wavelet, layout, planes, float, coefficients);
        }
        self.for_each_stretch(channels, |subband, offset, slots, step| {
            let target = indices.blocks_mut(layout, subband, slot + slots.start..slot + slots.end);
            match step {
                Some(step) => {
                    let coefficients = &coefficients[offset..offset + target.len()];
                    clamped += quantize(coefficients, step, self.coding.rounding, self.range, target);
                }
                None => target.fill(0),
            }
        });
        clamped
    }

    /// Calls `visit(subband, offset, slots, step)` for every subband of planes of some channels: at the offset in the
    /// coefficients begin the blocks of slots (from 0) that share a step, or have none, since they are dropped.
    fn for_each_stretch(&self, channels: Range<usize>, mut visit: impl FnMut(usize, usize, Range<usize>, Option<f32>)) {
        let alike = self.coding.mask.is_none() && !self.steps.is_per_channel();
        for (subband, block) in self.layout.blocks.iter().enumerate() {
            let step = |channel| self.coding.keeps(channel, subband).then(|| self.steps.step(channel, subband));
            let at = block.offset * channels.len();
            if alike && !channels.is_empty() {
                visit(subband, at, 0..channels.len(), step(channels.start));
                continue;
            }
            for (slot, channel) in channels.clone().enumerate() {
                visit(subband, at + slot * block.len(), slot..slot + 1, step(channel));
            }
        }
    }

    /// Magnitudes in steps of the coefficients that [`PlaneQuantizer::forward`] last left in `buffers`, laid out as the
    /// indices of `channels` channels are.
    pub fn scaled_magnitudes(
        &self,
        channel: usize,
        slot: usize,
        channels: usize,
        buffers: &PlaneBuffers,
        scaled: &mut [f32],
    ) {
        for (subband, block) in self.layout.blocks.iter().enumerate() {
            let inverse = 1.0 / self.steps.step(channel, subband);
            let target = &mut scaled[block.offset * channels + slot * block.len()..][..block.len()];
            for (scaled, x) in target.iter_mut().zip(&buffers.coefficients[block.range()]) {
                *scaled = x.abs() * inverse;
            }
        }
    }

    /// The decoded plane of channel `channel` from the blocks of `slot`.
    pub fn inverse(
        &self,
        channel: usize,
        indices: &IndexBlocks,
        slot: usize,
        buffers: &mut PlaneBuffers,
        plane: &mut [f32],
    ) {
        self.inverse_planes(channel..channel + 1, indices, slot, buffers, plane);
    }

    /// The decoded planes of channels next to each other, up to [`PlaneQuantizer::planes_at_a_time`], from the blocks from
    /// `slot` on.
    pub fn inverse_planes(
        &self,
        channels: Range<usize>,
        indices: &IndexBlocks,
        slot: usize,
        buffers: &mut PlaneBuffers,
        planes: &mut [f32],
    ) {
        let (layout, count) = (&self.layout, channels.len());
        let PlaneBuffers { float, regions, coefficients, .. } = buffers;
        coefficients.resize(planes.len(), 0.0);
        self.for_each_stretch(channels, |subband, offset, slots, step| {
            let source = indices.blocks(layout, subband, slot + slots.start..slot + slots.end);
            let target = &mut coefficients[offset..offset + source.len()];
            match step {
                Some(step) => dequantize(source, step, self.coding.reconstruction, target),
                None => target.fill(0.0),
            }
        });
        let clamp = self.coding.nonnegative && self.coding.prescale.is_none();
        if self.is_haar() {
            inverse_planes(layout, coefficients, count, regions, planes, clamp);
        } else {
            debug_assert_eq!(count, 1);
            inverse_f32(self.coding.wavelet, layout, coefficients, float, planes);
            if clamp {
                clamp_at_zero(Isa::current(), planes);
            }
        }
        if let Some(scale) = self.coding.prescale {
            planes.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0) * scale);
        }
    }

    /// As [`PlaneQuantizer::forward`] for lossless coding, where coefficients are the indices.
    pub fn forward_lossless(&self, plane: &[i32], slot: usize, buffers: &mut PlaneBuffers, indices: &mut IndexBlocks) {
        buffers.integer_coefficients.resize(plane.len(), 0);
        let coefficients = &mut buffers.integer_coefficients;
        forward_i32(self.coding.wavelet, &self.layout, plane, &mut buffers.integer, coefficients);
        for (subband, block) in self.layout.blocks.iter().enumerate() {
            indices.block_mut(&self.layout, subband, slot).copy_from_slice(&coefficients[block.range()]);
        }
    }

    /// Undoes [`PlaneQuantizer::forward_lossless`].
    pub fn inverse_lossless(&self, indices: &IndexBlocks, slot: usize, buffers: &mut PlaneBuffers, plane: &mut [i32]) {
        buffers.integer_coefficients.resize(plane.len(), 0);
        let coefficients = &mut buffers.integer_coefficients;
        for (subband, block) in self.layout.blocks.iter().enumerate() {
            coefficients[block.range()].copy_from_slice(indices.block(&self.layout, subband, slot));
        }
        inverse_i32(self.coding.wavelet, &self.layout, coefficients, &mut buffers.integer, plane);
    }
}

/// Divides by `scale`, rounds and clamps to 0..=255; returns how many values were clamped.
fn prescale(plane: &mut [f32], scale: f32) -> usize {
    let inverse = 1.0 / scale;
    let mut clamped = 0;
    for value in plane {
        let rounded = (*value * inverse).round_ties_even();
        *value = rounded.clamp(0.0, 255.0);
        clamped += u32::from(*value != rounded) as usize;
    }
    clamped
}

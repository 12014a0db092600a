//! One plane to its indices and back: pre-scale, transform, quantize, and the inverses.

use crate::coding::Coding;
use crate::error::Result;
use crate::quantize::{IndexRange, StepTable, dequantize, quantize};
use crate::wavelet::{PlaneScratch, SubbandLayout, forward_f32, forward_i32, inverse_f32, inverse_i32};

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

    fn range(&self, layout: &SubbandLayout, subband: usize, channel: usize) -> std::ops::Range<usize> {
        let block = layout.blocks[subband];
        let start = block.offset * self.channels + channel * block.len();
        start..start + block.len()
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

    /// Indices of one plane of channel `channel`, into the blocks of `slot`. `plane` is overwritten.
    /// Returns how many values and indices were clamped.
    pub fn forward(
        &self,
        channel: usize,
        plane: &mut [f32],
        slot: usize,
        buffers: &mut PlaneBuffers,
        indices: &mut IndexBlocks,
    ) -> usize {
        let mut clamped = match self.coding.prescale {
            Some(scale) => prescale(plane, scale),
            None if self.coding.nonnegative => plane.iter().filter(|&&value| value < 0.0).count(),
            None => 0,
        };
        buffers.coefficients.resize(plane.len(), 0.0);
        forward_f32(self.coding.wavelet, &self.layout, plane, &mut buffers.float, &mut buffers.coefficients);
        for (subband, block) in self.layout.blocks.iter().enumerate() {
            let target = indices.block_mut(&self.layout, subband, slot);
            if self.coding.keeps(channel, subband) {
                let coefficients = &buffers.coefficients[block.range()];
                let step = self.steps.step(channel, subband);
                clamped += quantize(coefficients, step, self.coding.rounding, self.range, target);
            } else {
                target.fill(0);
            }
        }
        clamped
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
        buffers.coefficients.resize(plane.len(), 0.0);
        for (subband, block) in self.layout.blocks.iter().enumerate() {
            let source = indices.block(&self.layout, subband, slot);
            let step = self.steps.step(channel, subband);
            dequantize(source, step, self.coding.reconstruction, &mut buffers.coefficients[block.range()]);
        }
        inverse_f32(self.coding.wavelet, &self.layout, &buffers.coefficients, &mut buffers.float, plane);
        if let Some(scale) = self.coding.prescale {
            plane.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0) * scale);
        } else if self.coding.nonnegative {
            plane.iter_mut().for_each(|value| *value = value.max(0.0));
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

//! Planes to their indices and back: pre-scale, transform, quantize, and the inverses, piece by piece.

use std::ops::Range;

use crate::coding::Coding;
use crate::entropy::FIRST_WITH_RAW_BITS;
use crate::error::Result;
pub(crate) use crate::index_blocks::IndexBlocks;
use crate::kernel::{
    AbreastScratch, Isa, clamp_at_zero, count_negative, dequantize_tokens, indices_of, quantize_tokens, tokens_of,
};
pub(crate) use crate::pieces::{Piece, Pieces};
use crate::quantize::{Diffusion, IndexRange, StepTable, constants, dequantize, quantize};
use crate::token_blocks::TokenBlocks;
use crate::wavelet::{
    PlaneScratch, Regions, SubbandLayout, Wavelet, forward_abreast, forward_f32, forward_i32, forward_planes,
    inverse_abreast, inverse_f32, inverse_i32, inverse_planes,
};

/// Working memory for planes; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct PlaneBuffers {
    transform: TransformBuffers,
    /// Of [`Diffusion`].
    errors: Vec<f32>,
    integer: PlaneScratch<i32>,
    integer_coefficients: Vec<i32>,
}

/// Working memory between values and coefficients.
#[derive(Debug, Default)]
struct TransformBuffers {
    float: PlaneScratch<f32>,
    regions: Regions,
    abreast: AbreastScratch,
    prescaled: Vec<f32>,
    coefficients: Vec<f32>,
}

/// A coding prepared for planes of one size.
#[derive(Debug, Clone)]
pub(crate) struct PlaneQuantizer {
    pub coding: Coding,
    pub layout: SubbandLayout,
    pub pieces: Pieces,
    steps: StepTable,
    range: IndexRange,
}

impl PlaneQuantizer {
    /// Errors: a coding that does not validate.
    pub fn new(coding: Coding, channels: usize, height: usize, width: usize) -> Result<Self> {
        coding.validate(channels)?;
        let layout = SubbandLayout::new(height, width, coding.levels);
        let pieces = Pieces::new(&layout, coding.wavelet);
        Ok(PlaneQuantizer {
            // Errors go from row to row.
            pieces: if coding.diffusion > 0.0 { pieces.with_whole_planes() } else { pieces },
            layout,
            steps: StepTable::new(&coding.steps, coding.wavelet, coding.levels),
            range: IndexRange::of_bits(coding.index_bits),
            coding,
        })
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
        let piece = Piece { slots: slot..slot + 1, rows: 0..self.layout.height };
        self.forward_piece(channel.wrapping_sub(slot), &piece, plane, buffers, indices)
    }

    /// The coefficients of the values of a piece: subband after subband, in each the blocks of its planes; and how many
    /// values were clamped.
    fn coefficients<'b>(
        &self,
        piece: &Piece,
        values: &'b [f32],
        buffers: &'b mut TransformBuffers,
    ) -> (&'b [f32], usize) {
        let TransformBuffers { float, regions, abreast, prescaled, coefficients } = buffers;
        let (clamped, values) = match self.coding.prescale {
            Some(scale) => {
                prescaled.clear();
                prescaled.extend_from_slice(values);
                (prescale(prescaled, scale), prescaled.as_slice())
            }
            None if self.coding.nonnegative => (count_negative(Isa::current(), values), values),
            None => (0, values),
        };
        if self.layout.levels == 0 {
            return (values, clamped);
        }
        coefficients.resize(values.len(), 0.0);
        let layout = self.pieces.layout(piece);
        if self.is_haar() {
            forward_planes(layout, values, piece.slots.len(), regions, coefficients);
        } else if piece.slots.len() > 1 && !values.is_empty() {
            forward_abreast(self.coding.wavelet, layout, values, piece.slots.len(), abreast, coefficients);
        } else {
            forward_f32(self.coding.wavelet, layout, values, float, coefficients);
        }
        (coefficients, clamped)
    }

    /// Indices of blocks next to each other, and how many were clamped; `errors` is working memory.
    fn indices(&self, coefficients: &[f32], step: f32, errors: &mut Vec<f32>, indices: &mut [i32]) -> usize {
        let Coding { rounding, diffusion, nonnegative, .. } = self.coding;
        if diffusion == 0.0 {
            return quantize(coefficients, step, rounding, self.range, indices);
        }
        let diffusion = Diffusion { share: diffusion, step, rounding, range: self.range, nonnegative };
        let plane = self.layout.plane().max(1);
        let planes = coefficients.chunks_exact(plane).zip(indices.chunks_exact_mut(plane));
        planes.map(|(plane, indices)| diffusion.quantize(plane, self.layout.width, errors, indices)).sum()
    }

    /// Indices of the values of a piece, into the blocks of a chunk that begins with channel `first_channel`.
    /// Returns how many values and indices were clamped.
    pub fn forward_piece(
        &self,
        first_channel: usize,
        piece: &Piece,
        values: &[f32],
        buffers: &mut PlaneBuffers,
        indices: &mut IndexBlocks,
    ) -> usize {
        let PlaneBuffers { transform, errors, .. } = buffers;
        let (coefficients, mut clamped) = self.coefficients(piece, values, transform);
        let channels = indices.channels();
        self.for_each_stretch(first_channel, piece, |subband, offset, slots, step| {
            let target = &mut indices.values_mut()[self.pieces.range(subband, channels, piece, slots)];
            match step {
                Some(step) => {
                    let coefficients = &coefficients[offset..offset + target.len()];
                    clamped += self.indices(coefficients, step, errors, target);
                }
                None => target.fill(0),
            }
        });
        clamped
    }

    /// As [`PlaneQuantizer::forward_piece`], to tokens.
    pub fn forward_tokens(
        &self,
        first_channel: usize,
        piece: &Piece,
        values: &[f32],
        buffers: &mut PlaneBuffers,
        tokens: &mut TokenBlocks,
    ) -> usize {
        let isa = Isa::current();
        let PlaneBuffers { transform, errors, .. } = buffers;
        let (coefficients, mut clamped) = self.coefficients(piece, values, transform);
        let channels = tokens.channels();
        self.for_each_stretch(first_channel, piece, |subband, offset, slots, step| {
            let range = self.pieces.range(subband, channels, piece, slots.clone());
            let slots = piece.slots.start + slots.start..piece.slots.start + slots.end;
            match step {
                Some(step) => {
                    let coefficients = &coefficients[offset..offset + range.len()];
                    let constants = constants(step, self.coding.rounding, self.range);
                    let target = &mut tokens.tokens_mut()[range.clone()];
                    if self.coding.diffusion > 0.0
                        || !self.range.holds_tokens_without_raw_bits()
                        || quantize_tokens(isa, constants, coefficients, target) >= FIRST_WITH_RAW_BITS
                    {
                        let (target, indices) = tokens.widen(range.clone());
                        clamped += self.indices(coefficients, step, errors, indices);
                        if tokens_of(isa, indices, target) >= FIRST_WITH_RAW_BITS {
                            tokens.mark_wide(subband, slots, range);
                        }
                    }
                }
                None => tokens.tokens_mut()[range].fill(0),
            }
        });
        clamped
    }

    /// Calls `visit(subband, offset, slots, step)` for every subband of the planes of a piece: at the offset in the
    /// coefficients begin the blocks of slots (from 0, in the piece) that share a step, or have none, since they are dropped.
    fn for_each_stretch(
        &self,
        first_channel: usize,
        piece: &Piece,
        mut visit: impl FnMut(usize, usize, Range<usize>, Option<f32>),
    ) {
        let count = piece.slots.len();
        let first_channel = first_channel.wrapping_add(piece.slots.start);
        let alike = self.coding.mask.is_none() && !self.steps.is_per_channel();
        for (subband, block) in self.pieces.layout(piece).blocks.iter().enumerate() {
            let step = |channel| self.coding.keeps(channel, subband).then(|| self.steps.step(channel, subband));
            let at = block.offset * count;
            if alike && count > 0 {
                visit(subband, at, 0..count, step(first_channel));
                continue;
            }
            for slot in 0..count {
                visit(subband, at + slot * block.len(), slot..slot + 1, step(first_channel + slot));
            }
        }
    }

    /// Magnitudes in steps of the coefficients of a whole plane that [`PlaneQuantizer::forward_piece`] last had, laid out as
    /// the indices of `channels` channels are.
    pub fn scaled_magnitudes(
        &self,
        channel: usize,
        piece: &Piece,
        channels: usize,
        values: &[f32],
        buffers: &mut PlaneBuffers,
        scaled: &mut [f32],
    ) {
        debug_assert!(piece.slots.len() == 1 && piece.rows.len() == self.layout.height);
        let (coefficients, _) = self.coefficients(piece, values, &mut buffers.transform);
        for (subband, block) in self.layout.blocks.iter().enumerate() {
            let inverse = 1.0 / self.steps.step(channel, subband);
            let target = &mut scaled[block.offset * channels + piece.slots.start * block.len()..][..block.len()];
            for (scaled, x) in target.iter_mut().zip(&coefficients[block.range()]) {
                *scaled = x.abs() * inverse;
            }
        }
    }

    /// The decoded values of a piece from the blocks of a chunk that begins with channel `first_channel`.
    pub fn inverse_piece(
        &self,
        first_channel: usize,
        piece: &Piece,
        indices: &IndexBlocks,
        buffers: &mut PlaneBuffers,
        values: &mut [f32],
    ) {
        let coefficients = &mut buffers.transform.coefficients;
        coefficients.resize(values.len(), 0.0);
        self.for_each_stretch(first_channel, piece, |subband, offset, slots, step| {
            let source = &indices.values()[self.pieces.range(subband, indices.channels(), piece, slots)];
            let target = &mut coefficients[offset..offset + source.len()];
            match step {
                Some(step) => dequantize(source, step, self.coding.reconstruction, target),
                None => target.fill(0.0),
            }
        });
        self.values_from_coefficients(piece, &mut buffers.transform, values);
    }

    /// As [`PlaneQuantizer::inverse_piece`], from tokens.
    pub fn inverse_tokens(
        &self,
        first_channel: usize,
        piece: &Piece,
        tokens: &TokenBlocks,
        buffers: &mut PlaneBuffers,
        values: &mut [f32],
    ) {
        let isa = Isa::current();
        let PlaneBuffers { transform: TransformBuffers { coefficients, .. }, integer_coefficients, .. } = buffers;
        coefficients.resize(values.len(), 0.0);
        let shift = self.coding.reconstruction;
        self.for_each_stretch(first_channel, piece, |subband, offset, slots, step| {
            let range = self.pieces.range(subband, tokens.channels(), piece, slots.clone());
            let target = &mut coefficients[offset..offset + range.len()];
            let source = &tokens.tokens()[range.clone()];
            let is_wide = |slot| tokens.is_wide(subband, piece.slots.start + slot);
            match step {
                Some(step) if slots.clone().any(is_wide) => {
                    integer_coefficients.resize(integer_coefficients.len().max(range.len()), 0);
                    let indices = &mut integer_coefficients[..range.len()];
                    indices_of(isa, source, indices);
                    for ((index, &token), &wide) in indices.iter_mut().zip(source).zip(&tokens.wide_indices()[range]) {
                        *index = if token >= FIRST_WITH_RAW_BITS { wide } else { *index };
                    }
                    dequantize(indices, step, shift, target);
                }
                Some(step) => dequantize_tokens(isa, step, shift, source, target),
                None => target.fill(0.0),
            }
        });
        self.values_from_coefficients(piece, &mut buffers.transform, values);
    }

    fn values_from_coefficients(&self, piece: &Piece, buffers: &mut TransformBuffers, values: &mut [f32]) {
        let TransformBuffers { float, regions, abreast, coefficients, .. } = buffers;
        let layout = self.pieces.layout(piece);
        let clamp = self.coding.nonnegative && self.coding.prescale.is_none();
        if self.is_haar() {
            inverse_planes(layout, coefficients, piece.slots.len(), regions, values, clamp);
        } else {
            if layout.levels == 0 {
                values.copy_from_slice(coefficients);
            } else if piece.slots.len() > 1 && !values.is_empty() {
                inverse_abreast(self.coding.wavelet, layout, coefficients, piece.slots.len(), abreast, values);
            } else {
                inverse_f32(self.coding.wavelet, layout, coefficients, float, values);
            }
            if clamp {
                clamp_at_zero(Isa::current(), values);
            }
        }
        if let Some(scale) = self.coding.prescale {
            values.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0) * scale);
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

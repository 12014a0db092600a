//! All indices of a chunk, place by place, each with the bin of its estimate; for coding, costs and counting alike.

use std::convert::Infallible;

use super::model::{INPUTS, SIGN_BINS, SpreadModel};
use super::surroundings::{SIGNED_CAP, Surroundings, orientation, region};
use crate::entropy::level;
use crate::kernel::{Isa, add_levels, bins_of};
use crate::plane::{IndexBlocks, PlaneQuantizer};

/// The walk over a chunk of `channels` channels from `first_channel` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpreadWalk<'a> {
    pub quantizer: &'a PlaneQuantizer,
    pub model: &'a SpreadModel,
    pub first_channel: usize,
    pub channels: usize,
}

/// Working memory of a walk.
#[derive(Debug, Default)]
pub(crate) struct SpreadScratch {
    surroundings: Surroundings,
    sums: Vec<i16>,
    bins: Vec<u8>,
    /// A row of zeros.
    nothing: Vec<u8>,
    /// As `nothing`.
    flat: Vec<i8>,
    kept: Vec<usize>,
}

/// A row of a subband, for all channels: place by place, in each slot by slot.
pub(crate) struct Row<'a> {
    pub subband: usize,
    /// The slots whose channels keep the subband.
    pub kept: &'a [usize],
    /// Number of slots.
    pub channels: usize,
    /// Estimates without the neighbour to the left, which counts `left` times its level.
    pub sums: &'a [i16],
    pub left: i16,
    /// Room for the bins of the row.
    pub bins: &'a mut [u8],
    /// As many levels of 0.
    pub nothing: &'a [u8],
    /// The signed level of each slope.
    pub slopes: &'a [i8],
    /// Levels of what is decoded, 0 before.
    pub levels: &'a mut [u8],
    /// The same indices, at most [`SIGNED_CAP`] away from 0.
    pub signed: &'a mut [i16],
    /// Where the first index of slot 0 is among [`IndexBlocks::values`], and how far apart slots are.
    pub first: usize,
    pub stride: usize,
}

/// One place of a subband, for all channels.
pub(crate) struct Place<'a> {
    pub subband: usize,
    /// The bin of each slot's estimate.
    pub bins: &'a [u8],
    /// The signed level of each slot's slope.
    pub slopes: &'a [i8],
    /// The slots whose channels keep the subband.
    pub kept: &'a [usize],
    levels: &'a mut [u8],
    signed: &'a mut [i16],
    first: usize,
    stride: usize,
}

impl Place<'_> {
    /// Where the index of a slot is among [`IndexBlocks::values`].
    #[inline]
    pub fn at(&self, slot: usize) -> usize {
        self.first + slot * self.stride
    }

    /// Takes over the index of a slot; those that are not set are 0.
    #[inline]
    pub fn set(&mut self, slot: usize, index: i32) {
        self.levels[slot] = level(index.unsigned_abs()) as u8;
        self.signed[slot] = capped(index);
    }
}

/// An index as the approximation takes it.
#[inline]
pub(crate) fn capped(index: i32) -> i16 {
    index.clamp(-SIGNED_CAP, SIGNED_CAP) as i16
}

/// The bin of a slope, and whether the sign it foretells is negative.
#[inline]
pub(crate) fn sign_context(slope: i8) -> (usize, bool) {
    (usize::from(slope.unsigned_abs() >> 1).min(SIGN_BINS - 1), slope < 0)
}

impl SpreadWalk<'_> {
    /// Visits every row, until a visit fails. A visit leaves all levels and capped indices of the row known.
    #[inline]
    pub fn try_each_row<E>(
        self,
        scratch: &mut SpreadScratch,
        mut visit: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let SpreadWalk { quantizer, model, first_channel, channels: c } = self;
        let SpreadScratch { surroundings, sums, bins, nothing, flat, kept } = scratch;
        let (layout, isa) = (&quantizer.layout, Isa::current());
        surroundings.reset(quantizer, first_channel, c);
        let longest = layout.blocks.iter().map(|block| block.width * c).max().unwrap_or(0);
        bins.resize(longest, 0);
        nothing.resize(longest, 0);
        flat.resize(layout.blocks[0].width * c, 0);
        for (subband, block) in layout.blocks.iter().enumerate() {
            if subband > 0 && orientation(subband) == 0 {
                surroundings.begin_level(quantizer, isa, subband);
            }
            kept.clear();
            kept.extend((0..c).filter(|slot| quantizer.coding.keeps(first_channel + slot, subband)));
            if kept.is_empty() || block.len() == 0 {
                continue;
            }
            surroundings.sums(layout, isa, subband, model, first_channel, sums);
            let [left, above] = [0, 1].map(|input| i16::from(model.weights(subband)[input]));
            // Rows of slopes are as long as those of LL of the level.
            let slopes_width =
                if subband > 0 { region(layout, layout.levels - ((subband - 1) / 3) as u8).1 } else { 0 };
            let (row, places) = (block.width * c, block.offset * c);
            for y in 0..block.height {
                let sums = &mut sums[y * row..(y + 1) * row];
                let start = places + y * row;
                if y > 0 {
                    add_levels(isa, above, &surroundings.levels[start - row..start], sums);
                }
                visit(Row {
                    subband,
                    kept,
                    channels: c,
                    sums,
                    left,
                    bins: &mut bins[..row],
                    nothing: &nothing[..row],
                    slopes: match subband {
                        0 => &flat[..row],
                        _ => &surroundings.slopes[orientation(subband)][y * slopes_width * c..][..row],
                    },
                    levels: &mut surroundings.levels[start..start + row],
                    signed: &mut surroundings.signed[start..start + row],
                    first: places + y * block.width,
                    stride: block.len(),
                })?;
            }
        }
        Ok(())
    }

    /// Visits every row.
    #[inline]
    pub fn each_row(self, scratch: &mut SpreadScratch, mut visit: impl FnMut(Row)) {
        let Ok(()) = self.try_each_row(scratch, |row| {
            visit(row);
            Ok::<(), Infallible>(())
        });
    }

    /// Visits every place.
    #[inline]
    pub fn each(self, scratch: &mut SpreadScratch, mut visit: impl FnMut(Place)) {
        let isa = Isa::current();
        self.each_row(scratch, |row| {
            let Row { subband, kept, channels: c, sums, left, bins, nothing, slopes, levels, signed, first, stride } =
                row;
            for (x, (sums, bins)) in sums.chunks_exact(c).zip(bins.chunks_exact_mut(c)).enumerate() {
                let here = x * c..(x + 1) * c;
                let (before, levels) = levels.split_at_mut(here.start);
                let beside = if x > 0 { &before[here.start - c..] } else { &nothing[..c] };
                bins_of(isa, sums, left, beside, bins);
                visit(Place {
                    subband,
                    bins,
                    slopes: &slopes[here.clone()],
                    kept,
                    levels: &mut levels[..c],
                    signed: &mut signed[here],
                    first: first + x,
                    stride,
                });
            }
        });
    }

    /// Calls `visit(subband, channel, bin, slope, index)` for every coded index.
    pub fn each_index(
        self,
        indices: &IndexBlocks,
        scratch: &mut SpreadScratch,
        mut visit: impl FnMut(usize, usize, u8, i8, i32),
    ) {
        let values = indices.values();
        self.each(scratch, |mut place| {
            for &slot in place.kept {
                let index = values[place.at(slot)];
                visit(place.subband, self.first_channel + slot, place.bins[slot], place.slopes[slot], index);
                if index != 0 {
                    place.set(slot, index);
                }
            }
        });
    }

    /// Calls `visit(subband, channel, inputs, index)` for every coded index, by the plain form of what estimates look at.
    pub fn each_inputs(
        self,
        indices: &IndexBlocks,
        scratch: &mut SpreadScratch,
        mut visit: impl FnMut(usize, usize, [u8; INPUTS], i32),
    ) {
        let SpreadWalk { quantizer, first_channel, channels: c, .. } = self;
        let (layout, isa) = (&quantizer.layout, Isa::current());
        let surroundings = &mut scratch.surroundings;
        surroundings.reset(quantizer, first_channel, c);
        for (subband, block) in layout.blocks.iter().enumerate() {
            if subband > 0 && orientation(subband) == 0 {
                surroundings.begin_level(quantizer, isa, subband);
            }
            let of_subband = &indices.values()[block.offset * c..][..block.len() * c];
            for place in 0..block.len() {
                for slot in (0..c).filter(|slot| quantizer.coding.keeps(first_channel + slot, subband)) {
                    let index = of_subband[slot * block.len() + place];
                    let inputs = surroundings.inputs(layout, subband, place / block.width, place % block.width, slot);
                    visit(subband, first_channel + slot, inputs, index);
                    let at = (block.offset + place) * c + slot;
                    surroundings.levels[at] = level(index.unsigned_abs()) as u8;
                    surroundings.signed[at] = capped(index);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::Coding;
    use crate::quantize::Steps;
    use crate::spread::model::{Offsets, Weights, has_input};
    use crate::spread::{BIN_SHIFT, BINS, FIRST_BIN};
    use crate::wavelet::Wavelet;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The sums over rows are the plain dot product of each index's inputs.
        #[test]
        fn bins_are_those_of_the_plain_form(
            channels in 1usize..40, height in 1usize..20, width in 1usize..20, levels in 0u8..4, seed in any::<u64>(),
            nonnegative in any::<bool>(),
        ) {
            let mut state = seed | 1;
            let mut random = move |limit: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % limit
            };
            let subbands = 3 * levels as usize + 1;
            let steps: Vec<f32> = (0..subbands).map(|_| 0.5 + random(7) as f32).collect();
            let coding = Coding::new(Wavelet::Haar, levels, Steps::PerSubband(steps)).with_nonnegative(nonnegative);
            let quantizer = PlaneQuantizer::new(coding, channels, height, width).unwrap();
            let mut indices = IndexBlocks::default();
            indices.reset(&quantizer.layout, channels);
            for index in indices.values_mut() {
                *index = match random(8) { 0 => random(2000) as i32 - 1000, 1 | 2 => random(5) as i32 - 2, _ => 0 };
            }
            let weights: Vec<[i8; INPUTS]> = (0..subbands)
                .map(|subband| {
                    std::array::from_fn(|i| if has_input(subband, i) { random(41) as i8 - 20 } else { 0 })
                })
                .collect();
            let offsets: Vec<i16> = (0..subbands * channels).map(|_| random(3000) as i16 - 1500).collect();
            let weights = Weights { levels: weights, signs: vec![[100; SIGN_BINS]; subbands - 1] };
            let model = SpreadModel::new(subbands, channels, Offsets::Each(offsets), Some(weights), None);
            let walk = SpreadWalk { quantizer: &quantizer, model: &model, first_channel: 0, channels };
            let mut expected = Vec::new();
            let mut scratch = SpreadScratch::default();
            walk.each_inputs(&indices, &mut scratch, |subband, channel, inputs, index| {
                let weighted = model.weights(subband).into_iter().zip(inputs).map(|(w, x)| i32::from(w) * i32::from(x));
                let estimate = i32::from(model.offsets(subband)[channel]) + weighted.sum::<i32>();
                let bin = ((estimate >> BIN_SHIFT) - i32::from(FIRST_BIN)).clamp(0, BINS as i32 - 1);
                expected.push((subband, channel, bin as u8, index));
            });
            let mut found = Vec::new();
            // The scratch of another walk.
            walk.each_index(&indices, &mut scratch, |subband, channel, bin, _, index| {
                found.push((subband, channel, bin, index));
            });
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn slopes_foretell_signs() {
        assert_eq!(
            [0, 1, 3, -3, 31, -63].map(sign_context),
            [(0, false), (0, false), (1, false), (1, true), (15, false), (15, true)]
        );
    }
}

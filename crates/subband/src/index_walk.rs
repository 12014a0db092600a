//! All indices of a chunk in the order of activity payloads, each with the neighbours that its estimate looks at.

use std::convert::Infallible;

use crate::entropy::{MagnitudeRows, NEIGHBOUR_CAP, NEIGHBOURS, Places};
#[cfg(test)]
use crate::plane::IndexBlocks;
use crate::plane::PlaneQuantizer;

/// The walk over a chunk of `channels` channels from `first_channel` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexWalk<'a> {
    pub quantizer: &'a PlaneQuantizer,
    pub first_channel: usize,
    pub channels: usize,
}

/// Working memory of a walk.
#[derive(Debug, Default)]
pub(crate) struct WalkScratch {
    rows: MagnitudeRows,
    kept: Vec<usize>,
}

/// One position of a subband, for all channels.
pub(crate) struct Position<'a> {
    pub subband: usize,
    /// Rows of magnitudes, one a slot.
    pub neighbours: [&'a [u8]; NEIGHBOURS],
    /// The row of this position, to be filled: zeros so far.
    pub own: &'a mut [u8],
    /// The slots whose channels keep the subband.
    pub kept: &'a [usize],
    /// Where the index of slot 0 is among [`IndexBlocks::values`], and how far apart slots are.
    first: usize,
    stride: usize,
}

impl Position<'_> {
    /// Where the index of a slot is among [`IndexBlocks::values`].
    #[inline]
    pub fn at(&self, slot: usize) -> usize {
        self.first + slot * self.stride
    }
}

/// A magnitude as a row holds it.
#[inline]
pub(crate) fn capped(magnitude: u32) -> u8 {
    magnitude.min(NEIGHBOUR_CAP) as u8
}

impl IndexWalk<'_> {
    /// Visits every position, until a visit fails.
    #[inline]
    pub fn try_each<E>(
        self,
        scratch: &mut WalkScratch,
        mut visit: impl FnMut(Position) -> Result<(), E>,
    ) -> Result<(), E> {
        let WalkScratch { rows, kept } = scratch;
        let IndexWalk { quantizer, first_channel, channels } = self;
        let layout = &quantizer.layout;
        rows.reset(layout.plane(), channels);
        for (subband, block) in layout.blocks.iter().enumerate() {
            kept.clear();
            kept.extend((0..channels).filter(|slot| quantizer.coding.keeps(first_channel + slot, subband)));
            let (start, stride) = (block.offset * channels, block.len());
            Places { layout }.for_each(subband, |offset, places, place| {
                let (neighbours, own) = rows.at(places, place);
                visit(Position { subband, neighbours, own, kept, first: start + offset, stride })
            })?;
        }
        Ok(())
    }

    /// Visits every position.
    #[inline]
    pub fn each(self, scratch: &mut WalkScratch, mut visit: impl FnMut(Position)) {
        let Ok(()) = self.try_each(scratch, |position| {
            visit(position);
            Ok::<(), Infallible>(())
        });
    }

    #[cfg(test)]
    /// Calls `visit(subband, channel, neighbours, index)` for every coded index.
    pub fn each_index(
        self,
        indices: &IndexBlocks,
        scratch: &mut WalkScratch,
        mut visit: impl FnMut(usize, usize, [u8; NEIGHBOURS], i32),
    ) {
        let values = indices.values();
        self.each(scratch, |position| {
            for &slot in position.kept {
                let index = values[position.at(slot)];
                let neighbours = position.neighbours.map(|row| row[slot]);
                visit(position.subband, self.first_channel + slot, neighbours, index);
                position.own[slot] = capped(index.unsigned_abs());
            }
        });
    }
}

//! Indices as the tokens that code them: a byte a value instead of four, written once by the quantizer and read once by the
//! coder, or the other way round.

use std::ops::Range;

use crate::entropy::FIRST_WITH_RAW_BITS;
use crate::kernel::{Isa, indices_of, largest_token, tokens_of};
use crate::plane::IndexBlocks;
use crate::wavelet::SubbandLayout;

/// Tokens of some channels of one map, laid out as [`IndexBlocks`] are.
#[derive(Debug, Default, Clone)]
pub(crate) struct TokenBlocks {
    tokens: Vec<u8>,
    /// In wide blocks, wherever the token has raw bits, the index, laid out as the tokens; elsewhere anything, or not as long
    /// where no block is wide.
    indices: Vec<i32>,
    /// By subband, then channel: whether a block has tokens with raw bits.
    wide: Vec<bool>,
    channels: usize,
}

impl TokenBlocks {
    /// Makes room for `channels` channels; the old contents are of no use afterwards.
    pub fn reset(&mut self, layout: &SubbandLayout, channels: usize) {
        self.channels = channels;
        self.tokens.resize(layout.plane() * channels, 0);
        self.wide.clear();
        self.wide.resize(layout.blocks.len() * channels, false);
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    /// All tokens.
    pub fn tokens(&self) -> &[u8] {
        &self.tokens
    }

    /// As [`TokenBlocks::tokens`].
    pub fn tokens_mut(&mut self) -> &mut [u8] {
        &mut self.tokens
    }

    /// Where the blocks of a subband lie that channels next to each other have.
    pub fn range(&self, layout: &SubbandLayout, subband: usize, channels: Range<usize>) -> Range<usize> {
        let block = layout.blocks[subband];
        let start = block.offset * self.channels + channels.start * block.len();
        start..start + channels.len() * block.len()
    }

    pub fn is_wide(&self, subband: usize, channel: usize) -> bool {
        self.wide[subband * self.channels + channel]
    }

    /// Marks the block of a channel as wide.
    pub fn set_wide(&mut self, subband: usize, channel: usize) {
        self.wide[subband * self.channels + channel] = true;
    }

    /// The tokens and indices of a range, for indices with raw bits to be put in place.
    pub fn widen(&mut self, range: Range<usize>) -> (&mut [u8], &mut [i32]) {
        // Blocks that are not wide take no memory until there is one that is. What is there of other chunks is not cleared,
        // which would be four bytes a value written for a few wide ones.
        if self.indices.len() < self.tokens.len() {
            self.indices.resize(self.tokens.len(), 0);
        }
        (&mut self.tokens[range.clone()], &mut self.indices[range])
    }

    /// All tokens, and where to put the indices of those with raw bits.
    pub fn with_wide(&mut self) -> (&[u8], WideIndices<'_>) {
        self.widen(0..0);
        let TokenBlocks { tokens, indices, wide, channels } = self;
        (tokens, WideIndices { indices, wide, channels: *channels })
    }

    /// Indices of a wide block by place among all tokens; only those whose token has raw bits are right.
    pub fn wide_indices(&self) -> &[i32] {
        &self.indices
    }

    /// The indices of a block of a channel.
    pub fn indices_of(&self, layout: &SubbandLayout, subband: usize, channel: usize, indices: &mut [i32]) {
        let range = self.range(layout, subband, channel..channel + 1);
        let tokens = &self.tokens[range.clone()];
        indices_of(Isa::current(), tokens, indices);
        if self.is_wide(subband, channel) {
            for ((index, &token), &wide) in indices.iter_mut().zip(tokens).zip(&self.indices[range]) {
                if token >= FIRST_WITH_RAW_BITS {
                    *index = wide;
                }
            }
        }
    }

    /// All indices.
    pub fn to_indices(&self, layout: &SubbandLayout, indices: &mut IndexBlocks) {
        indices.reset(layout, self.channels);
        for subband in 0..layout.blocks.len() {
            for channel in 0..self.channels {
                self.indices_of(layout, subband, channel, indices.block_mut(layout, subband, channel));
            }
        }
    }

    /// The tokens of indices.
    pub fn of_indices(&mut self, layout: &SubbandLayout, indices: &IndexBlocks) {
        self.reset(layout, indices.channels());
        let isa = Isa::current();
        for subband in 0..layout.blocks.len() {
            for channel in 0..self.channels {
                let range = self.range(layout, subband, channel..channel + 1);
                let block = indices.block(layout, subband, channel);
                if tokens_of(isa, block, &mut self.tokens[range.clone()]) >= FIRST_WITH_RAW_BITS {
                    self.set_wide(subband, channel);
                    self.widen(range).1.copy_from_slice(block);
                }
            }
        }
    }

    /// Marks those channels as wide whose tokens in the range, which has equal parts for each, have raw bits.
    pub fn mark_wide(&mut self, subband: usize, channels: Range<usize>, range: Range<usize>) {
        let part = range.len() / channels.len().max(1);
        for (i, channel) in channels.enumerate() {
            let start = range.start + i * part;
            if largest_token(Isa::current(), &self.tokens[start..start + part]) >= FIRST_WITH_RAW_BITS {
                self.set_wide(subband, channel);
            }
        }
    }
}

/// The indices of tokens with raw bits.
pub(crate) struct WideIndices<'a> {
    indices: &'a mut [i32],
    wide: &'a mut [bool],
    channels: usize,
}

impl WideIndices<'_> {
    /// Puts the index of the token at a place, which lies in this block.
    pub fn put(&mut self, subband: usize, channel: usize, place: usize, index: i32) {
        self.indices[place] = index;
        self.wide[subband * self.channels + channel] = true;
    }
}

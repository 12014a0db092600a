//! The indices of a chunk in the form that its coder takes.

use crate::index_blocks::IndexBlocks;
use crate::kernel::{Isa, count_nonzero, count_nonzero_tokens};
use crate::plane::{Piece, PlaneBuffers, PlaneQuantizer};
use crate::token_blocks::TokenBlocks;

/// Indices as such, or as tokens.
#[derive(Debug)]
pub(crate) enum ChunkIndices {
    Indices(IndexBlocks),
    Tokens(TokenBlocks),
}

impl Default for ChunkIndices {
    fn default() -> Self {
        ChunkIndices::Indices(IndexBlocks::default())
    }
}

impl ChunkIndices {
    /// The indices as such, with the memory that was there if they were so before.
    pub fn as_indices(&mut self) -> &mut IndexBlocks {
        if let ChunkIndices::Tokens(_) = self {
            *self = ChunkIndices::default();
        }
        match self {
            ChunkIndices::Indices(indices) => indices,
            ChunkIndices::Tokens(_) => unreachable!("replaced above"),
        }
    }

    /// As [`ChunkIndices::as_indices`], for tokens.
    pub fn as_tokens(&mut self) -> &mut TokenBlocks {
        if let ChunkIndices::Indices(_) = self {
            *self = ChunkIndices::Tokens(TokenBlocks::default());
        }
        match self {
            ChunkIndices::Tokens(tokens) => tokens,
            ChunkIndices::Indices(_) => unreachable!("replaced above"),
        }
    }

    pub fn nonzero(&self) -> usize {
        match self {
            ChunkIndices::Indices(indices) => count_nonzero(Isa::current(), indices.values()),
            ChunkIndices::Tokens(tokens) => count_nonzero_tokens(Isa::current(), tokens.tokens()),
        }
    }

    /// The decoded values of a piece of a chunk that begins with channel `first_channel`.
    pub fn inverse(
        &self,
        quantizer: &PlaneQuantizer,
        first_channel: usize,
        piece: &Piece,
        buffers: &mut PlaneBuffers,
        values: &mut [f32],
    ) {
        match self {
            ChunkIndices::Indices(indices) => quantizer.inverse_piece(first_channel, piece, indices, buffers, values),
            ChunkIndices::Tokens(tokens) => quantizer.inverse_tokens(first_channel, piece, tokens, buffers, values),
        }
    }
}

//! The coders of chunks: which kind of payload, with its tables prepared.

use super::activity_chunk::{
    ActivityScratch, PreparedActivity, activity_costs, decode_activity_chunk, encode_activity_chunk,
};
use super::chunk::{OrderZeroScratch, PreparedTables, decode_chunk, encode_chunk, order_zero_costs};
use crate::entropy::{ActivityModel, ContextTables};
use crate::error::Result;
use crate::plane::{IndexBlocks, PlaneQuantizer};

/// What codes the indices of chunks, as streams and profiles hold it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EntropyModel {
    /// Tables by subband and channel group.
    OrderZero(ContextTables),
    /// Tables by an estimate of each magnitude.
    Activity(ActivityModel),
}

impl EntropyModel {
    pub fn payload_kind(&self) -> PayloadKind {
        match self {
            EntropyModel::OrderZero(_) => PayloadKind::OrderZero,
            EntropyModel::Activity(_) => PayloadKind::Activity,
        }
    }
}

/// Kind of the payload of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadKind {
    OrderZero,
    Activity,
}

/// An entropy model prepared for coding.
#[derive(Debug, Clone)]
pub(crate) enum ChunkCoder {
    OrderZero(PreparedTables),
    Activity(PreparedActivity),
}

/// Working memory for chunks; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct ChunkScratch {
    order_zero: OrderZeroScratch,
    activity: ActivityScratch,
}

impl ChunkCoder {
    pub fn new(model: EntropyModel) -> Self {
        match model {
            EntropyModel::OrderZero(tables) => ChunkCoder::OrderZero(PreparedTables::new(tables)),
            EntropyModel::Activity(model) => ChunkCoder::Activity(PreparedActivity::new(model)),
        }
    }

    /// For encoding only: decoding tables are left out.
    pub fn for_encoding(model: EntropyModel) -> Self {
        match model {
            EntropyModel::OrderZero(tables) => ChunkCoder::OrderZero(PreparedTables::for_encoding(tables)),
            model => Self::new(model),
        }
    }

    pub fn payload_kind(&self) -> PayloadKind {
        match self {
            ChunkCoder::OrderZero(_) => PayloadKind::OrderZero,
            ChunkCoder::Activity(_) => PayloadKind::Activity,
        }
    }

    /// Number of frequency tables.
    pub fn tables(&self) -> usize {
        match self {
            ChunkCoder::OrderZero(prepared) => prepared.contexts.tables().len(),
            ChunkCoder::Activity(prepared) => prepared.model.tables().len(),
        }
    }

    /// Appends the payload for `indices`, whose first channel is `first_channel` of the map.
    pub fn encode(
        &self,
        quantizer: &PlaneQuantizer,
        first_channel: usize,
        indices: &IndexBlocks,
        scratch: &mut ChunkScratch,
        out: &mut Vec<u8>,
    ) {
        match self {
            ChunkCoder::OrderZero(prepared) => {
                encode_chunk(quantizer, prepared, first_channel, indices, &mut scratch.order_zero, out);
            }
            ChunkCoder::Activity(prepared) => {
                encode_activity_chunk(quantizer, prepared, first_channel, indices, &mut scratch.activity, out);
            }
        }
    }

    /// Decodes a payload into the blocks of `indices`, which has been reset to the chunk's channels.
    pub fn decode(
        &self,
        payload: &[u8],
        quantizer: &PlaneQuantizer,
        first_channel: usize,
        scratch: &mut ChunkScratch,
        indices: &mut IndexBlocks,
    ) -> Result<()> {
        match self {
            ChunkCoder::OrderZero(prepared) => {
                decode_chunk(payload, quantizer, prepared, first_channel, &mut scratch.order_zero, indices)
            }
            ChunkCoder::Activity(prepared) => {
                decode_activity_chunk(payload, quantizer, prepared, first_channel, &mut scratch.activity, indices)
            }
        }
    }

    /// What the indices of each subband cost, in units of 2^-16 bits, raw bits included.
    pub fn costs(
        &self,
        quantizer: &PlaneQuantizer,
        first_channel: usize,
        indices: &IndexBlocks,
        scratch: &mut ChunkScratch,
    ) -> Vec<u64> {
        match self {
            ChunkCoder::OrderZero(prepared) => order_zero_costs(quantizer, prepared, first_channel, indices),
            ChunkCoder::Activity(prepared) => {
                activity_costs(quantizer, prepared, first_channel, indices, &mut scratch.activity)
            }
        }
    }
}

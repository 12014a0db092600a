//! From indices to bytes and back: symbols with raw bits, frequency tables chosen by context, rANS.

mod bit_io;
mod cluster;
mod context;
mod exp_golomb;
mod frequency_table;
mod histogram;
mod log2;
mod rans;
mod symbol;

pub(crate) use bit_io::{BitReader, BitWriter, bits_for};
pub(crate) use context::ContextTables;
pub use exp_golomb::SegLength;
pub(crate) use frequency_table::FrequencyTable;
pub(crate) use histogram::Histogram;
pub(crate) use rans::{DecodeTable, EncodeTable, MAX_LANE_BITS, RansDecoder, RansEncoder, Run, lane_bits_for};
pub(crate) use symbol::{ESCAPE, MAX_MAGNITUDE, TOKENS, index_from_raw, raw_bits, raw_value, token};

//! From indices to bytes and back: symbols with raw bits, frequency tables chosen by context, rANS.

mod activity;
#[cfg(test)]
mod activity_fit;
mod bit_io;
mod cluster;
mod context;
mod exp_golomb;
mod frequency_table;
mod histogram;
mod level;
mod log2;
mod magnitude;
mod magnitude_table;
mod order_zero;
mod rans;
mod signed;
mod symbol;

pub(crate) use activity::{ActivityModel, BINS, MagnitudeRows, NEIGHBOUR_CAP, NEIGHBOURS, Places};
#[cfg(test)]
pub(crate) use activity_fit::{ActivityCounts, Moments, count_moments};
pub(crate) use bit_io::{BitReader, BitWriter, bits_for};
pub(crate) use cluster::{ClusterLimits, cluster};
pub(crate) use context::{ChannelGroups, ContextTables};
pub use exp_golomb::SegLength;
pub(crate) use frequency_table::FrequencyTable;
pub(crate) use histogram::Histogram;
pub(crate) use level::{level, signed_level};
pub(crate) use log2::{COST_BITS, log2};
pub(crate) use magnitude::{
    CLASSES, FIRST_MAGNITUDES, checked_magnitude, class, read_magnitude, rest_bits, write_rest,
};
pub(crate) use magnitude_table::{MAGNITUDE_SCALE_BITS, MagnitudeTable};
pub(crate) use order_zero::OrderZero;
pub(crate) use rans::{
    DecodeTables, EncodeMagnitudes, EncodeSymbols, LaneDecoder, MAX_LANE_BITS, OTHERS_MAX_LANE_BITS, RansDecoder,
    RansEncoder, Run, encode_magnitudes, encode_table, lane_bits_for, many_lane_bits_for,
};
pub(crate) use signed::{best_order, read_signed, write_signed};
pub(crate) use symbol::{
    ESCAPE, FIRST_WITH_RAW_BITS, MAX_MAGNITUDE, TOKENS, index_from_raw, raw_bits, raw_value, token,
};

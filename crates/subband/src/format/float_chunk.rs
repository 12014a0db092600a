//! The payload of a chunk of lossless floats (FORMAT.md, "Float payload").

use super::payload::{PayloadParts, begin_payload};
use crate::entropy::OTHERS_MAX_LANE_BITS;
use crate::error::Result;
use crate::floats::{DecodeTables, RowGrid, decode_lanes};

/// The payload of a chunk up to its words, with room for those of so many tokens.
pub(crate) fn begin_float_payload(grid: &RowGrid, raw: &[u8], tokens: usize) -> Vec<u8> {
    // Four bits a token are enough for most.
    let mut out = Vec::with_capacity(raw.len() + tokens / 2 + 64);
    begin_payload(grid.lane_bits, 0, raw, &mut out);
    out
}

/// Decodes the tokens of a payload and copies its raw bits, with eight zero bytes behind them. The lanes of
/// `grid` are those of the payload.
pub(crate) fn read_float_payload(
    tables: &DecodeTables,
    classes: &[u8; 128],
    mut grid: RowGrid,
    payload: &[u8],
    tokens: &mut [u8],
    raw: &mut Vec<u8>,
) -> Result<()> {
    let parts = PayloadParts::of(payload, 0, OTHERS_MAX_LANE_BITS)?;
    grid.lane_bits = parts.lane_bits;
    raw.clear();
    raw.extend_from_slice(parts.raw);
    raw.extend_from_slice(&[0; 8]);
    decode_lanes(tables, classes, &grid, parts.words, tokens)
}

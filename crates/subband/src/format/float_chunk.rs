//! The payload of a chunk of lossless floats (FORMAT.md, "Float payload").

use super::bytes::{ByteReader, put_varint};
use crate::entropy::MAX_LANE_BITS;
use crate::error::{Error, Result};
use crate::floats::{DecodeTables, RowGrid, decode_lanes};

/// Bit of the first byte that says that raw bits follow; the lanes are in the bits below.
const HAS_RAW_BITS: u8 = 1 << 3;

/// The payload of a chunk up to its words, with room for those of so many tokens.
pub(crate) fn begin_float_payload(grid: &RowGrid, raw: &[u8], tokens: usize) -> Vec<u8> {
    // Four bits a token are enough for most.
    let mut out = Vec::with_capacity(raw.len() + tokens / 2 + 64);
    out.push(grid.lane_bits as u8 | if raw.is_empty() { 0 } else { HAS_RAW_BITS });
    if !raw.is_empty() {
        put_varint(&mut out, raw.len() as u64);
        out.extend_from_slice(raw);
    }
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
    let mut reader = ByteReader::new(payload, "chunk payload");
    let mode = reader.u8()?;
    grid.lane_bits = u32::from(mode & 7);
    if mode & !(HAS_RAW_BITS | 7) != 0 || grid.lane_bits > MAX_LANE_BITS {
        return Err(Error::corrupt(format!("unknown coding mode {mode:#x} of a chunk")));
    }
    raw.clear();
    if mode & HAS_RAW_BITS != 0 {
        let length = reader.varint()?;
        raw.extend_from_slice(reader.take(length)?);
    }
    raw.extend_from_slice(&[0; 8]);
    decode_lanes(tables, classes, &grid, reader.rest(), tokens)
}

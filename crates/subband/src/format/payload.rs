//! What payloads of every kind begin with: lanes, flags and raw bits.

use super::bytes::{ByteReader, put_varint};
use crate::entropy::OTHERS_MAX_LANE_BITS;
use crate::error::{Error, Result};

/// Bits of the first byte that hold the lanes, as a binary logarithm.
const LANE_BITS: u8 = 7;
/// Bit of the first byte that says that raw bits follow. Flags of a kind of payload are the bits above.
const HAS_RAW_BITS: u8 = 1 << 3;

/// A payload, taken apart.
pub(super) struct PayloadParts<'a> {
    pub lane_bits: u32,
    pub flags: u8,
    pub raw: &'a [u8],
    /// The rest.
    pub words: &'a [u8],
}

impl<'a> PayloadParts<'a> {
    /// Errors: lanes or flags beyond those that the kind of payload has.
    pub fn of(payload: &'a [u8], known_flags: u8, most_lane_bits: u32) -> Result<Self> {
        let mut reader = ByteReader::new(payload, "chunk payload");
        let mode = reader.u8()?;
        let lane_bits = u32::from(mode & LANE_BITS);
        if mode & !(known_flags | HAS_RAW_BITS | LANE_BITS) != 0 || lane_bits > most_lane_bits {
            return Err(Error::corrupt(format!("unknown coding mode {mode:#x} of a chunk")));
        }
        let raw = if mode & HAS_RAW_BITS != 0 {
            let length = reader.varint()?;
            reader.take(length)?
        } else {
            &[]
        };
        Ok(PayloadParts { lane_bits, flags: mode & known_flags, raw, words: reader.rest() })
    }
}

/// Whether a chunk payload has more lanes than those before version 6.
pub(super) fn has_many_lanes(payload: &[u8]) -> bool {
    payload.first().is_some_and(|mode| u32::from(mode & LANE_BITS) > OTHERS_MAX_LANE_BITS)
}

/// Appends everything but the words.
pub(super) fn begin_payload(lane_bits: u32, flags: u8, raw: &[u8], out: &mut Vec<u8>) {
    out.push(lane_bits as u8 | flags | if raw.is_empty() { 0 } else { HAS_RAW_BITS });
    if !raw.is_empty() {
        put_varint(out, raw.len() as u64);
        out.extend_from_slice(raw);
    }
}

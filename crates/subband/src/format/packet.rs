//! A packet: one map coded against a tap of a profile, with 7 bytes of framing (FORMAT.md, "Packets").

use super::chunk_coder::PayloadKind;
use super::constants::PACKET_MAGIC;
use crate::error::{Error, ErrorKind, Result};
use crate::profile::TapHash;

/// CRC-16/IBM-SDLC detects every burst of up to 16 bits. Sixteen bytes at a time: one at a time took as long as rANS.
static CHECKSUM: crc::Crc<u16, crc::Table<16>> = crc::Crc::<u16, crc::Table<16>>::new(&crc::CRC_16_IBM_SDLC);
/// Leading bytes of the tap hash in a packet.
const HASH_BYTES: usize = 4;
const PREFIX: usize = 1 + HASH_BYTES;
/// Low half of the first byte by kind of payload.
const KINDS: [(PayloadKind, u8); 4] =
    [(PayloadKind::OrderZero, 1), (PayloadKind::Activity, 2), (PayloadKind::Mixing, 4), (PayloadKind::Spread, 8)];

/// Appends a packet whose payload, of this kind, `write_payload` appends.
pub(crate) fn write_packet(
    hash: &TapHash,
    kind: PayloadKind,
    out: &mut Vec<u8>,
    write_payload: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    let (_, code) = KINDS.into_iter().find(|&(of_code, _)| of_code == kind).expect("all kinds are listed");
    out.push(PACKET_MAGIC | code);
    out.extend_from_slice(&hash.0[..HASH_BYTES]);
    write_payload(out);
    let checksum = CHECKSUM.checksum(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// The payload of a packet and its kind, after version, profile and checksum have been checked.
pub(crate) fn open_packet<'a>(hash: &TapHash, packet: &'a [u8]) -> Result<(PayloadKind, &'a [u8])> {
    if packet.len() < PREFIX + 2 {
        return Err(Error::truncated("packet"));
    }
    if packet[0] & 0xf0 != PACKET_MAGIC {
        return Err(Error::corrupt("this is no Subband packet: the first byte is wrong"));
    }
    let code = packet[0] & 0x0f;
    let kind = KINDS.into_iter().find(|&(_, of_kind)| of_kind == code).map(|(kind, _)| kind).ok_or_else(|| {
        let message = format!("the packet holds a payload of kind {code}, which this library does not know");
        Error::new(ErrorKind::UnsupportedVersion, message)
    })?;
    if packet[1..PREFIX] != hash.0[..HASH_BYTES] {
        return Err(Error::new(ErrorKind::WrongProfile, "the packet was coded against another profile or tap"));
    }
    let (covered, checksum) = packet.split_at(packet.len() - 2);
    if CHECKSUM.checksum(covered).to_le_bytes() != *checksum {
        return Err(Error::corrupt("the checksum of the packet does not match"));
    }
    Ok((kind, &covered[PREFIX..]))
}

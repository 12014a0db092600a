//! The first fields of a stream: what the tensor is, and what is checked before any of it is believed (FORMAT.md, "Stream").

use super::bytes::ByteReader;
use super::constants::{MAX_RANK, STREAM_MAGIC, VERSION, VERSION_2, VERSION_3, VERSION_4, VERSION_6};
use super::header::ChunkGrid;
use super::limits::Limits;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{DType, Geometry};

/// Bit of the flags: the coding is in a profile.
pub(super) const FROM_PROFILE: u8 = 1;
/// Bit of the flags: payloads are coded with an activity model.
pub(super) const ACTIVITY: u8 = 2;
/// Bit of the flags: payloads are coded with the mixing model of a profile.
pub(super) const MIXING: u8 = 4;
/// Bit of the flags: payloads are coded with a spread model.
pub(super) const SPREAD: u8 = 8;
/// Bit of the flags, since version 6: there is one chunk, and one checksum for all.
pub(super) const ONE_CHUNK: u8 = 16;

/// Bits of the first byte of a header's body, since version 6, that hold the dtype; the rank less 2 is above them.
pub(super) const DTYPE_BITS: u8 = 7;

/// What follows a header.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rest<'a> {
    /// Chunks, each with its checksum.
    Chunks(&'a [u8]),
    /// The payload of the only chunk, which has been checked.
    Payload(&'a [u8]),
}

/// The first fields of a header, and readers of what follows them.
pub(super) struct Opening<'a> {
    pub version: u8,
    /// Where coding and tables come from.
    pub flags: u8,
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub channels_per_chunk: usize,
    /// The rest of the header.
    pub body: ByteReader<'a>,
    pub rest: Rest<'a>,
}

impl<'a> Opening<'a> {
    /// The checksum is checked before the fields are read, so a flipped bit is told apart from a field out of range.
    pub fn read_from(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let mut outer = ByteReader::new(bytes, "stream header");
        if bytes.len() >= 4 && bytes[..4] != STREAM_MAGIC {
            return Err(Error::corrupt("this is no Subband stream: the first four bytes are wrong"));
        }
        outer.take(4)?;
        let version = outer.u8()?;
        if !matches!(version, VERSION..=VERSION_4 | VERSION_6) {
            return Err(Error::new(
                ErrorKind::UnsupportedVersion,
                format!("the stream has format version {version}: this library reads 1 to 4 and 6"),
            ));
        }
        let flags_before = if version >= VERSION_6 { Some(outer.u8()?) } else { None };
        let one_chunk = flags_before.is_some_and(|flags| flags & ONE_CHUNK != 0);
        let length = outer.varint()?;
        let payload_length = if one_chunk { outer.varint()? } else { 0 };
        let body = outer.take(length)?;
        let payload = outer.take(payload_length)?;
        let covered = bytes.len() - outer.rest().len();
        if outer.u32()? != crc32fast::hash(&bytes[..covered]) {
            return Err(Error::corrupt("the checksum of the stream header does not match"));
        }
        let rest = if one_chunk { Rest::Payload(payload) } else { Rest::Chunks(outer.rest()) };
        if one_chunk {
            outer.finish()?;
        }

        let mut reader = ByteReader::new(body, "stream header");
        let flags = flags_before.map_or_else(|| reader.u8(), Ok)? & !if one_chunk { ONE_CHUNK } else { 0 };
        let known = match version {
            VERSION => FROM_PROFILE,
            VERSION_2 => FROM_PROFILE | ACTIVITY,
            VERSION_3 => FROM_PROFILE | ACTIVITY | MIXING,
            _ => FROM_PROFILE | ACTIVITY | MIXING | SPREAD,
        };
        let kinds = flags & !FROM_PROFILE;
        if flags & !known != 0 || kinds.count_ones() > 1 || flags == MIXING {
            return Err(Error::corrupt(format!("unknown stream flags {flags:#x}")));
        }
        let first = reader.u8()?;
        let (code, rank) = match version {
            VERSION_6 => (first & DTYPE_BITS, usize::from(first >> DTYPE_BITS.count_ones()) + 2),
            _ => (first, usize::from(reader.u8()?)),
        };
        let dtype = DType::ALL.get(usize::from(code)).copied();
        let dtype = dtype.ok_or_else(|| Error::corrupt(format!("unknown dtype code {code}")))?;
        if !(2..=MAX_RANK).contains(&rank) {
            return Err(Error::corrupt(format!("the stream has rank {rank}: allowed are 2 to {MAX_RANK}")));
        }
        let shape = (0..rank).map(|_| reader.varint()).collect::<Result<Vec<_>>>()?;
        limits.check_shape(&shape)?;
        let geometry = Geometry::of(&shape);
        let channels_per_chunk = if one_chunk { geometry.channels.max(1) } else { reader.varint()? };
        if channels_per_chunk == 0 || channels_per_chunk > geometry.channels.max(1) {
            return Err(Error::corrupt(format!("a chunk of {channels_per_chunk} channels of {}", geometry.channels)));
        }
        if one_chunk && (ChunkGrid { geometry, channels_per_chunk }).len() != 1 {
            return Err(Error::corrupt(format!("a tensor of shape {shape:?} in one chunk")));
        }
        Ok(Opening { version, flags, dtype, shape, channels_per_chunk, body: reader, rest })
    }
}

/// What can be told of a stream from its first bytes, without its tables and its profile.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamShape {
    /// Element type of the tensor.
    pub dtype: DType,
    /// Shape of the tensor, rank 2 or more.
    pub shape: Vec<usize>,
    /// Whether the tensor's profile is needed to decode it.
    pub from_profile: bool,
    /// Number of independently decodable chunks.
    pub chunks: usize,
}

/// Reads what a stream holds, at the cost of its header's checksum; a stream of one chunk has but one for all, and is needed
/// whole.
///
/// # Errors
/// `Truncated`, `Corrupt`, `UnsupportedVersion` and `LimitExceeded`, as far as the header shows.
pub fn shape_of(bytes: &[u8], limits: &Limits) -> Result<StreamShape> {
    let Opening { flags, dtype, shape, channels_per_chunk, .. } = Opening::read_from(bytes, limits)?;
    let chunks = ChunkGrid { geometry: Geometry::of(&shape), channels_per_chunk }.len();
    Ok(StreamShape { dtype, shape, from_profile: flags & FROM_PROFILE != 0, chunks })
}

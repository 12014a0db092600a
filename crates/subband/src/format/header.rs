//! The header of a stream: what the tensor is, how it is coded, and where its chunks are
//! (FORMAT.md, "Stream header").

use super::bytes::{ByteReader, put_varint};
use super::chunk_coder::{EntropyModel, PayloadKind};
use super::coding::{read_coding, write_coding};
use super::constants::{MAX_RANK, STREAM_MAGIC, VERSION, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6};
use super::float_model::{read_float_model, write_float_model};
use super::limits::Limits;
use crate::coding::Coding;
use crate::entropy::{ActivityModel, BitReader, BitWriter, ContextTables};
use crate::error::{Error, ErrorKind, Result};
use crate::floats::{FloatFormat, FloatModel};
use crate::profile::TapHash;
use crate::spread::SpreadModel;
use crate::tensor::{DType, Geometry};
use crate::wavelet::{Wavelet, subband_count};

/// Bit of the flags: the coding is in a profile.
const FROM_PROFILE: u8 = 1;
/// Bit of the flags: payloads are coded with an activity model.
const ACTIVITY: u8 = 2;
/// Bit of the flags: payloads are coded with the mixing model of a profile.
const MIXING: u8 = 4;
/// Bit of the flags: payloads are coded with a spread model.
const SPREAD: u8 = 8;

/// Where coding and tables come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TableSource {
    /// They are in the stream.
    Stream(Coding, EntropyModel),
    /// The stream holds floats without loss, with their own model. Since version 2.
    Floats(FloatModel),
    /// They are those of a tap of a profile, for this kind of payload.
    Profile(TapHash, PayloadKind),
}

impl TableSource {
    /// Flags of the header, and the version they need.
    fn flags(&self) -> (u8, u8) {
        let (from_profile, kind) = match self {
            TableSource::Stream(_, model) => (0, model.payload_kind()),
            TableSource::Floats(_) => return (0, VERSION_2),
            TableSource::Profile(_, kind) => (FROM_PROFILE, *kind),
        };
        match kind {
            PayloadKind::OrderZero => (from_profile, VERSION),
            PayloadKind::Activity => (from_profile | ACTIVITY, VERSION_2),
            PayloadKind::Mixing => (from_profile | MIXING, VERSION_3),
            PayloadKind::Spread => (from_profile | SPREAD, VERSION_4),
        }
    }
}

/// One independently decodable part: some channels of one batch item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub item: usize,
    pub first_channel: usize,
    pub channels: usize,
}

/// How a tensor is cut into chunks: by batch item, then by groups of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkGrid {
    pub geometry: Geometry,
    /// Channels of a chunk, at least 1; the last chunk of an item may have fewer.
    pub channels_per_chunk: usize,
}

impl ChunkGrid {
    fn chunks_per_item(&self) -> usize {
        self.geometry.channels.div_ceil(self.channels_per_chunk)
    }

    /// Number of chunks; none where there are no values.
    pub fn len(&self) -> usize {
        if self.geometry.values() == 0 { 0 } else { self.geometry.batch * self.chunks_per_item() }
    }

    pub fn chunk(&self, number: usize) -> Chunk {
        let first_channel = number % self.chunks_per_item() * self.channels_per_chunk;
        Chunk {
            item: number / self.chunks_per_item(),
            first_channel,
            channels: self.channels_per_chunk.min(self.geometry.channels - first_channel),
        }
    }
}

/// The first fields of a header, and readers of what follows them.
struct Opening<'a> {
    version: u8,
    flags: u8,
    dtype: DType,
    shape: Vec<usize>,
    channels_per_chunk: usize,
    /// The rest of the header.
    body: ByteReader<'a>,
    /// What follows the header.
    rest: &'a [u8],
}

impl<'a> Opening<'a> {
    /// The checksum is checked before the fields are read, so a flipped bit is told apart from a field out of range.
    fn read_from(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let mut outer = ByteReader::new(bytes, "stream header");
        if bytes.len() >= 4 && bytes[..4] != STREAM_MAGIC {
            return Err(Error::corrupt("this is no Subband stream: the first four bytes are wrong"));
        }
        outer.take(4)?;
        let version = outer.u8()?;
        if !(VERSION..=VERSION_6).contains(&version) || version == VERSION_5 {
            return Err(Error::new(
                ErrorKind::UnsupportedVersion,
                format!(
                    "the stream has format version {version}: this library reads {VERSION} to {VERSION_4} and {VERSION_6}"
                ),
            ));
        }
        let length = outer.varint()?;
        let body = outer.take(length)?;
        let covered = bytes.len() - outer.rest().len();
        if outer.u32()? != crc32fast::hash(&bytes[..covered]) {
            return Err(Error::corrupt("the checksum of the stream header does not match"));
        }

        let mut reader = ByteReader::new(body, "stream header");
        let flags = reader.u8()?;
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
        let code = reader.u8()?;
        let dtype = DType::ALL.get(code as usize).copied();
        let dtype = dtype.ok_or_else(|| Error::corrupt(format!("unknown dtype code {code}")))?;
        let rank = reader.u8()? as usize;
        if !(2..=MAX_RANK).contains(&rank) {
            return Err(Error::corrupt(format!("the stream has rank {rank}: allowed are 2 to {MAX_RANK}")));
        }
        let shape = (0..rank).map(|_| reader.varint()).collect::<Result<Vec<_>>>()?;
        limits.check_shape(&shape)?;
        let channels_per_chunk = reader.varint()?;
        let geometry = Geometry::of(&shape);
        if channels_per_chunk == 0 || channels_per_chunk > geometry.channels.max(1) {
            return Err(Error::corrupt(format!("a chunk of {channels_per_chunk} channels of {}", geometry.channels)));
        }
        Ok(Opening { version, flags, dtype, shape, channels_per_chunk, body: reader, rest: outer.rest() })
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

/// Reads what a stream holds, at the cost of its header's checksum.
///
/// # Errors
/// `Truncated`, `Corrupt`, `UnsupportedVersion` and `LimitExceeded`, as far as the header shows.
pub fn shape_of(bytes: &[u8], limits: &Limits) -> Result<StreamShape> {
    let Opening { flags, dtype, shape, channels_per_chunk, .. } = Opening::read_from(bytes, limits)?;
    let chunks = ChunkGrid { geometry: Geometry::of(&shape), channels_per_chunk }.len();
    Ok(StreamShape { dtype, shape, from_profile: flags & FROM_PROFILE != 0, chunks })
}

/// A parsed or to-be-written stream header.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub channels_per_chunk: usize,
    pub source: TableSource,
    /// Whether chunk payloads may have 64 lanes. Since version 6.
    pub many_lanes: bool,
    /// Payload bytes of each chunk.
    pub chunk_lengths: Vec<usize>,
}

impl Header {
    pub fn grid(&self) -> ChunkGrid {
        ChunkGrid { geometry: Geometry::of(&self.shape), channels_per_chunk: self.channels_per_chunk }
    }

    /// The header with magic, length and checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let (flags, mut version) = self.source.flags();
        if self.many_lanes {
            version = VERSION_6;
        }
        body.push(flags);
        body.push(DType::ALL.iter().position(|&d| d == self.dtype).expect("all are listed") as u8);
        body.push(self.shape.len() as u8);
        self.shape.iter().for_each(|&size| put_varint(&mut body, size as u64));
        put_varint(&mut body, self.channels_per_chunk as u64);
        match &self.source {
            TableSource::Profile(hash, _) => body.extend_from_slice(&hash.0),
            TableSource::Stream(coding, model) => {
                write_coding(coding, &mut body);
                if self.grid().len() > 0 {
                    let mut writer = BitWriter::default();
                    match model {
                        EntropyModel::OrderZero(tables) => tables.write_to(&mut writer),
                        EntropyModel::Activity(model) => model.write_to(&mut writer),
                        EntropyModel::Spread(model) => model.write_to(&mut writer),
                        EntropyModel::Mixing(_) => unreachable!("only profiles have mixing models"),
                    }
                    body.extend_from_slice(writer.finish());
                }
            }
            TableSource::Floats(model) => {
                write_coding(&Coding::lossless(Wavelet::None, 0), &mut body);
                if self.grid().len() > 0 {
                    let format = FloatFormat::of(self.dtype).expect("the dtype is a float");
                    write_float_model(format, model, &mut body);
                }
            }
        }
        self.chunk_lengths.iter().for_each(|&length| put_varint(&mut body, length as u64));

        let mut bytes = Vec::with_capacity(body.len() + 16);
        bytes.extend_from_slice(&STREAM_MAGIC);
        bytes.push(version);
        put_varint(&mut bytes, body.len() as u64);
        bytes.extend_from_slice(&body);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Parses the header of a stream and returns it with the bytes that follow it.
    pub fn read_from<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Header, &'a [u8])> {
        let Opening { version, flags, dtype, shape, channels_per_chunk, body: mut reader, rest } =
            Opening::read_from(bytes, limits)?;
        let geometry = Geometry::of(&shape);
        let grid = ChunkGrid { geometry, channels_per_chunk };

        let source = if flags & FROM_PROFILE != 0 {
            let kind = match flags & !FROM_PROFILE {
                0 => PayloadKind::OrderZero,
                ACTIVITY => PayloadKind::Activity,
                MIXING => PayloadKind::Mixing,
                _ => PayloadKind::Spread,
            };
            TableSource::Profile(TapHash(reader.tag()?), kind)
        } else {
            let coding = read_coding(&mut reader, geometry.channels)?;
            match FloatFormat::of(dtype).filter(|_| coding.lossless) {
                Some(_) if version < VERSION_2 || flags != 0 || coding != Coding::lossless(Wavelet::None, 0) => {
                    return Err(Error::corrupt(format!("a lossless stream of dtype {dtype} in version {version}")));
                }
                _ if grid.len() == 0 => TableSource::Stream(coding, EntropyModel::nothing()),
                Some(format) => TableSource::Floats(read_float_model(&mut reader, format)?),
                None => {
                    let (subbands, channels) = (subband_count(coding.levels), geometry.channels);
                    let mut bits = BitReader::new(reader.rest());
                    let model = match flags {
                        0 => EntropyModel::OrderZero(ContextTables::read_from(&mut bits, subbands, channels)?),
                        SPREAD => EntropyModel::Spread(SpreadModel::read_from(&mut bits, subbands, channels)?),
                        _ => EntropyModel::Activity(ActivityModel::read_from(&mut bits, subbands, channels)?),
                    };
                    reader.take(bits.finish()?)?;
                    TableSource::Stream(coding, model)
                }
            }
        };
        let mut chunk_lengths = Vec::new();
        for _ in 0..grid.len() {
            chunk_lengths.push(reader.varint()?);
        }
        reader.finish()?;
        let many_lanes = version >= VERSION_6;
        Ok((Header { dtype, shape, channels_per_chunk, source, many_lanes, chunk_lengths }, rest))
    }

    /// Cuts the bytes after the header into the payloads of the chunks with their checksums, not yet
    /// checked. Errors: too few or too many bytes.
    pub fn split_chunks<'a>(&self, bytes: &'a [u8]) -> Result<Vec<(&'a [u8], u32)>> {
        let mut reader = ByteReader::new(bytes, "chunks of the stream");
        let mut chunks = Vec::with_capacity(self.chunk_lengths.len());
        for &length in &self.chunk_lengths {
            chunks.push((reader.take(length)?, reader.u32()?));
        }
        reader.finish()?;
        Ok(chunks)
    }
}

/// Checksum of a chunk: of its number, so that chunks cannot change places, and its payload.
pub(crate) fn chunk_checksum(number: usize, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(number as u64).to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

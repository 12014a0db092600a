//! The header of a stream: what the tensor is, how it is coded, and where its chunks are
//! (FORMAT.md, "Stream header").

use super::bytes::{ByteReader, put_varint};
use super::chunk_coder::{EntropyModel, PayloadKind};
use super::coding::{StepForm, read_coding, write_coding};
use super::constants::{STREAM_MAGIC, VERSION, VERSION_2, VERSION_3, VERSION_4, VERSION_6};
use super::float_model::{read_float_model, write_float_model};
use super::limits::Limits;
use super::opening::{ACTIVITY, DTYPE_BITS, FROM_PROFILE, MIXING, ONE_CHUNK, Opening, Rest, SPREAD};
use super::payload::has_many_lanes;
use crate::coding::Coding;
use crate::entropy::{ActivityModel, BitReader, BitWriter, ContextTables};
use crate::error::{Error, Result};
use crate::floats::{FloatFormat, FloatModel};
use crate::profile::TapHash;
use crate::quantize::Steps;
use crate::spread::SpreadModel;
use crate::tensor::{DType, Geometry};
use crate::wavelet::{Wavelet, subband_count};

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

/// A parsed or to-be-written stream header.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub channels_per_chunk: usize,
    pub source: TableSource,
}

/// A chunk as it lies in a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredChunk<'a> {
    pub payload: &'a [u8],
    /// That of the stream.
    version: u8,
    /// None where the payload was checked with the header.
    checksum: Option<u32>,
}

impl<'a> StoredChunk<'a> {
    /// The payload of chunk `number`, checked.
    pub fn checked(&self, number: usize) -> Result<&'a [u8]> {
        let StoredChunk { payload, version, checksum } = *self;
        if checksum.is_some_and(|checksum| checksum != chunk_checksum(number, payload)) {
            return Err(Error::corrupt(format!("the checksum of chunk {number} does not match")));
        }
        if version < VERSION_6 && has_many_lanes(payload) {
            return Err(Error::corrupt(format!("chunk {number} has 64 lanes in version {version}")));
        }
        Ok(payload)
    }
}

/// Bytes of a checksum.
pub(crate) const CHECKSUM_BYTES: usize = 4;

impl Header {
    pub fn grid(&self) -> ChunkGrid {
        ChunkGrid { geometry: Geometry::of(&self.shape), channels_per_chunk: self.channels_per_chunk }
    }

    /// Appends a whole stream: header, then the payloads of all chunks with their checksums.
    pub fn write_stream(&self, payloads: &[Vec<u8>], out: &mut Vec<u8>) {
        debug_assert_eq!(self.grid().len(), payloads.len());
        let start = out.len();
        let (flags, version) = self.source.flags();
        out.extend_from_slice(&STREAM_MAGIC);
        let version = self.version(version, payloads);
        if let ([payload], VERSION_6) = (payloads, version) {
            // One checksum for all.
            let body = self.body(flags, VERSION_6, &[]);
            out.extend_from_slice(&[VERSION_6, flags | ONE_CHUNK]);
            put_varint(out, body.len() as u64);
            put_varint(out, payload.len() as u64);
            out.extend_from_slice(&body);
            out.extend_from_slice(payload);
            put_checksum(start, out);
            return;
        }
        let body = self.body(flags, version, payloads);
        out.push(version);
        if version >= VERSION_6 {
            out.push(flags);
        }
        put_varint(out, body.len() as u64);
        out.extend_from_slice(&body);
        put_checksum(start, out);
        out.reserve(payloads.iter().map(|payload| payload.len() + CHECKSUM_BYTES).sum());
        for (number, payload) in payloads.iter().enumerate() {
            out.extend_from_slice(payload);
            out.extend_from_slice(&chunk_checksum(number, payload).to_le_bytes());
        }
    }

    /// The version of the stream, at least `lowest`.
    fn version(&self, lowest: u8, payloads: &[Vec<u8>]) -> u8 {
        let (can_be_short, needs_short) = match &self.source {
            TableSource::Stream(_, EntropyModel::Spread(model)) => (model.is_short(), model.has_offsets_of_details()),
            _ => (true, false),
        };
        let needed = needs_short || payloads.iter().any(|payload| has_many_lanes(payload));
        match can_be_short && (needed || self.grid().len() == 1 || self.has_shorter_steps()) {
            true => VERSION_6,
            false => lowest,
        }
    }

    /// Whether there are several steps that take fewer bytes short; one is not worth another version.
    fn has_shorter_steps(&self) -> bool {
        let TableSource::Stream(coding, _) = &self.source else { return false };
        let bytes = |form: StepForm| {
            let mut out = Vec::new();
            write_coding(coding, form, &mut out);
            out.len()
        };
        !matches!(coding.steps, Steps::Uniform(_)) && bytes(StepForm::Short) < bytes(StepForm::Floats)
    }

    /// The header without magic, version, length and checksum, and without what precedes the length in version 6.
    fn body(&self, flags: u8, version: u8, payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut body = Vec::new();
        let dtype = DType::ALL.iter().position(|&d| d == self.dtype).expect("all are listed") as u8;
        let rank = self.shape.len() as u8;
        let form = if version >= VERSION_6 { StepForm::Short } else { StepForm::Floats };
        match form {
            StepForm::Short => body.push(dtype | (rank - 2) << DTYPE_BITS.count_ones()),
            StepForm::Floats => body.extend_from_slice(&[flags, dtype, rank]),
        }
        self.shape.iter().for_each(|&size| put_varint(&mut body, size as u64));
        let one_chunk = version >= VERSION_6 && self.grid().len() == 1;
        if !one_chunk {
            put_varint(&mut body, self.channels_per_chunk as u64);
        }
        match &self.source {
            TableSource::Profile(hash, _) => body.extend_from_slice(&hash.0),
            TableSource::Stream(coding, model) => {
                write_coding(coding, form, &mut body);
                if self.grid().len() > 0 {
                    let mut writer = BitWriter::default();
                    match model {
                        EntropyModel::OrderZero(tables) => tables.write_to(&mut writer),
                        EntropyModel::Activity(model) => model.write_to(&mut writer),
                        EntropyModel::Spread(model) if version >= VERSION_6 => model.write_short(&mut writer),
                        EntropyModel::Spread(model) => model.write_to(&mut writer),
                        EntropyModel::Mixing(_) => unreachable!("only profiles have mixing models"),
                    }
                    body.extend_from_slice(writer.finish());
                }
            }
            TableSource::Floats(model) => {
                write_coding(&Coding::lossless(Wavelet::None, 0), form, &mut body);
                if self.grid().len() > 0 {
                    let format = FloatFormat::of(self.dtype).expect("the dtype is a float");
                    write_float_model(format, model, &mut body);
                }
            }
        }
        if !one_chunk {
            payloads.iter().for_each(|payload| put_varint(&mut body, payload.len() as u64));
        }
        body
    }

    /// Parses the header of a stream and cuts what follows it into chunks, not yet checked. Errors: among others too few or too many
    /// bytes.
    pub fn read_from<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Header, Vec<StoredChunk<'a>>)> {
        let Opening { version, flags, dtype, shape, channels_per_chunk, body: mut reader, rest } =
            Opening::read_from(bytes, limits)?;
        let geometry = Geometry::of(&shape);
        let grid = ChunkGrid { geometry, channels_per_chunk };
        let form = if version >= VERSION_6 { StepForm::Short } else { StepForm::Floats };

        let source = if flags & FROM_PROFILE != 0 {
            let kind = match flags & !FROM_PROFILE {
                0 => PayloadKind::OrderZero,
                ACTIVITY => PayloadKind::Activity,
                MIXING => PayloadKind::Mixing,
                _ => PayloadKind::Spread,
            };
            TableSource::Profile(TapHash(reader.tag()?), kind)
        } else {
            let coding = read_coding(&mut reader, form, geometry.channels)?;
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
                        SPREAD if version >= VERSION_6 => {
                            EntropyModel::Spread(SpreadModel::read_short(&mut bits, subbands, channels)?)
                        }
                        SPREAD => EntropyModel::Spread(SpreadModel::read_from(&mut bits, subbands, channels)?),
                        _ => EntropyModel::Activity(ActivityModel::read_from(&mut bits, subbands, channels)?),
                    };
                    reader.take(bits.finish()?)?;
                    TableSource::Stream(coding, model)
                }
            }
        };
        let chunks = match rest {
            Rest::Payload(payload) => vec![StoredChunk { payload, version, checksum: None }],
            Rest::Chunks(rest) => {
                let mut lengths = Vec::new();
                for _ in 0..grid.len() {
                    lengths.push(reader.varint()?);
                }
                split_chunks(&lengths, version, rest)?
            }
        };
        reader.finish()?;
        Ok((Header { dtype, shape, channels_per_chunk, source }, chunks))
    }
}

fn split_chunks<'a>(lengths: &[usize], version: u8, bytes: &'a [u8]) -> Result<Vec<StoredChunk<'a>>> {
    let mut reader = ByteReader::new(bytes, "chunks of the stream");
    let mut chunks = Vec::with_capacity(lengths.len());
    for &length in lengths {
        chunks.push(StoredChunk { payload: reader.take(length)?, version, checksum: Some(reader.u32()?) });
    }
    reader.finish()?;
    Ok(chunks)
}

/// Appends the checksum of everything from `start` on.
fn put_checksum(start: usize, out: &mut Vec<u8>) {
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Checksum of a chunk: of its number, so that chunks cannot change places, and its payload.
fn chunk_checksum(number: usize, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(number as u64).to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

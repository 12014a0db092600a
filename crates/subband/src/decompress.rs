//! A stream to a tensor. The steps are those of FORMAT.md, "Decoding a stream".

use std::ops::Range;

use crate::coding::Coding;
use crate::compress::parts;
use crate::error::{Error, ErrorKind, Result};
use crate::floats::{FloatDecoder, FloatScratch};
use crate::format::{Chunk, ChunkCoder, ChunkScratch, EntropyModel, Header, Limits, TableSource, chunk_checksum};
use crate::parallel;
use crate::plane::{IndexBlocks, PlaneBuffers, PlaneQuantizer};
use crate::profile::Profile;
use crate::tensor::{ElementsMut, Tensor, TensorData};
use crate::wavelet::Wavelet;

/// Settings of [`decompress`], [`read`] and [`inspect`](crate::inspect).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct DecompressOptions<'a> {
    /// What decoding may cost.
    pub limits: Limits,
    /// The profile, for streams that refer to one.
    pub profile: Option<&'a Profile>,
}

impl<'a> DecompressOptions<'a> {
    /// With other limits.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With a profile.
    pub fn with_profile(mut self, profile: &'a Profile) -> Self {
        self.profile = Some(profile);
        self
    }
}

/// Decodes a whole stream into a tensor of the shape and dtype that was compressed.
///
/// # Errors
/// `Truncated`, `Corrupt` and `UnsupportedVersion` for bytes that are no complete stream of this version,
/// `WrongProfile` where the stream's profile was not given, `LimitExceeded`.
pub fn decompress(bytes: &[u8], options: &DecompressOptions) -> Result<Tensor> {
    let stream = OpenStream::new(bytes, options)?;
    let geometry = stream.header.grid().geometry;
    let data = stream.decode(0..geometry.batch, 0..geometry.channels)?;
    Tensor::new(data, &stream.header.shape)
}

/// Decodes some batch items and channels into a tensor of shape `[items, channels, H, W]`, reading only
/// the chunks that hold them. Leading axes count as one batch axis, row-major.
///
/// # Errors
/// As [`decompress`], and `InvalidArgument` for ranges beyond the tensor.
pub fn read(bytes: &[u8], batch: Range<usize>, channels: Range<usize>, options: &DecompressOptions) -> Result<Tensor> {
    let stream = OpenStream::new(bytes, options)?;
    let geometry = stream.header.grid().geometry;
    for (name, range, size) in [("batch", &batch, geometry.batch), ("channel", &channels, geometry.channels)] {
        if range.start > range.end || range.end > size {
            return Err(Error::invalid(format!("{name} range {range:?} is not within 0..{size}")));
        }
    }
    let shape = [batch.len(), channels.len(), geometry.height, geometry.width];
    Tensor::new(stream.decode(batch, channels)?, &shape)
}

/// A stream with its header read and its tables prepared.
pub(crate) struct OpenStream<'a> {
    pub header: Header,
    pub quantizer: PlaneQuantizer,
    pub coder: ChunkCoder,
    /// For lossless floats, which have neither transform nor indices.
    pub floats: Option<FloatDecoder>,
    /// Payload and checksum of each chunk.
    pub chunks: Vec<(&'a [u8], u32)>,
    pub header_bytes: usize,
}

impl<'a> OpenStream<'a> {
    pub fn new(bytes: &'a [u8], options: &DecompressOptions) -> Result<Self> {
        // 1. Header.
        let (header, rest) = Header::read_from(bytes, &options.limits)?;
        // 2. Coding and tables, from the stream or the profile.
        let (coding, model) = coding_and_model(&header, options.profile)?;
        // 3. Chunk index.
        let chunks = header.split_chunks(rest)?;
        let geometry = header.grid().geometry;
        Ok(OpenStream {
            quantizer: PlaneQuantizer::new(coding, geometry.channels, geometry.height, geometry.width)?,
            coder: ChunkCoder::new(model),
            floats: match &header.source {
                TableSource::Floats(model) => Some(FloatDecoder::new(model.clone(), geometry.height, geometry.width)),
                _ => None,
            },
            header_bytes: bytes.len() - rest.len(),
            chunks,
            header,
        })
    }

    /// A chunk and its payload, whose checksum has been checked.
    pub fn payload(&self, number: usize) -> Result<(Chunk, &'a [u8])> {
        let (payload, checksum) = self.chunks[number];
        if chunk_checksum(number, payload) != checksum {
            return Err(Error::corrupt(format!("the checksum of chunk {number} does not match")));
        }
        Ok((self.header.grid().chunk(number), payload))
    }

    /// Checks and decodes the indices of a chunk.
    pub fn indices(&self, number: usize, scratch: &mut ChunkScratch, indices: &mut IndexBlocks) -> Result<Chunk> {
        let (chunk, payload) = self.payload(number)?;
        indices.reset(&self.quantizer.layout, chunk.channels);
        self.coder.decode(payload, &self.quantizer, chunk.first_channel, scratch, indices)?;
        Ok(chunk)
    }

    /// 4. Decodes the chunks that hold the wanted items and channels, each into its part of the output.
    fn decode(&self, batch: Range<usize>, channels: Range<usize>) -> Result<TensorData> {
        #[derive(Default)]
        struct State {
            scratch: ChunkScratch,
            indices: IndexBlocks,
            buffers: PlaneBuffers,
            planes: Vec<f32>,
            integer_plane: Vec<i32>,
            floats: FloatScratch,
        }
        let grid = self.header.grid();
        let plane = grid.geometry.plane();
        let wanted = |chunk: &Chunk| {
            let start = chunk.first_channel.max(channels.start);
            start..(chunk.first_channel + chunk.channels).min(channels.end).max(start)
        };
        let numbers: Vec<usize> = (0..grid.len())
            .filter(|&number| {
                let chunk = grid.chunk(number);
                batch.contains(&chunk.item) && !wanted(&chunk).is_empty()
            })
            .collect();
        let lengths: Vec<usize> = numbers.iter().map(|&number| wanted(&grid.chunk(number)).len() * plane).collect();
        let mut data = TensorData::zeros(self.header.dtype, batch.len() * channels.len() * plane);
        let targets: Vec<(usize, ElementsMut)> = numbers.into_iter().zip(data.split_mut(&lengths)).collect();

        parallel::map(targets, |state: &mut State, _, (number, mut part)| {
            if let Some(floats) = &self.floats {
                let (chunk, payload) = self.payload(number)?;
                let bits = floats.decode(payload, chunk.channels, &mut state.floats)?;
                let wanted = wanted(&chunk);
                let start = (wanted.start - chunk.first_channel) * plane;
                part.write_bits(&bits[start..start + wanted.len() * plane]);
                return Ok(());
            }
            let chunk = self.indices(number, &mut state.scratch, &mut state.indices)?;
            let wanted = wanted(&chunk);
            state.integer_plane.resize(plane, 0);
            for done in parts(wanted.len(), self.quantizer.planes_at_a_time()) {
                let at = done.start * plane..done.end * plane;
                let channels = wanted.start + done.start..wanted.start + done.end;
                let slot = channels.start - chunk.first_channel;
                let (indices, buffers) = (&state.indices, &mut state.buffers);
                if self.quantizer.coding.lossless {
                    for (i, slot) in (slot..slot + done.len()).enumerate() {
                        let target = &mut state.integer_plane;
                        self.quantizer.inverse_lossless(indices, slot, buffers, target);
                        if !part.write_i32(at.start + i * plane, target) {
                            return Err(Error::corrupt(format!("a value of chunk {number} is outside of its dtype")));
                        }
                    }
                } else if let ElementsMut::F32(values) = &mut part {
                    self.quantizer.inverse_planes(channels, indices, slot, buffers, &mut values[at]);
                } else {
                    state.planes.resize(at.len(), 0.0);
                    self.quantizer.inverse_planes(channels, indices, slot, buffers, &mut state.planes);
                    part.write_f32(at.start, &state.planes);
                }
            }
            Ok(())
        })?;
        Ok(data)
    }
}

fn coding_and_model(header: &Header, profile: Option<&Profile>) -> Result<(Coding, EntropyModel)> {
    let (hash, kind) = match &header.source {
        TableSource::Stream(coding, model) => return Ok((coding.clone(), model.clone())),
        TableSource::Floats(_) => return Ok((Coding::lossless(Wavelet::None, 0), EntropyModel::nothing())),
        TableSource::Profile(hash, kind) => (hash, *kind),
    };
    let wrong = |message: &str| Error::new(ErrorKind::WrongProfile, message);
    let profile = profile.ok_or_else(|| wrong("the stream was coded against a profile: it must be given"))?;
    let tap = profile
        .tap_by_hash(hash)
        .ok_or_else(|| wrong("the stream was coded against another profile than the one given"))?;
    let geometry = header.grid().geometry;
    if tap.shape() != [geometry.channels, geometry.height, geometry.width] || header.dtype.is_integer() {
        return Err(Error::corrupt(format!("the stream's shape or dtype does not fit tap '{}'", tap.name())));
    }
    let model = tap.model(kind).ok_or_else(|| {
        Error::corrupt(format!("the stream asks for {}, which tap '{}' has not", kind.needs(), tap.name()))
    })?;
    Ok((tap.coding().clone(), model))
}

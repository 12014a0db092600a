//! A stream to a tensor. The steps are those of FORMAT.md, "Decoding a stream".

use std::ops::Range;

use crate::chunk_indices::ChunkIndices;
use crate::coding::Coding;
use crate::error::{Error, ErrorKind, Result};
use crate::floats::{FloatDecoder, FloatScratch};
use crate::format::{
    CHECKSUM_BYTES, Chunk, ChunkCoder, ChunkScratch, EntropyModel, Header, Limits, StoredChunk, TableSource,
};
use crate::parallel::{self, Pool};
use crate::plane::{IndexBlocks, Piece, PlaneBuffers, PlaneQuantizer};
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
    let mut data = TensorData::zeros(stream.header.dtype, geometry.values());
    stream.decode(0..geometry.batch, 0..geometry.channels, data.elements_mut())?;
    Tensor::new(data, &stream.header.shape)
}

/// As [`decompress`], into elements of the caller, row-major, as many and of the type that the stream has;
/// [`shape_of`] tells them. Working memory is kept for the next time.
///
/// # Errors
/// As [`decompress`], and `InvalidArgument` for another number of elements or another type. `elements` may then be partly
/// written.
///
/// [`shape_of`]: crate::shape_of
///
/// # Examples
/// ```
/// use subband::{Config, DecompressOptions, TensorView, compress, decompress_into};
///
/// let map = vec![1.0f32; 2 * 8 * 8];
/// let stream = compress(&TensorView::new(&map, &[2, 8, 8])?, &Config::default())?.bytes;
/// let mut decoded = vec![0.0f32; map.len()];
/// decompress_into(&stream, &mut (&mut decoded).into(), &DecompressOptions::default())?;
/// # Ok::<(), subband::Error>(())
/// ```
pub fn decompress_into(bytes: &[u8], elements: &mut ElementsMut, options: &DecompressOptions) -> Result<()> {
    let stream = OpenStream::new(bytes, options)?;
    let geometry = stream.header.grid().geometry;
    stream.check_room(elements, &stream.header.shape)?;
    stream.decode(0..geometry.batch, 0..geometry.channels, elements.reborrow())
}

/// Decodes some batch items and channels into a tensor of shape `[items, channels, H, W]`, reading only
/// the chunks that hold them. Leading axes count as one batch axis, row-major.
///
/// # Errors
/// As [`decompress`], and `InvalidArgument` for ranges beyond the tensor.
pub fn read(bytes: &[u8], batch: Range<usize>, channels: Range<usize>, options: &DecompressOptions) -> Result<Tensor> {
    let stream = OpenStream::new(bytes, options)?;
    let shape = stream.part(&batch, &channels)?;
    let mut data = TensorData::zeros(stream.header.dtype, shape.iter().product());
    stream.decode(batch, channels, data.elements_mut())?;
    Tensor::new(data, &shape)
}

/// As [`read`], into elements of the caller, row-major; [`shape_of`](crate::shape_of) tells what there is to read.
///
/// # Errors
/// As [`read`], and as [`decompress_into`] for elements that do not fit.
pub fn read_into(
    bytes: &[u8],
    batch: Range<usize>,
    channels: Range<usize>,
    elements: &mut ElementsMut,
    options: &DecompressOptions,
) -> Result<()> {
    let stream = OpenStream::new(bytes, options)?;
    let shape = stream.part(&batch, &channels)?;
    stream.check_room(elements, &shape)?;
    stream.decode(batch, channels, elements.reborrow())
}

/// Working memory of a thread that decodes.
#[derive(Debug, Default)]
struct DecodeState {
    scratch: ChunkScratch,
    indices: ChunkIndices,
    buffers: PlaneBuffers,
    planes: Vec<f32>,
    integer_plane: Vec<i32>,
    floats: FloatScratch,
}

/// Kept from call to call: a stream of a few thousand values takes less time than to get memory for it.
static STATES: Pool<DecodeState> = Pool::new();
/// Chunks with more values than this are decoded with memory that is given back.
const MAX_KEPT_VALUES: usize = 1 << 18;

/// A stream with its header read and its tables prepared.
pub(crate) struct OpenStream<'a> {
    pub header: Header,
    pub quantizer: PlaneQuantizer,
    pub coder: ChunkCoder,
    /// For lossless floats, which have neither transform nor indices.
    pub floats: Option<FloatDecoder>,
    /// Chunks, not yet checked.
    pub chunks: Vec<StoredChunk<'a>>,
    pub header_bytes: usize,
}

impl<'a> OpenStream<'a> {
    pub fn new(bytes: &'a [u8], options: &DecompressOptions) -> Result<Self> {
        // 1. Header, and 3. the chunks that its index tells.
        let (header, chunks) = Header::read_from(bytes, &options.limits)?;
        // 2. Coding and tables, from the stream or the profile.
        let (coding, model) = coding_and_model(&header, options.profile)?;
        let of_chunks: usize = chunks.iter().map(|chunk| chunk.payload.len() + CHECKSUM_BYTES).sum();
        let geometry = header.grid().geometry;
        Ok(OpenStream {
            quantizer: PlaneQuantizer::new(coding, geometry.channels, geometry.height, geometry.width)?,
            coder: ChunkCoder::for_decoding(model),
            floats: match &header.source {
                TableSource::Floats(model) => Some(FloatDecoder::new(model.clone(), geometry.height, geometry.width)),
                _ => None,
            },
            header_bytes: bytes.len() - of_chunks,
            chunks,
            header,
        })
    }

    /// The shape of some batch items and channels.
    fn part(&self, batch: &Range<usize>, channels: &Range<usize>) -> Result<[usize; 4]> {
        let geometry = self.header.grid().geometry;
        for (name, range, size) in [("batch", batch, geometry.batch), ("channel", channels, geometry.channels)] {
            if range.start > range.end || range.end > size {
                return Err(Error::invalid(format!("{name} range {range:?} is not within 0..{size}")));
            }
        }
        Ok([batch.len(), channels.len(), geometry.height, geometry.width])
    }

    fn check_room(&self, elements: &ElementsMut, shape: &[usize]) -> Result<()> {
        let (given, dtype) = (elements.len(), elements.dtype());
        let values: usize = shape.iter().product();
        if (given, dtype) == (values, self.header.dtype) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "room for {given} elements of {dtype} was given: there are {values} of {}, shape {shape:?}",
            self.header.dtype
        )))
    }

    /// A chunk and its payload, whose checksum has been checked.
    pub fn payload(&self, number: usize) -> Result<(Chunk, &'a [u8])> {
        Ok((self.header.grid().chunk(number), self.chunks[number].checked(number)?))
    }

    /// Checks and decodes the indices of a chunk.
    pub fn indices(&self, number: usize, scratch: &mut ChunkScratch, indices: &mut IndexBlocks) -> Result<Chunk> {
        let (chunk, payload) = self.payload(number)?;
        indices.reset(&self.quantizer.layout, chunk.channels);
        self.coder.decode(payload, &self.quantizer, chunk.first_channel, scratch, indices)?;
        Ok(chunk)
    }

    /// Decodes the indices of a chunk, whose checksum has been checked, to tokens where those are coded.
    fn decode_indices(
        &self,
        chunk: &Chunk,
        payload: &[u8],
        scratch: &mut ChunkScratch,
        indices: &mut ChunkIndices,
    ) -> Result<()> {
        let (quantizer, first, layout) = (&self.quantizer, chunk.first_channel, &self.quantizer.layout);
        if self.coder.codes_tokens() && !quantizer.coding.lossless {
            let tokens = indices.as_tokens();
            tokens.reset(layout, chunk.channels);
            return self.coder.decode_tokens(payload, quantizer, first, scratch, tokens);
        }
        let indices = indices.as_indices();
        indices.reset(layout, chunk.channels);
        self.coder.decode(payload, quantizer, first, scratch, indices)
    }

    /// 4. Decodes the chunks that hold the wanted items and channels, each into its part of the output.
    fn decode(&self, batch: Range<usize>, channels: Range<usize>, elements: ElementsMut) -> Result<()> {
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
        let targets: Vec<(usize, ElementsMut)> = numbers.into_iter().zip(elements.split(&lengths)).collect();

        let own = Pool::default();
        let pool = if grid.channels_per_chunk * plane <= MAX_KEPT_VALUES { &STATES } else { &own };
        parallel::map_with(pool, targets, |state, _, (number, mut part)| {
            if let Some(floats) = &self.floats {
                let (chunk, payload) = self.payload(number)?;
                let bits = floats.decode(payload, chunk.channels, &mut state.floats)?;
                let wanted = wanted(&chunk);
                let start = (wanted.start - chunk.first_channel) * plane;
                part.write_bits(&bits[start..start + wanted.len() * plane]);
                return Ok(());
            }
            let (chunk, payload) = self.payload(number)?;
            let wanted = wanted(&chunk);
            let slots = wanted.start - chunk.first_channel..wanted.end - chunk.first_channel;
            self.decode_indices(&chunk, payload, &mut state.scratch, &mut state.indices)?;
            if self.quantizer.coding.lossless {
                state.integer_plane.resize(plane, 0);
                for (i, slot) in slots.enumerate() {
                    let (buffers, target) = (&mut state.buffers, &mut state.integer_plane);
                    self.quantizer.inverse_lossless(state.indices.as_indices(), slot, buffers, target);
                    if !part.write_i32(i * plane, target) {
                        return Err(Error::corrupt(format!("a value of chunk {number} is outside of its dtype")));
                    }
                }
                return Ok(());
            }
            for piece in self.quantizer.pieces.of(slots.len()) {
                let at = self.quantizer.pieces.values(&piece);
                let piece = Piece { slots: piece.slots.start + slots.start..piece.slots.end + slots.start, ..piece };
                let (quantizer, first, buffers) = (&self.quantizer, chunk.first_channel, &mut state.buffers);
                if let ElementsMut::F32(values) = &mut part {
                    state.indices.inverse(quantizer, first, &piece, buffers, &mut values[at]);
                } else {
                    state.planes.resize(at.len(), 0.0);
                    state.indices.inverse(quantizer, first, &piece, buffers, &mut state.planes);
                    part.write_f32(at.start, &state.planes);
                }
            }
            Ok(())
        })?;
        Ok(())
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

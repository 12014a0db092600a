//! A tensor to a stream. The steps are those of FORMAT.md, "Encoding a stream".

use crate::chunk_indices::ChunkIndices;
use crate::coding::Coding;
use crate::config::{Config, NonFinite, Target, chunk_channels, validate_rdo};
use crate::effort::Effort;
use crate::error::{Error, ErrorKind, Result};
use crate::floats::compress_floats;
use crate::format::{Chunk, ChunkCoder, ChunkGrid, ChunkScratch, EntropyModel, Header, TableSource};
use crate::kernel::{Isa, survey};
use crate::parallel::{self, Pool};
use crate::plane::{IndexBlocks, Piece, PlaneBuffers, PlaneQuantizer};
use crate::profile::Profile;
use crate::quantize::Steps;
use crate::rate::search_step;
use crate::report::{ErrorSum, Report};
use crate::stream_model::{better_tables, choose_model, order_zero_tables};
use crate::tensor::{Geometry, TensorView, through_dtype};
use crate::token_blocks::TokenBlocks;

/// A stream and what it achieved.
#[derive(Debug, Clone, PartialEq)]
pub struct Compressed {
    /// The stream; [`decompress`](crate::decompress) reads it.
    pub bytes: Vec<u8>,
    /// Size, saturation and, if measured, errors.
    pub report: Report,
}

/// Compresses a tensor of shape `[..., C, H, W]` into a self-contained stream.
///
/// Chunks are shared among the threads of the current rayon pool; the bytes do not depend on them.
///
/// # Errors
/// `InvalidArgument` for a configuration out of range or a target that cannot be met, `NonFinite` for a
/// NaN or an infinity that the configuration does not replace.
///
/// # Examples
/// ```
/// use subband::{Config, DecompressOptions, Target, TensorView, compress, decompress};
///
/// let map: Vec<f32> = (0..16 * 32 * 32).map(|i| (i % 97) as f32 / 97.0).collect();
/// let view = TensorView::new(&map, &[16, 32, 32])?;
/// let config = Config::default().with_target(Target::MaxError(0.01));
/// let compressed = compress(&view, &config)?;
/// assert!(compressed.report.error.unwrap().max <= 0.01);
/// let decoded = decompress(&compressed.bytes, &DecompressOptions::default())?;
/// assert_eq!(decoded.shape(), [16, 32, 32]);
/// # Ok::<(), subband::Error>(())
/// ```
pub fn compress(tensor: &TensorView, config: &Config) -> Result<Compressed> {
    let mut bytes = Vec::new();
    let report = compress_into(tensor, config, &mut Workspace::default(), &mut bytes)?;
    Ok(Compressed { bytes, report })
}

/// As [`compress`], appended to `out` and with memory to be used again: at effort fast a second tensor of a kind makes no
/// allocation that grows with it.
///
/// # Errors
/// As [`compress`]; `out` is as it was then.
///
/// # Examples
/// ```
/// use subband::{Config, Effort, Target, TensorView, Workspace, compress_into};
///
/// let config = Config::default().with_effort(Effort::Fast).with_target(Target::Step(0.1));
/// let (mut workspace, mut stream) = (Workspace::default(), Vec::new());
/// for item in 0..3 {
///     let map: Vec<f32> = (0..16 * 32 * 32).map(|i| ((i * item) % 97) as f32 / 97.0).collect();
///     stream.clear();
///     compress_into(&TensorView::new(&map, &[16, 32, 32])?, &config, &mut workspace, &mut stream)?;
/// }
/// # Ok::<(), subband::Error>(())
/// ```
pub fn compress_into(
    tensor: &TensorView,
    config: &Config,
    workspace: &mut Workspace,
    out: &mut Vec<u8>,
) -> Result<Report> {
    config.validate(tensor)?;
    let grid = ChunkGrid { geometry: tensor.geometry(), channels_per_chunk: config.chunk_channels(&tensor.geometry()) };
    let mut attempt = |steps: Steps, measure: bool, out: &mut Vec<u8>| {
        let job = Job { tensor, grid, non_finite: config.non_finite, measure, effort: config.effort, rdo: config.rdo };
        job.run(config.coding(steps), None, workspace, out)
    };
    let compressed = match &config.target {
        Target::Step(step) => return attempt(Steps::Uniform(*step), config.measure_error, out),
        Target::Steps(steps) => return attempt(steps.clone(), config.measure_error, out),
        Target::Lossless if tensor.dtype().is_integer() => return attempt(Steps::Uniform(1.0), false, out),
        Target::Lossless => compress_floats(tensor, grid)?,
        target => search_step(target, |step, measure| {
            let mut bytes = Vec::new();
            let report = attempt(Steps::Uniform(step), measure || config.measure_error, &mut bytes)?;
            Ok(Compressed { bytes, report })
        })?,
    };
    out.extend_from_slice(&compressed.bytes);
    Ok(compressed.report)
}

/// Settings of [`compress_with_profile`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ProfileOptions {
    /// NaN and infinities. Default refuse.
    pub non_finite: NonFinite,
    /// Channels of a chunk; default as many as give 65,536 values.
    pub channels_per_chunk: Option<usize>,
    /// Decode again and report the error. Default false.
    pub measure_error: bool,
    /// Rate-distortion optimised indices, as in [`Config`](crate::Config). Default 0, plain rounding.
    pub rdo: f32,
    /// Work of the entropy coder. Default as its type's; a tap without the model for it is coded with less.
    pub effort: Effort,
}

impl ProfileOptions {
    /// Another effort.
    pub fn with_effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// Another number of channels of a chunk.
    pub fn with_channels_per_chunk(mut self, channels: usize) -> Self {
        self.channels_per_chunk = Some(channels);
        self
    }
}

/// Compresses maps of a tap, shape `[..., C, H, W]`, into a stream that refers to the profile.
///
/// # Errors
/// `InvalidArgument` for an unknown tap, maps of another shape or an integer dtype; `NonFinite` as
/// [`compress`].
pub fn compress_with_profile(
    tensor: &TensorView,
    profile: &Profile,
    tap: &str,
    options: &ProfileOptions,
) -> Result<Compressed> {
    let tap = profile.tap(tap)?;
    let geometry = tensor.geometry();
    if [geometry.channels, geometry.height, geometry.width] != tap.shape() {
        return Err(Error::invalid(format!(
            "maps of shape {:?} were given: tap '{}' has maps of shape {:?}",
            [geometry.channels, geometry.height, geometry.width],
            tap.name(),
            tap.shape()
        )));
    }
    if tensor.dtype().is_integer() {
        return Err(Error::invalid(format!("dtype {}: profiles code f32, f16 and bf16", tensor.dtype())));
    }
    let grid = ChunkGrid { geometry, channels_per_chunk: chunk_channels(options.channels_per_chunk, &geometry) };
    validate_rdo(options.rdo)?;
    let (non_finite, measure, effort) = (options.non_finite, options.measure_error, options.effort);
    let job = Job { tensor, grid, non_finite, measure, effort, rdo: options.rdo };
    let model = tap.model_for(options.effort);
    let source = TableSource::Profile(tap.hash(), model.payload_kind());
    let mut bytes = Vec::new();
    let report = job.run(tap.coding().clone(), Some((source, model)), &mut Workspace::default(), &mut bytes)?;
    Ok(Compressed { bytes, report })
}

/// One compression of a tensor.
struct Job<'a> {
    tensor: &'a TensorView<'a>,
    grid: ChunkGrid,
    non_finite: NonFinite,
    measure: bool,
    effort: Effort,
    rdo: f32,
}

/// Indices of a chunk and what was done to get them.
#[derive(Debug, Default)]
struct QuantizedChunk {
    indices: ChunkIndices,
    /// Coefficients' magnitudes in steps, if indices are optimised.
    scaled: Vec<f32>,
    saturated: u64,
    replaced: u64,
    negative: bool,
}

/// Working memory of a thread that quantizes.
#[derive(Debug, Default)]
struct QuantizeState {
    planes: Vec<f32>,
    integer_plane: Vec<i32>,
    buffers: PlaneBuffers,
}

/// Memory that [`compress_into`] works with: it grows to what the largest tensor takes, about half its size at effort fast,
/// and is used again.
#[derive(Debug, Default)]
pub struct Workspace {
    quantize: Pool<QuantizeState>,
    encode: Pool<ChunkScratch>,
    chunks: Vec<QuantizedChunk>,
    payloads: Vec<Vec<u8>>,
}

/// What chunks hold, each with its first channel.
type WithFirst<'c, T> = Vec<(usize, &'c T)>;

impl Job<'_> {
    fn run(
        &self,
        coding: Coding,
        model: Option<(TableSource, EntropyModel)>,
        workspace: &mut Workspace,
        out: &mut Vec<u8>,
    ) -> Result<Report> {
        let Geometry { channels, height, width, .. } = self.grid.geometry;
        // A coding for streams learns only now whether there are negative values; see below.
        let mut quantizer = PlaneQuantizer::new(coding, channels, height, width)?;
        let optimised = self.rdo > 0.0 && !quantizer.coding.lossless;
        let model = model.map(|(source, model)| (source, ChunkCoder::for_encoding(model)));

        // 1. Transform and quantize every chunk, to tokens if those are what is coded.
        let to_tokens = !quantizer.coding.lossless
            && self.rdo == 0.0
            && model.as_ref().map_or(self.effort == Effort::Fast, |(_, coder)| coder.codes_tokens());
        let Workspace { quantize, encode, chunks, payloads } = workspace;
        chunks.resize_with(self.grid.len(), QuantizedChunk::default);
        self.quantize(&quantizer, to_tokens, quantize, chunks)?;

        // 2. Make the tables, unless a profile brings them. Optimised indices get tables of their own.
        let (mut source, coder) = match model {
            Some((source, coder)) => {
                if optimised {
                    self.optimize(&quantizer, &coder, chunks)?;
                }
                (source, coder)
            }
            None => {
                quantizer.coding.nonnegative = !quantizer.coding.lossless && !chunks.iter().any(|chunk| chunk.negative);
                let mut model = self.stream_model(&quantizer, chunks);
                if optimised {
                    self.optimize(&quantizer, &ChunkCoder::for_encoding(model), chunks)?;
                    model = self.stream_model(&quantizer, chunks);
                }
                (TableSource::Stream(quantizer.coding.clone(), model.clone()), ChunkCoder::for_encoding(model))
            }
        };

        // 3. Code every chunk, and anew if a model for some of them turns out worse than tables for all.
        payloads.resize_with(chunks.len(), Vec::new);
        self.encode(&quantizer, &coder, chunks, encode, payloads)?;
        if let TableSource::Stream(_, model @ EntropyModel::Spread(_)) = &mut source {
            let payload_bytes = payloads.iter().map(Vec::len).sum();
            let (_, indices) = self.tokens_and_indices(chunks);
            if let Some(tables) = better_tables(&quantizer, channels, &indices, payload_bytes) {
                *model = tables.clone();
                self.encode(&quantizer, &ChunkCoder::for_encoding(tables), chunks, encode, payloads)?;
            }
        }

        // 4. Header with the chunk index, then the chunks.
        let header = Header {
            dtype: self.tensor.dtype(),
            shape: self.tensor.shape().to_vec(),
            channels_per_chunk: self.grid.channels_per_chunk,
            source,
        };
        let before = out.len();
        header.write_stream(payloads, out);

        let error = match self.measure {
            true => Some(self.measure_error(&quantizer, chunks)?.report(self.grid.geometry.values(), header.dtype)),
            false => None,
        };
        let nonzero = chunks.iter().map(|chunk| chunk.indices.nonzero()).sum();
        let report = self.report(&quantizer.coding, chunks, nonzero, out.len() - before);
        Ok(Report { error, ..report })
    }

    fn stream_model(&self, quantizer: &PlaneQuantizer, chunks: &[QuantizedChunk]) -> EntropyModel {
        let channels = self.grid.geometry.channels;
        let (tokens, indices) = self.tokens_and_indices(chunks);
        match tokens.is_empty() {
            true => choose_model(quantizer, channels, &indices, self.effort),
            false => EntropyModel::OrderZero(order_zero_tables(quantizer, channels, &tokens)),
        }
    }

    /// What of the chunks is tokens and what indices, each with its first channel.
    fn tokens_and_indices<'c>(
        &self,
        chunks: &'c [QuantizedChunk],
    ) -> (WithFirst<'c, TokenBlocks>, WithFirst<'c, IndexBlocks>) {
        let (mut tokens, mut indices) = (Vec::new(), Vec::new());
        for (number, chunk) in chunks.iter().enumerate() {
            let first_channel = self.grid.chunk(number).first_channel;
            match &chunk.indices {
                ChunkIndices::Tokens(own) => tokens.push((first_channel, own)),
                ChunkIndices::Indices(own) => indices.push((first_channel, own)),
            }
        }
        (tokens, indices)
    }

    /// Fills a payload for each chunk.
    fn encode(
        &self,
        quantizer: &PlaneQuantizer,
        coder: &ChunkCoder,
        chunks: &[QuantizedChunk],
        pool: &Pool<ChunkScratch>,
        payloads: &mut [Vec<u8>],
    ) -> Result<()> {
        let items = chunks.iter().zip(payloads).collect();
        parallel::map_with(pool, items, |scratch, number, (chunk, payload): (&QuantizedChunk, &mut Vec<u8>)| {
            payload.clear();
            let first_channel = self.grid.chunk(number).first_channel;
            match &chunk.indices {
                ChunkIndices::Tokens(tokens) => coder.encode_tokens(quantizer, first_channel, tokens, scratch, payload),
                ChunkIndices::Indices(indices) => coder.encode(quantizer, first_channel, indices, scratch, payload),
            }
            Ok(())
        })?;
        Ok(())
    }

    fn optimize(&self, quantizer: &PlaneQuantizer, coder: &ChunkCoder, chunks: &mut [QuantizedChunk]) -> Result<()> {
        let items = chunks.iter_mut().collect();
        parallel::map(items, |scratch: &mut ChunkScratch, number, chunk: &mut QuantizedChunk| {
            let first_channel = self.grid.chunk(number).first_channel;
            coder.optimize(self.rdo, quantizer, first_channel, &chunk.scaled, chunk.indices.as_indices(), scratch);
            Ok(())
        })?;
        Ok(())
    }

    /// Fills `chunks`, with tokens or with indices.
    fn quantize(
        &self,
        quantizer: &PlaneQuantizer,
        to_tokens: bool,
        pool: &Pool<QuantizeState>,
        chunks: &mut [QuantizedChunk],
    ) -> Result<()> {
        let layout = &quantizer.layout;
        let scaled = self.rdo > 0.0 && !quantizer.coding.lossless;
        parallel::map_with(pool, chunks.iter_mut().collect(), |state, number, quantized: &mut QuantizedChunk| {
            let chunk = self.grid.chunk(number);
            (quantized.saturated, quantized.replaced, quantized.negative) = (0, 0, false);
            if quantizer.coding.lossless {
                let indices = quantized.indices.as_indices();
                indices.reset(layout, chunk.channels);
                state.integer_plane.resize(layout.plane(), 0);
                for slot in 0..chunk.channels {
                    self.tensor.gather_i32(chunk.item, chunk.first_channel + slot, &mut state.integer_plane);
                    quantizer.forward_lossless(&state.integer_plane, slot, &mut state.buffers, indices);
                }
                return Ok(());
            }
            if to_tokens {
                quantized.indices.as_tokens().reset(layout, chunk.channels);
            } else {
                quantized.indices.as_indices().reset(layout, chunk.channels);
            }
            if scaled {
                quantized.scaled.resize(layout.plane() * chunk.channels, 0.0);
                let scaled = &mut quantized.scaled;
                for piece in quantizer.pieces.whole(chunk.channels) {
                    let (values, ..) = self.gather(&chunk, &piece, &mut state.planes)?;
                    let channel = chunk.first_channel + piece.slots.start;
                    quantizer.scaled_magnitudes(channel, &piece, chunk.channels, values, &mut state.buffers, scaled);
                }
            }
            for piece in quantizer.pieces.of(chunk.channels) {
                let QuantizeState { planes, buffers, .. } = &mut *state;
                let (values, replaced, negative) = self.gather(&chunk, &piece, planes)?;
                quantized.replaced += replaced;
                quantized.negative |= negative;
                let first = chunk.first_channel;
                quantized.saturated += match &mut quantized.indices {
                    ChunkIndices::Tokens(tokens) => quantizer.forward_tokens(first, &piece, values, buffers, tokens),
                    ChunkIndices::Indices(indices) => quantizer.forward_piece(first, &piece, values, buffers, indices),
                } as u64;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// The values of a piece, from the tensor where they lie there as they are, with NaN and infinities refused or replaced;
    /// also how many were, and whether a value is negative.
    fn gather<'b>(&'b self, chunk: &Chunk, piece: &Piece, planes: &'b mut Vec<f32>) -> Result<(&'b [f32], u64, bool)> {
        let isa = Isa::current();
        let channels = chunk.first_channel + piece.slots.start..chunk.first_channel + piece.slots.end;
        let size = piece.rows.len() * self.grid.geometry.width;
        let in_place = self.tensor.contiguous_f32(chunk.item, channels.clone(), piece.rows.clone());
        let copy = |planes: &mut Vec<f32>| {
            planes.resize(size * channels.len(), 0.0);
            for (channel, plane) in channels.clone().zip(planes.chunks_exact_mut(size.max(1))) {
                self.tensor.gather_f32(chunk.item, channel, piece.rows.clone(), plane);
            }
        };
        if in_place.is_none() {
            copy(planes);
        }
        let (largest, negative) = survey(isa, in_place.unwrap_or(planes));
        if largest < f32::INFINITY.to_bits() {
            return Ok((in_place.unwrap_or(planes), 0, negative));
        }
        copy(planes);
        match self.non_finite {
            NonFinite::Refuse => {
                let position = planes.iter().position(|value| !value.is_finite()).expect("one was found");
                let within_plane = piece.rows.start * self.grid.geometry.width + position % size;
                let index = self.tensor.index_of(chunk.item, channels.start + position / size, within_plane);
                Err(Error::new(
                    ErrorKind::NonFinite,
                    format!(
                        "the value at index {index:?} is {}: only finite values can be coded, unless replacements are given",
                        planes[position]
                    ),
                ))
            }
            NonFinite::Replace { nan, positive, negative } => {
                let mut replaced = 0;
                for value in planes.iter_mut().filter(|value| !value.is_finite()) {
                    *value = if value.is_nan() {
                        nan
                    } else if *value > 0.0 {
                        positive
                    } else {
                        negative
                    };
                    replaced += 1;
                }
                let negative = survey(isa, planes).1;
                Ok((planes, replaced, negative))
            }
        }
    }

    /// Decodes the indices and compares with the original, as a decoder would return it.
    fn measure_error(&self, quantizer: &PlaneQuantizer, chunks: &[QuantizedChunk]) -> Result<ErrorSum> {
        #[derive(Default)]
        struct State {
            original: Vec<f32>,
            decoded: Vec<f32>,
            buffers: PlaneBuffers,
        }
        let dtype = self.tensor.dtype();
        let sums = parallel::map(chunks.iter().collect(), |state: &mut State, number, quantized: &QuantizedChunk| {
            let chunk = self.grid.chunk(number);
            let mut sum = ErrorSum::NOTHING;
            for piece in quantizer.pieces.of(chunk.channels) {
                let (original, ..) = self.gather(&chunk, &piece, &mut state.original)?;
                state.decoded.resize(original.len(), 0.0);
                let (buffers, decoded) = (&mut state.buffers, &mut state.decoded);
                quantized.indices.inverse(quantizer, chunk.first_channel, &piece, buffers, decoded);
                sum.add(original, state.decoded.iter().map(|&value| through_dtype(dtype, value)));
            }
            Ok(sum)
        })?;
        let mut total = ErrorSum::NOTHING;
        sums.iter().for_each(|sum| total.join(sum));
        Ok(total)
    }

    fn report(&self, coding: &Coding, chunks: &[QuantizedChunk], nonzero: usize, bytes: usize) -> Report {
        let values = self.grid.geometry.values();
        Report {
            step: match coding.steps {
                Steps::Uniform(step) if !coding.lossless => Some(step),
                _ => None,
            },
            saturated: chunks.iter().map(|chunk| chunk.saturated).sum(),
            replaced: chunks.iter().map(|chunk| chunk.replaced).sum(),
            ..Report::of_size(self.tensor.dtype(), values, values - nonzero, bytes)
        }
    }
}

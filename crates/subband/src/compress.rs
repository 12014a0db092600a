//! A tensor to a stream. The steps are those of FORMAT.md, "Encoding a stream".

use std::ops::Range;

use crate::coding::Coding;
use crate::config::{Config, NonFinite, Target, chunk_channels, validate_rdo};
use crate::effort::Effort;
use crate::error::{Error, ErrorKind, Result};
use crate::floats::compress_floats;
use crate::format::{Chunk, ChunkCoder, ChunkGrid, ChunkScratch, EntropyModel, Header, TableSource, chunk_checksum};
use crate::kernel::{Isa, count_nonzero, survey};
use crate::parallel;
use crate::plane::{IndexBlocks, PlaneBuffers, PlaneQuantizer};
use crate::profile::Profile;
use crate::quantize::Steps;
use crate::rate::search_step;
use crate::report::{ErrorSum, Report};
use crate::stream_model::choose_model;
use crate::tensor::{Geometry, TensorView, through_dtype};

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
    config.validate(tensor)?;
    let grid = ChunkGrid { geometry: tensor.geometry(), channels_per_chunk: config.chunk_channels(&tensor.geometry()) };
    let attempt = |steps: Steps, measure: bool| {
        let job = Job { tensor, grid, non_finite: config.non_finite, measure, effort: config.effort, rdo: config.rdo };
        job.run(config.coding(steps), None)
    };
    match &config.target {
        Target::Step(step) => attempt(Steps::Uniform(*step), config.measure_error),
        Target::Steps(steps) => attempt(steps.clone(), config.measure_error),
        Target::Lossless if !tensor.dtype().is_integer() => compress_floats(tensor, grid),
        Target::Lossless => attempt(Steps::Uniform(1.0), false),
        target => search_step(target, |step, measure| attempt(Steps::Uniform(step), measure || config.measure_error)),
    }
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
    job.run(tap.coding().clone(), Some((source, model)))
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
struct QuantizedChunk {
    indices: IndexBlocks,
    /// Coefficients' magnitudes in steps, if indices are optimised.
    scaled: Vec<f32>,
    saturated: u64,
    replaced: u64,
    negative: bool,
}

impl Job<'_> {
    fn run(&self, coding: Coding, model: Option<(TableSource, EntropyModel)>) -> Result<Compressed> {
        let Geometry { channels, height, width, .. } = self.grid.geometry;
        // A coding for streams learns only now whether there are negative values; see below.
        let mut quantizer = PlaneQuantizer::new(coding, channels, height, width)?;

        // 1. Transform and quantize every chunk.
        let mut chunks = self.quantize(&quantizer)?;

        // 2. Make the tables, unless a profile brings them. Optimised indices get tables of their own.
        let optimised = self.rdo > 0.0 && !quantizer.coding.lossless;
        let (source, coder) = match model {
            Some((source, model)) => {
                let coder = ChunkCoder::for_encoding(model);
                if optimised {
                    chunks = self.optimize(&quantizer, &coder, chunks)?;
                }
                (source, coder)
            }
            None => {
                quantizer.coding.nonnegative = !quantizer.coding.lossless && !chunks.iter().any(|chunk| chunk.negative);
                let mut model = self.stream_model(&quantizer, &chunks);
                if optimised {
                    chunks = self.optimize(&quantizer, &ChunkCoder::for_encoding(model), chunks)?;
                    model = self.stream_model(&quantizer, &chunks);
                }
                (TableSource::Stream(quantizer.coding.clone(), model.clone()), ChunkCoder::for_encoding(model))
            }
        };

        // 3. Code every chunk.
        let payloads =
            parallel::map(chunks.iter().collect(), |scratch: &mut ChunkScratch, number, chunk: &QuantizedChunk| {
                let mut payload = Vec::new();
                let first_channel = self.grid.chunk(number).first_channel;
                coder.encode(&quantizer, first_channel, &chunk.indices, scratch, &mut payload);
                Ok(payload)
            })?;

        // 4. Header with the chunk index, then the chunks.
        let header = Header {
            dtype: self.tensor.dtype(),
            shape: self.tensor.shape().to_vec(),
            channels_per_chunk: self.grid.channels_per_chunk,
            source,
            chunk_lengths: payloads.iter().map(Vec::len).collect(),
        };
        let bytes = join_stream(&header, &payloads);

        let error = match self.measure {
            true => Some(self.measure_error(&quantizer, &chunks)?.report(self.grid.geometry.values(), header.dtype)),
            false => None,
        };
        let report = self.report(&quantizer.coding, &chunks, bytes.len());
        Ok(Compressed { report: Report { error, ..report }, bytes })
    }

    fn stream_model(&self, quantizer: &PlaneQuantizer, chunks: &[QuantizedChunk]) -> EntropyModel {
        let indices: Vec<(usize, &IndexBlocks)> =
            chunks.iter().enumerate().map(|(i, c)| (self.grid.chunk(i).first_channel, &c.indices)).collect();
        choose_model(quantizer, self.grid.geometry.channels, &indices, self.effort)
    }

    fn optimize(
        &self,
        quantizer: &PlaneQuantizer,
        coder: &ChunkCoder,
        chunks: Vec<QuantizedChunk>,
    ) -> Result<Vec<QuantizedChunk>> {
        parallel::map(chunks, |scratch: &mut ChunkScratch, number, mut chunk| {
            let first_channel = self.grid.chunk(number).first_channel;
            coder.optimize(self.rdo, quantizer, first_channel, &chunk.scaled, &mut chunk.indices, scratch);
            chunk.scaled = Vec::new();
            Ok(chunk)
        })
    }

    fn quantize(&self, quantizer: &PlaneQuantizer) -> Result<Vec<QuantizedChunk>> {
        #[derive(Default)]
        struct State {
            planes: Vec<f32>,
            integer_plane: Vec<i32>,
            buffers: PlaneBuffers,
        }
        let layout = &quantizer.layout;
        parallel::map(self.chunks(), |state: &mut State, _, chunk| {
            let mut quantized = QuantizedChunk {
                indices: IndexBlocks::default(),
                scaled: Vec::new(),
                saturated: 0,
                replaced: 0,
                negative: false,
            };
            quantized.indices.reset(layout, chunk.channels);
            if self.rdo > 0.0 {
                quantized.scaled.resize(layout.plane() * chunk.channels, 0.0);
            }
            let plane = layout.plane();
            state.integer_plane.resize(plane, 0);
            let at_a_time = if self.rdo > 0.0 { 1 } else { quantizer.planes_at_a_time() };
            for slots in parts(chunk.channels, at_a_time) {
                let slot = slots.start;
                let channels = chunk.first_channel + slots.start..chunk.first_channel + slots.end;
                if quantizer.coding.lossless {
                    for (slot, channel) in slots.zip(channels) {
                        self.tensor.gather_i32(chunk.item, channel, &mut state.integer_plane);
                        let plane = &state.integer_plane;
                        quantizer.forward_lossless(plane, slot, &mut state.buffers, &mut quantized.indices);
                    }
                    continue;
                }
                state.planes.resize(plane * channels.len(), 0.0);
                let (replaced, negative) = self.gather(chunk.item, channels.clone(), &mut state.planes)?;
                quantized.replaced += replaced;
                quantized.negative |= negative;
                let (channel, buffers, indices) = (channels.start, &mut state.buffers, &mut quantized.indices);
                quantized.saturated += quantizer.forward_planes(channels, &state.planes, slot, buffers, indices) as u64;
                if self.rdo > 0.0 {
                    quantizer.scaled_magnitudes(channel, slot, chunk.channels, buffers, &mut quantized.scaled);
                }
            }
            Ok(quantized)
        })
    }

    fn chunks(&self) -> Vec<Chunk> {
        (0..self.grid.len()).map(|number| self.grid.chunk(number)).collect()
    }

    /// Planes of channels next to each other, with NaN and infinities refused or replaced; returns how many were, and
    /// whether a value is negative.
    fn gather(&self, item: usize, channels: Range<usize>, planes: &mut [f32]) -> Result<(u64, bool)> {
        let isa = Isa::current();
        let size = self.grid.geometry.plane();
        for (channel, plane) in channels.clone().zip(planes.chunks_exact_mut(size.max(1))) {
            self.tensor.gather_f32(item, channel, plane);
        }
        let (largest, negative) = survey(isa, planes);
        if largest < f32::INFINITY.to_bits() {
            return Ok((0, negative));
        }
        match self.non_finite {
            NonFinite::Refuse => {
                let position = planes.iter().position(|value| !value.is_finite()).expect("one was found");
                Err(Error::new(
                    ErrorKind::NonFinite,
                    format!(
                        "the value at index {:?} is {}: only finite values can be coded, unless replacements are given",
                        self.tensor.index_of(item, channels.start + position / size, position % size),
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
                Ok((replaced, survey(isa, planes).1))
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
        let plane = quantizer.layout.plane();
        let sums = parallel::map(self.chunks(), |state: &mut State, number, chunk| {
            let mut sum = ErrorSum::NOTHING;
            state.original.resize(plane, 0.0);
            state.decoded.resize(plane, 0.0);
            for slot in 0..chunk.channels {
                let channel = chunk.first_channel + slot;
                self.gather(chunk.item, channel..channel + 1, &mut state.original)?;
                let indices = &chunks[number].indices;
                quantizer.inverse(channel, indices, slot, &mut state.buffers, &mut state.decoded);
                sum.add(&state.original, state.decoded.iter().map(|&value| through_dtype(dtype, value)));
            }
            Ok(sum)
        })?;
        let mut total = ErrorSum::NOTHING;
        sums.iter().for_each(|sum| total.join(sum));
        Ok(total)
    }

    fn report(&self, coding: &Coding, chunks: &[QuantizedChunk], bytes: usize) -> Report {
        let zeros = |indices: &[i32]| indices.len() - count_nonzero(Isa::current(), indices);
        let zeros = chunks.iter().map(|chunk| zeros(chunk.indices.values())).sum();
        Report {
            step: match coding.steps {
                Steps::Uniform(step) if !coding.lossless => Some(step),
                _ => None,
            },
            saturated: chunks.iter().map(|chunk| chunk.saturated).sum(),
            replaced: chunks.iter().map(|chunk| chunk.replaced).sum(),
            ..Report::of_size(self.tensor.dtype(), self.grid.geometry.values(), zeros, bytes)
        }
    }
}

/// The numbers below `count` in parts of `size`.
pub(crate) fn parts(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(size).map(move |start| start..(start + size).min(count))
}

/// Header, then each payload with its checksum.
pub(crate) fn join_stream(header: &Header, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = header.to_bytes();
    bytes.reserve(payloads.iter().map(|payload| payload.len() + 4).sum());
    for (number, payload) in payloads.iter().enumerate() {
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&chunk_checksum(number, payload).to_le_bytes());
    }
    bytes
}

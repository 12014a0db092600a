//! Tensors of floats to streams and back.

use super::lanes::{DecodeTables, EncodeTables, encode_lanes, lane_bits_for_rows};
use super::model::{CONTEXTS, FloatFormat, FloatModel, FloatParameters};
use super::palette::{BitsTable, palette_limit};
use super::survey::{Survey, sample_stride};
use super::tokens::{RowGrid, SplitChunk, SplitScratch, TokenForms, join_values};
use crate::compress::Compressed;
use crate::entropy::{ContextTables, Histogram};
use crate::error::{Error, Result};
use crate::format::{Chunk, ChunkGrid, Header, TableSource, read_float_payload};
use crate::inspect::SubbandInfo;
use crate::parallel;
use crate::report::Report;
use crate::tensor::TensorView;

/// Most tables of a stream: 24 of 16 KiB fit a second-level cache, and more save less than 0.02%.
const MAX_TABLES: usize = 24;

/// Compresses a tensor of floats without loss.
pub(crate) fn compress_floats(tensor: &TensorView, grid: ChunkGrid) -> Result<Compressed> {
    #[derive(Default)]
    struct SplitState {
        bits: Vec<u32>,
        scratch: SplitScratch,
        tallies: Vec<[u32; SYMBOLS]>,
    }
    let format = FloatFormat::of(tensor.dtype()).expect("the caller has asked");
    let chunks: Vec<Chunk> = (0..grid.len()).map(|number| grid.chunk(number)).collect();
    let plane = grid.geometry.plane();
    let values = grid.geometry.values();
    let gather = |chunk: &Chunk, bits: &mut Vec<u32>| {
        bits.resize(chunk.channels * plane, 0);
        for (slot, plane) in bits.chunks_exact_mut(plane).enumerate() {
            tensor.gather_bits(chunk.item, chunk.first_channel + slot, plane);
        }
    };

    // 1. Choose the parameters.
    let stride = sample_stride(values);
    let surveys = parallel::map(chunks.clone(), |bits: &mut Vec<u32>, _, chunk| {
        gather(&chunk, bits);
        let mut survey = Survey::default();
        survey.add(bits, stride);
        Ok(survey)
    })?;
    let mut survey = Survey::default();
    surveys.iter().for_each(|part| survey.join(part));
    let mut ranks = find_palette(format, &survey, &chunks, gather)?;
    let parameters = match &mut ranks {
        Some(ranks) => {
            let palette = ranks.rank(format);
            survey.sample.iter_mut().for_each(|bits| *bits = ranks.rank_of(*bits));
            survey.any = (0..palette.len()).fold(0, |any, rank| any | (rank as f32).to_bits());
            FloatParameters { palette, ..survey.parameters(FloatFormat::F32) }
        }
        None => survey.parameters(format),
    };
    let forms = TokenForms::new(&parameters);

    // 2. Split the values of every chunk, and count tokens by context.
    let row_grid = |chunk: &Chunk| {
        let (rows, width) = (chunk.channels * grid.geometry.height, grid.geometry.width);
        RowGrid { rows, height: grid.geometry.height, width, lane_bits: lane_bits_for_rows(rows, width) }
    };
    let parts = parallel::map(chunks.clone(), |state: &mut SplitState, _, chunk| {
        let SplitState { bits, scratch, tallies } = state;
        gather(&chunk, bits);
        if let Some(ranks) = &ranks {
            bits.iter_mut().for_each(|bits| *bits = ranks.rank_of(*bits));
        }
        let split = SplitChunk::new(&parameters, &forms, &row_grid(&chunk), bits, scratch);
        let counts = split.count(tallies);
        Ok((split, counts))
    })?;
    let mut histograms = vec![Histogram::EMPTY; CONTEXTS];
    for (_, counts) in &parts {
        histograms.iter_mut().zip(counts).for_each(|(sum, counts)| sum.add(counts));
    }
    let zeros: usize = histograms.iter().map(|histogram| histogram.counts[0] as usize).sum();

    // 3. Tables, then the payloads.
    let tables = ContextTables::for_contexts(&histograms, MAX_TABLES);
    let prepared = EncodeTables::new(&tables);
    let payloads = parallel::map(parts, |words: &mut Vec<u16>, number, (split, _)| {
        let mut payload = split.payload;
        encode_lanes(&prepared, &row_grid(&chunks[number]), &split.symbols, words, &mut payload);
        Ok(payload)
    })?;

    // 4. Header with the chunk index, then the chunks.
    let header = Header {
        dtype: tensor.dtype(),
        shape: tensor.shape().to_vec(),
        channels_per_chunk: grid.channels_per_chunk,
        source: TableSource::Floats(FloatModel { parameters, tables }),
    };
    let mut bytes = Vec::new();
    header.write_stream(&payloads, &mut bytes);
    let report = Report::of_size(tensor.dtype(), values, zeros, bytes.len());
    Ok(Compressed { bytes, report })
}

/// The distinct values of a tensor, if they are few.
fn find_palette(
    format: FloatFormat,
    survey: &Survey,
    chunks: &[Chunk],
    gather: impl Fn(&Chunk, &mut Vec<u32>) + Sync,
) -> Result<Option<BitsTable>> {
    if !survey.may_repeat() {
        return Ok(None);
    }
    let limit = palette_limit(format, survey.values);
    let parts = parallel::map(chunks.to_vec(), |bits: &mut Vec<u32>, _, chunk| {
        gather(&chunk, bits);
        let mut part = BitsTable::new(limit);
        Ok(part.add(bits.iter().copied()).then_some(part))
    })?;
    let mut all = BitsTable::new(limit);
    let few = parts.iter().all(|part| part.as_ref().is_some_and(|part| all.add(part.values())));
    Ok(few.then_some(all))
}

/// Symbols are below this.
const SYMBOLS: usize = CONTEXTS * 128;

impl SplitChunk {
    /// Tokens by context; `tallies` is working memory.
    fn count(&self, tallies: &mut Vec<[u32; SYMBOLS]>) -> Vec<Histogram> {
        // Two tallies in turn: one would wait for its own last store at every zero.
        tallies.clear();
        tallies.resize(2, [0; SYMBOLS]);
        let (first, second) = tallies.split_at_mut(1);
        let mut pairs = self.symbols.chunks_exact(2);
        for pair in &mut pairs {
            first[0][usize::from(pair[0])] += 1;
            second[0][usize::from(pair[1])] += 1;
        }
        for &symbol in pairs.remainder() {
            first[0][usize::from(symbol)] += 1;
        }
        (0..CONTEXTS)
            .map(|context| {
                let mut histogram = Histogram::EMPTY;
                for (token, count) in histogram.counts.iter_mut().enumerate() {
                    *count = first[0][context * 128 + token] + second[0][context * 128 + token];
                }
                histogram
            })
            .collect()
    }
}

/// A stream's model in the forms that decoding looks up.
#[derive(Debug)]
pub(crate) struct FloatDecoder {
    model: FloatModel,
    forms: TokenForms,
    classes: [u8; 128],
    tables: DecodeTables,
    height: usize,
    width: usize,
}

/// Working memory for chunks; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct FloatScratch {
    tokens: Vec<u8>,
    raw: Vec<u8>,
    values: Vec<u32>,
}

impl FloatDecoder {
    pub fn new(model: FloatModel, height: usize, width: usize) -> Self {
        let forms = TokenForms::new(&model.parameters);
        let classes = forms.classes();
        FloatDecoder { forms, classes, tables: DecodeTables::new(&model.tables), height, width, model }
    }

    pub fn tables(&self) -> &ContextTables {
        &self.model.tables
    }

    fn decode_tokens(&self, payload: &[u8], channels: usize, scratch: &mut FloatScratch) -> Result<()> {
        let rows = channels * self.height;
        scratch.tokens.resize(rows * self.width, 0);
        let grid = RowGrid { rows, height: self.height, width: self.width, lane_bits: 0 };
        read_float_payload(&self.tables, &self.classes, grid, payload, &mut scratch.tokens, &mut scratch.raw)
    }

    /// Decodes the payload of a chunk to the bits of its values, plane by plane.
    pub fn decode<'s>(&self, payload: &[u8], channels: usize, scratch: &'s mut FloatScratch) -> Result<&'s [u32]> {
        self.decode_tokens(payload, channels, scratch)?;
        scratch.values.resize(scratch.tokens.len(), 0);
        join_values(&self.forms, &scratch.tokens, &scratch.raw, &mut scratch.values)?;
        let palette = &self.model.parameters.palette;
        if !palette.is_empty() {
            for bits in &mut scratch.values {
                let rank = f32::from_bits(*bits);
                let entry = palette.get(rank as usize).filter(|_| (rank as usize as f32).to_bits() == *bits);
                *bits = *entry.ok_or_else(|| Error::corrupt("a rank is not in the palette of its stream"))?;
            }
        }
        Ok(&scratch.values)
    }

    /// What the parts of a chunk take: tokens by their tables, raw bits.
    pub fn inspect(&self, payload: &[u8], channels: usize, scratch: &mut FloatScratch) -> Result<[SubbandInfo; 2]> {
        self.decode(payload, channels, scratch)?;
        let zeros = scratch.tokens.iter().filter(|&&token| token == 0).count();
        let raw: u64 = scratch.tokens.iter().map(|&token| u64::from(self.forms.width(token))).sum();
        let info = |name: &str, values: usize, zeros: usize, bits: f64| SubbandInfo {
            name: name.to_owned(),
            values,
            dropped: 0,
            zeros,
            max_index: 0,
            bits,
        };
        let token_bits = 8.0 * payload.len() as f64 - raw as f64;
        let count = scratch.tokens.len();
        Ok([info("tokens", count, zeros, token_bits), info("raw bits", count - zeros, 0, raw as f64)])
    }
}

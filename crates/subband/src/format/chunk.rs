//! The payload of a chunk: indices of some channels of one map (FORMAT.md, "Chunk payload").

use std::ops::Range;

use super::chunk_plan::{ChunkPlan, FlatPlan, Stretch};
use super::payload::{PayloadParts, begin_payload};
use crate::entropy::{
    BitReader, BitWriter, COST_BITS, ContextTables, DecodeTables, ESCAPE, FIRST_WITH_RAW_BITS, FrequencyTable,
    MAX_LANE_BITS, MAX_MAGNITUDE, RansDecoder, RansEncoder, Run, TOKENS, encode_table, index_from_raw,
    many_lane_bits_for, raw_bits, raw_value, token,
};
use crate::error::{Error, Result};
use crate::kernel::{Isa, TokenTable, count_nonzero_tokens, count_tokens, largest_token};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::rate::Trade;
use crate::token_blocks::TokenBlocks;

/// Context tables in the forms that coding looks up.
#[derive(Debug, Clone)]
pub(crate) struct PreparedTables {
    pub contexts: ContextTables,
    /// What each token costs in each table, in units of 2^-16 bits.
    costs: Vec<[u32; TOKENS]>,
    encode: Vec<TokenTable>,
    /// In each table the first token that is coded with raw bits: since it has some, or has no share and is escaped.
    special: Vec<u8>,
    /// None where there is no decoding.
    decode: DecodeTables,
    /// Of chunks that are whole maps.
    plan: Option<ChunkPlan>,
}

impl PreparedTables {
    /// For encoding only: decoding tables are left out.
    pub fn for_encoding(contexts: ContextTables) -> Self {
        let encode = contexts.tables().iter().map(encode_table).collect();
        PreparedTables { encode, ..PreparedTables::for_costs(contexts) }
    }

    /// For decoding only: encoding tables are left out.
    pub fn for_decoding(contexts: ContextTables) -> Self {
        let decode = DecodeTables::new(contexts.tables());
        PreparedTables { decode, ..PreparedTables::for_costs(contexts) }
    }

    pub fn new(contexts: ContextTables) -> Self {
        let encode = contexts.tables().iter().map(encode_table).collect();
        PreparedTables { encode, ..PreparedTables::for_decoding(contexts) }
    }

    /// For costs only.
    pub fn for_costs(contexts: ContextTables) -> Self {
        let costs = contexts.tables().iter().map(|table| table.costs()).collect();
        let special = contexts.tables().iter().map(first_special).collect();
        PreparedTables { contexts, costs, encode: Vec::new(), special, decode: DecodeTables::default(), plan: None }
    }

    /// For chunks of all channels: what of them is coded need not be found out again.
    pub fn plan_whole_maps(&mut self, quantizer: &PlaneQuantizer, channels: usize) {
        let mut plan = ChunkPlan::default();
        plan.fill(quantizer, self, 0..channels);
        self.plan = Some(plan);
    }

    /// The plan for some channels: the one of whole maps, or made in working memory.
    fn plan<'p>(
        &'p self,
        quantizer: &PlaneQuantizer,
        channels: Range<usize>,
        memory: &'p mut ChunkPlan,
    ) -> &'p ChunkPlan {
        match &self.plan {
            Some(plan) if plan.channels == channels => plan,
            _ => {
                memory.fill(quantizer, self, channels);
                memory
            }
        }
    }

    /// The first token that the table codes with raw bits.
    pub fn first_special(&self, number: u8) -> u8 {
        self.special[usize::from(number)]
    }

    /// The token that codes the one at a place, which may have no share in the table or may have raw bits: those are written.
    fn special_token(&self, number: u8, blocks: &TokenBlocks, at: usize, raw: &mut BitWriter) -> u8 {
        let (table, token) = (&self.contexts.tables()[usize::from(number)], blocks.tokens()[at]);
        let wide = token >= FIRST_WITH_RAW_BITS;
        let index = if wide { blocks.wide_indices()[at] } else { index_from_raw(token, 0) };
        let token = if table.frequency(token) > 0 { token } else { ESCAPE };
        debug_assert!(table.frequency(token) > 0, "tables of a stream hold all its tokens");
        if raw_bits(token) > 0 {
            raw.write(raw_value(index, token), raw_bits(token));
        }
        token
    }

    /// Whether a token of the table may have raw bits.
    pub fn may_be_wide(&self, number: u8) -> bool {
        let table = &self.contexts.tables()[usize::from(number)];
        (FIRST_WITH_RAW_BITS..TOKENS as u8).any(|token| table.frequency(token) > 0)
    }

    /// What an index costs in a table, in units of 2^-16 bits, raw bits included.
    fn cost(&self, table: u8, index: i32) -> u64 {
        let (table, costs) = (&self.contexts.tables()[table as usize], &self.costs[table as usize]);
        let token = token_of(table, index);
        // A table of a stream has no escape, and what it has no token for must not be chosen.
        let impossible = if table.frequency(token) > 0 { 0 } else { u64::from(u32::MAX) };
        u64::from(costs[token as usize]) + ((u64::from(raw_bits(token)) + impossible) << COST_BITS)
    }
}

/// The token that codes an index: its own if it has a share in the table.
#[inline]
fn token_of(table: &FrequencyTable, index: i32) -> u8 {
    let token = token(index);
    if table.frequency(token) > 0 { token } else { ESCAPE }
}

fn first_special(table: &FrequencyTable) -> u8 {
    (0..FIRST_WITH_RAW_BITS).find(|&token| table.frequency(token) == 0).unwrap_or(FIRST_WITH_RAW_BITS)
}

/// Working memory for chunks; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct OrderZeroScratch {
    /// Tokens of blocks with escapes, or all that are coded where those are not next to each other.
    apart: Vec<u8>,
    runs: Vec<Run>,
    plan: ChunkPlan,
    raw: BitWriter,
    words: Vec<u16>,
    /// The chunk, where its indices come or go as such.
    tokens: TokenBlocks,
}

/// Tokens that are looked at together whether one of them is special.
const STEP: usize = 64;

/// Calls `visit` with the position of every token from `first` on, in order.
///
/// Where steps are fine, half of the tokens are such, in no order that a branch a token could foresee: bits of a word are gone
/// through instead.
fn for_each_from(first: u8, tokens: &[u8], mut visit: impl FnMut(usize, u8)) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let add = EACH * u64::from(128 - first);
    // The highest bit of each byte, as tokens are below 112; then those bits next to each other.
    let mask = |tokens: &[u8; 8]| {
        let found = (u64::from_le_bytes(*tokens) + add) >> 7 & EACH;
        found.wrapping_mul(0x0102_0408_1020_4080) >> 56
    };
    let (words, rest) = tokens.as_chunks::<8>();
    for (i, words) in words.chunks(8).enumerate() {
        let mut found = words.iter().rev().fold(0, |found, word| found << 8 | mask(word));
        while found != 0 {
            let at = 64 * i + found.trailing_zeros() as usize;
            visit(at, tokens[at]);
            found &= found - 1;
        }
    }
    let before = tokens.len() - rest.len();
    rest.iter().enumerate().filter(|(_, token)| **token >= first).for_each(|(i, &token)| visit(before + i, token));
}

/// Appends the payload for `indices`, whose first channel is `first_channel` of the map.
pub(crate) fn encode_chunk(
    quantizer: &PlaneQuantizer,
    prepared: &PreparedTables,
    first_channel: usize,
    indices: &IndexBlocks,
    scratch: &mut OrderZeroScratch,
    out: &mut Vec<u8>,
) {
    let mut tokens = std::mem::take(&mut scratch.tokens);
    tokens.of_indices(&quantizer.layout, indices);
    encode_tokens(quantizer, prepared, first_channel, &tokens, scratch, out);
    scratch.tokens = tokens;
}

/// As [`encode_chunk`], from tokens.
pub(crate) fn encode_tokens(
    quantizer: &PlaneQuantizer,
    prepared: &PreparedTables,
    first_channel: usize,
    blocks: &TokenBlocks,
    scratch: &mut OrderZeroScratch,
    out: &mut Vec<u8>,
) {
    let OrderZeroScratch { apart, runs, plan, raw, words, .. } = scratch;
    let plan = prepared.plan(quantizer, first_channel..first_channel + blocks.channels(), plan);
    let encoder = RansEncoder { tables: &prepared.encode };
    apart.clear();
    raw.clear();
    let all = blocks.tokens();
    if let Some(flat) = &plan.flat {
        let special = largest_token(Isa::current(), all) >= plan.first_special;
        let tokens = match plan.contiguous() {
            Some(range) if !special => &all[range],
            Some(range) if !plan.certain_may_be_wide => {
                append_flat(prepared, flat, range.start, blocks, apart, raw);
                apart.as_slice()
            }
            _ => {
                for stretch in &plan.stretches {
                    append_stretch(prepared, stretch, blocks, apart, raw);
                }
                apart.as_slice()
            }
        };
        // Nearly what they cost, which takes as long to add up as to code them.
        let nonzero = count_nonzero_tokens(Isa::current(), tokens);
        let lane_bits = many_lane_bits_for((4 * nonzero + tokens.len() / 8) as u64, tokens.len());
        begin_payload(lane_bits, 0, raw.finish(), out);
        encoder.encode_flat(&flat.numbers, tokens, lane_bits, words, out);
        return;
    }
    runs.clear();
    let mut cost = 0u64;
    for stretch in &plan.stretches {
        let Stretch { range, table, .. } = stretch;
        let number = usize::from(*table);
        let mut counts = [0; TOKENS];
        count_tokens(Isa::current(), &all[range.clone()], &mut counts);
        let mut run = Run { table: *table, start: range.start, length: range.len() };
        if counts[usize::from(prepared.special[number])..].iter().any(|&count| count > 0) {
            run.start = all.len() + apart.len();
            append_stretch(prepared, stretch, blocks, apart, raw);
        }
        if stretch.coded {
            let priced = counts.iter().zip(&prepared.costs[number]);
            cost += priced.map(|(&count, &cost)| u64::from(count) * u64::from(cost)).sum::<u64>();
            runs.push(run);
        }
    }
    let lane_bits = many_lane_bits_for(cost >> COST_BITS, runs.iter().map(|run| run.length).sum());
    begin_payload(lane_bits, 0, raw.finish(), out);
    encoder.encode(runs, [all, apart], lane_bits, words, out);
}

/// Appends the tokens of a stretch as its table codes them, with escapes for those that have no share, and writes raw bits.
/// What is not coded has none of its tokens appended.
fn append_stretch(
    prepared: &PreparedTables,
    stretch: &Stretch,
    blocks: &TokenBlocks,
    out: &mut Vec<u8>,
    raw: &mut BitWriter,
) {
    let Stretch { range, table, coded, .. } = stretch;
    let start = out.len();
    let tokens = &blocks.tokens()[range.clone()];
    out.extend_from_slice(tokens);
    for_each_from(prepared.first_special(*table), tokens, |i, _| {
        out[start + i] = prepared.special_token(*table, blocks, range.start + i, raw);
    });
    if !coded {
        out.truncate(start);
    }
}

/// As [`append_stretch`] for all tokens from `start` on.
fn append_flat(
    prepared: &PreparedTables,
    flat: &FlatPlan,
    start: usize,
    blocks: &TokenBlocks,
    out: &mut Vec<u8>,
    raw: &mut BitWriter,
) {
    let before = out.len();
    let tokens = &blocks.tokens()[start..start + flat.numbers.len()];
    out.extend_from_slice(tokens);
    for (i, (tokens, special)) in tokens.chunks(STEP).zip(flat.special.chunks(STEP)).enumerate() {
        let pairs = || tokens.iter().zip(special);
        if pairs().fold(false, |any, (token, special)| any | (token >= special)) {
            for (j, _) in pairs().enumerate().filter(|(_, (token, special))| token >= special) {
                let i = i * STEP + j;
                out[before + i] = prepared.special_token(flat.numbers[i], blocks, start + i, raw);
            }
        }
    }
}

/// Decodes a payload into the blocks of `indices`, which has been reset to the chunk's channels.
pub(crate) fn decode_chunk(
    payload: &[u8],
    quantizer: &PlaneQuantizer,
    prepared: &PreparedTables,
    first_channel: usize,
    scratch: &mut OrderZeroScratch,
    indices: &mut IndexBlocks,
) -> Result<()> {
    let mut tokens = std::mem::take(&mut scratch.tokens);
    tokens.reset(&quantizer.layout, indices.channels());
    let result = decode_tokens(payload, quantizer, prepared, first_channel, scratch, &mut tokens);
    if result.is_ok() {
        tokens.to_indices(&quantizer.layout, indices);
    }
    scratch.tokens = tokens;
    result
}

/// As [`decode_chunk`], into blocks of tokens.
pub(crate) fn decode_tokens(
    payload: &[u8],
    quantizer: &PlaneQuantizer,
    prepared: &PreparedTables,
    first_channel: usize,
    scratch: &mut OrderZeroScratch,
    blocks: &mut TokenBlocks,
) -> Result<()> {
    let PayloadParts { lane_bits, raw, words, .. } = PayloadParts::of(payload, 0, MAX_LANE_BITS)?;
    let mut decoder = RansDecoder::new(words, lane_bits)?;
    let OrderZeroScratch { apart, plan, .. } = scratch;
    let plan = prepared.plan(quantizer, first_channel..first_channel + blocks.channels(), plan);
    let all = blocks.tokens_mut();
    for (range, token) in &plan.fills {
        all[range.clone()].fill(*token);
    }
    match (&plan.flat, plan.contiguous()) {
        (Some(flat), Some(range)) => decoder.decode_flat(&prepared.decode, &flat.numbers, &mut all[range])?,
        (Some(flat), None) => {
            apart.resize(apart.len().max(plan.coded), 0);
            decoder.decode_flat(&prepared.decode, &flat.numbers, &mut apart[..plan.coded])?;
            let mut rest = &apart[..];
            for run in &plan.runs {
                let (own, others) = rest.split_at(run.length);
                all[run.start..run.start + run.length].copy_from_slice(own);
                rest = others;
            }
        }
        (None, _) => decoder.decode(&prepared.decode, &plan.runs, all)?,
    }
    decoder.finish()?;

    let mut raw_reader = BitReader::new(raw);
    if plan.may_be_wide && largest_token(Isa::current(), all) >= FIRST_WITH_RAW_BITS {
        read_raw_bits(&plan.stretches, blocks, &mut raw_reader)?;
    }
    if raw_reader.finish()? != raw.len() {
        return Err(Error::corrupt("a chunk has more raw bits than its tokens ask for"));
    }
    Ok(())
}

/// Puts the indices of tokens with raw bits into place.
fn read_raw_bits(stretches: &[Stretch], blocks: &mut TokenBlocks, reader: &mut BitReader) -> Result<()> {
    // The stretch of the last one.
    let mut rest = stretches.iter().peekable();
    let (tokens, mut wide) = blocks.with_wide();
    let mut result = Ok(());
    for_each_from(FIRST_WITH_RAW_BITS, tokens, |i, token| {
        if result.is_err() {
            return;
        }
        result = reader.read(raw_bits(token)).and_then(|raw| {
            let index = index_from_raw(token, raw);
            if index.unsigned_abs() > MAX_MAGNITUDE {
                return Err(Error::corrupt(format!("the index {index} is beyond {MAX_MAGNITUDE}")));
            }
            while rest.next_if(|stretch| stretch.range.end <= i).is_some() {}
            let Stretch { subband, slots, range, .. } = rest.peek().expect("what is no stretch is zero");
            wide.put(*subband, slots.start + (i - range.start) / (range.len() / slots.len()), i, index);
            Ok(())
        });
    });
    result
}

/// What the indices of each subband cost, in units of 2^-16 bits, raw bits included.
pub(crate) fn order_zero_costs(
    quantizer: &PlaneQuantizer,
    prepared: &PreparedTables,
    first_channel: usize,
    indices: &IndexBlocks,
) -> Vec<u64> {
    let cost_of_block = |subband: usize, slot: usize| {
        let channel = first_channel + slot;
        if !quantizer.coding.keeps(channel, subband) {
            return 0;
        }
        let table = prepared.contexts.table_of(subband, channel);
        let block = indices.block(&quantizer.layout, subband, slot);
        block.iter().map(|&index| prepared.cost(table, index)).sum()
    };
    let cost = |subband| (0..indices.channels()).map(|slot| cost_of_block(subband, slot)).sum();
    (0..quantizer.layout.blocks.len()).map(cost).collect()
}

/// Chooses indices anew, each by its table.
pub(crate) fn trade_order_zero(
    trade: &Trade,
    quantizer: &PlaneQuantizer,
    prepared: &PreparedTables,
    first_channel: usize,
    scaled: &[f32],
    indices: &mut IndexBlocks,
) {
    let layout = &quantizer.layout;
    for subband in 0..layout.blocks.len() {
        let block = layout.blocks[subband];
        for slot in 0..indices.channels() {
            let channel = first_channel + slot;
            if !quantizer.coding.keeps(channel, subband) {
                continue;
            }
            let table = prepared.contexts.table_of(subband, channel);
            let scaled = &scaled[block.offset * indices.channels() + slot * block.len()..][..block.len()];
            for (index, &scaled) in indices.block_mut(layout, subband, slot).iter_mut().zip(scaled) {
                let sign = index.signum();
                let cost = |magnitude| prepared.cost(table, sign * magnitude as i32);
                let magnitude = trade.choose(scaled, index.unsigned_abs(), cost);
                *index = sign * magnitude as i32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::Coding;
    use crate::entropy::Histogram;
    use crate::plane::PlaneBuffers;
    use crate::quantize::Steps;
    use crate::stream_model::order_zero_tables;
    use crate::wavelet::Wavelet;

    /// Payload bytes and, beside them, the order-0 entropy of the tokens under the payload's own contexts
    /// plus the raw bits, in bytes.
    fn payload_and_entropy(shape: [usize; 3], step: f32) -> (f64, f64) {
        let [channels, height, width] = shape;
        let coding = Coding::new(Wavelet::Haar, 3, Steps::Uniform(step));
        let quantizer = PlaneQuantizer::new(coding, channels, height, width).unwrap();
        let mut indices = IndexBlocks::default();
        indices.reset(&quantizer.layout, channels);
        let mut state = 7u32;
        for channel in 0..channels {
            let plane: Vec<f32> = (0..height * width)
                .map(|i| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let noise = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
                    let (x, y) = ((i % width) as f32, (i / width) as f32);
                    ((x / 5.0 + channel as f32).sin() * (y / 6.0).cos() + 1.5 * noise).max(0.0)
                })
                .collect();
            quantizer.forward(channel, &plane, channel, &mut PlaneBuffers::default(), &mut indices);
        }
        let subbands = quantizer.layout.blocks.len();
        let mut histograms = vec![Histogram::EMPTY; subbands * channels];
        for (i, histogram) in histograms.iter_mut().enumerate() {
            histogram.count(indices.block(&quantizer.layout, i / channels, i % channels));
        }
        let prepared = PreparedTables::for_encoding(order_zero_tables(&quantizer, channels, &[(0, &indices)]));
        let mut by_table = vec![Histogram::EMPTY; prepared.contexts.tables().len()];
        for (i, histogram) in histograms.iter().enumerate() {
            by_table[prepared.contexts.table_of(i / channels, i % channels) as usize].add(histogram);
        }
        let tokens: u64 = by_table.iter().map(Histogram::entropy).sum();
        let raw: u64 = indices.values().iter().map(|&index| u64::from(raw_bits(token(index)))).sum();
        let mut payload = Vec::new();
        encode_chunk(&quantizer, &prepared, 0, &indices, &mut OrderZeroScratch::default(), &mut payload);
        (payload.len() as f64, (tokens as f64 / 65_536.0 + raw as f64) / 8.0)
    }

    #[test]
    fn special_tokens_are_found_in_order() {
        let tokens: Vec<u8> = (0..1000u32).map(|i| (i * i % 113 % 112) as u8).collect();
        for (first, length) in [(0, 3), (1, 8), (5, 64), (31, 1000), (31, 999), (60, 131), (111, 1000)] {
            let tokens = &tokens[..length];
            let mut found = Vec::new();
            for_each_from(first, tokens, |at, token| found.push((at, token)));
            let expected: Vec<_> = tokens.iter().copied().enumerate().filter(|(_, token)| *token >= first).collect();
            assert_eq!(found, expected, "{first} {length}");
        }
    }

    #[test]
    fn payloads_are_near_their_entropy() {
        for step in [0.05, 0.3, 0.8, 1.5] {
            for shape in [[16, 32, 32], [17, 31, 33], [64, 56, 56]] {
                let (payload, entropy) = payload_and_entropy(shape, step);
                println!(
                    "{shape:?} step {step}: {payload} bytes, entropy {entropy:.1}, +{:.2}%",
                    100.0 * (payload / entropy - 1.0)
                );
                // Tables take 0.1 to 0.3%, many lanes the rest.
                assert!(payload <= entropy * 1.015, "{shape:?} {step}: {payload} {entropy}");
            }
            let (payload, entropy) = payload_and_entropy([64, 8, 8], step);
            println!("[64, 8, 8] step {step}: {payload} bytes, entropy {entropy:.1}");
            assert!(payload <= entropy * 1.04 + 8.0, "64x8x8 {step}: {payload} {entropy}");
        }
    }
}

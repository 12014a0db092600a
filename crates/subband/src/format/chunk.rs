//! The payload of a chunk: indices of some channels of one map (FORMAT.md, "Chunk payload").

use std::ops::Range;

use super::payload::{PayloadParts, begin_payload};
use crate::entropy::{
    BitReader, BitWriter, COST_BITS, ContextTables, DecodeTable, ESCAPE, EncodeTable, FIRST_WITH_RAW_BITS,
    FrequencyTable, MAX_MAGNITUDE, RansDecoder, RansEncoder, Run, TOKENS, index_from_raw, lane_bits_for, raw_bits,
    raw_value, token,
};
use crate::error::{Error, Result};
use crate::kernel::{Isa, count_tokens, indices_of, tokens_of};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::rate::Trade;

/// Context tables in the forms that coding looks up.
#[derive(Debug, Clone)]
pub(crate) struct PreparedTables {
    pub contexts: ContextTables,
    /// What each token costs in each table, in units of 2^-16 bits.
    costs: Vec<[u32; TOKENS]>,
    encode: Vec<EncodeTable>,
    /// In each table the first token that is coded with raw bits: since it has some, or has no share and is escaped.
    special: Vec<u8>,
    /// `None` for tables with a certain token.
    decode: Vec<Option<DecodeTable>>,
}

impl PreparedTables {
    /// For encoding only: decoding tables are left out.
    pub fn for_encoding(contexts: ContextTables) -> Self {
        let costs = contexts.tables().iter().map(|table| table.costs()).collect();
        let encode = contexts.tables().iter().map(EncodeTable::new).collect();
        let special = contexts.tables().iter().map(first_special).collect();
        PreparedTables { contexts, costs, encode, special, decode: Vec::new() }
    }

    pub fn new(contexts: ContextTables) -> Self {
        let decode =
            contexts.tables().iter().map(|table| table.certain().is_none().then(|| DecodeTable::new(table))).collect();
        PreparedTables { decode, ..PreparedTables::for_encoding(contexts) }
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
    tokens: Vec<u8>,
    runs: Vec<Run>,
    raw: BitWriter,
    words: Vec<u16>,
}

/// Tokens decoded at a time: they and their indices stay in the first cache.
const PIECE: usize = 4096;
/// Fewer tokens than this are looked at one by one.
const FEW: usize = 256;

/// Calls `visit` with the position of every token from `first` on, in order.
fn for_each_from(first: u8, tokens: &mut [u8], mut visit: impl FnMut(usize, &mut u8)) {
    const STEP: usize = 64;
    for (i, tokens) in tokens.chunks_mut(STEP).enumerate() {
        if tokens.iter().fold(0, |most, &token| most.max(token)) >= first {
            tokens.iter_mut().enumerate().filter(|(_, t)| **t >= first).for_each(|(j, t)| visit(i * STEP + j, t));
        }
    }
}

/// What tokens cost in a table, in units of 2^-16 bits.
fn cost_of(isa: Isa, tokens: &[u8], costs: &[u32; TOKENS]) -> u64 {
    if tokens.len() < FEW {
        return tokens.iter().map(|&token| u64::from(costs[usize::from(token)])).sum();
    }
    let mut counts = [0; TOKENS];
    count_tokens(isa, tokens, &mut counts);
    counts.iter().zip(costs).map(|(&count, &cost)| u64::from(count) * u64::from(cost)).sum()
}

/// The channels of a chunk in stretches that share a table, or are dropped, each with its table.
fn stretches(
    quantizer: &PlaneQuantizer,
    contexts: &ContextTables,
    subband: usize,
    channels: Range<usize>,
) -> impl Iterator<Item = (Range<usize>, Option<u8>)> {
    let table = move |channel| quantizer.coding.keeps(channel, subband).then(|| contexts.table_of(subband, channel));
    let Range { mut start, end } = channels;
    std::iter::from_fn(move || {
        let (first, shared) = (start, (start < end).then(|| table(start))?);
        start = (first + 1..end).find(|&channel| table(channel) != shared).unwrap_or(end);
        Some((first..start, shared))
    })
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
    let OrderZeroScratch { tokens, runs, raw, words } = scratch;
    let isa = Isa::current();
    tokens.resize(indices.values().len(), 0);
    runs.clear();
    raw.clear();
    let (mut cost, mut end) = (0u64, 0);
    for subband in 0..quantizer.layout.blocks.len() {
        let channels = first_channel..first_channel + indices.channels();
        for (channels, number) in stretches(quantizer, &prepared.contexts, subband, channels) {
            let slots = channels.start - first_channel..channels.end - first_channel;
            let block = indices.blocks(&quantizer.layout, subband, slots);
            let Some(number) = number.filter(|_| !block.is_empty()) else { continue };
            let table = &prepared.contexts.tables()[usize::from(number)];
            let own = &mut tokens[end..end + block.len()];
            let special = prepared.special[usize::from(number)];
            if tokens_of(isa, block, own) >= special {
                for_each_from(special, own, |i, token| {
                    *token = token_of(table, block[i]);
                    debug_assert!(table.frequency(*token) > 0, "tables of a stream hold all its tokens");
                    if raw_bits(*token) > 0 {
                        raw.write(raw_value(block[i], *token), raw_bits(*token));
                    }
                });
            }
            if table.certain().is_none() {
                cost += cost_of(isa, own, &prepared.costs[usize::from(number)]);
                runs.push(Run { table: number, length: block.len() });
                end += block.len();
            }
        }
    }
    let lane_bits = lane_bits_for(cost >> COST_BITS);
    begin_payload(lane_bits, 0, raw.finish(), out);
    RansEncoder { tables: &prepared.encode }.encode(runs, &tokens[..end], lane_bits, words, out);
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
    let PayloadParts { lane_bits, raw, words, .. } = PayloadParts::of(payload, 0)?;
    let mut raw_reader = BitReader::new(raw);
    let mut decoder = RansDecoder::new(words, lane_bits)?;

    let isa = Isa::current();
    scratch.tokens.resize(PIECE.max(scratch.tokens.len()), 0);
    for subband in 0..quantizer.layout.blocks.len() {
        let channels = first_channel..first_channel + indices.channels();
        for (channels, number) in stretches(quantizer, &prepared.contexts, subband, channels) {
            let slots = channels.start - first_channel..channels.end - first_channel;
            let block = indices.blocks_mut(&quantizer.layout, subband, slots);
            let Some(number) = number.map(usize::from) else {
                block.fill(0);
                continue;
            };
            for block in block.chunks_mut(PIECE) {
                let tokens = &mut scratch.tokens[..block.len()];
                match &prepared.decode[number] {
                    Some(table) => decoder.decode(table, tokens)?,
                    None => tokens.fill(prepared.contexts.tables()[number].certain().expect("a certain token")),
                }
                if indices_of(isa, tokens, block) >= FIRST_WITH_RAW_BITS {
                    read_raw_bits(tokens, block, &mut raw_reader)?;
                }
            }
        }
    }
    decoder.finish()?;
    if raw_reader.finish()? != raw.len() {
        return Err(Error::corrupt("a chunk has more raw bits than its tokens ask for"));
    }
    Ok(())
}

/// Puts the indices of tokens with raw bits into place.
fn read_raw_bits(tokens: &mut [u8], block: &mut [i32], reader: &mut BitReader) -> Result<()> {
    let mut result = Ok(());
    for_each_from(FIRST_WITH_RAW_BITS, tokens, |i, &mut token| {
        if result.is_ok() {
            result = reader.read(raw_bits(token)).map(|raw| block[i] = index_from_raw(token, raw));
            if result.is_ok() && block[i].unsigned_abs() > MAX_MAGNITUDE {
                result = Err(Error::corrupt(format!("the index {} is beyond {MAX_MAGNITUDE}", block[i])));
            }
        }
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
        let prepared = PreparedTables::for_encoding(ContextTables::for_stream(&histograms, channels));
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
    fn payloads_are_within_one_percent_of_their_entropy() {
        for step in [0.05, 0.3, 0.8, 1.5] {
            for shape in [[16, 32, 32], [17, 31, 33], [64, 56, 56]] {
                let (payload, entropy) = payload_and_entropy(shape, step);
                println!(
                    "{shape:?} step {step}: {payload} bytes, entropy {entropy:.1}, +{:.2}%",
                    100.0 * (payload / entropy - 1.0)
                );
                assert!(payload <= entropy * 1.01, "{shape:?} {step}: {payload} {entropy}");
            }
            let (payload, entropy) = payload_and_entropy([64, 8, 8], step);
            println!("[64, 8, 8] step {step}: {payload} bytes, entropy {entropy:.1}");
            assert!(payload <= entropy * 1.04 + 8.0, "64x8x8 {step}: {payload} {entropy}");
        }
    }
}

//! The entropy coder of floats: the lanes of `entropy::rans`, with a table chosen anew for every token.
//!
//! A token's context are its neighbours to the left and above, so a lane cannot go on before its last token
//! is known. Each lane therefore has rows of its own, and the lanes go side by side: while one waits for its
//! table the others proceed. Eight lanes hide the wait on the cores measured.

use super::model::{CLASSES, CONTEXTS, context};
use super::tokens::RowGrid;
use crate::entropy::{ContextTables, FrequencyTable, TOKENS};
use crate::error::{Error, Result};
use crate::kernel::TokenEntry;

const SCALE_BITS: u32 = 12;
const SCALE: usize = 1 << SCALE_BITS;
/// States are at least this between tokens, and exactly this where coding begins.
const LOW: u32 = 1 << 16;
/// Eight lanes, as a binary logarithm.
const EIGHT: u32 = 3;
/// Stands for the class of a neighbour that is not there.
const MISSING: u8 = CLASSES as u8;

/// Lanes, as a binary logarithm, for a chunk: eight, unless their states would cost more than they speed up.
pub(crate) fn lane_bits_for_rows(rows: usize, width: usize) -> u32 {
    if rows >= 8 && rows * width >= 4096 { EIGHT } else { 0 }
}

/// The entries of all contexts, `context * 128 + token`: contexts that share a table have copies, which saves a
/// step at every token.
#[derive(Debug)]
pub(crate) struct EncodeTables {
    entries: Vec<TokenEntry>,
}

impl EncodeTables {
    pub fn new(contexts: &ContextTables) -> Self {
        let tables: Vec<[TokenEntry; 128]> = contexts.tables().iter().map(encode_table).collect();
        let entries = (0..CONTEXTS).flat_map(|context| tables[usize::from(contexts.table_of(context, 0))]).collect();
        EncodeTables { entries }
    }
}

fn encode_table(table: &FrequencyTable) -> [TokenEntry; 128] {
    let mut tokens = [TokenEntry::default(); 128];
    for (token, entry) in (0..TOKENS as u8).zip(&mut tokens) {
        let frequency = table.frequency(token);
        if frequency > 0 {
            *entry = TokenEntry::new(frequency, table.cumulative(token), SCALE_BITS);
        }
    }
    tokens
}

/// Appends the words for the symbols of a chunk, `context * 128 + token`. Every token has a share in the table of
/// its context. `words` is working memory.
pub(crate) fn encode_lanes(
    tables: &EncodeTables,
    grid: &RowGrid,
    symbols: &[u16],
    words: &mut Vec<u16>,
    out: &mut Vec<u8>,
) {
    match grid.lane_bits {
        0 => encode::<1>(tables, grid, symbols, words, out),
        EIGHT => encode::<8>(tables, grid, symbols, words, out),
        bits => unreachable!("lane_bits_for_rows gives no {bits}"),
    }
}

fn encode<const LANES: usize>(
    tables: &EncodeTables,
    grid: &RowGrid,
    symbols: &[u16],
    words: &mut Vec<u16>,
    out: &mut Vec<u8>,
) {
    debug_assert_eq!(grid.lanes(), LANES);
    let mut states = [LOW; LANES];
    words.resize(symbols.len() + 1, 0);
    let mut at = 0;
    let entries = tables.entries.as_slice();
    let mut put = |state: &mut u32, symbol: u16| {
        // The word is stored in any case, and kept if the state is too large for the result to fit.
        words[at] = *state as u16;
        let (next, full) = entries[usize::from(symbol)].step(*state);
        at += usize::from(full);
        *state = next;
    };
    let first: [usize; LANES] = std::array::from_fn(|lane| grid.first_row(lane) * grid.width);
    let common = grid.rows >> grid.lane_bits;
    // The rows that only some lanes have come last, so they are coded first.
    for x in (0..grid.width).rev() {
        for lane in (0..LANES).rev() {
            if grid.first_row(lane + 1) - grid.first_row(lane) > common {
                put(&mut states[lane], symbols[first[lane] + common * grid.width + x]);
            }
        }
    }
    let length = common * grid.width;
    let of_lane: [&[u16]; LANES] = first.map(|first| &symbols[first..first + length]);
    for i in (0..length).rev() {
        for lane in (0..LANES).rev() {
            put(&mut states[lane], of_lane[lane][i]);
        }
    }
    out.extend(words[..at].iter().flat_map(|word| word.to_le_bytes()));
    states.iter().rev().for_each(|state| out.extend_from_slice(&state.to_le_bytes()));
}

/// Context tables in the form that decoding looks up.
#[derive(Debug)]
pub(crate) struct DecodeTables {
    /// By context.
    table_of: [u8; CONTEXTS],
    /// For each slot the token, the distance from its cumulative and its frequency minus 1, in 8 + 12 + 12 bits:
    /// a frequency of 4096 leaves the state as it is, and fits.
    slots: Vec<[u32; SCALE]>,
}

impl DecodeTables {
    pub fn new(contexts: &ContextTables) -> Self {
        let table_of = std::array::from_fn(|context| contexts.table_of(context, 0));
        DecodeTables { table_of, slots: contexts.tables().iter().map(decode_table).collect() }
    }
}

fn decode_table(table: &FrequencyTable) -> [u32; SCALE] {
    let mut slots = [0; SCALE];
    for token in 0..TOKENS as u8 {
        let (frequency, cumulative) = (table.frequency(token), table.cumulative(token));
        for (distance, slot) in (0..frequency).zip(&mut slots[cumulative as usize..]) {
            *slot = u32::from(token) | distance << 8 | (frequency - 1) << 20;
        }
    }
    slots
}

/// Decodes the tokens of a chunk from words; `classes` is the class of each token.
///
/// # Errors
/// Words that end too early or too late, or lanes that do not end as they began.
pub(crate) fn decode_lanes(
    tables: &DecodeTables,
    classes: &[u8; 128],
    grid: &RowGrid,
    words: &[u8],
    tokens: &mut [u8],
) -> Result<()> {
    match grid.lane_bits {
        0 => decode::<1>(tables, classes, grid, words, tokens),
        1 => decode::<2>(tables, classes, grid, words, tokens),
        2 => decode::<4>(tables, classes, grid, words, tokens),
        3 => decode::<8>(tables, classes, grid, words, tokens),
        4 => decode::<16>(tables, classes, grid, words, tokens),
        _ => decode::<32>(tables, classes, grid, words, tokens),
    }
}

fn decode<const LANES: usize>(
    tables: &DecodeTables,
    classes: &[u8; 128],
    grid: &RowGrid,
    words: &[u8],
    tokens: &mut [u8],
) -> Result<()> {
    let width = grid.width;
    // Table by the pair of classes to the left and above, either of which may be missing.
    let mut table_of = [0u8; 256];
    for left in 0..=MISSING {
        for above in 0..=MISSING {
            let stands_in = |class: u8, other: u8| match (class, other) {
                (MISSING, MISSING) => 0,
                (MISSING, other) => other,
                (class, _) => class,
            };
            let pair = context(stands_in(left, above), stands_in(above, left));
            table_of[usize::from(left << 4 | above)] = tables.table_of[usize::from(pair)];
        }
    }
    // Words in front of the real ones, so that a step can take one for each lane unasked; the next step finds out.
    let mut padded = vec![0u16; LANES];
    padded.extend(words.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]])));
    let (words, odd) = (padded.as_slice(), !words.len().is_multiple_of(2));
    let mut end = words.len();
    if odd || end < 3 * LANES {
        return Err(too_early());
    }
    let mut states = [0; LANES];
    for state in &mut states {
        *state = u32::from(words[end - 1]) << 16 | u32::from(words[end - 2]);
        end -= 2;
    }
    let mut decoder = Decoder { tables: &tables.slots, table_of: &table_of, classes, words, end };
    let first: [usize; LANES] = std::array::from_fn(|lane| grid.first_row(lane));
    let starts_plane = |row: usize, lane: usize| row == 0 || (first[lane] + row).is_multiple_of(grid.height);
    // The classes of the row above, replaced one by one by those of this row.
    let mut above = vec![[MISSING; LANES]; width];
    let mut row_tokens = vec![[0u8; LANES]; width];
    let common = grid.rows >> grid.lane_bits;
    for row in 0..common {
        for lane in (0..LANES).filter(|&lane| starts_plane(row, lane)) {
            above.iter_mut().for_each(|above| above[lane] = MISSING);
        }
        let mut left = [MISSING; LANES];
        for (above, tokens) in above.iter_mut().zip(&mut row_tokens) {
            if decoder.end < LANES {
                return Err(too_early());
            }
            for lane in 0..LANES {
                tokens[lane] = decoder.take(&mut states[lane], &mut left[lane], &mut above[lane]);
            }
        }
        for lane in 0..LANES {
            let at = (first[lane] + row) * width;
            for (out, tokens) in tokens[at..at + width].iter_mut().zip(&row_tokens) {
                *out = tokens[lane];
            }
        }
    }
    let longer: Vec<usize> =
        (0..LANES).filter(|&lane| grid.first_row(lane + 1) - grid.first_row(lane) > common).collect();
    for &lane in longer.iter().filter(|&&lane| starts_plane(common, lane)) {
        above.iter_mut().for_each(|above| above[lane] = MISSING);
    }
    let mut left = [MISSING; LANES];
    for (x, above) in above.iter_mut().enumerate() {
        if decoder.end < LANES {
            return Err(too_early());
        }
        for &lane in &longer {
            let token = decoder.take(&mut states[lane], &mut left[lane], &mut above[lane]);
            tokens[(first[lane] + common) * width + x] = token;
        }
    }
    if decoder.end != LANES || states.iter().any(|&state| state != LOW) {
        return Err(Error::corrupt("the entropy-coded payload does not end as it began"));
    }
    Ok(())
}

/// What the lanes of a chunk share while they are decoded.
struct Decoder<'a> {
    tables: &'a [[u32; SCALE]],
    /// Table by the classes to the left and above.
    table_of: &'a [u8; 256],
    classes: &'a [u8; 128],
    words: &'a [u16],
    /// Words from here on have been read.
    end: usize,
}

impl Decoder<'_> {
    /// The next token of a lane, whose class replaces those of its neighbours.
    #[inline(always)]
    fn take(&mut self, state: &mut u32, left: &mut u8, above: &mut u8) -> u8 {
        let table = self.table_of[usize::from(*left << 4 | *above)];
        let slot = self.tables[usize::from(table)][*state as usize % SCALE];
        let token = slot as u8;
        let x = ((slot >> 20) + 1).wrapping_mul(*state >> SCALE_BITS) + (slot >> 8 & (SCALE as u32 - 1));
        // The word is loaded in any case: whether it is needed cannot be predicted.
        let filled = x << 16 | u32::from(self.words[self.end - 1]);
        self.end -= usize::from(x < LOW);
        *state = if x < LOW { filled } else { x };
        let class = self.classes[usize::from(token & 127)];
        (*left, *above) = (class, class);
        token
    }
}

fn too_early() -> Error {
    Error::corrupt("the entropy-coded words end too early")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::Histogram;

    #[test]
    fn quotients_are_exact() {
        for frequency in 1..=SCALE as u32 {
            let mut counts = [0; TOKENS];
            counts[..2].copy_from_slice(&[frequency, SCALE as u32 - frequency]);
            let inverse = (u64::MAX / u64::from(frequency)).saturating_add(1);
            let multiple = u32::MAX / frequency * frequency;
            for x in [1, frequency, LOW, multiple - 1, multiple, u32::MAX] {
                let quotient = ((u128::from(x) * u128::from(inverse)) >> 64) as u32;
                assert_eq!(quotient, if frequency == 1 { x - 1 } else { x / frequency }, "{x} / {frequency}");
            }
        }
    }

    /// The plain form of a decoder: token by token, as FORMAT.md says.
    fn plain_decode(contexts: &ContextTables, classes: &[u8; 128], grid: &RowGrid, words: &[u8]) -> Vec<u8> {
        let mut words = words.chunks_exact(2).map(|word| u32::from(u16::from_le_bytes([word[0], word[1]]))).rev();
        let mut states: Vec<u32> =
            (0..grid.lanes()).map(|_| words.next().unwrap() << 16 | words.next().unwrap()).collect();
        let mut tokens = vec![0u8; grid.rows * grid.width];
        for step in 0..grid.rows.div_ceil(grid.lanes()) * grid.width {
            for (lane, state) in states.iter_mut().enumerate() {
                let row = grid.first_row(lane) + step / grid.width;
                if row >= grid.first_row(lane + 1) {
                    continue;
                }
                let (x, at) = (step % grid.width, row * grid.width + step % grid.width);
                let left = (x > 0).then(|| classes[tokens[at - 1] as usize]);
                let first = row == grid.first_row(lane) || row.is_multiple_of(grid.height);
                let above = (!first).then(|| classes[tokens[at - grid.width] as usize]);
                let pair = (left.or(above).unwrap_or(0), above.or(left).unwrap_or(0));
                let table = &contexts.tables()[contexts.table_of(context(pair.0, pair.1) as usize, 0) as usize];
                let slot = *state % 4096;
                let token = (0..TOKENS as u8)
                    .find(|&t| table.cumulative(t) <= slot && slot < table.cumulative(t) + table.frequency(t))
                    .unwrap();
                *state = table.frequency(token) * (*state / 4096) + slot - table.cumulative(token);
                if *state < LOW {
                    *state = *state << 16 | words.next().unwrap();
                }
                tokens[at] = token;
            }
        }
        assert!(words.next().is_none() && states.iter().all(|&state| state == LOW));
        tokens
    }

    proptest! {
        #[test]
        fn tokens_come_back(
            height in 1usize..6, planes in 1usize..7, width in 1usize..9, lane_bits in prop_oneof![Just(0), Just(EIGHT)],
            noise in prop::collection::vec(prop_oneof![9 => Just(0u8), 4 => 0u8..5, 1 => 0u8..112], 400),
        ) {
            let grid = RowGrid { rows: height * planes, height, width, lane_bits };
            let tokens: Vec<u8> = (0..grid.rows * width).map(|i| noise[i % 400]).collect();
            let classes: [u8; 128] = std::array::from_fn(|token| (token % CLASSES) as u8);
            // Symbols by the plain rule, from classes that are no function of bounds.
            let mut histograms = vec![Histogram::EMPTY; CONTEXTS];
            let mut symbols = vec![0u16; tokens.len()];
            for lane in 0..grid.lanes() {
                for row in grid.first_row(lane)..grid.first_row(lane + 1) {
                    for x in 0..width {
                        let at = row * width + x;
                        let left = (x > 0).then(|| classes[tokens[at - 1] as usize]);
                        let first = row == grid.first_row(lane) || row.is_multiple_of(height);
                        let above = (!first).then(|| classes[tokens[at - width] as usize]);
                        let context = context(left.or(above).unwrap_or(0), above.or(left).unwrap_or(0));
                        histograms[context as usize].counts[tokens[at] as usize] += 1;
                        symbols[at] = u16::from(context) << 7 | u16::from(tokens[at]);
                    }
                }
            }
            let contexts = ContextTables::for_contexts(&histograms, 24);
            let mut out = Vec::new();
            encode_lanes(&EncodeTables::new(&contexts), &grid, &symbols, &mut Vec::new(), &mut out);
            prop_assert_eq!(&plain_decode(&contexts, &classes, &grid, &out), &tokens);
            let mut decoded = vec![0; tokens.len()];
            let tables = DecodeTables::new(&contexts);
            decode_lanes(&tables, &classes, &grid, &out, &mut decoded).unwrap();
            prop_assert_eq!(&decoded, &tokens);
            for end in (0..out.len()).rev().take(40) {
                prop_assert!(decode_lanes(&tables, &classes, &grid, &out[..end], &mut decoded).is_err());
            }
        }
    }
}

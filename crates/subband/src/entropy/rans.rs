//! Range asymmetric numeral systems with interleaved lanes (FORMAT.md, "Entropy-coded payload").
//!
//! Read this first. A lane is a 32-bit state x. To code a token of frequency f and cumulative c:
//! while x is too large for the result to fit, move 16 bits out; then x = (x / f) * 2^12 + x % f + c.
//! Decoding mirrors it: x mod 2^12 falls into the token's interval [c, c + f), x = f * (x / 2^12) +
//! x mod 2^12 - c, and 16 bits are moved in if x is below 2^16. Coding runs from the last token to the
//! first and words are appended; decoding runs from the first token to the last and reads words from
//! the end. Token i belongs to lane i mod lanes.
//!
//! Each lane's final state costs about three wasted bytes, which pays for speed only in long payloads.
//! A lane alone wastes one: it starts from state 1 instead of 2^16, so its first 16 bits move no word.
//! (Several lanes cannot do so: the decoder would not know which lane the last words belong to.)
//!
//! Magnitude classes are coded alike, but at a scale of 15 bits, and each with a table of its own.

use std::ops::Range;

use super::frequency_table::{FrequencyTable, SCALE, SCALE_BITS};
use super::magnitude::CLASSES;
use super::magnitude_table::{MAGNITUDE_SCALE_BITS, MagnitudeTable};
use super::symbol::{ESCAPE, TOKENS};
use crate::error::{Error, Result};
use crate::kernel::{Isa, SPARE_WORDS, TokenTable, decode_rounds, encode_rounds};

/// Largest binary logarithm of the number of lanes.
pub(crate) const MAX_LANE_BITS: u32 = 5;
const MAX_LANES: usize = 1 << MAX_LANE_BITS;
/// States are at least this, but for the first tokens of a lane alone.
const LOW: u32 = 1 << 16;

/// Consecutive tokens coded with one table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub table: u8,
    pub length: usize,
}

/// Lanes (as a binary logarithm) for a payload: one for each KiB, so they cost at most 0.3%.
pub(crate) fn lane_bits_for(payload_bits: u64) -> u32 {
    (payload_bits / (8 * 1024)).checked_ilog2().unwrap_or(0).min(MAX_LANE_BITS)
}

fn initial_state(lane_bits: u32) -> u32 {
    if lane_bits == 0 { 1 } else { LOW }
}

/// A frequency table in the form that encoding looks up.
#[derive(Debug, Clone)]
pub(crate) struct EncodeTable {
    /// By token; those without a share are coded as the escape.
    tokens: TokenTable,
}

#[derive(Debug, Clone, Copy)]
struct EncodeToken {
    /// ceil(2^63 / frequency): x / frequency is (x * inverse) >> 63 for every 32-bit x, since the excess
    /// of the inverse, below one part in 2^63 / frequency, times x stays below 2^63 / frequency. Against a
    /// division this is half of the encoder's time.
    inverse: u64,
    frequency: u32,
    cumulative: u32,
}

impl EncodeToken {
    fn new(frequency: u32, cumulative: u32) -> Self {
        EncodeToken { inverse: (1u64 << 63).div_ceil(u64::from(frequency.max(1))), frequency, cumulative }
    }

    /// Codes the token at a scale of `1 << BITS`, moving a word out where it must.
    #[inline]
    fn encode<const BITS: u32>(self, state: &mut u32, out: &mut Vec<u8>) {
        let EncodeToken { inverse, frequency, cumulative } = self;
        debug_assert!(frequency > 0 && frequency < 1 << BITS);
        let mut x = *state;
        // ((LOW >> BITS) << 16) * frequency: from here on the result would not fit.
        if x >= frequency << (32 - BITS) {
            out.extend_from_slice(&(x as u16).to_le_bytes());
            x >>= 16;
        }
        let quotient = ((u128::from(x) * u128::from(inverse)) >> 63) as u32;
        *state = (quotient << BITS) + (x - quotient * frequency) + cumulative;
    }
}

impl EncodeTable {
    /// A table with a certain token codes nothing.
    pub fn new(table: &FrequencyTable) -> Self {
        let share = |token: u8| {
            let own = if usize::from(token) < TOKENS && table.frequency(token) > 0 { token } else { ESCAPE };
            (table.frequency(own), table.cumulative(own))
        };
        let tokens = TokenTable::new(|token| if table.certain().is_none() { share(token) } else { (0, 0) });
        EncodeTable { tokens }
    }
}

/// A magnitude table in the form that encoding looks up.
#[derive(Debug, Clone)]
pub(crate) struct EncodeMagnitudes {
    classes: [EncodeToken; CLASSES],
}

impl EncodeMagnitudes {
    pub fn new(table: &MagnitudeTable) -> Self {
        let classes =
            std::array::from_fn(|class| EncodeToken::new(table.frequency(class as u8), table.start(class as u8)));
        EncodeMagnitudes { classes }
    }
}

/// Codes magnitude classes, each a pair of table and class; appends words and final states to `out`.
pub(crate) fn encode_magnitudes(tables: &[EncodeMagnitudes], classes: &[(u8, u8)], lane_bits: u32, out: &mut Vec<u8>) {
    if classes.is_empty() && lane_bits == 0 {
        return;
    }
    let mask = (1usize << lane_bits) - 1;
    let mut states = [initial_state(lane_bits); MAX_LANES];
    for (i, &(table, class)) in classes.iter().enumerate().rev() {
        let token = tables[table as usize].classes[class as usize];
        token.encode::<MAGNITUDE_SCALE_BITS>(&mut states[i & mask], out);
    }
    write_states(&states[..=mask], out);
}

/// Appends the final states from the last lane to the first.
fn write_states(states: &[u32], out: &mut Vec<u8>) {
    if states == [initial_state(0)] && out.is_empty() {
        return;
    }
    for state in states.iter().rev() {
        out.extend_from_slice(&(*state as u16).to_le_bytes());
        // A state below 2^16 (one lane, little data) is a single word.
        if *state >= LOW {
            out.extend_from_slice(&((*state >> 16) as u16).to_le_bytes());
        }
    }
}

/// Codes runs of tokens with the tables given.
#[derive(Debug)]
pub(crate) struct RansEncoder<'t> {
    pub tables: &'t [EncodeTable],
}

impl RansEncoder<'_> {
    /// Appends words and final states to `out`. Every token has a share in the table of its run, or the escape has.
    /// `words` is working memory.
    pub fn encode(&self, runs: &[Run], tokens: &[u8], lane_bits: u32, words: &mut Vec<u16>, out: &mut Vec<u8>) {
        let isa = Isa::current();
        let mask = (1usize << lane_bits) - 1;
        let mut states = [initial_state(lane_bits); MAX_LANES];
        words.resize(words.len().max(tokens.len() + SPARE_WORDS), 0);
        let (mut at, mut end) = (0, tokens.len());
        for run in runs.iter().rev() {
            let table = &self.tables[run.table as usize].tokens;
            let start = end - run.length;
            // The whole rounds in between, and what comes before and after them.
            let last_round = (end & !mask).max(start);
            let first_round = ((start + mask) & !mask).min(last_round);
            at += encode_one_by_one(table, &mut states, mask, tokens, last_round..end, &mut words[at..]);
            if first_round < last_round {
                let rounds = &tokens[first_round..last_round];
                at += encode_rounds(isa, table, &mut states, lane_bits, rounds, &mut words[at..]);
            }
            at += encode_one_by_one(table, &mut states, mask, tokens, start..first_round, &mut words[at..]);
            end = start;
        }
        debug_assert_eq!(end, 0);
        let before = out.len();
        out.resize(before + 2 * at, 0);
        for (out, word) in out[before..].as_chunks_mut::<2>().0.iter_mut().zip(&words[..at]) {
            *out = word.to_le_bytes();
        }
        write_states(&states[..=mask], out);
    }
}

/// Codes the tokens of a range, which need not be whole rounds; returns the number of words.
fn encode_one_by_one(
    table: &TokenTable,
    states: &mut [u32; MAX_LANES],
    mask: usize,
    tokens: &[u8],
    range: Range<usize>,
    words: &mut [u16],
) -> usize {
    let mut at = 0;
    for i in range.rev() {
        let state = &mut states[i & mask];
        words[at] = *state as u16;
        let (next, full) = table.entries[usize::from(tokens[i] & 127)].step(*state);
        *state = next;
        at += usize::from(full);
    }
    at
}

/// A frequency table in the form that decoding looks up: for each of the 2^12 slots the token, the
/// slot's distance from the token's cumulative, and the token's frequency, in 8 + 12 + 12 bits.
#[derive(Debug, Clone)]
pub(crate) struct DecodeTable {
    slots: Box<[u32; SCALE as usize]>,
}

impl DecodeTable {
    /// The caller skips tables with a certain token, whose frequency would need 13 bits.
    pub fn new(table: &FrequencyTable) -> Self {
        let mut slots = Box::new([0; SCALE as usize]);
        for token in 0..TOKENS as u8 {
            let (frequency, cumulative) = (table.frequency(token), table.cumulative(token));
            for (distance, slot) in (0u32..frequency).zip(&mut slots[cumulative as usize..]) {
                *slot = u32::from(token) | distance << 8 | frequency.min(SCALE - 1) << 20;
            }
        }
        DecodeTable { slots }
    }
}

/// Decodes tokens from words.
#[derive(Debug)]
pub(crate) struct RansDecoder<'a> {
    words: &'a [u8],
    /// Bytes before this position are not read yet.
    end: usize,
    states: [u32; MAX_LANES],
    lane_bits: u32,
    /// Lane of the next token.
    next: usize,
}

impl<'a> RansDecoder<'a> {
    /// Loads the states from the end of `words`. Error: too few words for them.
    pub fn new(words: &'a [u8], lane_bits: u32) -> Result<Self> {
        let mut decoder = RansDecoder { words, end: words.len(), states: [0; MAX_LANES], lane_bits, next: 0 };
        for lane in 0..1 << lane_bits {
            let mut state = 0;
            for _ in 0..2 {
                if state < LOW && (lane_bits > 0 || decoder.end >= 2) {
                    state = state << 16 | decoder.word()?;
                }
            }
            // No words at all: nothing was coded.
            decoder.states[lane] = if state == 0 { initial_state(lane_bits) } else { state };
        }
        Ok(decoder)
    }

    #[inline]
    fn word(&mut self) -> Result<u32> {
        let word = self.end.checked_sub(2).and_then(|at| self.words.get(at..at + 2));
        let word = word.ok_or_else(|| Error::corrupt("the entropy-coded words end too early"))?;
        self.end -= 2;
        Ok(u32::from(u16::from_le_bytes([word[0], word[1]])))
    }

    /// Decodes as many tokens as `tokens` holds, all with one table.
    pub fn decode(&mut self, table: &DecodeTable, tokens: &mut [u8]) -> Result<()> {
        let lanes = 1usize << self.lane_bits;
        let head = (lanes - self.next) % lanes;
        let (head, rest) = tokens.split_at_mut(head.min(tokens.len()));
        self.decode_one_by_one(table, head)?;
        let RansDecoder { words, end, states, lane_bits, .. } = self;
        let done = decode_rounds(Isa::current(), &table.slots, states, *lane_bits, words, end, rest);
        self.decode_one_by_one(table, &mut rest[done..])
    }

    fn decode_one_by_one(&mut self, table: &DecodeTable, tokens: &mut [u8]) -> Result<()> {
        let mask = (1usize << self.lane_bits) - 1;
        for (i, token) in tokens.iter_mut().enumerate() {
            let lane = (self.next + i) & mask & (MAX_LANES - 1);
            let x = self.states[lane];
            let slot = table.slots[(x & (SCALE - 1)) as usize];
            *token = slot as u8;
            let mut x = (slot >> 20) * (x >> SCALE_BITS) + (slot >> 8 & (SCALE - 1));
            if x < LOW && (self.lane_bits > 0 || self.end >= 2) {
                x = x << 16 | self.word()?;
            }
            self.states[lane] = x;
        }
        self.next = (self.next + tokens.len()) & mask;
        Ok(())
    }

    /// Decodes one magnitude class.
    #[inline]
    pub fn decode_magnitude(&mut self, table: &MagnitudeTable) -> Result<u8> {
        const SCALE: u32 = 1 << MAGNITUDE_SCALE_BITS;
        let lane = self.next & (MAX_LANES - 1);
        self.next = (self.next + 1) & ((1 << self.lane_bits) - 1);
        let x = self.states[lane];
        let slot = x & (SCALE - 1);
        let class = table.class_at(slot);
        let mut x = table.frequency(class) * (x >> MAGNITUDE_SCALE_BITS) + slot - table.start(class);
        if x < LOW && (self.lane_bits > 0 || self.end >= 2) {
            x = x << 16 | self.word()?;
        }
        self.states[lane] = x;
        Ok(class)
    }

    /// Ends decoding: all words are read, and every lane is back at its initial state.
    pub fn finish(self) -> Result<()> {
        let initial = initial_state(self.lane_bits);
        if self.end != 0 || self.states[..1 << self.lane_bits].iter().any(|&state| state != initial) {
            return Err(Error::corrupt("the entropy-coded payload does not end as it began"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Histogram;
    use super::*;
    use proptest::prelude::*;

    fn table(counts: &[u32]) -> FrequencyTable {
        FrequencyTable::from_histogram(&Histogram::of(counts), false)
    }

    fn encode(tables: &[FrequencyTable], runs: &[Run], tokens: &[u8], lane_bits: u32) -> Vec<u8> {
        let tables: Vec<EncodeTable> = tables.iter().map(EncodeTable::new).collect();
        let mut words = Vec::new();
        RansEncoder { tables: &tables }.encode(runs, tokens, lane_bits, &mut Vec::new(), &mut words);
        words
    }

    #[test]
    fn inverses_divide_exactly() {
        for frequency in 1..SCALE {
            let inverse = (1u64 << 63).div_ceil(u64::from(frequency));
            let multiple = u32::MAX / frequency * frequency;
            for x in [0, 1, frequency - 1, frequency, LOW, multiple - 1, multiple, u32::MAX] {
                assert_eq!(((u128::from(x) * u128::from(inverse)) >> 63) as u32, x / frequency);
            }
        }
    }

    #[test]
    fn words_by_hand() {
        // Two tokens of one half each, one lane: each token is one bit. State 1 becomes, coding from
        // the last of 0, 1, 1: 1 -> 2049 -> 6145 -> 12289 - 2048 - 2048 ... as the formula says.
        let tables = [table(&[1, 1])];
        let out = encode(&tables, &[Run { table: 0, length: 3 }], &[0, 1, 1], 0);
        let step = |x: u32, c: u32| x / 2048 * 4096 + x % 2048 + c;
        let state = step(step(step(1, 2048), 2048), 0);
        assert_eq!(out, (state as u16).to_le_bytes());
        // Nothing coded: no bytes.
        let out = encode(&tables, &[], &[], 0);
        assert!(out.is_empty());
        RansDecoder::new(&out, 0).unwrap().finish().unwrap();
    }

    proptest! {
        #[test]
        fn tokens_come_back(
            tokens in prop::collection::vec(prop_oneof![9 => Just(0u8), 3 => 0u8..4, 1 => 0u8..112], 0..3000),
            lane_bits in 0u32..=MAX_LANE_BITS, cut in 0usize..3000,
        ) {
            let cut = cut.min(tokens.len());
            let tables = [table(&[2000, 100, 30, 9]), table(&[1; TOKENS])];
            let tokens: Vec<u8> =
                tokens.iter().enumerate().map(|(i, &t)| if i < cut { t % 4 } else { t }).collect();
            let runs = [Run { table: 0, length: cut }, Run { table: 1, length: tokens.len() - cut }];
            let words = encode(&tables, &runs, &tokens, lane_bits);
            let mut decoder = RansDecoder::new(&words, lane_bits).unwrap();
            let mut decoded = vec![0; tokens.len()];
            decoder.decode(&DecodeTable::new(&tables[0]), &mut decoded[..cut]).unwrap();
            decoder.decode(&DecodeTable::new(&tables[1]), &mut decoded[cut..]).unwrap();
            prop_assert_eq!(&decoded, &tokens);
            decoder.finish().unwrap();
        }
    }
}

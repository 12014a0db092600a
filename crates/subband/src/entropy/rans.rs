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

use std::sync::OnceLock;

use super::frequency_table::{FrequencyTable, SCALE, SCALE_BITS};
use super::magnitude::CLASSES;
use super::magnitude_table::{MAGNITUDE_SCALE_BITS, MagnitudeTable};
use super::symbol::{ESCAPE, TOKENS};
use crate::error::{Error, Result};
pub(crate) use crate::kernel::MAX_LANE_BITS;
use crate::kernel::{
    Buckets, CoarseSlots, Head, Isa, LaneStates, SPARE_WORDS, Slots, Table, Tables, TokenEntry, TokenTable,
    coarse_slots, decode_flat_rounds, decode_rounds, encode_flat_rounds, encode_rounds, encode_symbols,
};

/// The same of payloads other than chunk payloads, and of those before version 6.
pub(crate) const OTHERS_MAX_LANE_BITS: u32 = 5;
const MAX_LANES: usize = 1 << MAX_LANE_BITS;
/// From so many lanes on there are vectors of them.
const VECTOR_LANES: usize = 32;
/// States are at least this, but for the first tokens of a lane alone.
const LOW: u32 = 1 << 16;

/// Consecutive tokens coded with one table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub table: u8,
    /// Where they lie among the tokens (in encoding: of the first part, or behind it of the second).
    pub start: usize,
    pub length: usize,
}

/// Lanes (as a binary logarithm) for a payload: one for each KiB, so they cost at most 0.3%.
pub(crate) fn lane_bits_for(payload_bits: u64) -> u32 {
    (payload_bits / (8 * 1024)).checked_ilog2().unwrap_or(0).min(OTHERS_MAX_LANE_BITS)
}

/// Chunks of so many tokens at most are small: bytes that lanes take are few, and all of their time is waiting for one lane.
const SMALL_CHUNK: usize = 1 << 13;

/// Lanes where speed counts: one for each 512 bytes, from 8 KiB on 32, without which there are no vectors, and from 32 KiB
/// on 64, which do not wait for each other. They cost 0.6%, and 1.2% just above 8 KiB. Small chunks have two from 256 bytes
/// on and four, which hide each other's waits, from 512 on, for up to 1.6%: maps of 64x8x8 are coded twice as fast with them.
pub(crate) fn many_lane_bits_for(payload_bits: u64, tokens: usize) -> u32 {
    let bytes = payload_bits / 8;
    match bytes {
        32_768.. => 6,
        8192.. => 5,
        _ if tokens <= SMALL_CHUNK => (bytes / 128).checked_ilog2().unwrap_or(0).min(2),
        _ => (bytes / 512).checked_ilog2().unwrap_or(0),
    }
}

fn initial_state(lane_bits: u32) -> u32 {
    if lane_bits == 0 { 1 } else { LOW }
}

/// A frequency table in the form that encoding looks up: tokens without a share are coded as the escape. A table with a
/// certain token codes nothing.
pub(crate) fn encode_table(table: &FrequencyTable) -> TokenTable {
    let share = |token: u8| {
        let own = if usize::from(token) < TOKENS && table.frequency(token) > 0 { token } else { ESCAPE };
        (table.frequency(own), table.cumulative(own))
    };
    TokenTable::new(|token| if table.certain().is_none() { share(token) } else { (0, 0) })
}

/// A magnitude table in the form that encoding looks up.
#[derive(Debug, Clone)]
pub(crate) struct EncodeMagnitudes {
    classes: [TokenEntry; CLASSES],
}

impl EncodeMagnitudes {
    pub fn new(table: &MagnitudeTable) -> Self {
        let entry = |class| TokenEntry::new(table.frequency(class), table.start(class), MAGNITUDE_SCALE_BITS);
        EncodeMagnitudes { classes: std::array::from_fn(|class| entry(class as u8)) }
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
        let state = &mut states[i & mask];
        let (next, full) = tables[table as usize].classes[class as usize].step(*state);
        if full {
            out.extend_from_slice(&(*state as u16).to_le_bytes());
        }
        *state = next;
    }
    write_states(&states[..=mask], out);
}

/// Symbols of any tables at the scale of magnitude tables, by number, in the form that encoding looks up.
#[derive(Debug, Clone, Default)]
pub(crate) struct EncodeSymbols {
    symbols: Vec<TokenEntry>,
}

impl EncodeSymbols {
    /// The next number: of the symbol with this share, at least 1 and below the whole.
    pub fn push(&mut self, frequency: u32, start: u32) {
        self.symbols.push(TokenEntry::new(frequency, start, MAGNITUDE_SCALE_BITS));
    }

    /// Codes symbols as [`crate::kernel::encode_row`] leaves them for `1 << lane_bits` lanes; appends words and final states
    /// to `out`. `words` is working memory.
    pub fn encode(&self, coded: &[u32], lane_bits: u32, words: &mut Vec<u16>, out: &mut Vec<u8>) {
        match lane_bits {
            0 if coded.is_empty() => {}
            0 => self.encode_lanes::<1>(coded, words, out),
            1 => self.encode_lanes::<2>(coded, words, out),
            2 => self.encode_lanes::<4>(coded, words, out),
            _ => unreachable!("more than four lanes make nothing faster"),
        }
    }

    fn encode_lanes<const LANES: usize>(&self, coded: &[u32], words: &mut Vec<u16>, out: &mut Vec<u8>) {
        words.resize(words.len().max(coded.len()), 0);
        let mut states = [initial_state(LANES.ilog2()); LANES];
        let count = encode_symbols(&self.symbols, coded, &mut states, words);
        append_words(&words[..count], out);
        write_states(&states, out);
    }
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
    pub tables: &'t [TokenTable],
}

/// A round whose tokens are of several runs, filled from its end.
struct MixedRound {
    numbers: [u8; MAX_LANES],
    tokens: [u8; MAX_LANES],
}

impl RansEncoder<'_> {
    /// Appends words and final states to `out`, as [`RansEncoder::encode`], for tokens each with the number of its table. Where
    /// runs are short they take longer than their tokens.
    pub fn encode_flat(&self, numbers: &[u8], tokens: &[u8], lane_bits: u32, words: &mut Vec<u16>, out: &mut Vec<u8>) {
        let mask = (1usize << lane_bits) - 1;
        let mut states = [initial_state(lane_bits); MAX_LANES];
        words.resize(words.len().max(tokens.len() + SPARE_WORDS), 0);
        let whole = tokens.len() & !mask;
        let mut at = self.encode_lanes(&numbers[whole..], &tokens[whole..], &mut states, words);
        let (numbers, tokens) = (&numbers[..whole], &tokens[..whole]);
        let words = &mut words[..];
        let isa = Isa::current();
        at += encode_flat_rounds(isa, self.tables, &mut states, lane_bits, numbers, tokens, &mut words[at..]);
        append_words(&words[..at], out);
        write_states(&states[..=mask], out);
    }

    /// Appends words and final states to `out`. Every token has a share in the table of its run, or the escape has.
    /// `words` is working memory.
    pub fn encode(&self, runs: &[Run], tokens: [&[u8]; 2], lane_bits: u32, words: &mut Vec<u16>, out: &mut Vec<u8>) {
        let isa = Isa::current();
        let mask = (1usize << lane_bits) - 1;
        let mut states = [initial_state(lane_bits); MAX_LANES];
        // How many tokens are not coded yet.
        let mut left: usize = runs.iter().map(|run| run.length).sum();
        words.resize(words.len().max(left + SPARE_WORDS), 0);
        let mut mixed = MixedRound { numbers: [0; MAX_LANES], tokens: [0; MAX_LANES] };
        // How many tokens of the mixed round are coded with it, if one is begun: fewer in the last round of all.
        let mut lanes = 0;
        let mut at = 0;
        for run in runs.iter().rev() {
            let start = left - run.length;
            let table = usize::from(run.table);
            let tokens = match run.start.checked_sub(tokens[0].len()) {
                Some(start) if run.length > 0 => &tokens[1][start..start + run.length],
                _ => &tokens[0][run.start..run.start + run.length],
            };
            while left > start {
                if left & mask == 0 && left - start > mask {
                    let first = (start + mask) & !mask;
                    let rounds = &tokens[first - start..left - start];
                    at += encode_rounds(isa, &self.tables[table], &mut states, lane_bits, rounds, &mut words[at..]);
                    left = first;
                    continue;
                }
                let round = (left - 1) & !mask;
                if left & mask == 0 || lanes == 0 {
                    lanes = left - round;
                }
                let first = round.max(start);
                let here = first - round..left - round;
                mixed.numbers[here.clone()].fill(run.table);
                mixed.tokens[here].copy_from_slice(&tokens[first - start..left - start]);
                left = first;
                if left == round {
                    let (numbers, tokens) = (&mixed.numbers[..lanes], &mixed.tokens[..lanes]);
                    at += self.encode_lanes(numbers, tokens, &mut states, &mut words[at..]);
                    lanes = 0;
                }
            }
        }
        debug_assert_eq!(left, 0);
        append_words(&words[..at], out);
        write_states(&states[..=mask], out);
    }

    /// Codes a round of as many lanes as there are tokens; returns the number of words.
    fn encode_lanes(&self, numbers: &[u8], tokens: &[u8], states: &mut LaneStates, words: &mut [u16]) -> usize {
        if tokens.len() >= VECTOR_LANES && tokens.len().is_power_of_two() {
            let lane_bits = tokens.len().ilog2();
            return encode_flat_rounds(Isa::current(), self.tables, states, lane_bits, numbers, tokens, words);
        }
        let mut at = 0;
        for ((state, &token), &number) in states.iter_mut().zip(tokens).zip(numbers).rev() {
            words[at] = *state as u16;
            let (next, full) = self.tables[usize::from(number)].entries[usize::from(token & 127)].step(*state);
            *state = next;
            at += usize::from(full);
        }
        at
    }
}

fn append_words(words: &[u16], out: &mut Vec<u8>) {
    let before = out.len();
    out.resize(before + 2 * words.len(), 0);
    for (out, word) in out[before..].as_chunks_mut::<2>().0.iter_mut().zip(words) {
        *out = word.to_le_bytes();
    }
}

/// A frequency table in the form that decoding looks up: for each of the 2^12 slots the token, the
/// slot's distance from the token's cumulative, and the token's frequency, in 8 + 12 + 12 bits.
///
/// The caller skips tables with a certain token, whose frequency would need 13 bits.
fn fill_slots(table: &FrequencyTable, slots: &mut Slots) {
    for token in 0..TOKENS as u8 {
        let (frequency, cumulative) = (table.frequency(token), table.cumulative(token));
        for (distance, slot) in (0u32..frequency).zip(&mut slots[cumulative as usize..]) {
            *slot = u32::from(token) | distance << 8 | frequency.min(SCALE - 1) << 20;
        }
    }
}

/// All tables of a coder in the forms that decoding looks up.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecodeTables {
    slots: Vec<Slots>,
    coarse: Vec<CoarseSlots>,
    heads: Vec<Head>,
    buckets: Vec<OnceLock<Buckets>>,
}

impl DecodeTables {
    /// Tables with a certain token are not looked at in decoding.
    pub fn new(tables: &[FrequencyTable]) -> Self {
        let mut slots = vec![[0; SCALE as usize]; tables.len()];
        for (table, slots) in tables.iter().zip(&mut slots) {
            if table.certain().is_none() {
                fill_slots(table, slots);
            }
        }
        let head = |table: &FrequencyTable| Head::new(|token| (table.frequency(token), table.cumulative(token)));
        let heads = tables.iter().map(head).collect();
        let buckets = vec![OnceLock::new(); tables.len()];
        let coarse = slots.iter().map(coarse_slots).collect();
        DecodeTables { slots, coarse, heads, buckets }
    }

    fn by_number(&self) -> Tables<'_> {
        Tables { slots: &self.slots, coarse: &self.coarse }
    }

    fn table(&self, number: u8) -> Table<'_> {
        let number = usize::from(number);
        Table { slots: &self.slots[number], head: &self.heads[number], buckets: &self.buckets[number] }
    }
}

/// The rest of a round, run by run.
#[derive(Clone, Copy)]
struct RoundParts<'a> {
    runs: &'a [Run],
    /// The next token, as a run and a place in it, and its lane.
    number: usize,
    at: usize,
    lane: usize,
    lanes: usize,
}

/// What of a round is of one run.
struct RoundPart {
    number: usize,
    table: u8,
    /// Where the tokens go.
    start: usize,
    length: usize,
    lane: usize,
}

impl Iterator for RoundParts<'_> {
    type Item = RoundPart;

    fn next(&mut self) -> Option<RoundPart> {
        let run = self.runs.get(self.number).filter(|_| self.lane < self.lanes)?;
        let length = (run.length - self.at).min(self.lanes - self.lane);
        let part =
            RoundPart { number: self.number, table: run.table, start: run.start + self.at, length, lane: self.lane };
        self.lane += length;
        (self.number, self.at) = (self.number + 1, 0);
        Some(part)
    }
}

#[cold]
fn words_end() -> Error {
    Error::corrupt("the entropy-coded words end too early")
}

/// Decodes tokens from words.
#[derive(Debug)]
pub(crate) struct RansDecoder<'a> {
    words: &'a [u8],
    /// Bytes before this position are not read yet.
    end: usize,
    states: LaneStates,
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
        let word = word.ok_or_else(words_end)?;
        self.end -= 2;
        Ok(u32::from(u16::from_le_bytes([word[0], word[1]])))
    }

    /// Decodes tokens, each with the table of the number at its place, from the first on.
    pub fn decode_flat(&mut self, tables: &DecodeTables, numbers: &[u8], tokens: &mut [u8]) -> Result<()> {
        debug_assert_eq!(self.next, 0);
        let lanes = 1usize << self.lane_bits;
        let RansDecoder { words, end, states, lane_bits, .. } = self;
        let by_number = tables.by_number();
        let done = decode_flat_rounds(Isa::current(), by_number, states, *lane_bits, numbers, words, end, tokens);
        for (i, (token, &number)) in tokens.iter_mut().zip(numbers).enumerate().skip(done) {
            *token = self.decode_one(&tables.slots[usize::from(number)], i % lanes)?;
        }
        self.next = tokens.len() % lanes;
        Ok(())
    }

    /// Decodes runs of tokens to their places in `tokens`.
    pub fn decode(&mut self, tables: &DecodeTables, runs: &[Run], tokens: &mut [u8]) -> Result<()> {
        let isa = Isa::current();
        let lanes = 1usize << self.lane_bits;
        // The next token, as a run and a place in it.
        let (mut number, mut at) = (0, 0);
        while let Some(run) = runs.get(number) {
            if at == run.length {
                (number, at) = (number + 1, 0);
                continue;
            }
            if self.next == 0 && run.length - at >= lanes {
                let rest = &mut tokens[run.start + at..run.start + run.length];
                let RansDecoder { words, end, states, lane_bits, .. } = self;
                let done = decode_rounds(isa, tables.table(run.table), states, *lane_bits, words, end, rest);
                at += done;
                if done > 0 {
                    continue;
                }
            }
            // What is left of a round, from as many runs as it takes: first their tables, then their tokens.
            let first = self.next;
            let parts = RoundParts { runs, number, at, lane: first, lanes };
            let mut numbers = [0; MAX_LANES];
            let mut lane = first;
            for part in parts {
                numbers[part.lane..part.lane + part.length].fill(part.table);
                lane = part.lane + part.length;
            }
            let mut round = [0; MAX_LANES];
            let RansDecoder { words, end, states, lane_bits, .. } = self;
            let mut done = 0;
            if lane - first == lanes && lanes >= VECTOR_LANES {
                let (numbers, round, by_number) = (&numbers[..lanes], &mut round[..lanes], tables.by_number());
                done = decode_flat_rounds(isa, by_number, states, *lane_bits, numbers, words, end, round);
            }
            if done == 0 {
                for lane in first..lane {
                    round[lane] = self.decode_one(&tables.slots[usize::from(numbers[lane])], lane)?;
                }
            }
            self.next = lane % lanes;
            for part in parts {
                tokens[part.start..part.start + part.length]
                    .copy_from_slice(&round[part.lane..part.lane + part.length]);
                (number, at) = (part.number, part.start + part.length - runs[part.number].start);
            }
        }
        Ok(())
    }

    #[inline]
    fn decode_one(&mut self, slots: &Slots, lane: usize) -> Result<u8> {
        let x = self.states[lane];
        let slot = slots[(x & (SCALE - 1)) as usize];
        let mut x = (slot >> 20) * (x >> SCALE_BITS) + (slot >> 8 & (SCALE - 1));
        if x < LOW && (self.lane_bits > 0 || self.end >= 2) {
            x = x << 16 | self.word()?;
        }
        self.states[lane] = x;
        Ok(slot as u8)
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

    /// Goes on with lanes that are chosen by the caller, of which there must be as many.
    pub fn lanes<const LANES: usize>(self) -> LaneDecoder<'a, LANES> {
        debug_assert_eq!(LANES, 1 << self.lane_bits);
        LaneDecoder { states: std::array::from_fn(|lane| self.states[lane]), words: self.words, end: self.end }
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

/// Decodes symbols at the scale of magnitude tables; their number is known when compiling, so that states stay in registers.
#[derive(Debug)]
pub(crate) struct LaneDecoder<'a, const LANES: usize> {
    states: [u32; LANES],
    words: &'a [u8],
    /// Bytes before this position are not read yet.
    end: usize,
}

impl<const LANES: usize> LaneDecoder<'_, LANES> {
    /// The slot of a lane's next symbol.
    #[inline(always)]
    pub fn slot(&self, lane: usize) -> u32 {
        self.states[lane] & ((1 << MAGNITUDE_SCALE_BITS) - 1)
    }

    /// Moves a lane on behind a symbol, whose interval holds the slot.
    #[inline(always)]
    pub fn advance(&mut self, lane: usize, start: u32, frequency: u32) -> Result<()> {
        let mut x = frequency * (self.states[lane] >> MAGNITUDE_SCALE_BITS) + self.slot(lane) - start;
        // A branch: the rarer the symbol, the likelier, and for zeros it is hardly ever taken.
        if x < LOW && (LANES > 1 || self.end >= 2) {
            // As [`RansDecoder::word`]; a function for both, which has a result to pass on, costs a twentieth of decoding.
            let word = self.end.checked_sub(2).and_then(|at| self.words.get(at..at + 2)).ok_or_else(words_end)?;
            self.end -= 2;
            x = x << 16 | u32::from(u16::from_le_bytes([word[0], word[1]]));
        }
        self.states[lane] = x;
        Ok(())
    }

    /// As [`RansDecoder::finish`].
    pub fn finish(self) -> Result<()> {
        let LaneDecoder { states, words, end } = self;
        let mut decoder = RansDecoder { words, end, states: [0; MAX_LANES], lane_bits: LANES.ilog2(), next: 0 };
        decoder.states[..LANES].copy_from_slice(&states);
        decoder.finish()
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
        let tables: Vec<TokenTable> = tables.iter().map(encode_table).collect();
        let mut words = Vec::new();
        RansEncoder { tables: &tables }.encode(runs, [tokens, &[]], lane_bits, &mut Vec::new(), &mut words);
        words
    }

    #[test]
    fn words_by_hand() {
        // Two tokens of one half each, one lane: each token is one bit. State 1 becomes, coding from
        // the last of 0, 1, 1: 1 -> 2049 -> 6145 -> 12289 - 2048 - 2048 ... as the formula says.
        let tables = [table(&[1, 1])];
        let out = encode(&tables, &[Run { table: 0, start: 0, length: 3 }], &[0, 1, 1], 0);
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
            lane_bits in 0u32..=MAX_LANE_BITS, cuts in prop::collection::vec(0usize..3000, 0..40),
        ) {
            let tables = [table(&[2000, 100, 30, 9]), table(&[1; TOKENS]), table(&[9, 900, 30, 2000])];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(tokens.len())).collect();
            cuts.extend([0, tokens.len()]);
            cuts.sort_unstable();
            // Runs lie apart and from the last to the first.
            let runs: Vec<Run> = cuts.windows(2).enumerate().map(|(i, cut)| {
                Run { table: (i % 3) as u8, start: tokens.len() - cut[1] + 5 * (60 - i), length: cut[1] - cut[0] }
            }).collect();
            let mut placed = vec![0; tokens.len() + 400];
            for (i, (run, cut)) in runs.iter().zip(cuts.windows(2)).enumerate() {
                for (out, &token) in placed[run.start..].iter_mut().zip(&tokens[cut[0]..cut[1]]) {
                    *out = if i % 3 == 1 { token } else { token % 4 };
                }
            }
            let words = encode(&tables, &runs, &placed, lane_bits);
            let decode_tables = DecodeTables::new(&tables);
            let mut decoder = RansDecoder::new(&words, lane_bits).unwrap();
            let mut decoded = vec![0; placed.len()];
            decoder.decode(&decode_tables, &runs, &mut decoded).unwrap();
            prop_assert_eq!(&decoded, &placed);
            decoder.finish().unwrap();

            // The same, token by token.
            let numbers: Vec<u8> = runs.iter().flat_map(|run| std::iter::repeat_n(run.table, run.length)).collect();
            let flat: Vec<u8> = runs.iter().flat_map(|run| &placed[run.start..run.start + run.length]).copied().collect();
            let encode_tables: Vec<TokenTable> = tables.iter().map(encode_table).collect();
            let mut out = Vec::new();
            RansEncoder { tables: &encode_tables }.encode_flat(&numbers, &flat, lane_bits, &mut Vec::new(), &mut out);
            prop_assert_eq!(&out, &words);
            let mut decoder = RansDecoder::new(&words, lane_bits).unwrap();
            let mut decoded = vec![0; flat.len()];
            decoder.decode_flat(&decode_tables, &numbers, &mut decoded).unwrap();
            prop_assert_eq!(&decoded, &flat);
            decoder.finish().unwrap();
        }
    }
}

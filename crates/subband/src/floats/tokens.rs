//! Values to tokens, contexts and raw bits, and back.
//!
//! The loops over a chunk are written for the compiler to vectorise: tokens, classes and contexts are made in
//! passes over bytes, without branches. Only raw bits go value by value.

use super::model::{BOUNDS, ESCAPE, FloatParameters, KEYED, context};
use crate::error::{Error, Result};
use crate::format::begin_float_payload;

/// The rows of a chunk and the lanes they are dealt to: lane k has rows k * rows / lanes to (k + 1) * rows / lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowGrid {
    /// Rows of all planes of the chunk.
    pub rows: usize,
    /// Rows of a plane, not 0.
    pub height: usize,
    /// Values of a row, not 0.
    pub width: usize,
    pub lane_bits: u32,
}

impl RowGrid {
    pub fn lanes(&self) -> usize {
        1 << self.lane_bits
    }

    /// First row of a lane.
    pub fn first_row(&self, lane: usize) -> usize {
        // Both factors are below 2^32 by the limits of the format, or the chunk could not be in memory.
        (lane * self.rows) >> self.lane_bits
    }
}

/// What each token stands for.
#[derive(Debug, Clone)]
pub(crate) struct TokenForms {
    forms: [TokenForm; 128],
}

#[derive(Debug, Clone, Copy, Default)]
struct TokenForm {
    /// The value without its raw bits.
    base: u32,
    /// Where the raw bits go.
    mask: u32,
    shift: u8,
    /// Number of raw bits.
    width: u8,
    class: u8,
}

impl TokenForms {
    /// The parameters have been validated.
    pub fn new(parameters: &FloatParameters) -> Self {
        let shift = parameters.key_shift();
        let mut forms = [TokenForm::default(); 128];
        for (token, form) in (0u8..).zip(&mut forms) {
            let (base, width, shift) = match parameters.key(token) {
                Some((key, negative)) => {
                    let width = parameters.raw_width(key);
                    (key << shift | if negative { parameters.format.sign() } else { 0 }, width, shift - width)
                }
                None if token > 0 && token < parameters.first_keyed() => (parameters.format.sign(), 0, 0),
                None if token == ESCAPE => (0, parameters.format.bits - parameters.zero_bits, parameters.zero_bits),
                None => (0, 0, 0),
            };
            let mask = (((1u64 << width) - 1) << shift) as u32;
            *form = TokenForm { base, mask, shift: shift as u8, width: width as u8, class: parameters.class(token) };
        }
        TokenForms { forms }
    }

    pub fn classes(&self) -> [u8; 128] {
        self.forms.map(|form| form.class)
    }

    pub fn width(&self, token: u8) -> u32 {
        u32::from(self.of(token).width)
    }

    fn of(&self, token: u8) -> &TokenForm {
        &self.forms[usize::from(token % 128)]
    }
}

/// Working memory for splitting; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct SplitScratch {
    tokens: Vec<u8>,
    classes: Vec<u8>,
    raw: Vec<u8>,
}

/// The values of a chunk, split.
#[derive(Debug, Default)]
pub(crate) struct SplitChunk {
    /// Context and token of each value: `context * 128 + token`.
    pub symbols: Vec<u16>,
    /// The payload as far as it does not depend on tables, with room for the rest.
    pub payload: Vec<u8>,
}

impl SplitChunk {
    /// Splits the values of a chunk.
    pub fn new(
        parameters: &FloatParameters,
        forms: &TokenForms,
        grid: &RowGrid,
        values: &[u32],
        scratch: &mut SplitScratch,
    ) -> Self {
        let SplitScratch { tokens, classes, raw } = scratch;
        tokens.resize(values.len(), 0);
        tokenise(parameters, values, tokens);
        if parameters.grid.is_some() {
            escape_off_grid(parameters, forms, values, tokens);
        }
        classes.resize(values.len(), 0);
        classify(parameters, tokens, classes);
        let symbols = symbols(grid, tokens, classes);
        let payload = begin_float_payload(grid, write_raw(forms, values, tokens, raw), values.len());
        SplitChunk { symbols, payload }
    }
}

/// Token of each value. A sign without a token of its own makes the key larger than all others, so that the
/// difference wraps around and the value is escaped; zeros have their tokens whatever the keys are.
fn tokenise(parameters: &FloatParameters, values: &[u32], tokens: &mut [u8]) {
    let (shift, top) = (parameters.key_shift(), parameters.top_key);
    if parameters.signed {
        let (sign, sign_shift) = (parameters.format.sign(), parameters.format.bits - 1);
        for (token, &value) in tokens.iter_mut().zip(values) {
            let (magnitude, negative) = (value & !sign, value >> sign_shift);
            let index = top.wrapping_sub(magnitude >> shift).min(KEYED / 2);
            let keyed = (2 + 2 * index + negative).min(u32::from(ESCAPE));
            *token = if magnitude == 0 { negative as u8 } else { keyed as u8 };
        }
    } else {
        for (token, &value) in tokens.iter_mut().zip(values) {
            let index = top.wrapping_sub(value >> shift).min(KEYED);
            *token = if value == 0 { 0 } else { (index + 1) as u8 };
        }
    }
}

/// Escapes the values with bits below the grid.
fn escape_off_grid(parameters: &FloatParameters, forms: &TokenForms, values: &[u32], tokens: &mut [u8]) {
    let masks: [u32; 128] = std::array::from_fn(|token| match parameters.key(token as u8) {
        Some(_) => (1 << forms.forms[token].shift) - 1,
        None => 0,
    });
    for (token, &value) in tokens.iter_mut().zip(values) {
        if value & masks[usize::from(*token % 128)] != 0 {
            *token = ESCAPE;
        }
    }
}

/// Class of each token, by comparisons instead of a table so that it vectorises.
fn classify(parameters: &FloatParameters, tokens: &[u8], classes: &mut [u8]) {
    let (bounds, first_keyed) = (parameters.bounds, parameters.first_keyed());
    for (class, &token) in classes.iter_mut().zip(tokens) {
        let below: u8 = bounds.iter().map(|&bound| u8::from(bound <= token)).sum();
        *class = if token < first_keyed { 0 } else { BOUNDS as u8 + 1 - below };
    }
}

/// Token and context of each value, the context from the classes to its left and above it; where one is missing
/// the other stands in.
fn symbols(grid: &RowGrid, tokens: &[u8], classes: &[u8]) -> Vec<u16> {
    let symbol = |token: u8, left: u8, above: u8| u16::from(context(left, above)) << 7 | u16::from(token);
    let mut symbols = Vec::with_capacity(tokens.len());
    let width = grid.width;
    for lane in 0..grid.lanes() {
        let first = grid.first_row(lane);
        for row in first..grid.first_row(lane + 1) {
            let at = row * width;
            // The first value has nothing to its left, the others have the classes from here on.
            let (tokens, left) = (&tokens[at..at + width], &classes[at..at + width - 1]);
            let others = tokens[1..].iter().zip(left);
            if row == first || row.is_multiple_of(grid.height) {
                symbols.push(symbol(tokens[0], 0, 0));
                symbols.extend(others.map(|(&token, &left)| symbol(token, left, left)));
            } else {
                let above = &classes[at - width..at];
                symbols.push(symbol(tokens[0], above[0], above[0]));
                let others = others.zip(&above[1..]);
                symbols.extend(others.map(|((&token, &left), &above)| symbol(token, left, above)));
            }
        }
    }
    symbols
}

/// Raw bits of all values, in order.
///
/// Two values go together, and eight bytes are stored at every pair while the position moves on by the full ones:
/// cheaper than asking whether bytes are full, since about every second value has no raw bits and none can tell
/// which. Against one value at a time this is three quarters of the time.
fn write_raw<'s>(forms: &TokenForms, values: &[u32], tokens: &[u8], bytes: &'s mut Vec<u8>) -> &'s [u8] {
    bytes.resize(values.len() * 4 + 16, 0);
    let (mut at, mut pending, mut count) = (0usize, 0u64, 0u32);
    // Fewer than 8 bits are pending and at most 56 come.
    let mut put = |bits: u64, width: u32| {
        pending |= bits << count;
        count += width;
        bytes[at..at + 8].copy_from_slice(&pending.to_le_bytes());
        at += (count >> 3) as usize;
        pending >>= count & !7;
        count &= 7;
    };
    let raw = |value: u32, token: u8| {
        let form = forms.of(token);
        (u64::from((value ^ form.base) >> form.shift), u32::from(form.width))
    };
    let pairs = values.chunks_exact(2).zip(tokens.chunks_exact(2));
    for (values, tokens) in pairs {
        let (first, first_width) = raw(values[0], tokens[0]);
        let (second, second_width) = raw(values[1], tokens[1]);
        if first_width + second_width <= 56 {
            put(first | second << first_width, first_width + second_width);
        } else {
            put(first, first_width);
            put(second, second_width);
        }
    }
    if values.len() % 2 == 1 {
        let (bits, width) = raw(values[values.len() - 1], tokens[values.len() - 1]);
        put(bits, width);
    }
    let end = at + usize::from(count > 0);
    &bytes[..end]
}

/// Puts values together from tokens and raw bits. `raw` holds the raw bits and eight bytes of zeros behind them.
///
/// # Errors
/// Too few raw bits, too many, or padding that is not zero.
pub(crate) fn join_values(forms: &TokenForms, tokens: &[u8], raw: &[u8], values: &mut [u32]) -> Result<()> {
    let mut position = 0usize;
    for (value, &token) in values.iter_mut().zip(tokens) {
        let form = forms.of(token);
        let at = position >> 3;
        let Some(&word) = raw.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
            return Err(Error::corrupt("the raw bits of a chunk end too early"));
        };
        let bits = (u64::from_le_bytes(word) >> (position & 7)) as u32;
        *value = form.base | (bits << form.shift) & form.mask;
        position += usize::from(form.width);
    }
    let (used, padding) = (position.div_ceil(8), position & 7);
    if used + 8 != raw.len() || (padding > 0 && raw[used - 1] >> padding != 0) {
        return Err(Error::corrupt("the raw bits of a chunk do not end with its last value"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floats::FloatFormat;
    use crate::floats::survey::Survey;

    fn parameters(values: &[u32]) -> FloatParameters {
        let mut survey = Survey::default();
        survey.add(values, 1);
        survey.parameters(FloatFormat::F32)
    }

    #[test]
    fn tokens_by_hand() {
        // Half octaves from the key of 3.0 down: [3, 4), [2, 3), [1.5, 2), ...
        let values = [3.0f32, 2.0, 1.9, 0.0, 1.0, 2.7].map(f32::to_bits);
        let parameters = FloatParameters { sub_bits: 1, zero_bits: 0, grid: None, ..parameters(&values) };
        let parameters = FloatParameters { top_key: 3f32.to_bits() >> 22, bounds: [1, 2, 3, 4, 5, 6], ..parameters };
        let mut tokens = [0; 6];
        tokenise(&parameters, &values, &mut tokens);
        assert_eq!(tokens, [1, 2, 3, 0, 4, 2]);
        let mut classes = [0; 6];
        classify(&parameters, &tokens, &mut classes);
        assert_eq!(classes, [6, 5, 4, 0, 3, 5]);
        assert!(tokens.iter().zip(classes).all(|(&token, class)| parameters.class(token) == class));
        // One row above the other: contexts (0, 0), (6, 6), (5, 5); (6, 6), (0, 5), (3, 4).
        let grid = RowGrid { rows: 2, height: 2, width: 3, lane_bits: 0 };
        let expected = [(0, 0), (6, 6), (5, 5), (6, 6), (0, 5), (3, 4)].map(|(a, b)| u16::from(context(a, b)) * 128);
        let symbols = symbols(&grid, &tokens, &classes);
        assert!(symbols.iter().zip(expected).zip(tokens).all(|((&s, context), token)| s == context + u16::from(token)));
    }

    #[test]
    fn values_come_back_whatever_the_parameters() {
        let mut values: Vec<u32> =
            (0..4000u32).map(|i| i.wrapping_mul(0x9e37_79b1) & [!0, !0xff, 0][i as usize % 3]).collect();
        values.extend([0, 1 << 31, 0x7fc0_1234, 0xff80_0000, 1, 0x8000_0001].map(|bits: u32| bits));
        let fitting = parameters(&values);
        for signed in [false, true] {
            for (sub_bits, grid, top_key) in [(0, None, 200), (1, Some(120), 300), (3, Some(0), 2047), (2, None, 5)] {
                let parameters = FloatParameters { signed, sub_bits, grid, top_key, ..fitting.clone() };
                let forms = TokenForms::new(&parameters);
                let (mut tokens, mut raw) = (vec![0; values.len()], Vec::new());
                tokenise(&parameters, &values, &mut tokens);
                if grid.is_some() {
                    escape_off_grid(&parameters, &forms, &values, &mut tokens);
                }
                let mut raw = write_raw(&forms, &values, &tokens, &mut raw).to_vec();
                raw.extend([0; 8]);
                let mut joined = vec![0; values.len()];
                join_values(&forms, &tokens, &raw, &mut joined).unwrap();
                assert_eq!(joined, values);
                assert!(join_values(&forms, &tokens, &raw[1..], &mut joined).is_err());
                assert!(join_values(&forms, &tokens, &[&raw[..], &[0]].concat(), &mut joined).is_err());
            }
        }
    }
}

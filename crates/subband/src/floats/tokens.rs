//! Values to tokens, contexts and raw bits, and back.
//!
//! The loops over a chunk are written for the compiler to vectorise: tokens, classes and contexts are made in
//! passes over bytes, without branches. Only raw bits go value by value.

use super::model::{BOUNDS, ESCAPE, FloatParameters, KEYED, context};
use crate::error::{Error, Result};

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
        lane * self.rows >> self.lane_bits
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
    /// Raw bits, and where they go.
    width: u8,
    shift: u8,
    class: u8,
}

impl TokenForms {
    /// The parameters have been validated.
    pub fn new(parameters: &FloatParameters) -> Self {
        let shift = parameters.key_shift();
        let mut forms = [TokenForm::default(); 128];
        for (token, form) in (0u8..).zip(&mut forms) {
            form.class = parameters.class(token);
            if let Some((key, negative)) = parameters.key(token) {
                let width = parameters.raw_width(key);
                form.base = key << shift | if negative { parameters.format.sign() } else { 0 };
                (form.width, form.shift) = (width as u8, (shift - width) as u8);
            }
        }
        let escape = &mut forms[ESCAPE as usize];
        escape.shift = parameters.zero_bits as u8;
        escape.width = (parameters.format.bits - parameters.zero_bits) as u8;
        TokenForms { forms }
    }

    pub fn classes(&self) -> [u8; 128] {
        self.forms.map(|form| form.class)
    }

    pub fn width(&self, token: u8) -> u32 {
        u32::from(self.forms[usize::from(token & 127)].width)
    }
}

/// Working memory for splitting; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct SplitScratch {
    classes: Vec<u8>,
    raw: Vec<u8>,
}

/// The tokens of a chunk, its contexts, and its raw bits.
#[derive(Debug, Default)]
pub(crate) struct SplitChunk {
    pub tokens: Vec<u8>,
    pub contexts: Vec<u8>,
    pub raw: Vec<u8>,
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
        let mut tokens = vec![0; values.len()];
        tokenise(parameters, values, &mut tokens);
        if parameters.grid.is_some() {
            escape_off_grid(parameters, forms, values, &mut tokens);
        }
        let contexts = contexts(&parameters.bounds, grid, &tokens, &mut scratch.classes);
        let raw = write_raw(forms, values, &tokens, &mut scratch.raw).to_vec();
        SplitChunk { tokens, contexts, raw }
    }
}

/// Token of each value. A sign without a token of its own makes the key larger than all others, so that the
/// difference wraps around and the value is escaped; +0.0 has its token whatever the keys are.
fn tokenise(parameters: &FloatParameters, values: &[u32], tokens: &mut [u8]) {
    let (shift, top) = (parameters.key_shift(), parameters.top_key);
    if parameters.signed {
        let (sign, sign_shift) = (parameters.format.sign(), parameters.format.bits - 1);
        for (token, &value) in tokens.iter_mut().zip(values) {
            let index = top.wrapping_sub((value & !sign) >> shift).min(KEYED / 2);
            let keyed = (1 + 2 * index + (value >> sign_shift)).min(u32::from(ESCAPE));
            *token = if value == 0 { 0 } else { keyed as u8 };
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
        if value & masks[usize::from(*token & 127)] != 0 {
            *token = ESCAPE;
        }
    }
}

/// Class of each token, by comparisons instead of a table so that it vectorises.
fn classify(bounds: &[u8; BOUNDS], tokens: &[u8], classes: &mut [u8]) {
    for (class, &token) in classes.iter_mut().zip(tokens) {
        let below: u8 = bounds.iter().map(|&bound| u8::from(bound <= token)).sum();
        *class = if token == 0 { 0 } else { BOUNDS as u8 + 1 - below };
    }
}

/// Context of each value from the classes to its left and above it; where one is missing the other stands in.
fn contexts(bounds: &[u8; BOUNDS], grid: &RowGrid, tokens: &[u8], classes: &mut Vec<u8>) -> Vec<u8> {
    classes.resize(tokens.len(), 0);
    classify(bounds, tokens, classes);
    let mut contexts = vec![0; tokens.len()];
    let width = grid.width;
    for lane in 0..grid.lanes() {
        let first = grid.first_row(lane);
        for row in first..grid.first_row(lane + 1) {
            let (before, rest) = classes.split_at(row * width);
            let here = &rest[..width];
            let out = &mut contexts[row * width..(row + 1) * width];
            // The value to the left of out[x + 1] is here[x].
            if row == first || row % grid.height == 0 {
                out[0] = context(0, 0);
                for (out, &left) in out[1..].iter_mut().zip(here) {
                    *out = context(left, left);
                }
            } else {
                let above = &before[before.len() - width..];
                out[0] = context(above[0], above[0]);
                for ((out, &left), &above) in out[1..].iter_mut().zip(here).zip(&above[1..]) {
                    *out = context(left, above);
                }
            }
        }
    }
    contexts
}

/// Raw bits of all values, in order. Eight bytes are stored at every value and the position moves on by the
/// full ones, which is cheaper than asking whether a byte is full: about every second value has no raw bits.
fn write_raw<'s>(forms: &TokenForms, values: &[u32], tokens: &[u8], bytes: &'s mut Vec<u8>) -> &'s [u8] {
    bytes.resize(values.len() * 4 + 8, 0);
    let (mut at, mut pending, mut count) = (0usize, 0u64, 0u32);
    for (&value, &token) in values.iter().zip(tokens) {
        let form = &forms.forms[usize::from(token & 127)];
        let raw = u64::from(value >> form.shift) & ((1 << form.width) - 1);
        // Fewer than 8 bits are pending and at most 32 come.
        pending |= raw << count;
        count += u32::from(form.width);
        bytes[at..at + 8].copy_from_slice(&pending.to_le_bytes());
        at += (count >> 3) as usize;
        pending >>= count & !7;
        count &= 7;
    }
    &bytes[..at + usize::from(count > 0)]
}

/// Puts values together from tokens and raw bits. `raw` holds the raw bits and eight bytes of zeros behind them.
///
/// # Errors
/// Too few raw bits, too many, or padding that is not zero.
pub(crate) fn join_values(forms: &TokenForms, tokens: &[u8], raw: &[u8], values: &mut [u32]) -> Result<()> {
    let mut position = 0usize;
    for (value, &token) in values.iter_mut().zip(tokens) {
        let form = &forms.forms[usize::from(token & 127)];
        let at = position >> 3;
        let Some(&word) = raw.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
            return Err(Error::corrupt("the raw bits of a chunk end too early"));
        };
        let bits = u64::from_le_bytes(word) >> (position & 7) & ((1 << form.width) - 1);
        *value = form.base | (bits as u32) << form.shift;
        position += usize::from(form.width);
    }
    let (used, padding) = (position.div_ceil(8), position & 7);
    if used + 8 != raw.len() || (padding > 0 && raw[used - 1] >> padding != 0) {
        return Err(Error::corrupt("the raw bits of a chunk do not end with its last value"));
    }
    Ok(())
}

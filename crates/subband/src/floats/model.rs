//! What the two sides of the float coder share: how values become tokens, and the tables.

use crate::entropy::ContextTables;
use crate::error::{Error, Result};
use crate::tensor::DType;

/// Classes of neighbours: 0 for zero, then six bounds cut the tokens into seven.
pub(crate) const BOUNDS: usize = 6;
pub(crate) const CLASSES: usize = BOUNDS + 2;
/// Unordered pairs of classes.
pub(crate) const CONTEXTS: usize = CLASSES * (CLASSES + 1) / 2;
/// Token of values that have none of their own: all their bits are raw.
pub(crate) const ESCAPE: u8 = 111;
/// Tokens between zeros and escape, where negative values have none.
pub(crate) const KEYED: u32 = 110;
/// Most entries of a palette.
pub(crate) const MAX_PALETTE: usize = 1 << 16;

/// Layout of a float type: sign, exponent, mantissa from the top bit down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FloatFormat {
    pub bits: u32,
    pub mantissa: u32,
}

impl FloatFormat {
    pub const F32: FloatFormat = FloatFormat { bits: 32, mantissa: 23 };

    /// The layout of a dtype; integers have none.
    pub fn of(dtype: DType) -> Option<FloatFormat> {
        match dtype {
            DType::F32 => Some(FloatFormat::F32),
            DType::F16 => Some(FloatFormat { bits: 16, mantissa: 10 }),
            DType::Bf16 => Some(FloatFormat { bits: 16, mantissa: 7 }),
            _ => None,
        }
    }

    pub fn sign(self) -> u32 {
        1 << (self.bits - 1)
    }

    pub fn exponents(self) -> u32 {
        1 << (self.bits - 1 - self.mantissa)
    }
}

/// How bits become tokens. A value's *key* is its exponent field and the first `sub_bits` bits of its mantissa.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FloatParameters {
    /// Of the coded values: the dtype's, or f32 for ranks in a palette.
    pub format: FloatFormat,
    /// Mantissa bits in the key, 0 to 3 and not beyond `format.mantissa - zero_bits`.
    pub sub_bits: u32,
    /// Whether negative values have tokens.
    pub signed: bool,
    /// All values are multiples of `1 << zero_bits`.
    pub zero_bits: u32,
    /// Key of the first token.
    pub top_key: u32,
    /// Exponent field of a power of two that the values with tokens are multiples of.
    pub grid: Option<u32>,
    /// Bounds of the classes, tokens in ascending order.
    pub bounds: [u8; BOUNDS],
    /// The distinct values, ascending by [`palette_order`]; values are then coded as the f32 of their rank.
    pub palette: Vec<u32>,
}

impl FloatParameters {
    /// Checks the ranges that the other methods rely on.
    pub fn validate(&self) -> Result<()> {
        let FloatFormat { mantissa, .. } = self.format;
        if self.sub_bits + self.zero_bits > mantissa {
            return Err(Error::corrupt(format!(
                "{} bits of the mantissa in keys and {} dropped ones of {mantissa}",
                self.sub_bits, self.zero_bits
            )));
        }
        if self.top_key >= self.format.exponents() << self.sub_bits {
            return Err(Error::corrupt(format!("a key of {} is beyond the exponents", self.top_key)));
        }
        if self.grid.is_some_and(|grid| grid >= self.format.exponents()) {
            return Err(Error::corrupt("a grid is beyond the exponents"));
        }
        if !self.bounds.is_sorted() {
            return Err(Error::corrupt("the bounds of float classes do not ascend"));
        }
        Ok(())
    }

    /// Bits below the key, dropped ones included.
    pub fn key_shift(&self) -> u32 {
        self.format.mantissa - self.sub_bits
    }

    /// The first token with a key; those before are zeros: of both signs, if negative values have tokens.
    pub fn first_keyed(&self) -> u8 {
        1 + u8::from(self.signed)
    }

    /// Key and sign of a token; `None` for zeros, escape and tokens beyond the keys.
    pub fn key(&self, token: u8) -> Option<(u32, bool)> {
        if token < self.first_keyed() || token >= ESCAPE {
            return None;
        }
        let index = u32::from(token - self.first_keyed());
        let (index, negative) = if self.signed { (index / 2, index % 2 == 1) } else { (index, false) };
        Some((self.top_key.checked_sub(index)?, negative))
    }

    /// Raw bits of a value with this key: what the grid leaves of the mantissa below it.
    pub fn raw_width(&self, key: u32) -> u32 {
        let mantissa = self.format.mantissa - self.zero_bits;
        let exponent = key >> self.sub_bits;
        let meaningful = match self.grid {
            Some(grid) if exponent > 0 => exponent.saturating_sub(grid).min(mantissa),
            _ => mantissa,
        };
        meaningful.saturating_sub(self.sub_bits)
    }

    /// Class of a token: 0 for zeros, 7 for the largest values to 1 for the smallest.
    pub fn class(&self, token: u8) -> u8 {
        let below = self.bounds.iter().filter(|&&bound| bound <= token).count() as u8;
        if token < self.first_keyed() { 0 } else { CLASSES as u8 - 1 - below }
    }
}

/// Number of the unordered pair of classes.
pub(crate) fn context(a: u8, b: u8) -> u8 {
    let (high, low) = (a.max(b), a.min(b));
    high * (high + 1) / 2 + low
}

/// Orders bits by magnitude, the positive one first, so that zero comes first and ranks grow with magnitudes.
pub(crate) fn palette_order(format: FloatFormat, bits: u32) -> u32 {
    (bits & !format.sign()) << 1 | bits >> (format.bits - 1)
}

/// The bits at a place in [`palette_order`].
pub(crate) fn from_palette_order(format: FloatFormat, order: u32) -> u32 {
    order >> 1 | (order & 1) << (format.bits - 1)
}

/// Parameters and tables of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FloatModel {
    pub parameters: FloatParameters,
    /// Tables of [`CONTEXTS`] contexts.
    pub tables: ContextTables,
}

impl FloatModel {
    /// Checks the parameters, and that every token that can be decoded has a key.
    pub fn validate(&self) -> Result<()> {
        self.parameters.validate()?;
        for table in self.tables.tables() {
            let lost = (self.parameters.first_keyed()..ESCAPE)
                .find(|&t| table.frequency(t) > 0 && self.parameters.key(t).is_none());
            if let Some(token) = lost {
                return Err(Error::corrupt(format!("token {token} of a float stream lies below the keys")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_number_the_unordered_pairs() {
        let mut seen = [0; CONTEXTS];
        for a in 0..CLASSES as u8 {
            for b in 0..CLASSES as u8 {
                seen[context(a, b) as usize] += 1;
            }
        }
        assert!(seen.iter().all(|&n| n == 1 || n == 2));
        assert_eq!((context(0, 0), context(1, 0), context(1, 1), context(7, 7)), (0, 1, 2, 35));
    }

    #[test]
    fn palettes_ascend_by_magnitude() {
        let format = FloatFormat::F32;
        let values = [0.0f32, -0.0, 1.0, -1.0, 2.5, f32::INFINITY, f32::NEG_INFINITY];
        let orders: Vec<u32> = values.iter().map(|v| palette_order(format, v.to_bits())).collect();
        assert!(orders.is_sorted());
        for (value, order) in values.iter().zip(orders) {
            assert_eq!(from_palette_order(format, order), value.to_bits());
        }
    }
}

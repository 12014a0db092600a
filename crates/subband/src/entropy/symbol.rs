//! Symbols: an index becomes a token, which rANS codes, and raw bits (FORMAT.md, "Symbols").
//!
//! | token | index | raw bits |
//! |---|---|---|
//! | 0 | 0 | |
//! | 2m - 1, 2m | m, -m for m = 1..=15 | |
//! | 31 + 4(e - 4) + 2h + s | sign s, magnitude 1h... in binary with e + 1 digits, e = 4..=23 | the e - 1 digits below h |
//! | 111 (`ESCAPE`) | any | the index in two's complement, 25 bits |
//!
//! The escape codes an index whose token has no share in a table: tables of a profile meet data that
//! they were not counted on.

/// Number of tokens.
pub(crate) const TOKENS: usize = 112;
/// The token that any index can be coded with.
pub(crate) const ESCAPE: u8 = (TOKENS - 1) as u8;
/// Largest magnitude of an index: the largest that a token of its own can say. An escape could say
/// one more, which decoding refuses.
pub(crate) const MAX_MAGNITUDE: u32 = (1 << 24) - 1;
/// Raw bits after an escape.
const ESCAPE_BITS: u32 = 25;
/// Largest magnitude with a token of its own.
const DIRECT: u32 = 15;
const FIRST_CLASS: u32 = 2 * DIRECT + 1;
/// Tokens below this have no raw bits.
pub(crate) const FIRST_WITH_RAW_BITS: u8 = FIRST_CLASS as u8;

/// The token of an index (never the escape), whose magnitude is at most `MAX_MAGNITUDE`.
#[inline]
pub(crate) fn token(index: i32) -> u8 {
    let magnitude = index.unsigned_abs();
    let sign = u32::from(index < 0);
    if magnitude <= DIRECT {
        // 2m - 1 + s, and 0 for 0.
        return (2 * magnitude + sign).saturating_sub(1) as u8;
    }
    let exponent = 31 - magnitude.leading_zeros();
    let half = magnitude >> (exponent - 1) & 1;
    (FIRST_CLASS + 4 * (exponent - 4) + 2 * half + sign) as u8
}

/// Number of raw bits that follow a token.
#[inline]
pub(crate) fn raw_bits(token: u8) -> u32 {
    match u32::from(token) {
        t if t < FIRST_CLASS => 0,
        t if token < ESCAPE => (t - FIRST_CLASS) / 4 + 3,
        _ => ESCAPE_BITS,
    }
}

/// The raw bits of an index coded with `token`.
#[inline]
pub(crate) fn raw_value(index: i32, token: u8) -> u32 {
    let bits = raw_bits(token);
    let value = if token == ESCAPE { index as u32 } else { index.unsigned_abs() };
    value & ((1 << bits) - 1)
}

/// The index of a token and its raw bits.
#[inline]
pub(crate) fn index_from_raw(token: u8, raw: u32) -> i32 {
    let t = u32::from(token);
    if t < FIRST_CLASS {
        let magnitude = t.div_ceil(2) as i32;
        return if t % 2 == 0 { -magnitude } else { magnitude };
    }
    if token == ESCAPE {
        return (raw << (32 - ESCAPE_BITS)) as i32 >> (32 - ESCAPE_BITS);
    }
    let class = t - FIRST_CLASS;
    let exponent = class / 4 + 4;
    let magnitude = ((2 | (class >> 1 & 1)) << (exponent - 1) | raw) as i32;
    if class % 2 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!([0, 1, -1, 2, -2, 15, -15].map(token), [0, 1, 2, 3, 4, 29, 30]);
        // 16 = 10000b: e = 4, h = 0; -24 = -11000b: h = 1; 32: e = 5.
        assert_eq!([16, -16, 24, -24, 32].map(token), [31, 32, 33, 34, 35]);
        assert_eq!((raw_bits(31), raw_bits(35), raw_bits(30), raw_bits(ESCAPE)), (3, 4, 0, 25));
        assert_eq!(raw_value(-29, 34), 0b101);
    }

    #[test]
    fn every_index_comes_back() {
        let large = (4..=23).flat_map(|e| [(1 << e) - 1, 1 << e, (1 << e) + 5]).chain([(1 << 23) - 1]);
        for index in (0..300).chain(large).flat_map(|m| [m, -m]).filter(|&i| i < 1 << 23) {
            let t = token(index);
            assert!(t < ESCAPE);
            assert_eq!(index_from_raw(t, raw_value(index, t)), index);
            assert_eq!(index_from_raw(ESCAPE, raw_value(index, ESCAPE)), index);
        }
    }
}

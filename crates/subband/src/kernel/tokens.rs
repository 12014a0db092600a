//! Coefficients and indices to tokens and back, but for raw bits (`entropy::symbol`).
//!
//! At the effort that codes tokens, coefficients become tokens without an index in between: a byte a value is written and
//! read again where it was four.

use super::isa::{Isa, Level};
use super::quantize::{OUT_OF_RANGE, QuantizerConstants};
use crate::entropy::{FIRST_WITH_RAW_BITS, token};
use crate::kernel::multiversion;

multiversion! {
    /// The token of each index; `tokens` is as long as `indices`. Returns the largest token.
    pub(crate) fn tokens_of(indices: &[i32], tokens: &mut [u8]) -> u8 = plain_tokens;
    /// The index of each token below [`FIRST_WITH_RAW_BITS`], and something for others. Returns the largest token.
    pub(crate) fn indices_of(tokens: &[u8], indices: &mut [i32]) -> u8 = plain_indices;
    /// Number of tokens other than 0.
    pub(crate) fn count_nonzero_tokens(tokens: &[u8]) -> usize = plain_count_nonzero;
    /// The largest token.
    pub(crate) fn largest_token(tokens: &[u8]) -> u8 = plain_largest;
    /// `kernel::dequantize` of the indices of tokens, all of them below [`FIRST_WITH_RAW_BITS`].
    pub(crate) fn dequantize_tokens(step: f32, shift: f32, tokens: &[u8], coefficients: &mut [f32]) = plain_dequantize;
}

/// `kernel::quantize`, to tokens. Returns the largest; where that is [`FIRST_WITH_RAW_BITS`] or more the tokens are of no use.
/// The range of indices is not looked at: it has that of 5 bits or more, and smaller tokens stay within.
pub(crate) fn quantize_tokens(isa: Isa, constants: QuantizerConstants, coefficients: &[f32], tokens: &mut [u8]) -> u8 {
    debug_assert!(constants.range[0] <= -16 && constants.range[1] >= 15);
    assert_eq!(coefficients.len(), tokens.len());
    #[cfg(target_arch = "x86_64")]
    if isa.level() >= Level::Avx2 {
        // SAFETY: the `Isa` of a level only exists where the CPU has its features.
        return unsafe { avx2_quantize(constants, coefficients, tokens) };
    }
    let _ = (isa, Level::Avx2);
    plain_quantize(constants, coefficients, tokens)
}

/// 2m - 1 for positive ones, 2m for negative ones; saturated at 0 that is the token, for 0 and -0.0 too.
#[inline(always)]
fn plain_quantize(constants: QuantizerConstants, coefficients: &[f32], tokens: &mut [u8]) -> u8 {
    let mut most = 0;
    for (token, &x) in tokens.iter_mut().zip(coefficients) {
        let scaled = x.abs() * constants.inverse + constants.rounding;
        let bounded = if scaled < OUT_OF_RANGE { scaled } else { OUT_OF_RANGE };
        // SAFETY: a finite number from 0 to 2^25.
        let magnitude = unsafe { bounded.to_int_unchecked::<i32>() };
        let doubled = 2 * magnitude - 1 + (x.to_bits() >> 31) as i32;
        *token = doubled.clamp(0, 255) as u8;
        most = most.max(*token);
    }
    most
}

/// As [`plain_quantize`]. The two steps of packing saturate, which is the clamp.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2_quantize(constants: QuantizerConstants, coefficients: &[f32], tokens: &mut [u8]) -> u8 {
    use std::arch::x86_64::*;
    let (inverse, rounding) = (_mm256_set1_ps(constants.inverse), _mm256_set1_ps(constants.rounding));
    let (sign, limit) = (_mm256_set1_ps(-0.0), _mm256_set1_ps(OUT_OF_RANGE));
    // Packing works within halves of vectors and leaves fours of bytes in this order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let mut most = _mm256_setzero_si256();
    let (groups, rest) = coefficients.as_chunks::<32>();
    let (token_groups, token_rest) = tokens.as_chunks_mut::<32>();
    for (x, tokens) in groups.iter().zip(token_groups) {
        let doubled: [__m256i; 4] = std::array::from_fn(|i| {
            // SAFETY: 8 of 32 floats.
            let x = unsafe { _mm256_loadu_ps(x.as_ptr().add(8 * i)) };
            let scaled = _mm256_add_ps(_mm256_mul_ps(_mm256_andnot_ps(sign, x), inverse), rounding);
            // The second operand where one is NaN.
            let magnitude = _mm256_cvttps_epi32(_mm256_min_ps(scaled, limit));
            // All ones, which is -1, for positive x.
            let positive = _mm256_srai_epi32::<31>(_mm256_castps_si256(_mm256_xor_ps(x, sign)));
            _mm256_add_epi32(_mm256_add_epi32(magnitude, magnitude), positive)
        });
        let low = _mm256_packs_epi32(doubled[0], doubled[1]);
        let high = _mm256_packs_epi32(doubled[2], doubled[3]);
        let packed = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
        most = _mm256_max_epu8(most, packed);
        // SAFETY: 32 bytes.
        unsafe { _mm256_storeu_si256(tokens.as_mut_ptr().cast(), packed) };
    }
    let mut bytes = [0u8; 32];
    // SAFETY: 32 bytes.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), most) };
    plain_largest(&bytes).max(plain_quantize(constants, rest, token_rest))
}

#[inline(always)]
fn plain_dequantize(step: f32, shift: f32, tokens: &[u8], coefficients: &mut [f32]) {
    for (x, &token) in coefficients.iter_mut().zip(tokens) {
        let token = u32::from(token);
        let magnitude = (token + 1) >> 1;
        let reduced = magnitude as i32 as f32 - shift;
        let magnitude = if reduced > 0.0 { reduced } else { 0.0 } * step;
        // The lowest bit of token - 1 is set for negative ones, and for 0, whose highest is set too.
        let before = token.wrapping_sub(1);
        *x = f32::from_bits(magnitude.to_bits() | ((before & !(before >> 31)) << 31));
    }
}

/// Small magnitudes without a branch; a block that has a large one is done again.
#[inline(always)]
fn plain_tokens(indices: &[i32], tokens: &mut [u8]) -> u8 {
    let mut bits = 0;
    for (token, &index) in tokens.iter_mut().zip(indices) {
        // 2m - 1 for positive ones, 2m for negative ones, 0 for 0.
        let negative = (index >> 31) as u32;
        let positive = u32::from(index > 0);
        let small = (((index as u32) << 1) ^ negative).wrapping_sub(negative).wrapping_sub(positive);
        bits |= small;
        *token = small as u8;
    }
    if bits < 32 {
        let most = plain_largest(tokens);
        if most < FIRST_WITH_RAW_BITS {
            return most;
        }
    }
    tokens.iter_mut().zip(indices).for_each(|(out, &index)| *out = token(index));
    plain_largest(tokens)
}

#[inline(always)]
fn plain_indices(tokens: &[u8], indices: &mut [i32]) -> u8 {
    for (index, &token) in indices.iter_mut().zip(tokens) {
        let t = i32::from(token);
        // Odd tokens are positive.
        let sign = (t & 1) - 1;
        *index = (((t + 1) >> 1) ^ sign) - sign;
    }
    plain_largest(tokens)
}

/// Counters of bytes, added up before they overflow.
#[inline(always)]
fn plain_count_nonzero(tokens: &[u8]) -> usize {
    let block = |tokens: &[u8]| usize::from(tokens.iter().map(|&token| u8::from(token != 0)).sum::<u8>());
    tokens.chunks(255).map(block).sum()
}

#[inline(always)]
fn plain_largest(tokens: &[u8]) -> u8 {
    tokens.iter().fold(0, |most, &token| most.max(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::index_from_raw;
    use crate::kernel::{dequantize, quantize};

    /// As by way of indices, for values at and next to borders of bins, and for those beyond all.
    #[test]
    fn tokens_of_coefficients_are_those_of_indices() {
        let specials =
            [0.0, -0.0, f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1e-40, 7.75, -7.75];
        for (length, spread) in (0..140).map(|length| (length, length)) {
            let value = |i: usize| (i as f32 - length as f32 / 2.0) * spread as f32 / 400.0;
            let with_specials: Vec<f32> =
                (0..length).map(|i| if i % 17 == 3 { specials[i / 17 % specials.len()] } else { value(i) }).collect();
            let plain: Vec<f32> = (0..length).map(value).collect();
            for (rounding, shift) in [(0.5, 0.0), (0.0, 0.125), (0.3125, 0.5)] {
                let constants = QuantizerConstants { inverse: 2.0, rounding, range: [-1 << 23, (1 << 23) - 1] };
                for (coefficients, isa) in
                    [&plain, &with_specials].into_iter().flat_map(|c| Isa::available().map(move |isa| (c, isa)))
                {
                    let mut indices = vec![0; length];
                    quantize(isa, constants, coefficients, &mut indices);
                    let expected: Vec<u8> = indices.iter().map(|&index| token(index)).collect();
                    let mut tokens = vec![0; length];
                    let most = quantize_tokens(isa, constants, coefficients, &mut tokens);
                    assert_eq!(most >= FIRST_WITH_RAW_BITS, plain_largest(&expected) >= FIRST_WITH_RAW_BITS);
                    if most < FIRST_WITH_RAW_BITS {
                        assert_eq!((&tokens, most), (&expected, plain_largest(&expected)), "{isa:?} {length}");
                        let (mut by_index, mut by_token) = (vec![0.0; length], vec![0.0; length]);
                        dequantize(isa, 0.37, shift, &indices, &mut by_index);
                        dequantize_tokens(isa, 0.37, shift, &tokens, &mut by_token);
                        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
                        assert_eq!(bits(&by_token), bits(&by_index), "{isa:?} {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn tokens_are_those_of_the_plain_form() {
        for isa in Isa::available() {
            for length in 0..150 {
                for spread in [2, 15, 16, 40, 1 << 23] {
                    let indices: Vec<i32> = (0..length)
                        .map(|i: i32| (i.wrapping_mul(i + 77).wrapping_mul(0x9e37) >> 3) % (spread + 1))
                        .map(|v| if v % 3 == 0 { -v } else { v })
                        .collect();
                    let plain: Vec<u8> = indices.iter().map(|&index| token(index)).collect();
                    let mut tokens = vec![0; indices.len()];
                    assert_eq!(tokens_of(isa, &indices, &mut tokens), plain.iter().copied().max().unwrap_or(0));
                    assert_eq!(tokens, plain, "{isa:?}");
                    let mut back = vec![0; indices.len()];
                    assert_eq!(indices_of(isa, &tokens, &mut back), plain.iter().copied().max().unwrap_or(0));
                    for (&index, &token) in back.iter().zip(&tokens) {
                        assert!(token >= FIRST_WITH_RAW_BITS || index == index_from_raw(token, 0));
                    }
                }
            }
        }
    }
}

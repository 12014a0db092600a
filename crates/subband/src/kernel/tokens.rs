//! Indices to tokens and back, but for raw bits (`entropy::symbol`).

use crate::entropy::{FIRST_WITH_RAW_BITS, token};
use crate::kernel::multiversion;

multiversion! {
    /// The token of each index; `tokens` is as long as `indices`. Returns the largest token.
    pub(crate) fn tokens_of(indices: &[i32], tokens: &mut [u8]) -> u8 = plain_tokens;
    /// The index of each token below [`FIRST_WITH_RAW_BITS`], and something for others. Returns the largest token.
    pub(crate) fn indices_of(tokens: &[u8], indices: &mut [i32]) -> u8 = plain_indices;
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

#[inline(always)]
fn plain_largest(tokens: &[u8]) -> u8 {
    tokens.iter().fold(0, |most, &token| most.max(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::index_from_raw;
    use crate::kernel::Isa;

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

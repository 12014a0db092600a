//! Counting tokens.
//!
//! At the rates that the codec is for, nearly all tokens are among the first few. Those are counted by comparing a vector of
//! tokens with each, 2 instructions for 32 tokens, and only the others one by one. A tally in memory costs a
//! load and a store a token, and waits where one token repeats.

use super::isa::{Isa, Level};
use crate::entropy::TOKENS;

/// Tokens counted by comparing.
const COMPARED: usize = 7;

/// Adds the tokens, each below [`TOKENS`], to `counts`.
pub(crate) fn count_tokens(isa: Isa, tokens: &[u8], counts: &mut [u32; TOKENS]) {
    #[cfg(target_arch = "x86_64")]
    if isa.level() >= Level::Avx2 {
        // SAFETY: the `Isa` of a level only exists where the CPU has its features.
        return unsafe { avx2(tokens, counts) };
    }
    let _ = (isa, Level::Avx2);
    plain(tokens, counts);
}

/// Four tallies, so that one that repeats does not wait for itself.
fn plain(tokens: &[u8], counts: &mut [u32; TOKENS]) {
    let (fours, rest) = tokens.as_chunks::<4>();
    if fours.len() < TOKENS {
        tokens.iter().for_each(|&token| counts[usize::from(token)] += 1);
        return;
    }
    let mut tallies = [[0u32; TOKENS]; 4];
    for four in fours {
        for (tally, &token) in tallies.iter_mut().zip(four) {
            tally[usize::from(token)] += 1;
        }
    }
    rest.iter().for_each(|&token| tallies[0][usize::from(token)] += 1);
    for (token, count) in counts.iter_mut().enumerate() {
        *count += tallies.iter().map(|tally| tally[token]).sum::<u32>();
    }
}

/// The counters of the first tokens are bytes, added up before they overflow.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn avx2(tokens: &[u8], counts: &mut [u32; TOKENS]) {
    use std::arch::x86_64::*;
    let (vectors, rest) = tokens.as_chunks::<32>();
    let zero = _mm256_setzero_si256();
    let last = _mm256_set1_epi8(COMPARED as i8 - 1);
    for vectors in vectors.chunks(255) {
        let mut counters = [zero; COMPARED];
        for tokens in vectors {
            // SAFETY: 32 bytes.
            let vector = unsafe { _mm256_loadu_si256(tokens.as_ptr().cast()) };
            for (token, counter) in counters.iter_mut().enumerate() {
                // Equal ones are -1.
                let equal = _mm256_cmpeq_epi8(vector, _mm256_set1_epi8(token as i8));
                *counter = _mm256_sub_epi8(*counter, equal);
            }
            // Tokens are far below 128: the comparison of signed bytes will do.
            let mut others = _mm256_movemask_epi8(_mm256_cmpgt_epi8(vector, last)) as u32;
            while others != 0 {
                counts[usize::from(tokens[others.trailing_zeros() as usize])] += 1;
                others &= others - 1;
            }
        }
        for (count, counter) in counts.iter_mut().zip(counters) {
            let sums = _mm256_sad_epu8(counter, zero);
            let sums = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
            *count += (_mm_cvtsi128_si64(sums) + _mm_extract_epi64::<1>(sums)) as u32;
        }
    }
    rest.iter().for_each(|&token| counts[usize::from(token)] += 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_a_tally() {
        for length in (0..200).chain([8160, 8161, 20_000]) {
            for most in [1u8, 3, 8, 112] {
                let tokens: Vec<u8> =
                    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 16) as u8 % most).collect();
                let mut expected = [1u32; TOKENS];
                tokens.iter().for_each(|&token| expected[usize::from(token)] += 1);
                for isa in Isa::available() {
                    let mut counts = [1; TOKENS];
                    count_tokens(isa, &tokens, &mut counts);
                    assert_eq!(counts, expected, "{isa:?} {length} {most}");
                }
            }
        }
    }
}

//! rANS decoding with AVX2: eight lanes a vector; the words of the lanes that need one come by a table of permutations.

use std::arch::x86_64::*;

use super::super::LaneStates;
use super::{Slots, Table};

/// [`super::decode_rounds`] for 16 lanes and more.
///
/// # Safety
/// The CPU has the features.
#[target_feature(enable = "avx2,popcnt")]
pub(super) fn decode(
    table: Table,
    states: &mut LaneStates,
    lane_bits: u32,
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    match (lane_bits, table.head.compared) {
        (4, _) => by_gathering::<2>(table.slots, states, words, end, tokens),
        (5, 8) => by_head::<1, 8>(table, states, words, end, tokens),
        (5, 16) => by_head::<1, 16>(table, states, words, end, tokens),
        (5, _) => by_gathering::<4>(table.slots, states, words, end, tokens),
        (_, 8) => by_head::<2, 8>(table, states, words, end, tokens),
        (_, 16) => by_head::<2, 16>(table, states, words, end, tokens),
        (_, _) => by_gathering::<8>(table.slots, states, words, end, tokens),
    }
}

/// For each mask of lanes that need a word, which of eight words, in the order of memory and read backwards, each gets.
static WORD_OF_LANE: [[u32; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut word) = (0, 7u32);
        while lane < 8 {
            table[mask][lane] = word & 7;
            if mask >> lane & 1 == 1 {
                word = word.wrapping_sub(1);
            }
            lane += 1;
        }
        mask += 1;
    }
    table
};

/// States that are too small are filled with words; `words` points behind the unread ones, of which there are eight or more.
/// Returns how many were taken too.
///
/// # Safety
/// The words are there.
#[target_feature(enable = "avx2,popcnt")]
#[inline]
unsafe fn fill(y: __m256i, words: *const u8) -> (__m256i, usize) {
    // Below 2^16: the upper half is zero.
    let empty = _mm256_cmpeq_epi32(_mm256_srli_epi32::<16>(y), _mm256_setzero_si256());
    let bits = _mm256_movemask_ps(_mm256_castsi256_ps(empty)) as usize & 255;
    // SAFETY: a line of the table, and eight words.
    let (order, next) =
        unsafe { (_mm256_loadu_si256(WORD_OF_LANE[bits].as_ptr().cast()), _mm_loadu_si128(words.sub(16).cast())) };
    let words = _mm256_permutevar8x32_epi32(_mm256_cvtepu16_epi32(next), order);
    let filled = _mm256_or_si256(_mm256_slli_epi32::<16>(y), words);
    (_mm256_blendv_epi8(y, filled, empty), bits.count_ones() as usize)
}

/// A step of eight lanes with their slots. Returns the states, the tokens in the low bytes, and how many words were taken.
///
/// # Safety
/// As of [`fill`].
#[target_feature(enable = "avx2,popcnt")]
#[inline]
unsafe fn step(x: __m256i, slot: __m256i, words: *const u8) -> (__m256i, __m128i, usize) {
    let bytes = _mm256_setr_epi8(
        0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1, -1, -1, -1, -1,
        -1, -1, -1,
    );
    let packed = _mm256_shuffle_epi8(slot, bytes);
    let packed = _mm_or_si128(_mm256_castsi256_si128(packed), _mm256_extracti128_si256::<1>(packed));
    let y = _mm256_mullo_epi32(_mm256_srli_epi32::<20>(slot), _mm256_srli_epi32::<12>(x));
    let y = _mm256_add_epi32(y, _mm256_and_si256(_mm256_srli_epi32::<8>(slot), _mm256_set1_epi32(4095)));
    // SAFETY: the caller's.
    let (next, taken) = unsafe { fill(y, words) };
    (next, packed, taken)
}

/// As [`by_gathering`] with `32 * GROUPS` lanes, whose tokens are found by comparing with the first `COMPARED`, 8 or 16; 32 that
/// have others are done by slots.
#[target_feature(enable = "avx2,popcnt")]
fn by_head<const GROUPS: usize, const COMPARED: usize>(
    Table { slots, head, .. }: Table,
    states: &mut LaneStates,
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    assert!(*end <= words.len());
    let mask = _mm256_set1_epi32(4095);
    let zero = _mm256_setzero_si256();
    // Packing works within halves of vectors and leaves fours of bytes in this order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let last: [__m256i; COMPARED] = std::array::from_fn(|token| _mm256_set1_epi16(head.last[token]));
    // SAFETY: 8 states are a vector, and 16 shares 2.
    let (mut x, shares) = unsafe {
        let of_group = |g: usize| [0, 8, 16, 24].map(|i| _mm256_loadu_si256(states[32 * g + i..].as_ptr().cast()));
        let x: [[__m256i; 4]; GROUPS] = std::array::from_fn(of_group);
        (x, [0, 8].map(|i| _mm256_loadu_si256(head.shares[i..].as_ptr().cast())))
    };
    let mut at = *end;
    let mut rounds = 0;
    for tokens in tokens.chunks_exact_mut(32 * GROUPS) {
        if at < 64 * GROUPS {
            break;
        }
        rounds += 1;
        for (x, tokens) in x.iter_mut().zip(tokens.as_chunks_mut::<32>().0) {
            let slot = x.map(|x| _mm256_and_si256(x, mask));
            // How many of the tokens end before: the token, of 16 lanes in a vector.
            let token = [0, 2].map(|v| {
                let slot = _mm256_packus_epi32(slot[v], slot[v + 1]);
                // Two sums, which need not wait for each other.
                let mut sums = [zero; 2];
                for (i, &last) in last.iter().enumerate() {
                    sums[i % 2] = _mm256_sub_epi16(sums[i % 2], _mm256_cmpgt_epi16(slot, last));
                }
                _mm256_add_epi16(sums[0], sums[1])
            });
            let most = _mm256_set1_epi16(COMPARED as i16 - 1);
            let others = _mm256_or_si256(_mm256_cmpgt_epi16(token[0], most), _mm256_cmpgt_epi16(token[1], most));
            // SAFETY (all): a round begins with at least `64 * GROUPS` bytes before `at`, and a vector takes at most 16 of them; indices
            // are below 4096; the tokens are 32.
            if _mm256_testz_si256(others, others) == 0 {
                for (v, x) in x.iter_mut().enumerate() {
                    unsafe {
                        let slot = _mm256_i32gather_epi32::<4>(slots.as_ptr().cast(), slot[v]);
                        let (next, packed, taken) = step(*x, slot, words.as_ptr().add(at));
                        _mm_storel_epi64(tokens.as_mut_ptr().add(8 * v).cast(), packed);
                        *x = next;
                        at -= 2 * taken;
                    }
                }
                continue;
            }
            let packed = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(token[0], token[1]), order);
            unsafe { _mm256_storeu_si256(tokens.as_mut_ptr().cast(), packed) };
            let token = [
                _mm256_unpacklo_epi16(token[0], zero),
                _mm256_unpackhi_epi16(token[0], zero),
                _mm256_unpacklo_epi16(token[1], zero),
                _mm256_unpackhi_epi16(token[1], zero),
            ];
            for (v, x) in x.iter_mut().enumerate() {
                let mut share = _mm256_permutevar8x32_epi32(shares[0], token[v]);
                if COMPARED > 8 {
                    // Bit 3 of the token as the sign that chooses.
                    let above = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(token[v]));
                    let high = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(shares[1], token[v]));
                    share = _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(share), high, above));
                }
                let y = _mm256_mullo_epi32(_mm256_and_si256(share, mask), _mm256_srli_epi32::<12>(*x));
                let distance = _mm256_sub_epi32(slot[v], _mm256_srli_epi32::<12>(share));
                unsafe {
                    let (next, taken) = fill(_mm256_add_epi32(y, distance), words.as_ptr().add(at));
                    *x = next;
                    at -= 2 * taken;
                }
            }
        }
    }
    for (v, x) in x.as_flattened().iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(states[8 * v..].as_mut_ptr().cast(), *x) };
    }
    *end = at;
    rounds * 32 * GROUPS
}

/// As [`super::plain`] with `8 * VECTORS` lanes.
#[target_feature(enable = "avx2,popcnt")]
fn by_gathering<const VECTORS: usize>(
    slots: &Slots,
    states: &mut LaneStates,
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    // SAFETY: a table, which needs no number.
    unsafe { gather::<VECTORS, false>(std::slice::from_ref(slots), states, &[], words, end, tokens) }
}

/// `8 * VECTORS` lanes: all with the slots of the first table, as [`super::plain`] has them, or each token with a table of its
/// own, as [`super::plain_flat`] has them.
///
/// # Safety
/// The CPU has the features. If `FLAT`, the numbers, as many as tokens, are of tables that are there.
#[target_feature(enable = "avx2,popcnt")]
#[inline]
pub(super) unsafe fn gather<const VECTORS: usize, const FLAT: bool>(
    tables: &[Slots],
    states: &mut LaneStates,
    numbers: &[u8],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    assert!(*end <= words.len());
    let lanes = 8 * VECTORS;
    let mask = _mm256_set1_epi32(4095);
    // SAFETY: 8 states are a vector.
    let mut x: [__m256i; VECTORS] =
        std::array::from_fn(|v| unsafe { _mm256_loadu_si256(states[8 * v..].as_ptr().cast()) });
    let mut at = *end;
    let mut rounds = 0;
    for (round, tokens) in tokens.chunks_exact_mut(lanes).enumerate() {
        if at < 2 * lanes {
            break;
        }
        rounds += 1;
        for (v, (x, tokens)) in x.iter_mut().zip(tokens.as_chunks_mut::<8>().0).enumerate() {
            // SAFETY: places are within tables, and there are as many numbers as tokens. A round begins with at least
            // `2 * lanes` bytes before `at`, and a vector takes at most 16 of them. The tokens are 8.
            unsafe {
                let mut place = _mm256_and_si256(*x, mask);
                if FLAT {
                    let number = _mm_loadl_epi64(numbers.as_ptr().add(lanes * round + 8 * v).cast());
                    place = _mm256_add_epi32(place, _mm256_slli_epi32::<12>(_mm256_cvtepu8_epi32(number)));
                }
                let slot = _mm256_i32gather_epi32::<4>(tables.as_ptr().cast(), place);
                let (next, packed, taken) = step(*x, slot, words.as_ptr().add(at));
                _mm_storel_epi64(tokens.as_mut_ptr().cast(), packed);
                *x = next;
                at -= 2 * taken;
            }
        }
    }
    for (v, x) in x.iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(states[8 * v..].as_mut_ptr().cast(), *x) };
    }
    *end = at;
    rounds * lanes
}

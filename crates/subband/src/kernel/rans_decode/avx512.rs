//! rANS decoding with AVX-512. The lanes that need a word are a bit mask; `expand` hands them the next words, which were loaded and
//! put in the order of reading before it was known how many are needed.

use std::arch::x86_64::*;

use super::super::LaneStates;
use super::buckets::{Buckets, COARSE_BITS, FINE_BITS, FIRST_FINE};
use super::{LOW, Slots, Table};

/// [`super::decode_rounds`] for 16 lanes and more.
///
/// # Safety
/// The CPU has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx2,popcnt")]
pub(super) fn decode(
    table: Table,
    states: &mut LaneStates,
    lane_bits: u32,
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    let slots = table.slots;
    if lane_bits == 4 {
        return by_gathering::<1>(slots, states, words, end, tokens);
    }
    let buckets = table.buckets.get_or_init(|| Buckets::new(slots));
    match (lane_bits, buckets.suffice) {
        (5, false) => by_gathering::<2>(slots, states, words, end, tokens),
        (5, true) => by_buckets::<1>(slots, buckets, states, words, end, tokens),
        (_, false) => by_gathering::<4>(slots, states, words, end, tokens),
        (_, true) => by_buckets::<2>(slots, buckets, states, words, end, tokens),
    }
}

/// As [`super::plain`] with `32 * GROUPS` lanes, of which each 32 are two vectors: the low halves of their states, and the high ones.
///
/// What takes time is that a step waits for the one before it. Compared with [`by_gathering`] a step of 32 lanes has no gather
/// (26 cycles), multiplications of 16 bits (5 cycles instead of 10), and one mask and one `expand` where the second vector of 16 lanes
/// had to wait until it was known how many words the first took. On an Ice Lake that made 1.0 thousand million tokens a second
/// 1.9 with 32 lanes, and 3.2 with 64, which wait for two steps at once.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,popcnt")]
fn by_buckets<const GROUPS: usize>(
    slots: &Slots,
    buckets: &Buckets,
    states: &mut LaneStates,
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    assert!(*end <= words.len());
    let numbers = |first: i16, by: i16| {
        let numbers: [i16; 32] = std::array::from_fn(|i| first + by * i as i16);
        // SAFETY: 64 bytes.
        unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
    };
    // SAFETY (all): tables of 64 bytes.
    let (coarse, fine, last, cumulatives, frequencies) = unsafe {
        (
            _mm512_loadu_si512(buckets.coarse.as_ptr().cast()),
            _mm512_loadu_si512(buckets.fine.as_ptr().cast()),
            _mm512_loadu_si512(buckets.last.as_ptr().cast()),
            _mm512_loadu_si512(buckets.cumulatives.as_ptr().cast()),
            _mm512_loadu_si512(buckets.frequencies.as_ptr().cast()),
        )
    };
    let frequencies_16 = _mm512_slli_epi16::<4>(frequencies);
    let (evens, odds) = (numbers(0, 2), numbers(1, 2));
    let backwards = numbers(31, -1);
    let low_bytes = 0x5555_5555_5555_5555;
    // Else the compiler makes two instructions of each masked addition, a twentieth of the time.
    let one = std::hint::black_box(_mm512_set1_epi16(1));
    // SAFETY: 32 states are two vectors.
    let whole: [[__m512i; 2]; GROUPS] =
        std::array::from_fn(|g| [0, 16].map(|i| unsafe { _mm512_loadu_si512(states[32 * g + i..].as_ptr().cast()) }));
    let mut low = whole.map(|[a, b]| _mm512_permutex2var_epi16(a, evens, b));
    let mut high = whole.map(|[a, b]| _mm512_permutex2var_epi16(a, odds, b));
    let mut at = *end;
    let mut rounds = 0;
    for tokens in tokens.chunks_exact_mut(32 * GROUPS) {
        if at < 64 * GROUPS {
            break;
        }
        rounds += 1;
        for ((low, high), tokens) in low.iter_mut().zip(&mut high).zip(tokens.as_chunks_mut::<32>().0) {
            // SAFETY: a round begins with at least `64 * GROUPS` bytes before `at`, and 32 lanes take at most 64 of them.
            let next = unsafe { _mm512_loadu_si512(words.as_ptr().add(at - 64).cast()) };
            let next = _mm512_permutexvar_epi16(backwards, next);
            let slot = _mm512_and_si512(*low, _mm512_set1_epi16(4095));
            let bucket = _mm512_srli_epi16::<COARSE_BITS>(slot);
            let token = _mm512_maskz_permutexvar_epi8(low_bytes, bucket, coarse);
            let bucket = _mm512_subs_epu16(slot, _mm512_set1_epi16(FIRST_FINE as i16));
            let bucket = _mm512_srli_epi16::<FINE_BITS>(bucket);
            let token = _mm512_max_epu16(token, _mm512_maskz_permutexvar_epi8(low_bytes, bucket, fine));
            let beyond = _mm512_cmpgt_epi16_mask(slot, _mm512_permutexvar_epi16(token, last));
            let token = _mm512_mask_add_epi16(token, beyond, token, one);
            let mut frequency = _mm512_permutexvar_epi16(token, frequencies);
            let mut frequency_16 = _mm512_permutexvar_epi16(token, frequencies_16);
            let mut distance = _mm512_sub_epi16(slot, _mm512_permutexvar_epi16(token, cumulatives));
            // SAFETY: 32 tokens.
            unsafe { _mm256_storeu_si256(tokens.as_mut_ptr().cast(), _mm512_cvtepi16_epi8(token)) };
            let others = _mm512_cmpgt_epi16_mask(slot, _mm512_permutexvar_epi16(token, last));
            if others != 0 {
                (frequency, distance) = look_up(slots, others, slot, frequency, distance, tokens);
                frequency_16 = _mm512_slli_epi16::<4>(frequency);
            }
            // frequency * (16 * high + low >> 12) + distance, below 2^32, in halves; the second part is below 2^16.
            let part = _mm512_mullo_epi16(frequency, _mm512_srli_epi16::<12>(*low));
            let part = _mm512_add_epi16(part, distance);
            let low_half = _mm512_add_epi16(_mm512_mullo_epi16(frequency_16, *high), part);
            let carry = _mm512_cmplt_epu16_mask(low_half, part);
            let high_half = _mm512_mulhi_epu16(frequency_16, *high);
            let high_half = _mm512_mask_add_epi16(high_half, carry, high_half, one);
            let empty = _mm512_testn_epi16_mask(high_half, high_half);
            *high = _mm512_mask_mov_epi16(high_half, empty, low_half);
            *low = _mm512_mask_expand_epi16(low_half, empty, next);
            at -= 2 * empty.count_ones() as usize;
        }
    }
    let (first, second) = {
        let halves = |first: i16| {
            let places: [i16; 32] = std::array::from_fn(|i| first + i as i16 / 2 + 32 * (i as i16 % 2));
            // SAFETY: 64 bytes.
            unsafe { _mm512_loadu_si512(places.as_ptr().cast()) }
        };
        (halves(0), halves(16))
    };
    for (g, (low, high)) in low.iter().zip(&high).enumerate() {
        for (i, places) in [first, second].into_iter().enumerate() {
            let whole = _mm512_permutex2var_epi16(*low, places, *high);
            // SAFETY: as above.
            unsafe { _mm512_storeu_si512(states[32 * g + 16 * i..].as_mut_ptr().cast(), whole) };
        }
    }
    *end = at;
    rounds * 32 * GROUPS
}

/// Frequencies and distances with those of `others`, which are looked up, as their tokens are.
#[target_feature(enable = "avx512f,avx512bw")]
#[cold]
fn look_up(
    slots: &Slots,
    mut others: u32,
    slot: __m512i,
    frequency: __m512i,
    distance: __m512i,
    tokens: &mut [u8; 32],
) -> (__m512i, __m512i) {
    let [mut slot_of, mut frequencies, mut distances] = [[0u16; 32]; 3];
    // SAFETY (both): 64 bytes.
    unsafe {
        _mm512_storeu_si512(slot_of.as_mut_ptr().cast(), slot);
        _mm512_storeu_si512(frequencies.as_mut_ptr().cast(), frequency);
        _mm512_storeu_si512(distances.as_mut_ptr().cast(), distance);
    }
    while others != 0 {
        let lane = others.trailing_zeros() as usize;
        let found = slots[usize::from(slot_of[lane] & 4095)];
        tokens[lane] = found as u8;
        frequencies[lane] = (found >> 20) as u16;
        distances[lane] = (found >> 8 & 4095) as u16;
        others &= others - 1;
    }
    unsafe { (_mm512_loadu_si512(frequencies.as_ptr().cast()), _mm512_loadu_si512(distances.as_ptr().cast())) }
}

/// As [`super::plain`] with `16 * VECTORS` lanes, for tables with many frequent tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,popcnt")]
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

/// `16 * VECTORS` lanes: all with the slots of the first table, as [`super::plain`] has them, or each token with a table of its
/// own, as [`super::plain_flat`] has them.
///
/// # Safety
/// The CPU has the features. If `FLAT`, the numbers, as many as tokens, are of tables that are there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,popcnt")]
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
    let lanes = 16 * VECTORS;
    let low = _mm512_set1_epi32(LOW as i32);
    let mask = _mm512_set1_epi32(4095);
    let backwards = _mm512_set_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    // SAFETY: 16 states are a vector.
    let mut x: [__m512i; VECTORS] =
        std::array::from_fn(|v| unsafe { _mm512_loadu_epi32(states[16 * v..].as_ptr().cast()) });
    let mut at = *end;
    let mut rounds = 0;
    for (round, tokens) in tokens.chunks_exact_mut(lanes).enumerate() {
        if at < 2 * lanes {
            break;
        }
        rounds += 1;
        for (v, (x, tokens)) in x.iter_mut().zip(tokens.as_chunks_mut::<16>().0).enumerate() {
            // SAFETY: places are within tables, and there are as many numbers as tokens. A round begins with at least
            // `2 * lanes` bytes before `at`, and a vector takes at most 32 of them. The tokens are 16.
            let (slot, next) = unsafe {
                let mut place = _mm512_and_si512(*x, mask);
                if FLAT {
                    let number = _mm_loadu_si128(numbers.as_ptr().add(lanes * round + 16 * v).cast());
                    place = _mm512_add_epi32(place, _mm512_slli_epi32::<12>(_mm512_cvtepu8_epi32(number)));
                }
                let slot = _mm512_i32gather_epi32::<4>(place, tables.as_ptr().cast());
                let next = _mm256_loadu_si256(words.as_ptr().add(at - 32).cast());
                _mm_storeu_si128(tokens.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(slot));
                (slot, _mm512_permutexvar_epi32(backwards, _mm512_cvtepu16_epi32(next)))
            };
            let y = _mm512_mullo_epi32(_mm512_srli_epi32::<20>(slot), _mm512_srli_epi32::<12>(*x));
            let y = _mm512_add_epi32(y, _mm512_and_si512(_mm512_srli_epi32::<8>(slot), mask));
            let empty = _mm512_cmplt_epu32_mask(y, low);
            let filled = _mm512_maskz_expand_epi32(empty, next);
            *x = _mm512_or_si512(_mm512_mask_slli_epi32::<16>(y, empty, y), filled);
            at -= 2 * empty.count_ones() as usize;
        }
    }
    for (v, x) in x.iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm512_storeu_epi32(states[16 * v..].as_mut_ptr().cast(), *x) };
    }
    *end = at;
    rounds * lanes
}

//! rANS decoding, round by round: one token of every lane.
//!
//! Plain form: the states of up to eight lanes stay in registers, and a step is about 15 instructions without a branch:
//! whether a lane takes a word cannot be predicted, so the word is loaded in any case. While a lane waits for its table
//! the others proceed.

use super::isa::{Isa, Level};

/// Slots of a table: the token, the slot's distance from the token's cumulative, and the frequency, in 8 + 12 + 12 bits.
pub(crate) type Slots = [u32; 4096];

const LOW: u32 = 1 << 16;

/// Decodes whole rounds into `tokens`, a token of each of the `1 << lane_bits` lanes in turn, as many as fit and as `words`
/// certainly suffice for. `end` is where unread bytes of `words` end. Returns how many tokens were decoded.
pub(crate) fn decode_rounds(
    isa: Isa,
    slots: &Slots,
    states: &mut [u32; 32],
    lane_bits: u32,
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    match (lane_bits, isa.level()) {
        // SAFETY: the `Isa` of a level only exists where the CPU has its features.
        (4, Level::Avx512) => return unsafe { avx512::<1>(slots, states, words, end, tokens) },
        (5, Level::Avx512) => return unsafe { avx512::<2>(slots, states, words, end, tokens) },
        (4, Level::Avx2) => return unsafe { avx2::<2>(slots, states, words, end, tokens) },
        (5, Level::Avx2) => return unsafe { avx2::<4>(slots, states, words, end, tokens) },
        _ => {}
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    match lane_bits {
        0 => plain::<1>(slots, states, words, end, tokens),
        1 => plain::<2>(slots, states, words, end, tokens),
        2 => plain::<4>(slots, states, words, end, tokens),
        3 => plain::<8>(slots, states, words, end, tokens),
        4 => plain::<16>(slots, states, words, end, tokens),
        _ => plain::<32>(slots, states, words, end, tokens),
    }
}

/// Decodes one round of 32 lanes whose tokens, each with the number of its table, come from several tables, into `tokens`.
/// `false` if `words` may not suffice; nothing is done then.
pub(crate) fn decode_mixed_round(
    isa: Isa,
    tables: &[Slots],
    states: &mut [u32; 32],
    numbers: &[u8; 32],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8; 32],
) -> bool {
    assert!(*end <= words.len() && numbers.iter().all(|&number| usize::from(number) < tables.len()));
    if *end < 2 * 32 {
        return false;
    }
    #[cfg(target_arch = "x86_64")]
    if isa.level() >= Level::Avx2 {
        // SAFETY: the `Isa` of a level only exists where the CPU has its features; the rest was checked.
        unsafe { avx2_mixed(tables, states, numbers, words, end, tokens) };
        return true;
    }
    let _ = (isa, Level::Avx2);
    for ((x, token), &number) in states.iter_mut().zip(tokens).zip(numbers) {
        let slot = tables[usize::from(number)][(*x & 4095) as usize];
        *token = slot as u8;
        *x = (slot >> 20) * (*x >> 12) + (slot >> 8 & 4095);
        if *x < LOW {
            let word = [words[*end - 2], words[*end - 1]];
            *x = *x << 16 | u32::from(u16::from_le_bytes(word));
            *end -= 2;
        }
    }
    true
}

fn plain<const LANES: usize>(
    slots: &Slots,
    states: &mut [u32; 32],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    assert!(*end <= words.len());
    let mut x: [u32; LANES] = std::array::from_fn(|lane| states[lane]);
    let mut at = *end;
    let mut rounds = 0;
    let (whole, _) = tokens.as_chunks_mut::<LANES>();
    for tokens in whole {
        if at < 2 * LANES {
            break;
        }
        rounds += 1;
        for (x, token) in x.iter_mut().zip(tokens) {
            let slot = slots[(*x & 4095) as usize];
            *token = slot as u8;
            let next = (slot >> 20) * (*x >> 12) + (slot >> 8 & 4095);
            // SAFETY: a round begins with at least `2 * LANES` bytes before `at`, which is within `words`, and takes at
            // most 2 bytes a lane.
            let word = unsafe { words.as_ptr().add(at - 2).cast::<[u8; 2]>().read_unaligned() };
            let filled = next << 16 | u32::from(u16::from_le_bytes(word));
            let low = next < LOW;
            *x = std::hint::select_unpredictable(low, filled, next);
            at -= 2 * usize::from(low);
        }
    }
    states[..LANES].copy_from_slice(&x);
    *end = at;
    rounds * LANES
}

/// As [`plain`] with `16 * VECTORS` lanes. The lanes that need a word are a bit mask; `expand` hands them the next words, which
/// were loaded and put in the order of reading before it was known how many are needed.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,popcnt")]
fn avx512<const VECTORS: usize>(
    slots: &Slots,
    states: &mut [u32; 32],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    use std::arch::x86_64::*;
    assert!(*end <= words.len());
    let lanes = 16 * VECTORS;
    let low = _mm512_set1_epi32(LOW as i32);
    let mask = _mm512_set1_epi32(4095);
    let backwards = _mm512_set_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    // SAFETY: 32 states are 2 vectors.
    let mut x: [__m512i; VECTORS] =
        std::array::from_fn(|v| unsafe { _mm512_loadu_epi32(states[16 * v..].as_ptr().cast()) });
    let mut at = *end;
    let mut rounds = 0;
    for tokens in tokens.chunks_exact_mut(lanes) {
        if at < 2 * lanes {
            break;
        }
        rounds += 1;
        for (x, tokens) in x.iter_mut().zip(tokens.as_chunks_mut::<16>().0) {
            // SAFETY: indices are below 4096. A round begins with at least `2 * lanes` bytes before `at`, and a vector
            // takes at most 32 of them. The tokens are 16.
            let (slot, next) = unsafe {
                let slot = _mm512_i32gather_epi32::<4>(_mm512_and_si512(*x, mask), slots.as_ptr().cast());
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

/// For each mask of lanes that need a word, which of eight words, in the order of memory and read backwards, each gets.
#[cfg(target_arch = "x86_64")]
static WORD_OF_LANE: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut word) = (0, 7u8);
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

/// A step of eight lanes with their slots; `words` points behind the unread ones, of which there are eight or more. Returns
/// the states, the tokens in the low bytes, and how many words were taken.
///
/// # Safety
/// The words are there.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
#[inline]
unsafe fn avx2_step(
    x: std::arch::x86_64::__m256i,
    slot: std::arch::x86_64::__m256i,
    words: *const u8,
) -> (std::arch::x86_64::__m256i, std::arch::x86_64::__m128i, usize) {
    use std::arch::x86_64::*;
    let bytes = _mm256_setr_epi8(
        0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1, -1, -1, -1, -1,
        -1, -1, -1,
    );
    let packed = _mm256_shuffle_epi8(slot, bytes);
    let packed = _mm_or_si128(_mm256_castsi256_si128(packed), _mm256_extracti128_si256::<1>(packed));
    let y = _mm256_mullo_epi32(_mm256_srli_epi32::<20>(slot), _mm256_srli_epi32::<12>(x));
    let y = _mm256_add_epi32(y, _mm256_and_si256(_mm256_srli_epi32::<8>(slot), _mm256_set1_epi32(4095)));
    // Below 2^16: the upper half is zero.
    let empty = _mm256_cmpeq_epi32(_mm256_srli_epi32::<16>(y), _mm256_setzero_si256());
    let bits = _mm256_movemask_ps(_mm256_castsi256_ps(empty)) as usize & 255;
    // SAFETY: eight bytes of the table, and eight words.
    let (order, next) =
        unsafe { (_mm_loadl_epi64(WORD_OF_LANE[bits].as_ptr().cast()), _mm_loadu_si128(words.sub(16).cast())) };
    let words = _mm256_permutevar8x32_epi32(_mm256_cvtepu16_epi32(next), _mm256_cvtepu8_epi32(order));
    let filled = _mm256_or_si256(_mm256_slli_epi32::<16>(y), words);
    (_mm256_blendv_epi8(y, filled, empty), packed, bits.count_ones() as usize)
}

/// As [`plain`] with `8 * VECTORS` lanes; the words of the lanes that need one come by a table of permutations.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn avx2<const VECTORS: usize>(
    slots: &Slots,
    states: &mut [u32; 32],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    use std::arch::x86_64::*;
    assert!(*end <= words.len());
    let lanes = 8 * VECTORS;
    let mask = _mm256_set1_epi32(4095);
    // SAFETY: 32 states are 4 vectors.
    let mut x: [__m256i; VECTORS] =
        std::array::from_fn(|v| unsafe { _mm256_loadu_si256(states[8 * v..].as_ptr().cast()) });
    let mut at = *end;
    let mut rounds = 0;
    for tokens in tokens.chunks_exact_mut(lanes) {
        if at < 2 * lanes {
            break;
        }
        rounds += 1;
        for (x, tokens) in x.iter_mut().zip(tokens.as_chunks_mut::<8>().0) {
            // SAFETY: indices are below 4096. A round begins with at least `2 * lanes` bytes before `at`, and a vector
            // takes at most 16 of them. The tokens are 8.
            unsafe {
                let slot = _mm256_i32gather_epi32::<4>(slots.as_ptr().cast(), _mm256_and_si256(*x, mask));
                let (next, packed, taken) = avx2_step(*x, slot, words.as_ptr().add(at));
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

/// # Safety
/// The numbers are of tables that are there, and `end` is within `words` and at least 64.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
unsafe fn avx2_mixed(
    tables: &[Slots],
    states: &mut [u32; 32],
    numbers: &[u8; 32],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8; 32],
) {
    use std::arch::x86_64::*;
    let mask = _mm256_set1_epi32(4095);
    for (v, tokens) in tokens.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        // SAFETY: eight numbers and states; a table has 4096 slots; words as in [`avx2`].
        unsafe {
            let number = _mm256_cvtepu8_epi32(_mm_loadl_epi64(numbers[8 * v..].as_ptr().cast()));
            let x = _mm256_loadu_si256(states[8 * v..].as_ptr().cast());
            let place = _mm256_add_epi32(_mm256_slli_epi32::<12>(number), _mm256_and_si256(x, mask));
            let slot = _mm256_i32gather_epi32::<4>(tables.as_ptr().cast(), place);
            let (next, packed, taken) = avx2_step(x, slot, words.as_ptr().add(*end));
            _mm_storel_epi64(tokens.as_mut_ptr().cast(), packed);
            _mm256_storeu_si256(states[8 * v..].as_mut_ptr().cast(), next);
            *end -= 2 * taken;
        }
    }
}

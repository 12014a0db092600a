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
#[expect(clippy::too_many_arguments, reason = "the decoder's state in parts")]
pub(crate) fn decode_rounds(
    isa: Isa,
    slots: &Slots,
    head: &Head,
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
        (5, Level::Avx2) => match head.compared {
            8 => return unsafe { avx2_head::<8>(slots, head, states, words, end, tokens) },
            16 => return unsafe { avx2_head::<16>(slots, head, states, words, end, tokens) },
            _ => return unsafe { avx2::<4>(slots, states, words, end, tokens) },
        },
        _ => {}
    }
    let _ = (isa, head);
    match lane_bits {
        0 => plain::<1>(slots, states, words, end, tokens),
        1 => plain::<2>(slots, states, words, end, tokens),
        2 => plain::<4>(slots, states, words, end, tokens),
        3 => plain::<8>(slots, states, words, end, tokens),
        4 => plain::<16>(slots, states, words, end, tokens),
        _ => plain::<32>(slots, states, words, end, tokens),
    }
}

/// As [`decode_rounds`], each token with the table of the number at its place.
#[expect(clippy::too_many_arguments, reason = "the decoder's state in parts")]
pub(crate) fn decode_flat_rounds(
    isa: Isa,
    tables: &[Slots],
    heads: &[Head],
    states: &mut [u32; 32],
    lane_bits: u32,
    numbers: &[u8],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    assert_eq!(numbers.len(), tokens.len());
    assert!(numbers.iter().fold(0, |most, &number| most.max(usize::from(number))) < tables.len() || tokens.is_empty());
    assert_eq!(tables.len(), heads.len());
    #[cfg(target_arch = "x86_64")]
    if isa.level() >= Level::Avx2 {
        let tables = (tables, heads);
        // SAFETY: the `Isa` of a level only exists where the CPU has its features; the numbers were checked.
        return unsafe {
            match lane_bits {
                0 => avx2_few::<1>(tables, states, numbers, words, end, tokens),
                1 => avx2_few::<2>(tables, states, numbers, words, end, tokens),
                2 => avx2_few::<4>(tables, states, numbers, words, end, tokens),
                3 => avx2_few::<8>(tables, states, numbers, words, end, tokens),
                4 => avx2_few::<16>(tables, states, numbers, words, end, tokens),
                _ => avx2_flat(tables.0, states, numbers, words, end, tokens),
            }
        };
    }
    let _ = isa;
    match lane_bits {
        0 => plain_flat::<1>(tables, states, numbers, words, end, tokens),
        1 => plain_flat::<2>(tables, states, numbers, words, end, tokens),
        2 => plain_flat::<4>(tables, states, numbers, words, end, tokens),
        3 => plain_flat::<8>(tables, states, numbers, words, end, tokens),
        4 => plain_flat::<16>(tables, states, numbers, words, end, tokens),
        _ => plain_flat::<32>(tables, states, numbers, words, end, tokens),
    }
}

fn plain_flat<const LANES: usize>(
    tables: &[Slots],
    states: &mut [u32; 32],
    numbers: &[u8],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    assert!(*end <= words.len());
    let mut x: [u32; LANES] = std::array::from_fn(|lane| states[lane]);
    let mut at = *end;
    let mut rounds = 0;
    for (tokens, numbers) in tokens.as_chunks_mut::<LANES>().0.iter_mut().zip(numbers.as_chunks::<LANES>().0) {
        if at < 2 * LANES {
            break;
        }
        rounds += 1;
        for ((x, token), &number) in x.iter_mut().zip(tokens).zip(numbers) {
            let slot = tables[usize::from(number)][(*x & 4095) as usize];
            *token = slot as u8;
            let next = (slot >> 20) * (*x >> 12) + (slot >> 8 & 4095);
            // SAFETY: as in [`plain`].
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

/// The first tokens of a table, for decoding by comparing slots with where tokens end: 16 lanes to an instruction, while a
/// gather of slots takes 40 instructions for 8 lanes.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The last slot of each of the first tokens.
    last: [i16; 16],
    /// Frequency, and cumulative above its 12 bits.
    shares: [u32; 16],
    /// How many tokens to compare with: 8, 16, or 0 where slots are better, since other tokens are too frequent.
    compared: u8,
}

impl Head {
    /// With the frequency and the cumulative of a token.
    pub fn new(share: impl Fn(u8) -> (u32, u32)) -> Self {
        let shares: [(u32, u32); 16] = std::array::from_fn(|token| share(token as u8));
        // A round with another token is done by slots, after some 60 cycles of failing.
        let failing = |compared: usize| {
            let (frequency, cumulative) = shares[compared - 1];
            1.0 - ((frequency + cumulative) as f32 / 4096.0).powi(32)
        };
        // In instructions a round.
        let costs = [(0, 160.0), (8, 46.0 + 260.0 * failing(8)), (16, 90.0 + 260.0 * failing(16))];
        let (compared, _) = costs.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("there are three");
        Head {
            last: shares.map(|(frequency, cumulative)| (frequency + cumulative) as i16 - 1),
            shares: shares.map(|(frequency, cumulative)| frequency | cumulative << 12),
            compared,
        }
    }
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
///
/// Finding tokens by comparing, as [`avx2_head`] does, takes a tenth longer here than the gather (Sapphire Rapids: 0.97 for 1.07
/// thousand million tokens a second).
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
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
#[inline]
unsafe fn avx2_fill(y: std::arch::x86_64::__m256i, words: *const u8) -> (std::arch::x86_64::__m256i, usize) {
    use std::arch::x86_64::*;
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
/// As of [`avx2_fill`].
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
    // SAFETY: the caller's.
    let (next, taken) = unsafe { avx2_fill(y, words) };
    (next, packed, taken)
}

/// As [`avx2`] with 32 lanes, whose tokens are found by comparing with the first `COMPARED`, 8 or 16; a round that has
/// others is done by slots.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn avx2_head<const COMPARED: usize>(
    slots: &Slots,
    head: &Head,
    states: &mut [u32; 32],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    use std::arch::x86_64::*;
    assert!(*end <= words.len());
    let mask = _mm256_set1_epi32(4095);
    let zero = _mm256_setzero_si256();
    // Packing works within halves of vectors and leaves fours of bytes in this order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let last: [__m256i; COMPARED] = std::array::from_fn(|token| _mm256_set1_epi16(head.last[token]));
    // SAFETY: 32 states are 4 vectors, and 16 shares 2.
    let (mut x, shares) = unsafe {
        let x: [__m256i; 4] = std::array::from_fn(|v| _mm256_loadu_si256(states[8 * v..].as_ptr().cast()));
        (x, [0, 8].map(|i| _mm256_loadu_si256(head.shares[i..].as_ptr().cast())))
    };
    let mut at = *end;
    let mut rounds = 0;
    for tokens in tokens.as_chunks_mut::<32>().0 {
        if at < 64 {
            break;
        }
        rounds += 1;
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
        // SAFETY (all): a round begins with at least 64 bytes before `at`, and a vector takes at most 16 of them; indices
        // are below 4096; the tokens are 32.
        if _mm256_testz_si256(others, others) == 0 {
            for (v, x) in x.iter_mut().enumerate() {
                unsafe {
                    let slot = _mm256_i32gather_epi32::<4>(slots.as_ptr().cast(), slot[v]);
                    let (next, packed, taken) = avx2_step(*x, slot, words.as_ptr().add(at));
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
                let (next, taken) = avx2_fill(_mm256_add_epi32(y, distance), words.as_ptr().add(at));
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
    rounds * 32
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

/// As [`plain_flat`]; a token is found by comparing its slot with the first 16 of its table at once. That is 96 bytes of a
/// table and not 16 KiB: the slots of the 64 tables of a profile are beyond the second cache, and a small map waits for them.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn avx2_few<const LANES: usize>(
    (tables, heads): (&[Slots], &[Head]),
    states: &mut [u32; 32],
    numbers: &[u8],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    use std::arch::x86_64::*;
    assert!(*end <= words.len());
    let mut x: [u32; LANES] = std::array::from_fn(|lane| states[lane]);
    let mut at = *end;
    let mut rounds = 0;
    for (tokens, numbers) in tokens.as_chunks_mut::<LANES>().0.iter_mut().zip(numbers.as_chunks::<LANES>().0) {
        if at < 2 * LANES {
            break;
        }
        rounds += 1;
        for ((x, token), &number) in x.iter_mut().zip(tokens).zip(numbers) {
            let head = &heads[usize::from(number)];
            let slot = *x & 4095;
            let next = if LANES <= 2 && slot as i16 <= head.last[0] {
                // One or two lanes wait for their own last tokens, but not where a branch foretells the token. 64x8x8 maps,
                // one core of a Sapphire Rapids: 176 for 121 million tokens a second.
                *token = 0;
                (head.shares[0] & 4095) * (*x >> 12) + slot
            } else {
                // SAFETY: 16 numbers of two bytes.
                let last = unsafe { _mm256_loadu_si256(head.last.as_ptr().cast()) };
                let before = _mm256_cmpgt_epi16(_mm256_set1_epi16(slot as i16), last);
                let count = (_mm256_movemask_epi8(before) as u32).count_ones() / 2;
                match head.shares.get(count as usize) {
                    Some(share) => {
                        *token = count as u8;
                        (share & 4095) * (*x >> 12) + slot - (share >> 12)
                    }
                    None => {
                        let slot = tables[usize::from(number)][slot as usize];
                        *token = slot as u8;
                        (slot >> 20) * (*x >> 12) + (slot >> 8 & 4095)
                    }
                }
            };
            // SAFETY: as in [`plain`].
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

/// As [`avx2`] with four vectors of lanes.
///
/// # Safety
/// The CPU has the features, and the numbers, as many as tokens, are of tables that are there.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
unsafe fn avx2_flat(
    tables: &[Slots],
    states: &mut [u32; 32],
    numbers: &[u8],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    use std::arch::x86_64::*;
    assert!(*end <= words.len());
    let mask = _mm256_set1_epi32(4095);
    let mut at = *end;
    let mut rounds = 0;
    // SAFETY: 32 states are 4 vectors; eight numbers and tokens; a table has 4096 slots; words as in [`avx2`].
    unsafe {
        let mut x: [__m256i; 4] = std::array::from_fn(|v| _mm256_loadu_si256(states[8 * v..].as_ptr().cast()));
        for (tokens, numbers) in tokens.as_chunks_mut::<32>().0.iter_mut().zip(numbers.as_chunks::<32>().0) {
            if at < 64 {
                break;
            }
            rounds += 1;
            for (v, x) in x.iter_mut().enumerate() {
                let number = _mm256_cvtepu8_epi32(_mm_loadl_epi64(numbers.as_ptr().add(8 * v).cast()));
                let place = _mm256_add_epi32(_mm256_slli_epi32::<12>(number), _mm256_and_si256(*x, mask));
                let slot = _mm256_i32gather_epi32::<4>(tables.as_ptr().cast(), place);
                let (next, packed, taken) = avx2_step(*x, slot, words.as_ptr().add(at));
                _mm_storel_epi64(tokens.as_mut_ptr().add(8 * v).cast(), packed);
                *x = next;
                at -= 2 * taken;
            }
        }
        for (v, x) in x.iter().enumerate() {
            _mm256_storeu_si256(states[8 * v..].as_mut_ptr().cast(), *x);
        }
    }
    *end = at;
    rounds * 32
}

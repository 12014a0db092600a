//! rANS encoding, round by round, from the last token to the first.

use super::LaneStates;
use super::isa::{Isa, Level};

const SCALE_BITS: u32 = 12;

/// What coding a token looks up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TokenEntry {
    /// ceil(2^64 / frequency): x / frequency is (x * inverse) >> 64 for every 32-bit x, since the excess of the inverse,
    /// below one part in 2^64 / frequency, times x stays below that. For frequency 1 it is 2^64 - 1 and the quotient
    /// x - 1; `offset` makes up for it. Against a division this is half of the encoder's time.
    inverse: u64,
    /// Above this a state is too large.
    limit: u32,
    /// The cumulative.
    offset: u16,
    /// The scale less the frequency.
    complement: u16,
}

impl TokenEntry {
    /// For a frequency of at least 1 and below the scale, of up to 15 bits.
    pub fn new(frequency: u32, cumulative: u32, scale_bits: u32) -> Self {
        let scale = 1 << scale_bits;
        TokenEntry {
            inverse: (u64::MAX / u64::from(frequency)).saturating_add(1),
            limit: ((u64::from(frequency) << (32 - scale_bits)) - 1) as u32,
            offset: (cumulative + if frequency == 1 { scale - 1 } else { 0 }) as u16,
            complement: (scale - frequency) as u16,
        }
    }

    /// The state after the token, and whether the low word of the state before must be moved out.
    #[inline(always)]
    pub fn step(self, state: u32) -> (u32, bool) {
        debug_assert!(self.inverse > 0, "the token has a share");
        let full = state > self.limit;
        let x = std::hint::select_unpredictable(full, state >> 16, state);
        let quotient = ((u128::from(x) * u128::from(self.inverse)) >> 64) as u32;
        // quotient * scale + x - quotient * frequency + cumulative
        (x.wrapping_add(u32::from(self.offset)).wrapping_add(quotient.wrapping_mul(u32::from(self.complement))), full)
    }
}

/// What the tokens of a table are coded with.
#[derive(Debug, Clone)]
pub(crate) struct TokenTable {
    pub entries: [TokenEntry; 128],
    /// Frequency, and cumulative above its 12 bits.
    shares: [u32; 128],
    /// The inverse of each frequency less two parts in 2^22: see [`avx512`].
    inverses: [f32; 128],
    /// 2^32 / frequency, rounded down; 2^32 - 1 for frequency 1.
    reciprocals: [u32; 128],
}

impl TokenTable {
    /// With a function from token to frequency and cumulative; tokens of frequency 0 are not coded.
    pub fn new(share: impl Fn(u8) -> (u32, u32)) -> Self {
        let mut table = TokenTable {
            entries: [TokenEntry::default(); 128],
            shares: [0; 128],
            inverses: [0.0; 128],
            reciprocals: [0; 128],
        };
        for token in 0..128 {
            let (frequency, cumulative) = share(token);
            if frequency > 0 {
                let i = usize::from(token);
                table.entries[i] = TokenEntry::new(frequency, cumulative, SCALE_BITS);
                table.shares[i] = frequency | cumulative << 12;
                table.inverses[i] = 1.0 / frequency as f32 * (1.0 - 1.0 / (1 << 21) as f32);
                table.reciprocals[i] = ((1u64 << 32) / u64::from(frequency)).min(u64::from(u32::MAX)) as u32;
            }
        }
        table
    }
}

/// Codes whole rounds of `tokens`, whose length is a multiple of the `1 << lane_bits` lanes, from the last to the first.
/// Words are stored from the first of `words` on, where a word a token has room and [`SPARE_WORDS`] more; returns how many.
pub(crate) fn encode_rounds(
    isa: Isa,
    table: &TokenTable,
    states: &mut LaneStates,
    lane_bits: u32,
    tokens: &[u8],
    words: &mut [u16],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    match (lane_bits, isa.level()) {
        // SAFETY: the `Isa` of a level only exists where the CPU has its features.
        (4, Level::Avx512) => return unsafe { avx512::<1>(table, states, tokens, words) },
        (5, Level::Avx512) => return unsafe { avx512::<2>(table, states, tokens, words) },
        (6, Level::Avx512) => return unsafe { avx512::<4>(table, states, tokens, words) },
        (4, Level::Avx2) => return unsafe { avx2_of_any::<2>(table, states, tokens, words) },
        (5, Level::Avx2) => return unsafe { avx2_of_any::<4>(table, states, tokens, words) },
        (6, Level::Avx2) => return unsafe { avx2_of_any::<8>(table, states, tokens, words) },
        _ => {}
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    match lane_bits {
        0 => plain::<1>(table, states, tokens, words),
        1 => plain::<2>(table, states, tokens, words),
        2 => plain::<4>(table, states, tokens, words),
        3 => plain::<8>(table, states, tokens, words),
        4 => plain::<16>(table, states, tokens, words),
        5 => plain::<32>(table, states, tokens, words),
        _ => plain::<64>(table, states, tokens, words),
    }
}

/// As [`encode_rounds`], each token with the table of the number at its place.
pub(crate) fn encode_flat_rounds(
    isa: Isa,
    tables: &[TokenTable],
    states: &mut LaneStates,
    lane_bits: u32,
    numbers: &[u8],
    tokens: &[u8],
    words: &mut [u16],
) -> usize {
    assert_eq!(numbers.len(), tokens.len());
    assert!(numbers.iter().fold(0, |most, &number| most.max(usize::from(number))) < tables.len() || tokens.is_empty());
    #[cfg(target_arch = "x86_64")]
    match lane_bits {
        // SAFETY (both): the `Isa` of a level only exists where the CPU has its features, and the tables are there.
        5 if isa.level() >= Level::Avx2 => return unsafe { avx2_flat::<4>(tables, states, numbers, tokens, words) },
        6 if isa.level() >= Level::Avx2 => return unsafe { avx2_flat::<8>(tables, states, numbers, tokens, words) },
        _ => {}
    }
    let _ = isa;
    match lane_bits {
        0 => plain_flat::<1>(tables, states, numbers, tokens, words),
        1 => plain_flat::<2>(tables, states, numbers, tokens, words),
        2 => plain_flat::<4>(tables, states, numbers, tokens, words),
        3 => plain_flat::<8>(tables, states, numbers, tokens, words),
        4 => plain_flat::<16>(tables, states, numbers, tokens, words),
        5 => plain_flat::<32>(tables, states, numbers, tokens, words),
        _ => plain_flat::<64>(tables, states, numbers, tokens, words),
    }
}

fn plain_flat<const LANES: usize>(
    tables: &[TokenTable],
    states: &mut LaneStates,
    numbers: &[u8],
    tokens: &[u8],
    words: &mut [u16],
) -> usize {
    let mut x: [u32; LANES] = std::array::from_fn(|lane| states[lane]);
    assert!(tokens.len().is_multiple_of(LANES) && tokens.len() <= words.len());
    let words = words.as_mut_ptr();
    let mut at = 0;
    let rounds = tokens.as_chunks::<LANES>().0.iter().zip(numbers.as_chunks::<LANES>().0);
    for (round, numbers) in rounds.rev() {
        for ((x, &token), &number) in x.iter_mut().zip(round).zip(numbers).rev() {
            // SAFETY: at most one word a token is stored before this one, and `words` has room for one a token.
            unsafe { words.add(at).write(*x as u16) };
            let (state, full) = tables[usize::from(number)].entries[usize::from(token & 127)].step(*x);
            *x = state;
            at += usize::from(full);
        }
    }
    states[..LANES].copy_from_slice(&x);
    at
}

/// Words beyond the last that a store may overwrite.
pub(crate) const SPARE_WORDS: usize = 16;

/// Not compiled for vector instructions, which the compiler then would use for parts of a step, at a third of the speed.
fn plain<const LANES: usize>(table: &TokenTable, states: &mut LaneStates, tokens: &[u8], words: &mut [u16]) -> usize {
    let mut x: [u32; LANES] = std::array::from_fn(|lane| states[lane]);
    assert!(tokens.len().is_multiple_of(LANES) && tokens.len() <= words.len());
    let words = words.as_mut_ptr();
    let mut at = 0;
    for round in tokens.as_chunks::<LANES>().0.iter().rev() {
        for (x, &token) in x.iter_mut().zip(round).rev() {
            // SAFETY: at most one word a token is stored before this one, and `words` has room for one a token.
            unsafe { words.add(at).write(*x as u16) };
            let (state, full) = table.entries[usize::from(token & 127)].step(*x);
            *x = state;
            at += usize::from(full);
        }
    }
    states[..LANES].copy_from_slice(&x);
    at
}

/// As [`plain`] with `16 * VECTORS` lanes, the last lane in the first place of a vector, since its word is first in memory.
///
/// The quotient is estimated in f32, never above it: below 2^20, with errors of at most 2^-24 of it in the conversion of the
/// state, the inverse and the product and 2^-21 by intent, it is at most one too low, which the remainder tells.
/// (Exact integer quotients take two multiplications of 64 bits for half of the lanes each.) Tables of the first 32 tokens
/// are in registers; others are rare and gathered.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,popcnt")]
fn avx512<const VECTORS: usize>(
    table: &TokenTable,
    states: &mut LaneStates,
    tokens: &[u8],
    words: &mut [u16],
) -> usize {
    use std::arch::x86_64::*;
    assert!(tokens.len() + SPARE_WORDS <= words.len());
    let backwards = _mm512_set_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    // SAFETY: 16 states are a vector, and each table has 128 numbers of four bytes.
    let (mut x, shares, inverses) = unsafe {
        let x: [__m512i; VECTORS] = std::array::from_fn(|v| {
            _mm512_permutexvar_epi32(backwards, _mm512_loadu_epi32(states[16 * v..].as_ptr().cast()))
        });
        let shares: [__m512i; 2] = [0, 16].map(|i| _mm512_loadu_epi32(table.shares[i..].as_ptr().cast()));
        let inverses: [__m512; 2] = [0, 16].map(|i| _mm512_loadu_ps(table.inverses[i..].as_ptr()));
        (x, shares, inverses)
    };
    let frequency_bits = _mm512_set1_epi32(4095);
    let mut at = 0;
    for round in tokens.chunks_exact(16 * VECTORS).rev() {
        for (x, round) in x.iter_mut().zip(round.as_chunks::<16>().0).rev() {
            // SAFETY: 16 tokens.
            let token = unsafe { _mm_loadu_si128(round.as_ptr().cast()) };
            let rare = _mm_cmpgt_epu8_mask(token, _mm_set1_epi8(31)) != 0;
            let token = _mm512_permutexvar_epi32(backwards, _mm512_cvtepu8_epi32(token));
            let (share, inverse) = if rare {
                let token = _mm512_and_si512(token, _mm512_set1_epi32(127));
                // SAFETY: below 128.
                unsafe {
                    (
                        _mm512_i32gather_epi32::<4>(token, table.shares.as_ptr().cast()),
                        _mm512_i32gather_ps::<4>(token, table.inverses.as_ptr()),
                    )
                }
            } else {
                (
                    _mm512_permutex2var_epi32(shares[0], token, shares[1]),
                    _mm512_permutex2var_ps(inverses[0], token, inverses[1]),
                )
            };
            let full = _mm512_cmpge_epu32_mask(*x, _mm512_slli_epi32::<20>(share));
            let moved = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, *x));
            // SAFETY: at most one word a token is stored before, and there is room for one a token and `SPARE_WORDS`, 16.
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().add(at).cast(), moved) };
            at += full.count_ones() as usize;
            let kept = _mm512_mask_srli_epi32::<16>(*x, full, *x);
            let frequency = _mm512_and_si512(share, frequency_bits);
            let quotient = _mm512_cvttps_epu32(_mm512_mul_ps(_mm512_cvtepu32_ps(kept), inverse));
            let rest = _mm512_sub_epi32(kept, _mm512_mullo_epi32(quotient, frequency));
            let next = _mm512_add_epi32(_mm512_slli_epi32::<12>(quotient), rest);
            let next = _mm512_add_epi32(next, _mm512_srli_epi32::<12>(share));
            // One more quotient: 4096 more, and the remainder less by the frequency.
            let low = _mm512_cmpge_epu32_mask(rest, frequency);
            let more = _mm512_sub_epi32(_mm512_set1_epi32(4096), frequency);
            *x = _mm512_mask_add_epi32(next, low, next, more);
        }
    }
    for (v, x) in x.iter().enumerate() {
        // SAFETY: as above.
        unsafe {
            _mm512_storeu_epi32(states[16 * v..].as_mut_ptr().cast(), _mm512_permutexvar_epi32(backwards, *x));
        }
    }
    at
}

/// For each mask of lanes whose words move out, the bytes of those words among eight, that of the last lane first.
#[cfg(target_arch = "x86_64")]
static MOVED_WORDS: [[u8; 16]; 256] = {
    let mut table = [[0x80; 16]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut at) = (8, 0);
        while lane > 0 {
            lane -= 1;
            if mask >> lane & 1 == 1 {
                table[mask][at] = 2 * lane as u8;
                table[mask][at + 1] = 2 * lane as u8 + 1;
                at += 2;
            }
        }
        mask += 1;
    }
    table
};

/// What eight tokens are coded with: frequency and cumulative, and reciprocal.
#[cfg(target_arch = "x86_64")]
type Looked = [std::arch::x86_64::__m256i; 2];

/// A step of eight lanes; moves words to `words`, where there is room for eight, and returns how many.
///
/// The quotient by the rounded-down reciprocal is less than a part in 2^32 of the state, so less than one, too low, and at
/// most one too low as a whole number, which the remainder tells. 40 instructions in all, 5 a token, against 13 of the plain
/// form; four vectors hide the wait for each other's multiplications.
///
/// # Safety
/// There is room.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
#[inline]
unsafe fn avx2_step(
    x: std::arch::x86_64::__m256i,
    [share, reciprocal]: Looked,
    words: *mut u16,
) -> (std::arch::x86_64::__m256i, usize) {
    use std::arch::x86_64::*;
    let limit = _mm256_slli_epi32::<20>(share);
    let full = _mm256_cmpeq_epi32(_mm256_max_epu32(x, limit), x);
    let mask = _mm256_movemask_ps(_mm256_castsi256_ps(full)) as usize & 255;
    // Low words of the four lanes of each half next to each other, then all eight.
    let low_words = _mm256_setr_epi8(
        0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1,
        -1,
    );
    let halves = _mm256_shuffle_epi8(x, low_words);
    let eight = _mm_unpacklo_epi64(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
    // SAFETY: 16 bytes of the table, and room by the caller.
    unsafe {
        let order = _mm_loadu_si128(MOVED_WORDS[mask].as_ptr().cast());
        _mm_storeu_si128(words.cast(), _mm_shuffle_epi8(eight, order));
    }
    let kept = _mm256_blendv_epi8(x, _mm256_srli_epi32::<16>(x), full);
    let frequency = _mm256_and_si256(share, _mm256_set1_epi32(4095));
    let even = _mm256_srli_epi64::<32>(_mm256_mul_epu32(kept, reciprocal));
    let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(kept), _mm256_srli_epi64::<32>(reciprocal));
    let quotient = _mm256_blend_epi32::<0b1010_1010>(even, odd);
    let rest = _mm256_sub_epi32(kept, _mm256_mullo_epi32(quotient, frequency));
    let next = _mm256_add_epi32(_mm256_slli_epi32::<12>(quotient), rest);
    let next = _mm256_add_epi32(next, _mm256_srli_epi32::<12>(share));
    // One more quotient: 4096 more, and the remainder less by the frequency.
    let more = _mm256_sub_epi32(_mm256_set1_epi32(4096), frequency);
    let exact = _mm256_cmpgt_epi32(frequency, rest);
    (_mm256_add_epi32(next, _mm256_andnot_si256(exact, more)), mask.count_ones() as usize)
}

/// [`avx2`] for the tokens that there are: of 8 or 16 the table is in registers.
///
/// # Safety
/// The CPU has the features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn avx2_of_any<const VECTORS: usize>(
    table: &TokenTable,
    states: &mut LaneStates,
    tokens: &[u8],
    words: &mut [u16],
) -> usize {
    match tokens.iter().fold(0, |most, &token| most.max(token)) {
        0..8 => avx2::<VECTORS, 8>(table, states, tokens, words),
        8..16 => avx2::<VECTORS, 16>(table, states, tokens, words),
        _ => avx2::<VECTORS, 128>(table, states, tokens, words),
    }
}

/// As [`plain`] with `8 * VECTORS` lanes and tokens below `TOKENS`; with a gather where that is more than 16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn avx2<const VECTORS: usize, const TOKENS: usize>(
    table: &TokenTable,
    states: &mut LaneStates,
    tokens: &[u8],
    words: &mut [u16],
) -> usize {
    use std::arch::x86_64::*;
    assert!(tokens.len() + SPARE_WORDS <= words.len());
    let words = words.as_mut_ptr();
    // SAFETY: 8 states are a vector, and each table has 128 numbers of four bytes.
    let (mut x, low, high) = unsafe {
        let x: [__m256i; VECTORS] = std::array::from_fn(|v| _mm256_loadu_si256(states[8 * v..].as_ptr().cast()));
        let looked = |first: usize| -> Looked {
            [
                _mm256_loadu_si256(table.shares[first..].as_ptr().cast()),
                _mm256_loadu_si256(table.reciprocals[first..].as_ptr().cast()),
            ]
        };
        (x, looked(0), looked(8))
    };
    let mut at = 0;
    for round in tokens.chunks_exact(8 * VECTORS).rev() {
        for (x, round) in x.iter_mut().zip(round.as_chunks::<8>().0).rev() {
            // SAFETY: 8 tokens.
            let token = unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(round.as_ptr().cast())) };
            let looked = if TOKENS <= 8 {
                low.map(|table| _mm256_permutevar8x32_epi32(table, token))
            } else if TOKENS <= 16 {
                // Bit 3 of the token as the sign that chooses.
                let above = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(token));
                std::array::from_fn(|i| {
                    let low = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(low[i], token));
                    let high = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(high[i], token));
                    _mm256_castps_si256(_mm256_blendv_ps(low, high, above))
                })
            } else {
                let token = _mm256_and_si256(token, _mm256_set1_epi32(127));
                // SAFETY: below 128.
                unsafe {
                    [
                        _mm256_i32gather_epi32::<4>(table.shares.as_ptr().cast(), token),
                        _mm256_i32gather_epi32::<4>(table.reciprocals.as_ptr().cast(), token),
                    ]
                }
            };
            // SAFETY: at most one word a token is stored before, and there is room for one a token and `SPARE_WORDS`, 16.
            let (next, moved) = unsafe { avx2_step(*x, looked, words.add(at)) };
            *x = next;
            at += moved;
        }
    }
    for (v, x) in x.iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(states[8 * v..].as_mut_ptr().cast(), *x) };
    }
    at
}

/// As [`avx2`], each token with a table of its own.
///
/// # Safety
/// The CPU has the features, and the numbers, as many as tokens, are of tables that are there.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
unsafe fn avx2_flat<const VECTORS: usize>(
    tables: &[TokenTable],
    states: &mut LaneStates,
    numbers: &[u8],
    tokens: &[u8],
    words: &mut [u16],
) -> usize {
    use std::arch::x86_64::*;
    const STRIDE: usize = size_of::<TokenTable>() / 4;
    assert!(tokens.len() + SPARE_WORDS <= words.len() && tables.len() * STRIDE <= i32::MAX as usize);
    let base: *const i32 = tables.as_ptr().cast();
    let mut at = 0;
    // SAFETY: 8 states are a vector; eight numbers and tokens; tables of four-byte numbers, at their places in each of the
    // tables; room for words as in [`avx2`].
    unsafe {
        let shares = base.add(std::mem::offset_of!(TokenTable, shares) / 4);
        let reciprocals = base.add(std::mem::offset_of!(TokenTable, reciprocals) / 4);
        let mut x: [__m256i; VECTORS] = std::array::from_fn(|v| _mm256_loadu_si256(states[8 * v..].as_ptr().cast()));
        let rounds = tokens.chunks_exact(8 * VECTORS).zip(numbers.chunks_exact(8 * VECTORS));
        for (round, numbers) in rounds.rev() {
            for (v, x) in x.iter_mut().enumerate().rev() {
                let number = _mm256_cvtepu8_epi32(_mm_loadl_epi64(numbers.as_ptr().add(8 * v).cast()));
                let token = _mm256_cvtepu8_epi32(_mm_loadl_epi64(round.as_ptr().add(8 * v).cast()));
                let token = _mm256_and_si256(token, _mm256_set1_epi32(127));
                let place = _mm256_add_epi32(_mm256_mullo_epi32(number, _mm256_set1_epi32(STRIDE as i32)), token);
                let looked =
                    [_mm256_i32gather_epi32::<4>(shares, place), _mm256_i32gather_epi32::<4>(reciprocals, place)];
                let (next, moved) = avx2_step(*x, looked, words.as_mut_ptr().add(at));
                *x = next;
                at += moved;
            }
        }
        for (v, x) in x.iter().enumerate() {
            _mm256_storeu_si256(states[8 * v..].as_mut_ptr().cast(), *x);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both scales, every frequency, and states where a quotient that is one too small or large would show.
    #[test]
    fn inverses_divide_exactly() {
        for scale_bits in [SCALE_BITS, 15] {
            for frequency in 1..1u32 << scale_bits {
                let entry = TokenEntry::new(frequency, 0, scale_bits);
                let multiple = u32::MAX / frequency * frequency;
                for state in [1, frequency - 1, frequency, 1 << 16, multiple - 1, multiple, u32::MAX] {
                    // No state is 0.
                    let state = state.max(1);
                    let full = u64::from(state) >= u64::from(frequency) << (32 - scale_bits);
                    let x = if full { state >> 16 } else { state };
                    let expected = ((x / frequency) << scale_bits) + x % frequency;
                    assert_eq!(entry.step(state), (expected, full), "{frequency} of 2^{scale_bits}, {state}");
                }
            }
        }
    }

    /// Every frequency, with states next to multiples of it and at the ends of their range.
    #[test]
    fn steps_are_those_of_a_division() {
        let mut tables = Vec::new();
        for first in (1..4096).step_by(112) {
            tables
                .push((first, TokenTable::new(|token| ((first + u32::from(token)).min(4095), u32::from(token) * 30))));
        }
        let mut seed = 1u32;
        for (first, table) in &tables {
            for offset in 0..40 {
                let tokens: Vec<u8> = (0..64).map(|i| (i + offset * 3) as u8 % 112).collect();
                let mut states = [0u32; 64];
                for (state, &token) in states.iter_mut().zip(&tokens) {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let frequency = (first + u32::from(token)).min(4095);
                    let multiple = ((seed >> 12) * frequency).max(1 << 16);
                    *state = [multiple, multiple - 1, u32::MAX, 1 << 16, frequency << 20, (frequency << 20) - 1, seed]
                        [(seed >> 7) as usize % 7]
                        .max(1 << 16);
                }
                for lane_bits in 0..=6 {
                    let (mut expected, mut expected_words) = (states, Vec::new());
                    let lanes = 1 << lane_bits;
                    for i in (0..64).rev() {
                        let frequency = (first + u32::from(tokens[i])).min(4095);
                        let x = &mut expected[i % lanes];
                        if *x >= frequency << 20 {
                            expected_words.push(*x as u16);
                            *x >>= 16;
                        }
                        *x = ((*x / frequency) << 12)
                            .wrapping_add(*x % frequency)
                            .wrapping_add(u32::from(tokens[i]) * 30);
                    }
                    for isa in Isa::available() {
                        let (mut got, mut words) = (states, [0; 64 + SPARE_WORDS]);
                        let count = encode_rounds(isa, table, &mut got, lane_bits, &tokens, &mut words);
                        assert_eq!(words[..count], expected_words, "{isa:?} {first} {lane_bits}");
                        assert_eq!(got, expected, "{isa:?} {first} {lane_bits}");
                    }
                }
            }
        }
    }

    /// Whole runs of few tokens, whose tables are in registers, and tokens each with a table of its own.
    #[test]
    fn runs_and_flat_rounds_are_those_of_the_plain_form() {
        let tables: Vec<TokenTable> = (0..5u32)
            .map(|i| TokenTable::new(|token| ((1 + i * 30 + u32::from(token) * 7).min(4095), u32::from(token) * 31)))
            .collect();
        let mut seed = 7u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        for most in [1, 8, 9, 16, 17, 112] {
            let tokens: Vec<u8> = (0..64 * 9).map(|_| (next() % most) as u8).collect();
            let states: [u32; 64] = std::array::from_fn(|_| (next() << 8 | 1 << 16).max(1 << 16));
            let numbers: Vec<u8> = tokens.iter().map(|_| (next() % 5) as u8).collect();
            let portable = Isa::available().next().expect("the plain one is always there");
            let of = |isa: Isa, lane_bits: u32, flat: bool| {
                let (mut states, mut words) = (states, vec![0; tokens.len() + SPARE_WORDS]);
                let count = match flat {
                    false => encode_rounds(isa, &tables[3], &mut states, lane_bits, &tokens, &mut words),
                    true => encode_flat_rounds(isa, &tables, &mut states, lane_bits, &numbers, &tokens, &mut words),
                };
                words.truncate(count);
                (states, words)
            };
            for isa in Isa::available() {
                for (lane_bits, flat) in (0..=6).flat_map(|bits| [(bits, false), (bits, true)]) {
                    let expected = of(portable, lane_bits, flat);
                    assert_eq!(of(isa, lane_bits, flat), expected, "{isa:?} {most} {lane_bits} {flat}");
                }
            }
        }
    }
}

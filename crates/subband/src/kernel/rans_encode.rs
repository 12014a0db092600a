//! rANS encoding, round by round, from the last token to the first.

use crate::kernel::{Isa, multiversion};

const SCALE: u32 = 1 << 12;

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
    /// 4096 - frequency.
    complement: u16,
}

impl TokenEntry {
    /// For a frequency of 1 to 4095.
    pub fn new(frequency: u32, cumulative: u32) -> Self {
        TokenEntry {
            inverse: (u64::MAX / u64::from(frequency)).saturating_add(1),
            limit: ((u64::from(frequency) << 20) - 1) as u32,
            offset: (cumulative + if frequency == 1 { SCALE - 1 } else { 0 }) as u16,
            complement: (SCALE - frequency) as u16,
        }
    }

    /// The state after the token, and whether the low word of the state before must be moved out.
    #[inline(always)]
    pub fn step(self, state: u32) -> (u32, bool) {
        debug_assert!(self.inverse > 0, "the token has a share");
        let full = state > self.limit;
        let x = state >> if full { 16 } else { 0 };
        let quotient = ((u128::from(x) * u128::from(self.inverse)) >> 64) as u32;
        // quotient * 4096 + x - quotient * frequency + cumulative
        (x.wrapping_add(u32::from(self.offset)).wrapping_add(quotient.wrapping_mul(u32::from(self.complement))), full)
    }
}

/// Codes whole rounds of `tokens`, whose length is a multiple of the `1 << lane_bits` lanes, from the last to the first.
/// Words are stored from `at` on, where a word a token has room; returns where they end.
pub(crate) fn encode_rounds(
    isa: Isa,
    table: &[TokenEntry; 128],
    states: &mut [u32; 32],
    lane_bits: u32,
    tokens: &[u8],
    words: &mut [u16],
) -> usize {
    match lane_bits {
        0 => encode_1(isa, table, states, tokens, words),
        1 => encode_2(isa, table, states, tokens, words),
        2 => encode_4(isa, table, states, tokens, words),
        3 => encode_8(isa, table, states, tokens, words),
        4 => encode_16(isa, table, states, tokens, words),
        _ => encode_32(isa, table, states, tokens, words),
    }
}

multiversion! {
    fn encode_1(table: &[TokenEntry; 128], states: &mut [u32; 32], tokens: &[u8], words: &mut [u16]) -> usize = plain::<1>;
    fn encode_2(table: &[TokenEntry; 128], states: &mut [u32; 32], tokens: &[u8], words: &mut [u16]) -> usize = plain::<2>;
    fn encode_4(table: &[TokenEntry; 128], states: &mut [u32; 32], tokens: &[u8], words: &mut [u16]) -> usize = plain::<4>;
    fn encode_8(table: &[TokenEntry; 128], states: &mut [u32; 32], tokens: &[u8], words: &mut [u16]) -> usize = plain::<8>;
    fn encode_16(table: &[TokenEntry; 128], states: &mut [u32; 32], tokens: &[u8], words: &mut [u16]) -> usize = plain::<16>;
    fn encode_32(table: &[TokenEntry; 128], states: &mut [u32; 32], tokens: &[u8], words: &mut [u16]) -> usize = plain::<32>;
}

#[inline(always)]
fn plain<const LANES: usize>(
    table: &[TokenEntry; 128],
    states: &mut [u32; 32],
    tokens: &[u8],
    words: &mut [u16],
) -> usize {
    let mut x: [u32; LANES] = std::array::from_fn(|lane| states[lane]);
    assert!(tokens.len() % LANES == 0 && tokens.len() <= words.len());
    let words = words.as_mut_ptr();
    let mut at = 0;
    for round in tokens.as_chunks::<LANES>().0.iter().rev() {
        for (x, &token) in x.iter_mut().zip(round).rev() {
            // SAFETY: at most one word a token is stored before this one, and `words` has room for one a token.
            unsafe { words.add(at).write(*x as u16) };
            let (state, full) = table[usize::from(token & 127)].step(*x);
            *x = state;
            at += usize::from(full);
        }
    }
    states[..LANES].copy_from_slice(&x);
    at
}

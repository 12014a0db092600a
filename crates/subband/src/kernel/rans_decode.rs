//! rANS decoding, round by round: one token of every lane.
//!
//! Plain form: the states of up to eight lanes stay in registers, and a step is about 15 instructions without a branch:
//! whether a lane takes a word cannot be predicted, so the word is loaded in any case. While a lane waits for its table
//! the others proceed.

use crate::kernel::{Isa, multiversion};

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
    match lane_bits {
        0 => decode_1(isa, slots, states, words, end, tokens),
        1 => decode_2(isa, slots, states, words, end, tokens),
        2 => decode_4(isa, slots, states, words, end, tokens),
        3 => decode_8(isa, slots, states, words, end, tokens),
        4 => decode_16(isa, slots, states, words, end, tokens),
        _ => decode_32(isa, slots, states, words, end, tokens),
    }
}

multiversion! {
    fn decode_1(slots: &Slots, states: &mut [u32; 32], words: &[u8], end: &mut usize, tokens: &mut [u8]) -> usize = plain::<1>;
    fn decode_2(slots: &Slots, states: &mut [u32; 32], words: &[u8], end: &mut usize, tokens: &mut [u8]) -> usize = plain::<2>;
    fn decode_4(slots: &Slots, states: &mut [u32; 32], words: &[u8], end: &mut usize, tokens: &mut [u8]) -> usize = plain::<4>;
    fn decode_8(slots: &Slots, states: &mut [u32; 32], words: &[u8], end: &mut usize, tokens: &mut [u8]) -> usize = plain::<8>;
    fn decode_16(slots: &Slots, states: &mut [u32; 32], words: &[u8], end: &mut usize, tokens: &mut [u8]) -> usize = plain::<16>;
    fn decode_32(slots: &Slots, states: &mut [u32; 32], words: &[u8], end: &mut usize, tokens: &mut [u8]) -> usize = plain::<32>;
}

#[inline(always)]
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

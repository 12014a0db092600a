//! Where the first tokens of a table are found from a slot by two small lookups and a comparison: it fits vector
//! registers, and no slot is gathered from memory.

use super::Slots;

/// Tokens that can be found so: as many 16-bit numbers as a vector of 512 bits has.
const FOUND: usize = 32;
const BUCKETS: usize = 64;
/// Slots of a coarse bucket, and of a fine one, of which there are as many for the last slots. Tokens of small frequency come last.
const COARSE: usize = 4096 / BUCKETS;
const FINE: usize = 8;
pub(super) const FIRST_FINE: usize = 4096 - BUCKETS * FINE;
pub(super) const COARSE_BITS: u32 = COARSE.ilog2();
pub(super) const FINE_BITS: u32 = FINE.ilog2();

/// The first tokens of a table.
#[derive(Debug, Clone)]
pub(crate) struct Buckets {
    /// The token of the first slot of each coarse bucket, at most the last one that can be found.
    pub(super) coarse: [u8; BUCKETS],
    /// The same for fine buckets, from slot `FIRST_FINE` on; but 0 for the first one, where slots before it are looked up.
    pub(super) fine: [u8; BUCKETS],
    /// The last slot of each token.
    pub(super) last: [i16; FOUND],
    pub(super) cumulatives: [u16; FOUND],
    pub(super) frequencies: [u16; FOUND],
    /// Whether nearly every slot is of its bucket's token or of the next one.
    pub(super) suffice: bool,
}

impl Buckets {
    /// Of the table with these slots.
    pub fn new(slots: &Slots) -> Self {
        let mut cumulative = 0;
        let shares: [(u32, u32); FOUND] = std::array::from_fn(|token| {
            let slot = slots.get(cumulative as usize).filter(|&&slot| usize::from(slot as u8) == token);
            let share = (slot.map_or(0, |slot| slot >> 20), cumulative);
            cumulative += share.0;
            share
        });
        let last = shares.map(|(frequency, cumulative)| (frequency + cumulative) as i16 - 1);
        let first_tokens = |first: usize, size: usize| -> [u8; BUCKETS] {
            std::array::from_fn(|bucket| (slots[first + bucket * size] as u8).min(FOUND as u8 - 1))
        };
        let coarse = first_tokens(0, COARSE);
        let mut fine = first_tokens(FIRST_FINE, FINE);
        // Slots that are neither of their bucket's token nor of the next one.
        let others = |tokens: &[u8], first: usize, slots: usize| {
            let of_bucket = |(bucket, &token): (usize, &u8)| {
                let end = (first + (bucket + 1) * slots) as i32;
                let found = i32::from(last[(usize::from(token) + 1).min(FOUND - 1)]) + 1;
                (end - found).clamp(0, slots as i32)
            };
            tokens.iter().enumerate().map(of_bucket).sum::<i32>()
        };
        let others = others(&coarse[..FIRST_FINE / COARSE], 0, COARSE) + others(&fine, FIRST_FINE, FINE);
        // 64 lanes take 20 ns so, 25 more for each half of them that has others, and 60 by gathering (Ice Lake).
        let failing = 1.0 - (1.0 - others as f32 / 4096.0).powi(32);
        fine[0] = 0;
        Buckets {
            coarse,
            fine,
            last,
            cumulatives: shares.map(|(_, cumulative)| cumulative as u16),
            frequencies: shares.map(|(frequency, _)| frequency as u16),
            suffice: 20.0 + 2.0 * 25.0 * failing < 60.0,
        }
    }
}

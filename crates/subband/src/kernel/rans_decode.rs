//! rANS decoding, round by round: one token of every lane.
//!
//! Plain form: the states of up to eight lanes stay in registers, and a step is about 15 instructions without a branch:
//! whether a lane takes a word cannot be predicted, so the word is loaded in any case. While a lane waits for its table
//! the others proceed.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod buckets;

use std::sync::OnceLock;

use super::LaneStates;
use super::isa::{Isa, Level};
pub(crate) use buckets::Buckets;

/// Slots of a table: the token, the slot's distance from the token's cumulative, and the frequency, in 8 + 12 + 12 bits.
pub(crate) type Slots = [u32; 4096];

/// For each 16 slots next to each other, which are those of one token: the token, its cumulative and its frequency, in 8 + 12 + 12
/// bits; 0 where they are those of several. That is a KiB of a table and not 16: the slots of the 64 tables of a profile are beyond
/// the second cache, and a small map waits for them.
pub(crate) type CoarseSlots = [u32; 256];

/// The coarse slots of a table.
pub(crate) fn coarse_slots(slots: &Slots) -> CoarseSlots {
    std::array::from_fn(|i| {
        let (first, last) = (slots[16 * i], slots[16 * i + 15]);
        let cumulative = 16 * i as u32 - (first >> 8 & 4095);
        if first as u8 == last as u8 { first & 0xfff0_00ff | cumulative << 8 } else { 0 }
    })
}

const LOW: u32 = 1 << 16;

/// A table in its forms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'a> {
    pub slots: &'a Slots,
    pub head: &'a Head,
    /// Made when they are first needed: most tables of small streams never do.
    pub buckets: &'a OnceLock<Buckets>,
}

/// Decodes whole rounds into `tokens`, a token of each of the `1 << lane_bits` lanes in turn, as many as fit and as `words`
/// certainly suffice for. `end` is where unread bytes of `words` end. Returns how many tokens were decoded.
pub(crate) fn decode_rounds(
    isa: Isa,
    table: Table,
    states: &mut LaneStates,
    lane_bits: u32,
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    match (lane_bits, isa.level()) {
        // SAFETY (all): the `Isa` of a level only exists where the CPU has its features.
        (4.., Level::Avx512) => return unsafe { avx512::decode(table, states, lane_bits, words, end, tokens) },
        (4.., Level::Avx2) => return unsafe { avx2::decode(table, states, lane_bits, words, end, tokens) },
        _ => {}
    }
    let _ = isa;
    let slots = table.slots;
    match lane_bits {
        0 => plain::<1>(slots, states, words, end, tokens),
        1 => plain::<2>(slots, states, words, end, tokens),
        2 => plain::<4>(slots, states, words, end, tokens),
        3 => plain::<8>(slots, states, words, end, tokens),
        4 => plain::<16>(slots, states, words, end, tokens),
        5 => plain::<32>(slots, states, words, end, tokens),
        _ => plain::<64>(slots, states, words, end, tokens),
    }
}

/// Tables by number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub slots: &'a [Slots],
    pub coarse: &'a [CoarseSlots],
}

/// As [`decode_rounds`], each token with the table of the number at its place.
#[expect(clippy::too_many_arguments, reason = "the decoder's state in parts")]
pub(crate) fn decode_flat_rounds(
    isa: Isa,
    tables: Tables,
    states: &mut LaneStates,
    lane_bits: u32,
    numbers: &[u8],
    words: &[u8],
    end: &mut usize,
    tokens: &mut [u8],
) -> usize {
    assert_eq!(numbers.len(), tokens.len());
    let most = numbers.iter().fold(0, |most, &number| most.max(usize::from(number)));
    assert!(most < tables.slots.len().min(tables.coarse.len()) || tokens.is_empty());
    #[cfg(target_arch = "x86_64")]
    {
        let slots = tables.slots;
        // SAFETY: the `Isa` of a level only exists where the CPU has its features; the numbers were checked.
        match (lane_bits, isa.level()) {
            (5, Level::Avx512) => {
                return unsafe { avx512::gather::<2, true>(slots, states, numbers, words, end, tokens) };
            }
            (6, Level::Avx512) => {
                return unsafe { avx512::gather::<4, true>(slots, states, numbers, words, end, tokens) };
            }
            (5, Level::Avx2) => return unsafe { avx2::gather::<4, true>(slots, states, numbers, words, end, tokens) },
            (6, Level::Avx2) => return unsafe { avx2::gather::<8, true>(slots, states, numbers, words, end, tokens) },
            _ => {}
        }
    }
    let _ = isa;
    match lane_bits {
        0 => plain_flat::<1>(tables, states, numbers, words, end, tokens),
        1 => plain_flat::<2>(tables, states, numbers, words, end, tokens),
        2 => plain_flat::<4>(tables, states, numbers, words, end, tokens),
        3 => plain_flat::<8>(tables, states, numbers, words, end, tokens),
        4 => plain_flat::<16>(tables, states, numbers, words, end, tokens),
        5 => plain_flat::<32>(tables, states, numbers, words, end, tokens),
        _ => plain_flat::<64>(tables, states, numbers, words, end, tokens),
    }
}

/// The state behind a token with this slot, before it takes a word.
#[inline(always)]
fn behind_slot(x: u32, slot: u32) -> u32 {
    (slot >> 20) * (x >> 12) + (slot >> 8 & 4095)
}

/// A state with the word before `at` taken, if it is too small without.
///
/// # Safety
/// Two bytes of `words` are before `at`.
#[inline(always)]
unsafe fn filled(next: u32, words: &[u8], at: &mut usize) -> u32 {
    // SAFETY: the caller's.
    let word = unsafe { words.as_ptr().add(*at - 2).cast::<[u8; 2]>().read_unaligned() };
    let low = next < LOW;
    *at -= 2 * usize::from(low);
    std::hint::select_unpredictable(low, next << 16 | u32::from(u16::from_le_bytes(word)), next)
}

fn plain<const LANES: usize>(
    slots: &Slots,
    states: &mut LaneStates,
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
            // SAFETY: a round begins with at least `2 * LANES` bytes before `at`, which is within `words`, and takes at
            // most 2 bytes a lane.
            *x = unsafe { filled(behind_slot(*x, slot), words, &mut at) };
        }
    }
    states[..LANES].copy_from_slice(&x);
    *end = at;
    rounds * LANES
}

/// As [`plain`]; nearly all slots are found by coarse ones, so a branch foretells that, and the wait is for one lookup.
fn plain_flat<const LANES: usize>(
    tables: Tables,
    states: &mut LaneStates,
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
            let slot = *x & 4095;
            let coarse = tables.coarse[usize::from(number)][(slot >> 4) as usize];
            let next = if coarse != 0 {
                *token = coarse as u8;
                (coarse >> 20) * (*x >> 12) + slot - (coarse >> 8 & 4095)
            } else {
                let slot = tables.slots[usize::from(number)][slot as usize];
                *token = slot as u8;
                behind_slot(*x, slot)
            };
            // SAFETY: as in [`plain`].
            *x = unsafe { filled(next, words, &mut at) };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Slots and head of a table with these frequencies, which add up to 4096.
    fn forms(frequencies: &[u32]) -> (Box<Slots>, Head) {
        let cumulative = |token: usize| frequencies[..token.min(frequencies.len())].iter().sum::<u32>();
        let share = |token: u8| {
            let token = usize::from(token);
            (frequencies.get(token).copied().unwrap_or(0), cumulative(token))
        };
        let mut slots = Box::new([0; 4096]);
        for token in 0..frequencies.len() {
            for distance in 0..frequencies[token] {
                slots[(cumulative(token) + distance) as usize] =
                    token as u32 | distance << 8 | frequencies[token] << 20;
            }
        }
        (slots, Head::new(share))
    }

    /// Tables whose tokens are found by buckets or better gathered, and states and words of any kind: those of
    /// corrupt streams too.
    #[test]
    fn rounds_are_those_of_the_plain_form() {
        let mut seed = 5u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        // A half, and shares that fall by so many percent from token to token.
        let falling = |percent: u32| {
            let mut frequencies = vec![2048];
            let mut left = 2048;
            while left > 0 && frequencies.len() < 112 {
                let share = (left * percent / 100).max(1);
                frequencies.push(share);
                left -= share;
            }
            frequencies[0] += left;
            frequencies
        };
        let mut tables: Vec<Vec<u32>> = [50, 30, 20, 12, 8, 5, 3, 2].map(falling).to_vec();
        tables.push(vec![4095, 1]);
        tables.push(vec![1; 112]);
        tables[9][111] = 4096 - 111;
        tables.push([0, 1, 0, 0, 4000, 0, 90, 0, 5].to_vec());
        let mut by_buckets = [0; 2];
        for frequencies in &tables {
            let (slots, head) = forms(frequencies);
            by_buckets[usize::from(Buckets::new(&slots).suffice)] += 1;
            let buckets = OnceLock::new();
            let table = Table { slots: &slots, head: &head, buckets: &buckets };
            let words: Vec<u8> = (0..4001).map(|_| next() as u8).collect();
            let (slots, coarse) = ([*slots; 2], [coarse_slots(&slots); 2]);
            for lane_bits in 0..=super::super::MAX_LANE_BITS {
                let states: LaneStates = std::array::from_fn(|_| next() << (next() % 9));
                let of = |isa: Isa, room: usize| {
                    let (mut states, mut end, mut tokens) = (states, words.len(), vec![255; room]);
                    let done = decode_rounds(isa, table, &mut states, lane_bits, &words, &mut end, &mut tokens);
                    tokens.truncate(done);
                    (states, end, tokens)
                };
                let portable = Isa::available().next().expect("the plain one is always there");
                for isa in Isa::available() {
                    for room in [0, 31, 640, 100_000] {
                        let expected = of(portable, room);
                        assert!(of(isa, room) == expected, "{isa:?} {frequencies:?} {lane_bits} {room}");
                        let (mut states, mut end, mut tokens) = (states, words.len(), vec![255; room]);
                        let (by_number, numbers) = (Tables { slots: &slots, coarse: &coarse }, vec![1; room]);
                        let done = decode_flat_rounds(
                            isa,
                            by_number,
                            &mut states,
                            lane_bits,
                            &numbers,
                            &words,
                            &mut end,
                            &mut tokens,
                        );
                        tokens.truncate(done);
                        assert!((states, end, tokens) == expected, "flat {isa:?} {frequencies:?} {lane_bits} {room}");
                    }
                }
            }
        }
        assert!(by_buckets.iter().all(|&count| count > 0), "{by_buckets:?}");
    }
}

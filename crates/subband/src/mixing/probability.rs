//! From logits to probabilities and costs, by tables.

use std::sync::LazyLock;

use crate::entropy::{COST_BITS, log2};

/// Bits of a probability.
pub(crate) const PROBABILITY_BITS: u32 = 16;
/// Probability of what nothing is known of.
pub(crate) const EVEN: u16 = 1 << (PROBABILITY_BITS - 1);
/// Logits are in units of 2^-10, entries of the table 2^-4 apart.
const ENTRY_BITS: u32 = 6;
/// Largest entry, of the logit 10.
const LAST: i32 = 160;

/// `65536 / (1 + e^(-i/16))`, rounded, for i = 0 to 160.
const UPPER: [u16; LAST as usize + 1] = [
    32_768, 33_792, 34_813, 35_831, 36_843, 37_847, 38_841, 39_824, 40_793, 41_748, 42_687, 43_608, 44_511, 45_393,
    46_254, 47_094, 47_911, 48_704, 49_474, 50_220, 50_941, 51_638, 52_310, 52_957, 53_581, 54_179, 54_754, 55_306,
    55_834, 56_339, 56_822, 57_284, 57_724, 58_144, 58_544, 58_925, 59_287, 59_632, 59_959, 60_270, 60_565, 60_844,
    61_109, 61_360, 61_598, 61_823, 62_036, 62_238, 62_428, 62_608, 62_778, 62_938, 63_090, 63_233, 63_368, 63_495,
    63_615, 63_728, 63_835, 63_935, 64_030, 64_119, 64_203, 64_283, 64_357, 64_427, 64_494, 64_556, 64_614, 64_669,
    64_721, 64_770, 64_816, 64_859, 64_900, 64_938, 64_974, 65_008, 65_039, 65_069, 65_097, 65_124, 65_149, 65_172,
    65_194, 65_215, 65_234, 65_252, 65_269, 65_285, 65_300, 65_315, 65_328, 65_341, 65_352, 65_364, 65_374, 65_384,
    65_393, 65_402, 65_410, 65_417, 65_425, 65_431, 65_438, 65_444, 65_449, 65_454, 65_459, 65_464, 65_468, 65_472,
    65_476, 65_480, 65_483, 65_486, 65_489, 65_492, 65_495, 65_497, 65_500, 65_502, 65_504, 65_506, 65_508, 65_509,
    65_511, 65_513, 65_514, 65_515, 65_517, 65_518, 65_519, 65_520, 65_521, 65_522, 65_523, 65_523, 65_524, 65_525,
    65_526, 65_526, 65_527, 65_527, 65_528, 65_528, 65_529, 65_529, 65_530, 65_530, 65_530, 65_531, 65_531, 65_531,
    65_532, 65_532, 65_532, 65_532, 65_533, 65_533, 65_533,
];

/// The upper half, and its mirror image.
static PROBABILITIES: [u16; 2 * LAST as usize + 1] = {
    let mut table = [0; 2 * LAST as usize + 1];
    let mut i = 0;
    while i <= LAST as usize {
        table[LAST as usize + i] = UPPER[i];
        table[LAST as usize - i] = (65_536 - UPPER[i] as u32) as u16;
        i += 1;
    }
    table
};

/// Probability of a one in units of 2^-16, from 3 to 65,533.
#[inline]
pub(super) fn probability(logit: i32) -> u16 {
    PROBABILITIES[entry(logit)]
}

#[inline]
fn entry(logit: i32) -> usize {
    (((logit + (1 << (ENTRY_BITS - 1))) >> ENTRY_BITS).clamp(-LAST, LAST) + LAST) as usize
}

/// Cost of a false and of a true decision, by entry.
static COSTS: LazyLock<Vec<[u32; 2]>> = LazyLock::new(|| {
    let cost = |frequency: u32| (PROBABILITY_BITS << COST_BITS) - log2(frequency.into()) as u32;
    PROBABILITIES.iter().map(|&one| [cost((1 << PROBABILITY_BITS) - u32::from(one)), cost(one.into())]).collect()
});

/// What the outcome of a decision costs, in units of 2^-16 bits.
#[inline]
pub(super) fn decision_cost(logit: i32, outcome: bool) -> u32 {
    COSTS[entry(logit)][usize::from(outcome)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_the_logistic_function() {
        for entry in -LAST..=LAST {
            let exact = 65_536.0 / (1.0 + (-f64::from(entry) / 16.0).exp());
            assert!((f64::from(probability(entry << ENTRY_BITS)) - exact).abs() <= 0.5001, "{entry}");
        }
        assert_eq!(
            [i32::MIN / 2, -10_240, 0, 31, 32, 10_240, i32::MAX / 2].map(probability),
            [3, 3, 32_768, 32_768, 33_792, 65_533, 65_533]
        );
    }
}

//! Weights and tables that every decoder has (FORMAT.md, "Spread model").
//!
//! Weights are means of those fitted to the block outputs and ReLU outputs of retrained ResNet-20s; tables are a formula.

use std::sync::LazyLock;

use super::BINS;
use super::model::{INPUTS, SIGN_BINS, Weights};
use super::surroundings::orientation;
use crate::entropy::{CLASSES, FIRST_MAGNITUDES, MAGNITUDE_SCALE_BITS, MagnitudeTable};

/// Of LL.
const LOWEST: [i8; INPUTS] = [4, 3, 0, 0, 0, 0, 0, 0, 0, 0];
/// Of HL, LH and HH at the coarsest level.
const COARSEST: [[i8; INPUTS]; 3] =
    [[3, 6, 0, 0, 0, 0, 0, 42, 4, 0], [8, 1, 5, 0, 0, 0, 0, 42, 1, 3], [5, 3, 10, 17, 0, 0, 0, 29, 2, 1]];
/// Of HL, LH and HH at finer levels.
const FINER: [[i8; INPUTS]; 3] =
    [[11, 20, 0, 0, 6, 0, 5, 33, 7, 2], [23, 9, 7, 0, 5, 0, 4, 32, 1, 7], [14, 14, 18, 24, 6, 2, 1, 19, 2, 2]];
/// Signs of HL, LH and HH.
const SIGNS: [[u8; SIGN_BINS]; 3] = [
    [128, 128, 132, 136, 148, 152, 157, 162, 167, 172, 178, 184, 192, 198, 200, 192],
    [128, 128, 132, 136, 148, 154, 159, 165, 171, 176, 181, 185, 191, 196, 196, 180],
    [128, 128, 129, 129, 131, 131, 132, 132, 134, 135, 137, 138, 141, 146, 149, 160],
];

/// Offsets of LL; of HL, LH and HH at the coarsest level; of those at finer levels.
const OFFSETS: [[i16; 3]; 3] = [[674; 3], [-869, -827, -856], [-1029, -1004, -1053]];

/// The offset of a subband, in units.
pub(super) fn offset(subband: usize) -> i16 {
    match subband {
        0 => OFFSETS[0][0],
        1..4 => OFFSETS[1][orientation(subband)],
        _ => OFFSETS[2][orientation(subband)],
    }
}

pub(super) fn weights(subbands: usize) -> Weights {
    let levels = |subband: usize| match subband {
        0 => LOWEST,
        1..4 => COARSEST[subband - 1],
        _ => FINER[orientation(subband)],
    };
    Weights {
        levels: (0..subbands).map(levels).collect(),
        signs: (1..subbands).map(|subband| SIGNS[orientation(subband)]).collect(),
    }
}

/// The built-in tables, one a bin.
pub(crate) fn tables() -> &'static [MagnitudeTable] {
    static TABLES: LazyLock<Vec<MagnitudeTable>> = LazyLock::new(|| (0..BINS).map(table).collect());
    &TABLES
}

/// exp(-1 / (2 s)) for the spreads s in the middle of the last eight bins, in units of 2^-63.
const LAST_RATIOS: [u64; 8] = [
    0x7fe1_5efb_158c_9585,
    0x7fe3_e979_855e_0971,
    0x7fe6_3e06_4c2a_b309,
    0x7fe8_6119_c0c2_b751,
    0x7fea_56cd_89c8_677e,
    0x7fec_22e4_6dd4_ef0a,
    0x7fed_c8d1_7f77_c85c,
    0x7fef_4bbe_b264_fd49,
];
const ONE: u64 = 1 << 63;

fn times(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 63) as u64
}

/// exp(-1 / (2 s)) for the spread s in the middle of a bin. An octave less squares it.
fn ratio(bin: usize) -> u64 {
    let octaves = BINS / 8 - 1 - bin / 8;
    (0..octaves).fold(LAST_RATIOS[bin % 8], |ratio, _| times(ratio, ratio))
}

fn power(ratio: u64, exponent: u32) -> u64 {
    let mut power = ONE;
    for bit in (0..32 - exponent.leading_zeros()).rev() {
        power = times(power, power);
        if exponent >> bit & 1 == 1 {
            power = times(power, ratio);
        }
    }
    power
}

/// Share of magnitudes of at least `first`, not 0, in units of 2^-63: 2 / (1 + exp((first - 1/2) / s)).
fn at_least(ratio: u64, first: u32) -> u64 {
    let power = power(ratio, 2 * first - 1);
    ((u128::from(power) << 64) / u128::from(ONE + power)) as u64
}

fn table(bin: usize) -> MagnitudeTable {
    let ratio = ratio(bin);
    let free = (1 << MAGNITUDE_SCALE_BITS) - CLASSES as u64;
    MagnitudeTable::from_starts(std::array::from_fn(|class| match FIRST_MAGNITUDES[class] {
        0 => 0,
        first => times(ONE - at_least(ratio, first), free) as u16 + class as u16,
    }))
}

/// Mean magnitude of each bin, in units of 2^-16.
pub(super) fn means() -> &'static [u64; BINS] {
    static MEANS: LazyLock<[u64; BINS]> = LazyLock::new(|| {
        std::array::from_fn(|bin| {
            // The sum of the shares of all magnitudes from 1 to beyond 16 spreads.
            let most = 1 << (bin / 8).saturating_sub(2).max(5);
            (1..most).map(|first| at_least(ratio(bin), first) >> 47).sum()
        })
    });
    &MEANS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_logistic() {
        for (bin, table) in tables().iter().enumerate() {
            let spread = ((bin as f64 + 0.5) / 8.0 - 6.0).exp2();
            let share = |first: u32| 2.0 / (1.0 + ((f64::from(first) - 0.5) / spread).exp());
            for class in 1..CLASSES as u8 {
                let before = f64::from(table.start(class) - u32::from(class)) / 32_752.0;
                assert!((1.0 - before - share(FIRST_MAGNITUDES[usize::from(class)])).abs() < 1e-4, "{bin} {class}");
            }
            let mean: f64 = (1..100_000).map(share).take_while(|&share| share > 1e-12).sum();
            assert!((means()[bin] as f64 / 65_536.0 - mean).abs() < 1e-3 * mean.max(1.0), "{bin}: {mean}");
        }
    }

    #[test]
    fn weights_fit() {
        let weights = weights(10);
        assert!(weights.levels.iter().all(Weights::fit_in_sums));
        assert_eq!((weights.levels.len(), weights.signs.len()), (10, 9));
    }
}

//! Logarithms in fixed point: costs steer which table codes what, and every machine must choose alike.

use std::sync::LazyLock;

/// Fraction bits of costs and logarithms.
pub(crate) const COST_BITS: u32 = 16;

/// Bits of the numbers whose logarithms are in a table.
const SMALL_BITS: u32 = 13;
/// Logarithms of small numbers: clustering asks for them all the time.
static SMALL: LazyLock<Vec<u32>> = LazyLock::new(|| (0..1 << SMALL_BITS).map(|x| computed(x) as u32).collect());

/// `log2(x)` in units of 2^-16, rounded down, or beyond 2^13 one less; 0 for 0.
pub(crate) fn log2(x: u64) -> u64 {
    let small: &[u32] = &SMALL;
    if let Some(&small) = small.get(x as usize) {
        return u64::from(small);
    }
    // Between two of the table's upper half, on a straight line, which is 1e-8 below at most.
    let shift = x.ilog2() - (SMALL_BITS - 1);
    let (low, rest) = ((x >> shift) as usize, x & ((1 << shift) - 1));
    let below = u64::from(small[low]);
    let above = small.get(low + 1).map_or(u64::from(SMALL_BITS) << COST_BITS, |&above| u64::from(above));
    let rest = if shift > 32 { rest >> (shift - 32) } else { rest << (32 - shift) };
    (u64::from(shift) << COST_BITS) + below + (((above - below) * rest) >> 32)
}

fn computed(x: u64) -> u64 {
    if x == 0 {
        return 0;
    }
    let exponent = 63 - x.leading_zeros();
    // Mantissa in [1, 2) with 31 fraction bits; squaring it shifts out one bit of the logarithm.
    let mut mantissa = if exponent > 31 { x >> (exponent - 31) } else { x << (31 - exponent) };
    let mut fraction = 0u64;
    for _ in 0..COST_BITS {
        mantissa = (mantissa * mantissa) >> 31;
        fraction <<= 1;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    (u64::from(exponent) << COST_BITS) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_floats() {
        let numbers = [1u64, 2, 3, 7, 4095, 4096, 8191, 8192, 8193, 16_383, 16_384, 1_000_003, u64::MAX];
        for x in numbers.into_iter().chain((0..64).map(|bits| 3 << bits >> 1)).filter(|&x| x > 0) {
            let error = log2(x) as f64 / f64::from(1u32 << COST_BITS) - (x as f64).log2();
            assert!((-3.1e-5..=1e-9).contains(&error), "{x}: {error}");
        }
    }
}

//! Logarithms in fixed point: costs steer which table codes what, and every machine must choose alike.

use std::sync::LazyLock;

/// Fraction bits of costs and logarithms.
pub(crate) const COST_BITS: u32 = 16;

/// Logarithms of small numbers: most counts of a map are small, and clustering asks for them all the time.
static SMALL: LazyLock<Vec<u32>> = LazyLock::new(|| (0..1 << 13).map(|x| computed(x) as u32).collect());

/// `log2(x)` in units of 2^-16, rounded down; 0 for 0.
pub(crate) fn log2(x: u64) -> u64 {
    match SMALL.get(x as usize) {
        Some(&small) => u64::from(small),
        None => computed(x),
    }
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
        for x in [1u64, 2, 3, 7, 4095, 4096, 1_000_003, u64::MAX] {
            let error = log2(x) as f64 / f64::from(1u32 << COST_BITS) - (x as f64).log2();
            assert!((-2e-5..=1e-9).contains(&error), "{x}: {error}");
        }
    }
}

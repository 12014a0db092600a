//! Levels: logarithms of magnitudes, about a quarter octave each, as estimates take them.

/// Largest level.
pub(crate) const MAX_LEVEL: i16 = 63;

/// The level of a magnitude m: with w = m + 1 and e its exponent, 4e plus the two bits of w below its leading one.
#[inline]
pub(crate) fn level(magnitude: u32) -> i16 {
    // Exponent and mantissa of the float, which has a vector instruction; the cap is far beyond the largest level.
    let float = (magnitude.min(0xffff) + 1) as f32;
    ((float.to_bits() >> 21) as i16 - (127 << 2)).min(MAX_LEVEL)
}

/// The level of the magnitude, with the sign.
#[inline]
pub(crate) fn signed_level(value: i32) -> i16 {
    let level = level(value.unsigned_abs());
    if value < 0 { -level } else { level }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_hand() {
        let by_hand = [0, 1, 2, 3, 4, 5, 6, 7, 9, 15, 31, 32_767, 1 << 20, u32::MAX].map(level);
        assert_eq!(by_hand, [0, 4, 6, 8, 9, 10, 11, 12, 13, 16, 20, 60, 63, 63]);
        assert_eq!([-3, 0, 3, i32::MIN].map(signed_level), [-8, 0, 8, -63]);
        for magnitude in 1..70_000u32 {
            let w = magnitude + 1;
            let e = w.ilog2();
            let fraction = (u64::from(w) << 2 >> e) & 3;
            assert_eq!(level(magnitude), ((4 * e + fraction as u32) as i16).min(MAX_LEVEL), "{magnitude}");
        }
    }
}

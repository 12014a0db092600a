//! Uniform noise that is a function of a seed and a place.

use crate::simd::LANES;

/// What tells apart the noise of 16 neighbouring planes.
pub(super) fn plane_keys(seed: u64, first_plane: usize) -> [u32; LANES] {
    std::array::from_fn(|lane| {
        // The mixing function of SplitMix64 (Steele, Lea and Flood 2014).
        let mut z = seed.wrapping_add((first_plane + lane + 1) as u64 * 0x9E37_79B9_7F4A_7C15);
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) as u32
    })
}

/// Noise in -0.5 to 0.5 for one position of 16 planes; plain integer arithmetic that the compiler vectorises.
#[inline(always)]
pub(super) fn uniform(keys: &[u32; LANES], position: usize) -> [f32; LANES] {
    let position = (position as u32).wrapping_mul(0x9E37_79B9);
    let mut noise = [0.0; LANES];
    for (noise, key) in noise.iter_mut().zip(keys) {
        // Wellons's `lowbias32`, 2018.
        let mut h = key ^ position;
        h = (h ^ h >> 16).wrapping_mul(0x7FEB_352D);
        h = (h ^ h >> 15).wrapping_mul(0x846C_A68B);
        h ^= h >> 16;
        // 2^24 values, symmetric around zero: each is exact.
        let odd = 2 * (h >> 8) as i32 + 1 - (1 << 24);
        *noise = odd as f32 / (1 << 25) as f32;
    }
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_uniform_and_uncorrelated() {
        let (mut sum, mut squares, mut neighbours, mut lanes) = (0.0, 0.0, 0.0, 0.0);
        let keys = plane_keys(7, 32);
        let n = 20_000;
        for position in 0..n {
            let (a, b) = (uniform(&keys, position), uniform(&keys, position + 1));
            let [a0, a1, b0] = [a[0], a[1], b[0]].map(f64::from);
            assert!(a0.abs() < 0.5);
            sum += a0;
            squares += a0 * a0;
            neighbours += a0 * b0;
            lanes += a0 * a1;
        }
        let n = n as f64;
        // A variance of 1/12; the bounds are four standard deviations of each mean.
        assert!((sum / n).abs() < 4.0 * (1.0 / 12.0 / n).sqrt());
        assert!((squares / n - 1.0 / 12.0).abs() < 4.0 * (1.0 / 180.0 / n).sqrt());
        assert!((neighbours / n).abs() < 4.0 / 12.0 / n.sqrt());
        assert!((lanes / n).abs() < 4.0 / 12.0 / n.sqrt());
    }
}

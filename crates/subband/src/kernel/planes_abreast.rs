//! Eight planes, one after the other, to vectors of the same sample of each, and back: transposing 8 x 8 floats at a time.

use super::isa::{Isa, Level};

/// Planes in a vector.
pub(crate) const ABREAST: usize = 8;

/// Samples of planes that lie `distance` apart to vectors of them, as many as `vectors` holds or a plane has. Places of planes
/// beyond `planes` get what they get, but no NaN of before.
pub(super) fn interleave(isa: Isa, planes: usize, samples: &[f32], distance: usize, vectors: &mut [f32]) {
    let count = (vectors.len() / ABREAST).min(samples.len() - (planes - 1) * distance).min(distance);
    #[allow(unused_mut)]
    let mut at = 0;
    #[cfg(target_arch = "x86_64")]
    if planes == ABREAST && isa.level() >= Level::Avx2 {
        // SAFETY: the `Isa` of a level only exists where the CPU has its features.
        at = unsafe { avx2_interleave(samples, distance, vectors, count) };
    }
    let _ = (isa, Level::Avx2);
    for (i, vector) in vectors.as_chunks_mut::<ABREAST>().0.iter_mut().enumerate().take(count).skip(at) {
        for (p, value) in vector.iter_mut().enumerate() {
            *value = samples[i + p.min(planes - 1) * distance];
        }
    }
}

/// Undoes [`interleave`].
pub(super) fn separate(isa: Isa, planes: usize, vectors: &[f32], samples: &mut [f32], distance: usize) {
    let count = (vectors.len() / ABREAST).min(samples.len() - (planes - 1) * distance).min(distance);
    #[allow(unused_mut)]
    let mut at = 0;
    #[cfg(target_arch = "x86_64")]
    if planes == ABREAST && isa.level() >= Level::Avx2 {
        // SAFETY: as above.
        at = unsafe { avx2_separate(vectors, samples, distance, count) };
    }
    let _ = (isa, Level::Avx2);
    for (i, vector) in vectors.as_chunks::<ABREAST>().0.iter().enumerate().take(count).skip(at) {
        for (p, &value) in vector.iter().enumerate().take(planes) {
            samples[i + p * distance] = value;
        }
    }
}

/// Whole eights of `count` samples; returns how many are done.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2_interleave(samples: &[f32], distance: usize, vectors: &mut [f32], count: usize) -> usize {
    use std::arch::x86_64::*;
    assert!(count == 0 || 7 * distance + count <= samples.len() && count * ABREAST <= vectors.len());
    let whole = count / 8 * 8;
    for at in (0..whole).step_by(8) {
        // SAFETY: samples from `at` on, eight of them, are there in all planes, and so are the vectors.
        unsafe {
            let rows = std::array::from_fn(|p| _mm256_loadu_ps(samples.as_ptr().add(at + p * distance)));
            for (i, row) in transpose(rows).into_iter().enumerate() {
                _mm256_storeu_ps(vectors.as_mut_ptr().add((at + i) * ABREAST), row);
            }
        }
    }
    whole
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2_separate(vectors: &[f32], samples: &mut [f32], distance: usize, count: usize) -> usize {
    use std::arch::x86_64::*;
    assert!(count == 0 || 7 * distance + count <= samples.len() && count * ABREAST <= vectors.len());
    let whole = count / 8 * 8;
    for at in (0..whole).step_by(8) {
        // SAFETY: as in `avx2_interleave`.
        unsafe {
            let rows = std::array::from_fn(|i| _mm256_loadu_ps(vectors.as_ptr().add((at + i) * ABREAST)));
            for (p, row) in transpose(rows).into_iter().enumerate() {
                _mm256_storeu_ps(samples.as_mut_ptr().add(at + p * distance), row);
            }
        }
    }
    whole
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn transpose(r: [std::arch::x86_64::__m256; 8]) -> [std::arch::x86_64::__m256; 8] {
    use std::arch::x86_64::*;
    // Pairs of rows, then fours, within halves; then halves.
    let pairs = [0, 2, 4, 6].map(|i| [_mm256_unpacklo_ps(r[i], r[i + 1]), _mm256_unpackhi_ps(r[i], r[i + 1])]);
    let fours = |a: [__m256; 2], b: [__m256; 2]| {
        [
            _mm256_shuffle_ps::<0x44>(a[0], b[0]),
            _mm256_shuffle_ps::<0xee>(a[0], b[0]),
            _mm256_shuffle_ps::<0x44>(a[1], b[1]),
            _mm256_shuffle_ps::<0xee>(a[1], b[1]),
        ]
    };
    let (upper, lower) = (fours(pairs[0], pairs[1]), fours(pairs[2], pairs[3]));
    [
        _mm256_permute2f128_ps::<0x20>(upper[0], lower[0]),
        _mm256_permute2f128_ps::<0x20>(upper[1], lower[1]),
        _mm256_permute2f128_ps::<0x20>(upper[2], lower[2]),
        _mm256_permute2f128_ps::<0x20>(upper[3], lower[3]),
        _mm256_permute2f128_ps::<0x31>(upper[0], lower[0]),
        _mm256_permute2f128_ps::<0x31>(upper[1], lower[1]),
        _mm256_permute2f128_ps::<0x31>(upper[2], lower[2]),
        _mm256_permute2f128_ps::<0x31>(upper[3], lower[3]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_come_back() {
        for planes in 1..=ABREAST {
            for (length, distance) in [(1, 1), (7, 7), (8, 8), (9, 20), (33, 33), (64, 70)] {
                let samples: Vec<f32> = (0..(planes - 1) * distance + length).map(|i| i as f32).collect();
                for isa in Isa::available() {
                    let mut vectors = vec![0.0; length * ABREAST];
                    interleave(isa, planes, &samples, distance, &mut vectors);
                    for (i, vector) in vectors.chunks_exact(ABREAST).enumerate() {
                        for (p, &value) in vector.iter().enumerate().take(planes) {
                            assert_eq!(value, samples[i + p * distance], "{isa:?} {planes} {length}");
                        }
                    }
                    let mut back = vec![0.0; samples.len()];
                    separate(isa, planes, &vectors, &mut back, distance);
                    for p in 0..planes {
                        let range = p * distance..p * distance + length;
                        assert_eq!(back[range.clone()], samples[range], "{isa:?} {planes} {length}");
                    }
                }
            }
        }
    }
}

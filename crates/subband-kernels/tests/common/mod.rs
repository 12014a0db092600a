//! Test data and comparison.

/// Uniform in -1 to 1, the same for the same seed (a 64-bit linear congruential generator, high bits).
pub fn uniform(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Asserts that the largest difference is within `tolerance` of the largest value.
///
/// Relative to the largest value rather than to each one: a sum that cancels to almost nothing keeps the rounding
/// error of its terms.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let scale = want.iter().fold(0f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * scale, "{what}: value {i} is {g}, should be {w} (largest {scale})");
    }
}

/// As [`assert_close`] for sums of terms of both signs, whose size says nothing of their rounding: the
/// error is held against the L2 norm of the terms, which a sum of random signs is as large as.
#[allow(dead_code)] // Not every test file has such sums.
pub fn assert_sums_close(what: &str, got: &[f32], want: &[f32], terms: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let norm = terms.iter().map(|v| v * v).sum::<f32>().sqrt();
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let allowed = tolerance * (norm / 10.0).max(w.abs());
        assert!((g - w).abs() <= allowed, "{what}: value {i} is {g}, should be {w} (terms of norm {norm})");
    }
}

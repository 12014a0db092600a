//! One-dimensional lifting steps on split signals.
//!
//! A signal of n samples comes split into `low` (the even samples, ceil(n/2)) and `high` (the odd ones,
//! floor(n/2)), each sample being a group of `lanes` neighbouring values that are transformed side by
//! side: 1 for a row, the row length when the samples are whole rows. Neighbouring samples are then
//! `lanes` apart in a flat slice, so every step below is one flat loop that the compiler vectorises,
//! with the border groups done apart.
//!
//! Callers only pass n >= 2 (a signal of one sample is left as it is), so `high` is never empty.
//! Multiplications and additions are separate and in a fixed order: every machine computes the same bits.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::ops::{Add, Mul, Sub};

use super::Wavelet;

/// A transform of a split signal in place.
pub(super) type Lift<T> = fn(low: &mut [T], high: &mut [T], lanes: usize);

/// f32, or what stands for it where a test counts what is done.
pub(super) trait Real:
    Copy + Default + Add<Output = Self> + Sub<Output = Self> + Mul<f32, Output = Self>
{
}

impl Real for f32 {}

/// Forward and inverse float lifting of a wavelet; `None` for [`Wavelet::None`].
pub(super) fn float_lifting<T: Real>(wavelet: Wavelet) -> Option<(Lift<T>, Lift<T>)> {
    match wavelet {
        Wavelet::None => None,
        Wavelet::Haar => Some((haar_forward, haar_inverse)),
        Wavelet::LeGall53 => Some((legall_forward, legall_inverse)),
        Wavelet::Cdf97 => Some((cdf97_forward, cdf97_inverse)),
        Wavelet::Db2 => Some((db2_forward, db2_inverse)),
    }
}

/// Forward and inverse reversible integer lifting; `None` where the wavelet has none.
pub(super) fn integer_lifting(wavelet: Wavelet) -> Option<(Lift<i32>, Lift<i32>)> {
    match wavelet {
        Wavelet::Haar => Some((s_transform_forward, s_transform_inverse)),
        Wavelet::LeGall53 => Some((legall_reversible_forward, legall_reversible_inverse)),
        _ => None,
    }
}

/// `high[i] = step(high[i], low[i], low[i + 1])`, the signal mirrored at its last sample (whole-sample
/// symmetric extension).
fn predict<T: Copy>(high: &mut [T], low: &[T], lanes: usize, step: impl Fn(T, T, T) -> T) {
    let inner = low.len() - lanes;
    let (high, border) = high.split_at_mut(inner.min(high.len()));
    for ((h, &left), &right) in high.iter_mut().zip(low).zip(&low[lanes..]) {
        *h = step(*h, left, right);
    }
    for (h, &left) in border.iter_mut().zip(&low[inner..]) {
        *h = step(*h, left, left);
    }
}

/// `low[i] = step(low[i], high[i - 1], high[i])`, mirrored at the first sample and, in signals of odd
/// length, at the last.
fn update<T: Copy>(low: &mut [T], high: &[T], lanes: usize, step: impl Fn(T, T, T) -> T) {
    let (first, rest) = low.split_at_mut(lanes);
    for (l, &right) in first.iter_mut().zip(high) {
        *l = step(*l, right, right);
    }
    let (inner, last) = rest.split_at_mut(high.len() - lanes);
    for ((l, &left), &right) in inner.iter_mut().zip(high).zip(&high[lanes..]) {
        *l = step(*l, left, right);
    }
    for (l, &left) in last.iter_mut().zip(&high[high.len() - lanes..]) {
        *l = step(*l, left, left);
    }
}

fn scale<T: Real>(values: &mut [T], factor: f32) {
    for value in values {
        *value = *value * factor;
    }
}

// Haar. The unpaired last sample of an odd signal is its own low-pass sample, times sqrt(2) like the
// others, so that a constant signal stays constant in the next level.

fn haar_forward<T: Real>(low: &mut [T], high: &mut [T], _lanes: usize) {
    let (pairs, last) = low.split_at_mut(high.len());
    for (l, h) in pairs.iter_mut().zip(high) {
        let (even, odd) = (*l, *h);
        *l = (even + odd) * FRAC_1_SQRT_2;
        *h = (odd - even) * FRAC_1_SQRT_2;
    }
    scale(last, SQRT_2);
}

fn haar_inverse<T: Real>(low: &mut [T], high: &mut [T], _lanes: usize) {
    let (pairs, last) = low.split_at_mut(high.len());
    for (l, h) in pairs.iter_mut().zip(high) {
        let (mean, difference) = (*l, *h);
        *l = (mean - difference) * FRAC_1_SQRT_2;
        *h = (mean + difference) * FRAC_1_SQRT_2;
    }
    scale(last, FRAC_1_SQRT_2);
}

fn s_transform_forward(low: &mut [i32], high: &mut [i32], _lanes: usize) {
    for (l, h) in low.iter_mut().zip(high) {
        *h = h.wrapping_sub(*l);
        *l = l.wrapping_add(*h >> 1);
    }
}

fn s_transform_inverse(low: &mut [i32], high: &mut [i32], _lanes: usize) {
    for (l, h) in low.iter_mut().zip(high) {
        *l = l.wrapping_sub(*h >> 1);
        *h = h.wrapping_add(*l);
    }
}

// LeGall 5/3. The float form is scaled by sqrt(2) and its inverse, which brings the synthesis norms near 1.

pub(crate) const PREDICT_53: f32 = -0.5;
pub(crate) const UPDATE_53: f32 = 0.25;

fn legall_forward<T: Real>(low: &mut [T], high: &mut [T], lanes: usize) {
    predict(high, low, lanes, |h, a, b| h + (a + b) * PREDICT_53);
    update(low, high, lanes, |l, a, b| l + (a + b) * UPDATE_53);
    scale(low, SQRT_2);
    scale(high, FRAC_1_SQRT_2);
}

fn legall_inverse<T: Real>(low: &mut [T], high: &mut [T], lanes: usize) {
    scale(low, FRAC_1_SQRT_2);
    scale(high, SQRT_2);
    update(low, high, lanes, |l, a, b| l - (a + b) * UPDATE_53);
    predict(high, low, lanes, |h, a, b| h - (a + b) * PREDICT_53);
}

fn legall_reversible_forward(low: &mut [i32], high: &mut [i32], lanes: usize) {
    predict(high, low, lanes, |h, a, b| h.wrapping_sub(a.wrapping_add(b) >> 1));
    update(low, high, lanes, |l, a, b| l.wrapping_add(a.wrapping_add(b).wrapping_add(2) >> 2));
}

fn legall_reversible_inverse(low: &mut [i32], high: &mut [i32], lanes: usize) {
    update(low, high, lanes, |l, a, b| l.wrapping_sub(a.wrapping_add(b).wrapping_add(2) >> 2));
    predict(high, low, lanes, |h, a, b| h.wrapping_add(a.wrapping_add(b) >> 1));
}

// CDF 9/7, ITU-T T.800 table F.4; K is 1.230174105. The low-pass DC gain is sqrt(2).

pub(crate) const ALPHA: f32 = -1.586_134_3;
pub(crate) const BETA: f32 = -0.052_980_12;
pub(crate) const GAMMA: f32 = 0.882_911_1;
pub(crate) const DELTA: f32 = 0.443_506_85;
/// sqrt(2) / K and its inverse.
pub(crate) const LOW_SCALE: f32 = 1.149_604_4;
pub(crate) const HIGH_SCALE: f32 = 0.869_864_4;

fn cdf97_forward<T: Real>(low: &mut [T], high: &mut [T], lanes: usize) {
    predict(high, low, lanes, |h, a, b| h + (a + b) * ALPHA);
    update(low, high, lanes, |l, a, b| l + (a + b) * BETA);
    predict(high, low, lanes, |h, a, b| h + (a + b) * GAMMA);
    update(low, high, lanes, |l, a, b| l + (a + b) * DELTA);
    scale(low, LOW_SCALE);
    scale(high, HIGH_SCALE);
}

fn cdf97_inverse<T: Real>(low: &mut [T], high: &mut [T], lanes: usize) {
    scale(low, HIGH_SCALE);
    scale(high, LOW_SCALE);
    update(low, high, lanes, |l, a, b| l - (a + b) * DELTA);
    predict(high, low, lanes, |h, a, b| h - (a + b) * GAMMA);
    update(low, high, lanes, |l, a, b| l - (a + b) * BETA);
    predict(high, low, lanes, |h, a, b| h - (a + b) * ALPHA);
}

// Daubechies db2 with periodic extension. A signal of odd length is split into its first n - 1 samples,
// which wrap around among themselves, and the last one, which joins the low-pass samples times sqrt(2).

pub(crate) const SQRT_3: f32 = 1.732_050_8;
/// sqrt(3) / 4 and (sqrt(3) - 2) / 4.
pub(crate) const DB2_A: f32 = 0.433_012_7;
pub(crate) const DB2_B: f32 = -0.066_987_3;
/// (sqrt(3) - 1) / sqrt(2) and (sqrt(3) + 1) / sqrt(2), each the other's inverse.
pub(crate) const DB2_LOW: f32 = 0.517_638_1;
pub(crate) const DB2_HIGH: f32 = 1.931_851_6;

/// `target[i] = step(target[i], source[i], source[i + shift])` around the circle, `shift` = 1 or -1
/// sample.
fn periodic<T: Real>(target: &mut [T], source: &[T], lanes: usize, forward: bool, step: impl Fn(T, T, T) -> T) {
    let cut = if forward { lanes } else { source.len() - lanes };
    let neighbours = source[cut..].iter().chain(&source[..cut]);
    for ((t, &here), &neighbour) in target.iter_mut().zip(source).zip(neighbours) {
        *t = step(*t, here, neighbour);
    }
}

fn db2_forward<T: Real>(low: &mut [T], high: &mut [T], lanes: usize) {
    let (low, last) = low.split_at_mut(high.len());
    for (l, &h) in low.iter_mut().zip(&*high) {
        *l = *l + h * SQRT_3;
    }
    periodic(high, low, lanes, false, |h, here, before| h - (here * DB2_A + before * DB2_B));
    periodic(low, high, lanes, true, |l, _, after| l - after);
    scale(low, DB2_LOW);
    scale(high, DB2_HIGH);
    scale(last, SQRT_2);
}

fn db2_inverse<T: Real>(low: &mut [T], high: &mut [T], lanes: usize) {
    let (low, last) = low.split_at_mut(high.len());
    scale(low, DB2_HIGH);
    scale(high, DB2_LOW);
    scale(last, FRAC_1_SQRT_2);
    periodic(low, high, lanes, true, |l, _, after| l + after);
    periodic(high, low, lanes, false, |h, here, before| h + (here * DB2_A + before * DB2_B));
    for (l, &h) in low.iter_mut().zip(&*high) {
        *l = *l - h * SQRT_3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(signal: &[f32]) -> (Vec<f32>, Vec<f32>) {
        (signal.iter().step_by(2).copied().collect(), signal.iter().skip(1).step_by(2).copied().collect())
    }

    fn assert_close(got: &[f32], expected: &[f32]) {
        assert_eq!(got.len(), expected.len());
        for (g, e) in got.iter().zip(expected) {
            assert!((g - e).abs() < 1e-5, "{got:?} instead of {expected:?}");
        }
    }

    #[test]
    fn haar_by_hand() {
        let (mut low, mut high) = split(&[1.0, 3.0, 2.0, 6.0, 5.0]);
        haar_forward(&mut low, &mut high, 1);
        assert_close(&low, &[4.0 / SQRT_2, 8.0 / SQRT_2, 5.0 * SQRT_2]);
        assert_close(&high, &[2.0 / SQRT_2, 4.0 / SQRT_2]);
    }

    #[test]
    fn reversible_transforms_by_hand() {
        let (mut low, mut high) = (vec![5, 4], vec![2, 9]);
        s_transform_forward(&mut low, &mut high, 1);
        assert_eq!((low, high), (vec![3, 6], vec![-3, 5]));
        // 1 2 3 4 5: predicted by neighbours, so no detail; a ramp keeps its even samples.
        let (mut low, mut high) = (vec![1, 3, 5], vec![2, 4]);
        legall_reversible_forward(&mut low, &mut high, 1);
        assert_eq!((low, high), (vec![1, 3, 5], vec![0, 0]));
    }

    #[test]
    fn db2_equals_its_filter_bank() {
        let signal = [0.3f32, -1.2, 2.5, 0.7, 1.1, -0.4, 0.9, 3.3];
        let (mut low, mut high) = split(&signal);
        db2_forward(&mut low, &mut high, 1);
        // Scaling filter h = (1+r3, 3+r3, 3-r3, 1-r3) / (4 r2), r3 = sqrt 3.
        let r3 = 3f64.sqrt();
        let h = [1.0 + r3, 3.0 + r3, 3.0 - r3, 1.0 - r3].map(|v| v / (4.0 * 2f64.sqrt()));
        let filter: Vec<f32> =
            (0..4).map(|i| (0..4).map(|k| h[k] * f64::from(signal[(2 * i + k) % 8])).sum::<f64>() as f32).collect();
        assert_close(&low, &filter);
        let energy: f32 = signal.iter().map(|v| v * v).sum();
        let coefficients: f32 = low.iter().chain(&high).map(|v| v * v).sum();
        assert!((energy - coefficients).abs() < 1e-4);
    }

    #[test]
    fn vanishing_moments_hold_inside() {
        // 5/3 predicts lines, 9/7 cubics; only the mirrored borders deviate.
        let line: Vec<f32> = (0..16).map(|v| v as f32).collect();
        let (mut low, mut high) = split(&line);
        legall_forward(&mut low, &mut high, 1);
        assert!(high[..7].iter().all(|v| v.abs() < 1e-5), "{high:?}");
        let cubic: Vec<f32> = (0..32).map(|v| (v as f32 / 16.0).powi(3)).collect();
        let (mut low, mut high) = split(&cubic);
        cdf97_forward(&mut low, &mut high, 1);
        assert!(high[2..13].iter().all(|v| v.abs() < 1e-5), "{high:?}");
        // A constant has low-pass samples sqrt(2) times as large, borders and odd length included.
        for wavelet in [Wavelet::Haar, Wavelet::LeGall53, Wavelet::Cdf97, Wavelet::Db2] {
            let (mut low, mut high) = split(&[1.0; 9]);
            float_lifting(wavelet).unwrap().0(&mut low, &mut high, 1);
            assert_close(&low, &[SQRT_2; 5]);
            assert_close(&high, &[0.0; 4]);
        }
    }
}

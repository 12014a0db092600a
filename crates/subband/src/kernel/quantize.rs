//! The quantizer, and looks at values before it. Flat loops without a branch, which the compiler vectorises: 0.1 to 0.2 ns
//! a value.

use crate::kernel::multiversion;

/// Above any index that a coding may produce, and exact in f32.
pub(super) const OUT_OF_RANGE: f32 = (1 << 25) as f32;

/// What [`quantize`] does with a coefficient.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuantizerConstants {
    /// The f32 inverse of the step.
    pub inverse: f32,
    pub rounding: f32,
    /// Smallest and largest index.
    pub range: [i32; 2],
}

multiversion! {
    /// `index = sign(x) * floor(|x| * inverse + rounding)`, clamped to the range; returns how many were clamped.
    pub(crate) fn quantize(constants: QuantizerConstants, coefficients: &[f32], indices: &mut [i32]) -> usize =
        plain_quantize;
    /// `x = sign(k) * max(|k| - shift, 0) * step`.
    pub(crate) fn dequantize(step: f32, shift: f32, indices: &[i32], coefficients: &mut [f32]) = plain_dequantize;
    /// The largest bits that a value has without its sign, and whether one is negative.
    pub(crate) fn survey(values: &[f32]) -> (u32, bool) = plain_survey;
    /// Number of values below 0.
    pub(crate) fn count_negative(values: &[f32]) -> usize = plain_count_negative;
    /// Number of indices other than 0.
    pub(crate) fn count_nonzero(indices: &[i32]) -> usize = plain_count_nonzero;
    /// Values below 0, and NaN, become 0.
    pub(crate) fn clamp_at_zero(values: &mut [f32]) = plain_clamp;
}

#[inline(always)]
fn plain_quantize(constants: QuantizerConstants, coefficients: &[f32], indices: &mut [i32]) -> usize {
    let QuantizerConstants { inverse, rounding, range: [min, max] } = constants;
    let mut clamped = 0u32;
    for (index, &x) in indices.iter_mut().zip(coefficients) {
        let scaled = x.abs() * inverse + rounding;
        // This also turns a NaN (infinity minus infinity in the transform) into an out-of-range index.
        let bounded = if scaled < OUT_OF_RANGE { scaled } else { OUT_OF_RANGE };
        // SAFETY: a finite number from 0 to 2^25.
        let magnitude = unsafe { bounded.to_int_unchecked::<i32>() };
        // Minus the magnitude, if x is below 0. -0.0 has magnitude 0.
        let sign = (x.to_bits() as i32) >> 31;
        let signed = if x.is_nan() { magnitude } else { (magnitude ^ sign) - sign };
        *index = signed.clamp(min, max);
        clamped += u32::from(*index != signed);
    }
    clamped as usize
}

#[inline(always)]
fn plain_dequantize(step: f32, shift: f32, indices: &[i32], coefficients: &mut [f32]) {
    for (x, &index) in coefficients.iter_mut().zip(indices) {
        let reduced = index.wrapping_abs() as f32 - shift;
        let magnitude = if reduced > 0.0 { reduced } else { 0.0 } * step;
        *x = f32::from_bits(magnitude.to_bits() | (index as u32 & 1 << 31));
    }
}

#[inline(always)]
fn plain_survey(values: &[f32]) -> (u32, bool) {
    let (mut largest, mut negative) = (0, 0);
    for &value in values {
        largest = largest.max(value.to_bits() & !(1 << 31));
        negative |= u32::from(value < 0.0);
    }
    (largest, negative != 0)
}

#[inline(always)]
fn plain_count_negative(values: &[f32]) -> usize {
    values.chunks(1 << 16).map(|values| values.iter().map(|&value| u32::from(value < 0.0)).sum::<u32>() as usize).sum()
}

#[inline(always)]
fn plain_count_nonzero(indices: &[i32]) -> usize {
    indices.chunks(1 << 16).map(|indices| indices.iter().map(|&k| u32::from(k != 0)).sum::<u32>() as usize).sum()
}

#[inline(always)]
fn plain_clamp(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = if *value > 0.0 { *value } else { 0.0 });
}

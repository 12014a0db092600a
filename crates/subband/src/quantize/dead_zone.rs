//! Uniform quantizer with a dead zone (FORMAT.md, "Quantizer").

use crate::kernel::{self, Isa, QuantizerConstants};

/// Smallest and largest index that a coding may produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexRange {
    min: i32,
    max: i32,
}

impl IndexRange {
    /// Two's complement range of `bits` bits, 2 to 24.
    pub const fn of_bits(bits: u8) -> Self {
        let half = 1 << (bits - 1);
        IndexRange { min: -half, max: half - 1 }
    }

    pub fn clamp(self, index: i32) -> i32 {
        index.clamp(self.min, self.max)
    }

    /// Whether no index of a token without raw bits is beyond.
    pub fn holds_tokens_without_raw_bits(self) -> bool {
        self.max >= 15
    }
}

/// `index = sign(x) * floor(|x| / step + rounding)`, clamped to `range`; returns how many were clamped.
///
/// `rounding` 0.5 is rounding to nearest (ties away from zero); less widens the zero bin. The division
/// is a multiplication with the f32 inverse of `step`.
pub(crate) fn quantize(
    coefficients: &[f32],
    step: f32,
    rounding: f32,
    range: IndexRange,
    indices: &mut [i32],
) -> usize {
    kernel::quantize(Isa::current(), constants(step, rounding, range), coefficients, indices)
}

/// What the kernels take.
pub(crate) fn constants(step: f32, rounding: f32, range: IndexRange) -> QuantizerConstants {
    QuantizerConstants { inverse: 1.0 / step, rounding, range: [range.min, range.max] }
}

/// `x = sign(k) * (|k| - shift) * step`; 0 stays 0. `shift` moves the point of reconstruction from the
/// middle of the nominal bin towards zero, in steps.
pub(crate) fn dequantize(indices: &[i32], step: f32, shift: f32, coefficients: &mut [f32]) {
    kernel::dequantize(Isa::current(), step, shift, indices, coefficients);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let x = [0.0, 0.24, 0.25, -0.25, 0.7, -1.3, 100.0, -100.0, f32::NAN];
        let mut indices = [0; 9];
        let clamped = quantize(&x, 0.5, 0.5, IndexRange::of_bits(8), &mut indices);
        assert_eq!(indices, [0, 0, 1, -1, 1, -3, 127, -128, 127]);
        assert_eq!(clamped, 3);
        // A wider dead zone: 0.7 / 0.5 = 1.4 stays 1, 0.45 / 0.5 = 0.9 becomes 0.
        let mut indices = [0; 2];
        assert_eq!(quantize(&[0.7, 0.45], 0.5, 0.0, IndexRange::of_bits(8), &mut indices), 0);
        assert_eq!(indices, [1, 0]);
        let mut decoded = [0.0; 3];
        dequantize(&[2, -1, 0], 0.5, 0.25, &mut decoded);
        assert_eq!(decoded, [0.875, -0.375, 0.0]);
    }
}

//! What compression achieved.

use crate::tensor::DType;

/// Size and quality of a compressed tensor.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Number of values.
    pub values: usize,
    /// Bytes of the stream, everything counted.
    pub bytes: usize,
    /// `8 * bytes / values`; 0 for an empty tensor.
    pub bits_per_value: f64,
    /// Bits of the dtype over `bits_per_value`; 0 for an empty tensor.
    pub ratio: f64,
    /// The nominal step, where there is one for all subbands.
    pub step: Option<f32>,
    /// Share of indices that are zero, 0 to 1.
    pub zeros: f64,
    /// Values and indices that were clamped to their range.
    pub saturated: u64,
    /// NaN and infinities that were replaced.
    pub replaced: u64,
    /// Errors of the decoded tensor, if they were measured.
    pub error: Option<ErrorReport>,
}

impl Report {
    /// The sizes of a stream of so many values, of which some are zero; nothing clamped or measured, no step.
    pub(crate) fn of_size(dtype: DType, values: usize, zeros: usize, bytes: usize) -> Self {
        let per_value = |x: f64| if values == 0 { 0.0 } else { x / values as f64 };
        let bits_per_value = per_value(8.0 * bytes as f64);
        let dtype_bits = 8.0 * dtype.size_bytes() as f64;
        Report {
            values,
            bytes,
            bits_per_value,
            ratio: if values == 0 { 0.0 } else { dtype_bits / bits_per_value },
            step: None,
            zeros: per_value(zeros as f64),
            saturated: 0,
            replaced: 0,
            error: None,
        }
    }
}

/// Errors of a decoded tensor against the original (with non-finite values replaced).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ErrorReport {
    /// Largest absolute error.
    pub max: f64,
    /// Mean squared error.
    pub mse: f64,
    /// Peak signal-to-noise ratio in dB; infinite where nothing differs. The peak is the range of the
    /// dtype for integers and maximum minus minimum of the tensor for floats.
    pub psnr: f64,
}

/// Sums that make an [`ErrorReport`], one for each chunk, added in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorSum {
    max: f64,
    squares: f64,
    low: f32,
    high: f32,
}

impl ErrorSum {
    pub const NOTHING: ErrorSum = ErrorSum { max: 0.0, squares: 0.0, low: f32::INFINITY, high: f32::NEG_INFINITY };

    pub fn add(&mut self, original: &[f32], decoded: impl Iterator<Item = f32>) {
        for (&x, y) in original.iter().zip(decoded) {
            let error = (f64::from(x) - f64::from(y)).abs();
            self.max = self.max.max(error);
            self.squares += error * error;
            self.low = self.low.min(x);
            self.high = self.high.max(x);
        }
    }

    pub fn join(&mut self, other: &ErrorSum) {
        self.max = self.max.max(other.max);
        self.squares += other.squares;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
    }

    pub fn report(&self, values: usize, dtype: DType) -> ErrorReport {
        let mse = if values == 0 { 0.0 } else { self.squares / values as f64 };
        let peak = match dtype.integer_range() {
            Some((low, high)) => f64::from(high - low),
            None => (f64::from(self.high) - f64::from(self.low)).max(0.0),
        };
        let psnr = if mse == 0.0 { f64::INFINITY } else { 10.0 * (peak * peak / mse).log10() };
        ErrorReport { max: self.max, mse, psnr }
    }
}

//! One line of the result: a coder on a tensor.

use serde::Serialize;

use super::coder::Family;

/// A coder on a tensor. MB are 10^6 bytes of the tensor as it was given.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub tensor: String,
    pub shape: Vec<usize>,
    /// Number of values.
    pub values: usize,
    pub codec: String,
    /// Setting of the codec, or empty.
    pub effort: String,
    /// `f32`, or what indices: making them is then not in the times.
    pub input: String,
    pub threads: usize,
    pub bytes: usize,
    /// 4 bytes a value, over the bytes.
    pub ratio_f32: f64,
    pub bits_per_value: f64,
    /// Of decoded values, or of those that the indices stand for.
    pub rmse: f64,
    pub max_error: f64,
    /// Medians.
    pub compress_mb_s: f64,
    pub decompress_mb_s: f64,
    /// Most memory beyond the input that one compression and one decompression took, compressed and decoded data
    /// included, in a process of their own; none where the system does not tell.
    pub peak_bytes: Option<u64>,
    /// Whether every decoded tensor was right.
    pub verified: bool,
    /// The input without the step: rows of other tensors that have the same are summed up with this one.
    #[serde(skip)]
    pub kind: String,
    #[serde(skip)]
    pub family: Family,
    /// Of the tensor as it was given.
    #[serde(skip)]
    pub given_bytes: usize,
}

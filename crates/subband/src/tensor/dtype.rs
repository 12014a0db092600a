//! Element types.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};

use crate::error::{Error, Result};

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum DType {
    F32,
    F16,
    Bf16,
    U8,
    I8,
    U16,
    I16,
}

impl DType {
    /// All dtypes, in the order of their codes in the stream (FORMAT.md, "Stream header").
    pub const ALL: [DType; 7] = [DType::F32, DType::F16, DType::Bf16, DType::U8, DType::I8, DType::U16, DType::I16];

    /// Bytes per element.
    pub fn size_bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 | DType::Bf16 | DType::U16 | DType::I16 => 2,
            DType::U8 | DType::I8 => 1,
        }
    }

    /// Lower-case name: `f32`, `f16`, `bf16`, `u8`, `i8`, `u16`, `i16`.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::U16 => "u16",
            DType::I16 => "i16",
        }
    }

    /// Whether this is one of the integer types, which can be coded losslessly.
    pub fn is_integer(self) -> bool {
        !matches!(self, DType::F32 | DType::F16 | DType::Bf16)
    }

    /// Smallest and largest value of an integer type.
    pub(crate) fn integer_range(self) -> Option<(i32, i32)> {
        match self {
            DType::U8 => Some((0, 255)),
            DType::I8 => Some((-128, 127)),
            DType::U16 => Some((0, 65_535)),
            DType::I16 => Some((-32_768, 32_767)),
            _ => None,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        DType::ALL
            .into_iter()
            .find(|d| d.name() == s)
            .ok_or_else(|| Error::invalid(format!("unknown dtype '{s}': allowed are f32, f16, bf16, u8, i8, u16, i16")))
    }
}

/// `value` as it comes back from an element of type `dtype`.
pub(crate) fn through_dtype(dtype: DType, value: f32) -> f32 {
    match dtype {
        DType::F32 => value,
        DType::F16 => f16::from_f32(value).to_f32(),
        DType::Bf16 => bf16::from_f32(value).to_f32(),
        DType::U8 => f32::from(value.round_ties_even() as u8),
        DType::I8 => f32::from(value.round_ties_even() as i8),
        DType::U16 => f32::from(value.round_ties_even() as u16),
        DType::I16 => f32::from(value.round_ties_even() as i16),
    }
}

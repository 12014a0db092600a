//! Floats of any size: what is asked of them before they are coded, and what is done to them afterwards.

use half::slice::HalfBitsSliceExt;
use half::{bf16, f16};
use numpy::{Element, PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use subband::{ElementsMut, Values};

use crate::arrays::read_only;
use crate::errors::invalid;

/// A float, coded as such.
pub trait Float: Copy + Send + Sync + 'static {
    /// What NumPy holds it in.
    type Held: Element;
    const ZERO: Self;
    /// The smallest positive one that is normal.
    const TINY: Self;
    fn of(held: &[Self::Held]) -> &[Self];
    fn of_mut(held: &mut [Self::Held]) -> &mut [Self];
    fn values(floats: &[Self]) -> Values<'_>;
    fn elements(floats: &mut [Self]) -> ElementsMut<'_>;
    fn to_f32(self) -> f32;
    /// Of a number, not of NaN.
    fn is_positive(self) -> bool;
}

macro_rules! float {
    ($t:ident, $held:ty, $tiny:expr, $of:expr, $of_mut:expr) => {
        impl Float for $t {
            type Held = $held;
            const ZERO: Self = $t::from_bits(0);
            const TINY: Self = $tiny;
            fn of(held: &[Self::Held]) -> &[Self] {
                $of(held)
            }
            fn of_mut(held: &mut [Self::Held]) -> &mut [Self] {
                $of_mut(held)
            }
            fn values(floats: &[Self]) -> Values<'_> {
                floats.into()
            }
            fn elements(floats: &mut [Self]) -> ElementsMut<'_> {
                floats.into()
            }
            #[inline]
            fn to_f32(self) -> f32 {
                self.into()
            }
            #[inline]
            fn is_positive(self) -> bool {
                self.to_bits().cast_signed() > 0
            }
        }
    };
}
float!(f32, f32, f32::MIN_POSITIVE, std::convert::identity, std::convert::identity);
float!(f16, u16, f16::MIN_POSITIVE, <[u16]>::reinterpret_cast, <[u16]>::reinterpret_cast_mut);
float!(bf16, u16, bf16::MIN_POSITIVE, <[u16]>::reinterpret_cast, <[u16]>::reinterpret_cast_mut);

/// Calls `work` with the elements of an array.
pub fn with_floats<T: Float, R>(flat: &Bound<'_, PyAny>, work: impl FnOnce(&[T]) -> PyResult<R>) -> PyResult<R> {
    work(T::of(read_only::<T::Held>(flat)?.as_slice()?))
}

/// The same, to be written to.
pub fn with_floats_mut<T: Float, R>(
    flat: &Bound<'_, PyAny>,
    work: impl FnOnce(&mut [T]) -> PyResult<R>,
) -> PyResult<R> {
    let array = flat.cast::<PyArray1<T::Held>>()?;
    let mut array = array.try_readwrite().map_err(|error| invalid(format!("the output array: {error}")))?;
    work(T::of_mut(array.as_slice_mut()?))
}

/// Statistics of some values.
#[derive(Clone, Copy, Default)]
pub struct Survey {
    count: f64,
    mean: f64,
    /// Sum of the squared distances from the mean; not finite if a value is not, or so large that its square is not.
    squares: f64,
    least: f32,
}

/// Values that are surveyed at a time, in two passes: they stay in the first cache, and sums of so many are right in f32.
const BLOCK: usize = 1024;
const LANES: usize = 16;

impl Survey {
    pub fn of<T: Float>(values: &[T]) -> Self {
        let mut floats = [0.0f32; BLOCK];
        values.chunks(BLOCK).fold(Survey::default(), |all, block| {
            let floats = &mut floats[..block.len()];
            floats.iter_mut().zip(block).for_each(|(float, value)| *float = value.to_f32());
            all.join(Self::of_block(floats))
        })
    }

    fn of_block(block: &[f32]) -> Self {
        let (mut sums, mut least) = ([0.0f32; LANES], [f32::INFINITY; LANES]);
        let (arrays, rest) = block.as_chunks::<LANES>();
        let mut add = |values: &[f32]| {
            for ((sum, least), &value) in sums.iter_mut().zip(&mut least).zip(values) {
                *sum += value;
                *least = if value < *least { value } else { *least };
            }
        };
        arrays.iter().for_each(|values| add(values));
        add(rest);
        let mean = sums.iter().sum::<f32>() / block.len() as f32;
        let mut squares = [0.0f32; LANES];
        let mut add = |values: &[f32]| {
            for (square, &value) in squares.iter_mut().zip(values) {
                *square += (value - mean) * (value - mean);
            }
        };
        arrays.iter().for_each(|values| add(values));
        add(rest);
        Survey {
            count: block.len() as f64,
            mean: mean.into(),
            squares: squares.iter().sum::<f32>().into(),
            least: least.into_iter().fold(f32::INFINITY, f32::min),
        }
    }

    /// Of the values of both.
    pub fn join(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        Survey {
            count,
            mean: self.mean + apart * other.count / count,
            squares: self.squares + other.squares + apart * apart * self.count * other.count / count,
            least: self.least.min(other.least),
        }
    }

    pub fn finite(&self) -> bool {
        self.squares.is_finite()
    }

    pub fn least(&self) -> Option<f32> {
        (self.count > 0.0).then_some(self.least)
    }

    pub fn deviation(&self) -> f32 {
        (self.squares / self.count.max(1.0)).sqrt() as f32
    }
}

/// Appends a bit a value, whether it is positive, the first in the lowest bit of a byte; whole bytes.
pub fn append_bits<T: Float>(values: &[T], bits: &mut Vec<u8>) {
    let byte = |values: &[T]| values.iter().rev().fold(0, |byte, value| byte << 1 | u8::from(value.is_positive()));
    // Arrays, of which compilers make vectors.
    let (arrays, rest) = values.as_chunks::<8>();
    bits.extend(arrays.iter().map(|values| byte(values)));
    if !rest.is_empty() {
        bits.push(byte(rest));
    }
}

/// Makes values positive where bits are set, and zero elsewhere.
pub fn keep_signs<T: Float>(bits: &[u8], values: &mut [T]) {
    let (arrays, rest) = values.as_chunks_mut::<8>();
    let (bits, last) = bits.split_at(arrays.len());
    let one = |&byte: &u8, values: &mut [T; 8]| {
        *values = std::array::from_fn(|i| {
            let positive = if values[i].is_positive() { values[i] } else { T::TINY };
            if byte & 1 << i != 0 { positive } else { T::ZERO }
        });
    };
    bits.iter().zip(arrays).for_each(|(byte, values)| one(byte, values));
    with_padding(rest, |padded| last.iter().for_each(|byte| one(byte, padded)));
}

/// Makes values zero, even NaN, where bits are not set.
pub fn gate<T: Float>(bits: &[u8], values: &mut [T]) {
    let (arrays, rest) = values.as_chunks_mut::<8>();
    let (bits, last) = bits.split_at(arrays.len());
    let one = |&byte: &u8, values: &mut [T; 8]| {
        *values = std::array::from_fn(|i| if byte & 1 << i != 0 { values[i] } else { T::ZERO });
    };
    bits.iter().zip(arrays).for_each(|(byte, values)| one(byte, values));
    with_padding(rest, |padded| last.iter().for_each(|byte| one(byte, padded)));
}

/// Does `work` to fewer than eight values as if they were eight, so that all are treated alike, in arrays, of which compilers make
/// vectors.
fn with_padding<T: Float>(values: &mut [T], work: impl FnOnce(&mut [T; 8])) {
    let mut padded = [T::ZERO; 8];
    padded[..values.len()].copy_from_slice(values);
    work(&mut padded);
    values.copy_from_slice(&padded[..values.len()]);
}

//! Elements that decoding writes.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::DType;

/// Elements of one of the supported types to be written, row-major.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum ElementsMut<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [f16]),
    Bf16(&'a mut [bf16]),
    U8(&'a mut [u8]),
    I8(&'a mut [i8]),
    U16(&'a mut [u16]),
    I16(&'a mut [i16]),
}

impl<'a> ElementsMut<'a> {
    /// Number of elements.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        for_each_dtype!(ElementsMut, self, x => x.len())
    }

    /// Their type.
    pub fn dtype(&self) -> DType {
        match self {
            ElementsMut::F32(_) => DType::F32,
            ElementsMut::F16(_) => DType::F16,
            ElementsMut::Bf16(_) => DType::Bf16,
            ElementsMut::U8(_) => DType::U8,
            ElementsMut::I8(_) => DType::I8,
            ElementsMut::U16(_) => DType::U16,
            ElementsMut::I16(_) => DType::I16,
        }
    }

    /// Cuts them into consecutive parts of the given lengths, each of which one thread may fill.
    pub(crate) fn split(self, lengths: &[usize]) -> Vec<ElementsMut<'a>> {
        fn split<'a, T>(
            mut rest: &'a mut [T],
            lengths: &[usize],
            wrap: impl Fn(&'a mut [T]) -> ElementsMut<'a>,
        ) -> Vec<ElementsMut<'a>> {
            let mut part = |&length| wrap(rest.split_off_mut(..length).expect("parts are within the whole"));
            lengths.iter().map(&mut part).collect()
        }
        match self {
            ElementsMut::F32(x) => split(x, lengths, ElementsMut::F32),
            ElementsMut::F16(x) => split(x, lengths, ElementsMut::F16),
            ElementsMut::Bf16(x) => split(x, lengths, ElementsMut::Bf16),
            ElementsMut::U8(x) => split(x, lengths, ElementsMut::U8),
            ElementsMut::I8(x) => split(x, lengths, ElementsMut::I8),
            ElementsMut::U16(x) => split(x, lengths, ElementsMut::U16),
            ElementsMut::I16(x) => split(x, lengths, ElementsMut::I16),
        }
    }

    /// The same elements, for a while.
    pub(crate) fn reborrow(&mut self) -> ElementsMut<'_> {
        match self {
            ElementsMut::F32(x) => ElementsMut::F32(x),
            ElementsMut::F16(x) => ElementsMut::F16(x),
            ElementsMut::Bf16(x) => ElementsMut::Bf16(x),
            ElementsMut::U8(x) => ElementsMut::U8(x),
            ElementsMut::I8(x) => ElementsMut::I8(x),
            ElementsMut::U16(x) => ElementsMut::U16(x),
            ElementsMut::I16(x) => ElementsMut::I16(x),
        }
    }

    /// Writes `plane` at `offset`, rounded to the element type (integers: to nearest, ties to even,
    /// clamped to the range of the type).
    pub(crate) fn write_f32(&mut self, offset: usize, plane: &[f32]) {
        fn put<T>(out: &mut [T], plane: &[f32], convert: impl Fn(f32) -> T) {
            for (out, &value) in out.iter_mut().zip(plane) {
                *out = convert(value);
            }
        }
        let range = offset..offset + plane.len();
        match self {
            ElementsMut::F32(x) => x[range].copy_from_slice(plane),
            ElementsMut::F16(x) => x[range].convert_from_f32_slice(plane),
            ElementsMut::Bf16(x) => put(&mut x[range], plane, bf16::from_f32),
            ElementsMut::U8(x) => put(&mut x[range], plane, |v| v.round_ties_even() as u8),
            ElementsMut::I8(x) => put(&mut x[range], plane, |v| v.round_ties_even() as i8),
            ElementsMut::U16(x) => put(&mut x[range], plane, |v| v.round_ties_even() as u16),
            ElementsMut::I16(x) => put(&mut x[range], plane, |v| v.round_ties_even() as i16),
        }
    }

    /// Writes all elements from their bits; of 16 in a 16-bit type. Floats only.
    pub(crate) fn write_bits(&mut self, bits: &[u32]) {
        match self {
            ElementsMut::F32(x) => x.iter_mut().zip(bits).for_each(|(x, &bits)| *x = f32::from_bits(bits)),
            ElementsMut::F16(x) => x.iter_mut().zip(bits).for_each(|(x, &bits)| *x = f16::from_bits(bits as u16)),
            ElementsMut::Bf16(x) => x.iter_mut().zip(bits).for_each(|(x, &bits)| *x = bf16::from_bits(bits as u16)),
            ElementsMut::U8(_) | ElementsMut::I8(_) | ElementsMut::U16(_) | ElementsMut::I16(_) => {
                unreachable!("only float streams hold bits")
            }
        }
    }

    /// Writes a plane of a lossless stream; `false` if a value is outside of the element type, which
    /// only a damaged stream can cause.
    #[must_use]
    pub(crate) fn write_i32(&mut self, offset: usize, plane: &[i32]) -> bool {
        fn put<T: TryFrom<i32>>(out: &mut [T], plane: &[i32]) -> bool {
            out.iter_mut().zip(plane).all(|(out, &value)| match T::try_from(value) {
                Ok(value) => {
                    *out = value;
                    true
                }
                Err(_) => false,
            })
        }
        let range = offset..offset + plane.len();
        match self {
            ElementsMut::U8(x) => put(&mut x[range], plane),
            ElementsMut::I8(x) => put(&mut x[range], plane),
            ElementsMut::U16(x) => put(&mut x[range], plane),
            ElementsMut::I16(x) => put(&mut x[range], plane),
            ElementsMut::F32(_) | ElementsMut::F16(_) | ElementsMut::Bf16(_) => false,
        }
    }
}

//! Tensors at the door of the codec: dtypes, strided views, and the conversion of planes to and from
//! the two working types (`f32` for lossy coding, `i32` for lossless integers). Below this file
//! nothing is generic over the dtype.

use std::ops::Range;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::error::{Error, Result};

/// Runs `$body` with `$x` bound to the typed slice or vector inside `$value`.
macro_rules! for_each_dtype {
    ($enum:ident, $value:expr, $x:ident => $body:expr) => {
        match $value {
            $enum::F32($x) => $body,
            $enum::F16($x) => $body,
            $enum::Bf16($x) => $body,
            $enum::U8($x) => $body,
            $enum::I8($x) => $body,
            $enum::U16($x) => $body,
            $enum::I16($x) => $body,
        }
    };
}

mod dtype;
mod elements;

pub use dtype::DType;
pub(crate) use dtype::through_dtype;
pub use elements::ElementsMut;

/// Borrowed elements of one of the supported types.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Values<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
    U8(&'a [u8]),
    I8(&'a [i8]),
    U16(&'a [u16]),
    I16(&'a [i16]),
}

impl Values<'_> {
    fn len(&self) -> usize {
        for_each_dtype!(Values, self, x => x.len())
    }

    fn dtype(&self) -> DType {
        match self {
            Values::F32(_) => DType::F32,
            Values::F16(_) => DType::F16,
            Values::Bf16(_) => DType::Bf16,
            Values::U8(_) => DType::U8,
            Values::I8(_) => DType::I8,
            Values::U16(_) => DType::U16,
            Values::I16(_) => DType::I16,
        }
    }
}

/// Owned elements of one of the supported types.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum TensorData {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
}

impl TensorData {
    pub(crate) fn zeros(dtype: DType, len: usize) -> Self {
        match dtype {
            DType::F32 => TensorData::F32(vec![0.0; len]),
            DType::F16 => TensorData::F16(vec![f16::ZERO; len]),
            DType::Bf16 => TensorData::Bf16(vec![bf16::ZERO; len]),
            DType::U8 => TensorData::U8(vec![0; len]),
            DType::I8 => TensorData::I8(vec![0; len]),
            DType::U16 => TensorData::U16(vec![0; len]),
            DType::I16 => TensorData::I16(vec![0; len]),
        }
    }

    fn len(&self) -> usize {
        for_each_dtype!(TensorData, self, x => x.len())
    }

    fn values(&self) -> Values<'_> {
        match self {
            TensorData::F32(x) => Values::F32(x),
            TensorData::F16(x) => Values::F16(x),
            TensorData::Bf16(x) => Values::Bf16(x),
            TensorData::U8(x) => Values::U8(x),
            TensorData::I8(x) => Values::I8(x),
            TensorData::U16(x) => Values::U16(x),
            TensorData::I16(x) => Values::I16(x),
        }
    }

    /// The elements, to be written.
    pub(crate) fn elements_mut(&mut self) -> ElementsMut<'_> {
        match self {
            TensorData::F32(x) => ElementsMut::F32(x),
            TensorData::F16(x) => ElementsMut::F16(x),
            TensorData::Bf16(x) => ElementsMut::Bf16(x),
            TensorData::U8(x) => ElementsMut::U8(x),
            TensorData::I8(x) => ElementsMut::I8(x),
            TensorData::U16(x) => ElementsMut::U16(x),
            TensorData::I16(x) => ElementsMut::I16(x),
        }
    }
}

macro_rules! from_slices {
    ($($t:ty => $v:ident),*) => {$(
        impl<'a> From<&'a [$t]> for Values<'a> {
            fn from(x: &'a [$t]) -> Self { Values::$v(x) }
        }
        impl<'a> From<&'a Vec<$t>> for Values<'a> {
            fn from(x: &'a Vec<$t>) -> Self { Values::$v(x) }
        }
        impl<'a> From<&'a mut [$t]> for ElementsMut<'a> {
            fn from(x: &'a mut [$t]) -> Self { ElementsMut::$v(x) }
        }
        impl<'a> From<&'a mut Vec<$t>> for ElementsMut<'a> {
            fn from(x: &'a mut Vec<$t>) -> Self { ElementsMut::$v(x) }
        }
        impl From<Vec<$t>> for TensorData {
            fn from(x: Vec<$t>) -> Self { TensorData::$v(x) }
        }
    )*};
}
from_slices!(f32 => F32, f16 => F16, bf16 => Bf16, u8 => U8, i8 => I8, u16 => U16, i16 => I16);

/// A tensor in memory, row-major and contiguous.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    data: TensorData,
    shape: Vec<usize>,
}

impl Tensor {
    /// Takes elements in row-major order. Errors: rank below 2, or a length that is not the product
    /// of `shape`.
    pub fn new(data: impl Into<TensorData>, shape: &[usize]) -> Result<Self> {
        let data = data.into();
        let values = element_count(shape)?;
        if values != data.len() {
            return Err(Error::invalid(format!(
                "shape {shape:?} has {values} elements, but {} were given",
                data.len()
            )));
        }
        Ok(Tensor { data, shape: shape.to_vec() })
    }

    /// The elements, row-major.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// The elements, row-major.
    pub fn into_data(self) -> TensorData {
        self.data
    }

    /// The shape; its last three axes are channels, height and width.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.values().dtype()
    }

    /// A view of the whole tensor.
    pub fn view(&self) -> TensorView<'_> {
        TensorView {
            values: self.data.values(),
            strides: contiguous_strides(&self.shape),
            shape: self.shape.clone(),
            offset: 0,
        }
    }
}

/// Batch, channels, height and width that a shape is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub batch: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Geometry {
    /// Reads `[..., C, H, W]`: rank 2 is one plane, rank 3 one batch item, leading axes are the batch.
    /// The caller has checked rank and element count.
    pub fn of(shape: &[usize]) -> Geometry {
        let rank = shape.len();
        Geometry {
            batch: shape[..rank.saturating_sub(3)].iter().product(),
            channels: if rank >= 3 { shape[rank - 3] } else { 1 },
            height: shape[rank - 2],
            width: shape[rank - 1],
        }
    }

    pub fn plane(&self) -> usize {
        self.height * self.width
    }

    pub fn values(&self) -> usize {
        self.batch * self.channels * self.plane()
    }
}

/// A borrowed tensor with arbitrary strides.
///
/// Shape `[..., C, H, W]`, rank >= 2; the last two axes are the plane that is transformed.
#[derive(Debug, Clone)]
pub struct TensorView<'a> {
    values: Values<'a>,
    shape: Vec<usize>,
    strides: Vec<isize>,
    offset: usize,
}

impl<'a> TensorView<'a> {
    /// A view of row-major, contiguous elements. Errors as [`TensorView::with_strides`].
    pub fn new(values: impl Into<Values<'a>>, shape: &[usize]) -> Result<Self> {
        let values = values.into();
        let count = element_count(shape)?;
        if count != values.len() {
            return Err(Error::invalid(format!(
                "shape {shape:?} has {count} elements, but {} were given",
                values.len()
            )));
        }
        Ok(TensorView { values, shape: shape.to_vec(), strides: contiguous_strides(shape), offset: 0 })
    }

    /// A view with strides in elements (negative and zero allowed); `offset` is the position of the
    /// first element. Errors: rank below 2, as many strides as axes not given, or an element outside
    /// of `values`.
    pub fn with_strides(
        values: impl Into<Values<'a>>,
        shape: &[usize],
        strides: &[isize],
        offset: usize,
    ) -> Result<Self> {
        let values = values.into();
        let count = element_count(shape)?;
        if strides.len() != shape.len() {
            return Err(Error::invalid(format!(
                "{} strides were given for a tensor of rank {}",
                strides.len(),
                shape.len()
            )));
        }
        if count > 0 {
            // i128 cannot overflow here: at most a few hundred axes of 2^63 * 2^63 would be needed.
            let (mut low, mut high) = (offset as i128, offset as i128);
            for (&size, &stride) in shape.iter().zip(strides) {
                let reach = (size as i128 - 1) * stride as i128;
                if reach < 0 { low += reach } else { high += reach }
            }
            if low < 0 || high >= values.len() as i128 {
                return Err(Error::invalid(format!(
                    "shape {shape:?} with strides {strides:?} and offset {offset} reaches elements {low} to {high}, \
                     but there are {}",
                    values.len()
                )));
            }
        }
        Ok(TensorView { values, shape: shape.to_vec(), strides: strides.to_vec(), offset })
    }

    /// The shape of the view.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.values.dtype()
    }

    pub(crate) fn geometry(&self) -> Geometry {
        Geometry::of(&self.shape)
    }

    /// Position of the first element of a plane, with the strides along its height and width.
    fn plane_position(&self, item: usize, channel: usize) -> (isize, isize, isize) {
        let rank = self.shape.len();
        let mut position = self.offset as isize;
        if rank >= 3 {
            position += channel as isize * self.strides[rank - 3];
            let mut rest = item;
            for axis in (0..rank - 3).rev() {
                position += (rest % self.shape[axis]) as isize * self.strides[axis];
                rest /= self.shape[axis];
            }
        }
        (position, self.strides[rank - 2], self.strides[rank - 1])
    }

    /// The rows of planes of channels next to each other, if they are `f32` and lie in memory one after the other.
    pub(crate) fn contiguous_f32(&self, item: usize, channels: Range<usize>, rows: Range<usize>) -> Option<&'a [f32]> {
        let Values::F32(values) = self.values else { return None };
        let rank = self.shape.len();
        let (height, width) = (self.shape[rank - 2], self.shape[rank - 1]);
        let (position, row_stride, stride) = self.plane_position(item, channels.start);
        let one_plane =
            channels.len() == 1 || rows.len() == height && self.strides[rank - 3] == (height * width) as isize;
        if stride != 1 || row_stride != width as isize || !one_plane {
            return None;
        }
        let start = position as usize + rows.start * width;
        values.get(start..start + channels.len() * rows.len() * width)
    }

    /// Copies some rows of one plane as `f32` into `plane` (row-major, `rows * W` elements).
    pub(crate) fn gather_f32(&self, item: usize, channel: usize, rows: Range<usize>, plane: &mut [f32]) {
        let (position, row_stride, stride) = self.plane_position(item, channel);
        let at = (position + rows.start as isize * row_stride, row_stride, stride);
        let width = self.shape[self.shape.len() - 1];
        match self.values {
            Values::F32(x) => gather(x, at, width, plane, |v| v),
            // All at once if it can be: eight conversions are an instruction.
            Values::F16(x) if stride == 1 => {
                for (y, row) in plane.chunks_exact_mut(width.max(1)).enumerate() {
                    let start = (at.0 + y as isize * row_stride) as usize;
                    x[start..start + width].convert_to_f32_slice(row);
                }
            }
            Values::F16(x) => gather(x, at, width, plane, f16::to_f32),
            Values::Bf16(x) => gather(x, at, width, plane, bf16::to_f32),
            Values::U8(x) => gather(x, at, width, plane, f32::from),
            Values::I8(x) => gather(x, at, width, plane, f32::from),
            Values::U16(x) => gather(x, at, width, plane, f32::from),
            Values::I16(x) => gather(x, at, width, plane, f32::from),
        }
    }

    /// Copies one plane of an integer tensor into `plane`; float tensors are refused before.
    pub(crate) fn gather_i32(&self, item: usize, channel: usize, plane: &mut [i32]) {
        let at = self.plane_position(item, channel);
        let width = self.shape[self.shape.len() - 1];
        match self.values {
            Values::U8(x) => gather(x, at, width, plane, i32::from),
            Values::I8(x) => gather(x, at, width, plane, i32::from),
            Values::U16(x) => gather(x, at, width, plane, i32::from),
            Values::I16(x) => gather(x, at, width, plane, i32::from),
            Values::F32(_) | Values::F16(_) | Values::Bf16(_) => unreachable!("lossless coding takes integers"),
        }
    }

    /// Copies the bits of one plane of a float tensor into `plane`; integers take another path.
    pub(crate) fn gather_bits(&self, item: usize, channel: usize, plane: &mut [u32]) {
        let at = self.plane_position(item, channel);
        let width = self.shape[self.shape.len() - 1];
        match self.values {
            Values::F32(x) => gather(x, at, width, plane, f32::to_bits),
            Values::F16(x) => gather(x, at, width, plane, |v| u32::from(v.to_bits())),
            Values::Bf16(x) => gather(x, at, width, plane, |v| u32::from(v.to_bits())),
            Values::U8(_) | Values::I8(_) | Values::U16(_) | Values::I16(_) => {
                unreachable!("integers are coded as numbers")
            }
        }
    }

    /// The multi-dimensional index of an element of a plane, for error messages.
    pub(crate) fn index_of(&self, item: usize, channel: usize, within_plane: usize) -> Vec<usize> {
        let geometry = self.geometry();
        let mut flat = (item * geometry.channels + channel) * geometry.plane() + within_plane;
        let mut index = vec![0; self.shape.len()];
        for axis in (0..self.shape.len()).rev() {
            index[axis] = flat % self.shape[axis];
            flat /= self.shape[axis];
        }
        index
    }
}

fn gather<T: Copy, U>(
    source: &[T],
    (position, row_stride, stride): (isize, isize, isize),
    width: usize,
    plane: &mut [U],
    convert: impl Fn(T) -> U,
) {
    if width == 0 {
        return;
    }
    // Rows that follow each other are one.
    let width = if stride == 1 && row_stride == width as isize { plane.len() } else { width };
    for (y, row) in plane.chunks_exact_mut(width.max(1)).enumerate() {
        let start = position + y as isize * row_stride;
        if stride == 1 {
            let start = start as usize;
            for (out, &value) in row.iter_mut().zip(&source[start..start + width]) {
                *out = convert(value);
            }
        } else {
            for (x, out) in row.iter_mut().enumerate() {
                *out = convert(source[(start + x as isize * stride) as usize]);
            }
        }
    }
}

/// Number of elements of a shape of rank 2 or more; an error where it does not fit.
pub(crate) fn element_count(shape: &[usize]) -> Result<usize> {
    if shape.len() < 2 {
        return Err(Error::invalid(format!(
            "shape {shape:?} has rank {}: at least 2 is needed, since the last two axes are the plane",
            shape.len()
        )));
    }
    // With a zero axis the others may still be absurd; keep every partial product in range.
    shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size.max(1)))
        .filter(|&product| product <= isize::MAX as usize / 8)
        .map(|product| if shape.contains(&0) { 0 } else { product })
        .ok_or_else(|| Error::invalid(format!("shape {shape:?} has too many elements")))
}

fn contiguous_strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1isize;
    for axis in (0..shape.len()).rev() {
        strides[axis] = stride;
        stride *= shape[axis] as isize;
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_view_reads_a_transposed_plane() {
        let data: Vec<f32> = (0..6).map(|v| v as f32).collect();
        // [2, 3] row-major, seen as its transpose [3, 2].
        let view = TensorView::with_strides(&data, &[3, 2], &[1, 3], 0).unwrap();
        let mut plane = [0.0; 6];
        view.gather_f32(0, 0, 0..3, &mut plane);
        assert_eq!(plane, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn negative_strides_flip_and_bad_ones_are_refused() {
        let data = [1u8, 2, 3, 4];
        let view = TensorView::with_strides(&data[..], &[2, 2], &[-2, -1], 3).unwrap();
        let mut plane = [0; 4];
        view.gather_i32(0, 0, &mut plane);
        assert_eq!(plane, [4, 3, 2, 1]);
        assert!(TensorView::with_strides(&data[..], &[2, 2], &[-2, -1], 2).is_err());
        assert!(TensorView::with_strides(&data[..], &[2, 3], &[2, 1], 0).is_err());
        assert!(TensorView::new(&data[..], &[4]).is_err());
        assert!(TensorView::new(&data[..], &[0, usize::MAX, usize::MAX]).is_err());
    }

    #[test]
    fn leading_axes_are_the_batch() {
        let geometry = Geometry::of(&[2, 3, 4, 5, 6]);
        assert_eq!(geometry, Geometry { batch: 6, channels: 4, height: 5, width: 6 });
        assert_eq!(Geometry::of(&[5, 6]), Geometry { batch: 1, channels: 1, height: 5, width: 6 });
    }

    #[test]
    fn integers_round_and_clamp_at_the_door() {
        let mut out = [0u8; 4];
        ElementsMut::U8(&mut out).write_f32(0, &[-3.0, 2.5, 3.5, 300.0]);
        assert_eq!(out, [0, 2, 4, 255]);
    }
}

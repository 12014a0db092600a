//! Flat NumPy arrays as the codec's views.

use half::slice::HalfBitsSliceExt;
use numpy::{Element, PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::prelude::*;
use subband::{DType, ElementsMut, TensorView, Values};

use crate::errors::{exception, invalid};

/// Elements that a call reads.
pub enum Elements<'py> {
    F32(PyReadonlyArray1<'py, f32>),
    F16(PyReadonlyArray1<'py, u16>),
    Bf16(PyReadonlyArray1<'py, u16>),
    U8(PyReadonlyArray1<'py, u8>),
    I8(PyReadonlyArray1<'py, i8>),
    U16(PyReadonlyArray1<'py, u16>),
    I16(PyReadonlyArray1<'py, i16>),
}

/// An array of any strides: `flat` covers all memory from its first to its last element.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ArrayArgument<'py> {
    flat: Bound<'py, PyAny>,
    dtype: String,
    shape: Vec<usize>,
    /// In elements.
    strides: Vec<isize>,
    /// Of the first element in `flat`.
    offset: usize,
}

pub fn read_only<'py, T: Element>(flat: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray1<'py, T>> {
    let array = flat.cast::<PyArray1<T>>()?;
    array.try_readonly().map_err(|_| invalid("the array is being written to by another call"))
}

fn writable<'py, T: Element>(flat: &Bound<'py, PyAny>) -> PyResult<PyReadwriteArray1<'py, T>> {
    let array = flat.cast::<PyArray1<T>>()?;
    array.try_readwrite().map_err(|error| invalid(format!("the output array cannot be written to: {error}")))
}

pub fn dtype_named(name: &str) -> PyResult<DType> {
    name.parse().map_err(exception)
}

impl<'py> Elements<'py> {
    pub fn new(flat: &Bound<'py, PyAny>, dtype: DType) -> PyResult<Self> {
        Ok(match dtype {
            DType::F32 => Self::F32(read_only(flat)?),
            DType::F16 => Self::F16(read_only(flat)?),
            DType::Bf16 => Self::Bf16(read_only(flat)?),
            DType::U8 => Self::U8(read_only(flat)?),
            DType::I8 => Self::I8(read_only(flat)?),
            DType::U16 => Self::U16(read_only(flat)?),
            DType::I16 => Self::I16(read_only(flat)?),
        })
    }

    pub fn values(&self) -> PyResult<Values<'_>> {
        Ok(match self {
            Self::F32(x) => Values::F32(x.as_slice()?),
            Self::F16(x) => Values::F16(x.as_slice()?.reinterpret_cast()),
            Self::Bf16(x) => Values::Bf16(x.as_slice()?.reinterpret_cast()),
            Self::U8(x) => Values::U8(x.as_slice()?),
            Self::I8(x) => Values::I8(x.as_slice()?),
            Self::U16(x) => Values::U16(x.as_slice()?),
            Self::I16(x) => Values::I16(x.as_slice()?),
        })
    }
}

impl<'py> ArrayArgument<'py> {
    pub fn elements(&self) -> PyResult<Elements<'py>> {
        Elements::new(&self.flat, dtype_named(&self.dtype)?)
    }

    pub fn view<'a>(&self, elements: &'a Elements<'_>) -> PyResult<TensorView<'a>> {
        TensorView::with_strides(elements.values()?, &self.shape, &self.strides, self.offset).map_err(exception)
    }

    /// Chunks that the codec makes of it, if it chooses their size; 1 or more.
    pub fn tasks(&self, channels_per_chunk: Option<usize>) -> usize {
        let values: usize = self.shape.iter().product();
        let one_item = self.shape.iter().rev().skip(3).all(|&size| size == 1);
        if values <= 1 << 16 && one_item && channels_per_chunk.is_none() { 1 } else { 2 }
    }
}

/// Calls `work` with the elements that a call writes to.
pub fn with_output<T>(
    flat: &Bound<'_, PyAny>,
    dtype: DType,
    work: impl FnOnce(ElementsMut<'_>) -> PyResult<T>,
) -> PyResult<T> {
    match dtype {
        DType::F32 => work(ElementsMut::F32(writable(flat)?.as_slice_mut()?)),
        DType::F16 => work(ElementsMut::F16(writable::<u16>(flat)?.as_slice_mut()?.reinterpret_cast_mut())),
        DType::Bf16 => work(ElementsMut::Bf16(writable::<u16>(flat)?.as_slice_mut()?.reinterpret_cast_mut())),
        DType::U8 => work(ElementsMut::U8(writable(flat)?.as_slice_mut()?)),
        DType::I8 => work(ElementsMut::I8(writable(flat)?.as_slice_mut()?)),
        DType::U16 => work(ElementsMut::U16(writable(flat)?.as_slice_mut()?)),
        DType::I16 => work(ElementsMut::I16(writable(flat)?.as_slice_mut()?)),
    }
}

/// The same for floats.
pub fn with_floats<T>(flat: &Bound<'_, PyAny>, work: impl FnOnce(&mut [f32]) -> PyResult<T>) -> PyResult<T> {
    work(writable(flat)?.as_slice_mut()?)
}

//! Bytes of a chunk in memory as the codec's elements, and back.

use std::borrow::Cow;

use bytemuck::Pod;
use half::{bf16, f16};
use subband::{Compressed, Config, DType, ElementsMut, Result, TensorView, Values};
use zarrs_codec::CodecError;
use zarrs_data_type::DataType;
use zarrs_plugin::ExtensionName;

/// The codec's dtype of a data type.
pub fn dtype_of(data_type: &DataType) -> std::result::Result<DType, CodecError> {
    match data_type.name_v3().as_deref() {
        Some("float32") => Ok(DType::F32),
        Some("float16") => Ok(DType::F16),
        Some("bfloat16") => Ok(DType::Bf16),
        Some("uint8") => Ok(DType::U8),
        Some("int8") => Ok(DType::I8),
        Some("uint16") => Ok(DType::U16),
        Some("int16") => Ok(DType::I16),
        _ => Err(CodecError::UnsupportedDataType(data_type.clone(), "subband".to_owned())),
    }
}

/// The stream of a chunk.
pub fn compress(bytes: &[u8], dtype: DType, shape: &[usize], config: &Config) -> Result<Vec<u8>> {
    fn with<T: Pod>(bytes: &[u8], shape: &[usize], config: &Config) -> Result<Vec<u8>>
    where
        for<'a> &'a [T]: Into<Values<'a>>,
    {
        // Bytes from elsewhere may lie anywhere.
        let values = match bytemuck::try_cast_slice(bytes) {
            Ok(values) => Cow::Borrowed(values),
            Err(_) => Cow::Owned(bytemuck::allocation::pod_collect_to_vec(bytes)),
        };
        let Compressed { bytes, .. } = subband::compress(&TensorView::new(&*values, shape)?, config)?;
        Ok(bytes)
    }
    match dtype {
        DType::F32 => with::<f32>(bytes, shape, config),
        DType::F16 => with::<f16>(bytes, shape, config),
        DType::Bf16 => with::<bf16>(bytes, shape, config),
        DType::U8 => with::<u8>(bytes, shape, config),
        DType::I8 => with::<i8>(bytes, shape, config),
        DType::U16 => with::<u16>(bytes, shape, config),
        DType::I16 => with::<i16>(bytes, shape, config),
    }
}

/// The bytes of so many elements, which `decode` writes.
pub fn decompress(values: usize, dtype: DType, decode: impl FnOnce(&mut ElementsMut) -> Result<()>) -> Result<Vec<u8>> {
    fn with<T: Pod>(values: usize, decode: impl FnOnce(&mut ElementsMut) -> Result<()>) -> Result<Vec<u8>>
    where
        for<'a> &'a mut [T]: Into<ElementsMut<'a>>,
    {
        let mut bytes = vec![0; values * size_of::<T>()];
        // An allocator may place bytes anywhere; those in use align them.
        match bytemuck::try_cast_slice_mut(&mut bytes) {
            Ok(elements) => decode(&mut elements.into())?,
            Err(_) => {
                let mut elements = vec![T::zeroed(); values];
                decode(&mut elements.as_mut_slice().into())?;
                bytes.copy_from_slice(bytemuck::cast_slice(&elements));
            }
        }
        Ok(bytes)
    }
    match dtype {
        DType::F32 => with::<f32>(values, decode),
        DType::F16 => with::<f16>(values, decode),
        DType::Bf16 => with::<bf16>(values, decode),
        DType::U8 => with::<u8>(values, decode),
        DType::I8 => with::<i8>(values, decode),
        DType::U16 => with::<u16>(values, decode),
        DType::I16 => with::<i16>(values, decode),
    }
}

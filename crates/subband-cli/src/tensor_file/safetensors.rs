//! `.safetensors`: a JSON directory of names, dtypes and shapes, then the raw values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors, View};
use subband::DType;

use super::NamedTensor;

/// Reads the tensors in the order of their values in the file, and the file's metadata.
pub fn read(bytes: &[u8]) -> Result<(Vec<NamedTensor>, BTreeMap<String, String>)> {
    let bad = "bad .safetensors file";
    let (_, header) = SafeTensors::read_metadata(bytes).context(bad)?;
    let file = SafeTensors::deserialize(bytes).context(bad)?;
    let mut tensors = Vec::new();
    for name in header.offset_keys() {
        let view = file.tensor(&name).context(bad)?;
        let tensor = dtype_of(view.dtype())
            .and_then(|dtype| super::from_le_bytes(dtype, view.shape(), view.data()))
            .with_context(|| format!("tensor {name:?}"))?;
        tensors.push(NamedTensor { name, tensor });
    }
    ensure!(!tensors.is_empty(), "the .safetensors file holds no tensors");
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok((tensors, metadata))
}

pub fn write(tensors: &[NamedTensor], metadata: &BTreeMap<String, String>, output: &mut impl Write) -> Result<()> {
    let metadata = (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect());
    let views = tensors.iter().map(|named| (named.name.as_str(), named));
    output.write_all(&safetensors::serialize(views, metadata)?)?;
    Ok(())
}

impl View for &NamedTensor {
    fn dtype(&self) -> Dtype {
        match self.tensor.dtype() {
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            DType::Bf16 => Dtype::BF16,
            DType::U8 => Dtype::U8,
            DType::I8 => Dtype::I8,
            DType::U16 => Dtype::U16,
            DType::I16 => Dtype::I16,
        }
    }

    fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        super::to_le_bytes(self.tensor.data())
    }

    fn data_len(&self) -> usize {
        self.data().len()
    }
}

fn dtype_of(dtype: Dtype) -> Result<DType> {
    Ok(match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::Bf16,
        Dtype::U8 => DType::U8,
        Dtype::I8 => DType::I8,
        Dtype::U16 => DType::U16,
        Dtype::I16 => DType::I16,
        Dtype::F64 => bail!("dtype F64 is not supported: convert it to float32 first"),
        other => bail!("dtype {other:?} is not supported: F32, F16, BF16, U8, I8, U16 and I16 are"),
    })
}

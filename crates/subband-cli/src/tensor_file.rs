//! Files of named tensors: `.npy`, `.npz` and `.safetensors`, in and out.

mod npy;
mod npz;
mod safetensors;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use subband::{DType, Tensor, TensorData};

/// The file formats, told apart by content when reading and by extension when writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Npy,
    Npz,
    Safetensors,
}

impl Format {
    /// The format that `path` ends in.
    pub fn of_path(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("npy") => Ok(Self::Npy),
            Some("npz") => Ok(Self::Npz),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => bail!("{}: the name has to end in .npy, .npz or .safetensors", path.display()),
        }
    }

    fn of_content(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(npy::MAGIC) {
            Some(Self::Npy)
        } else if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            Some(Self::Npz)
        } else if bytes.get(8) == Some(&b'{') {
            Some(Self::Safetensors)
        } else {
            None
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Npy => ".npy",
            Self::Npz => ".npz",
            Self::Safetensors => ".safetensors",
        })
    }
}

/// One tensor and its name in the file; in a `.npy` file the name is empty.
#[derive(Debug, PartialEq)]
pub struct NamedTensor {
    pub name: String,
    pub tensor: Tensor,
}

/// What a file of tensors holds, in the file's order. Names are unique.
#[derive(Debug, PartialEq)]
pub struct TensorFile {
    pub format: Format,
    /// The text pairs a safetensors file may carry.
    pub metadata: BTreeMap<String, String>,
    pub tensors: Vec<NamedTensor>,
}

impl TensorFile {
    /// Reads the file `path`, or standard input for `-`. Every tensor has at least two axes.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_bytes(path)?;
        Self::parse(&bytes).with_context(|| path.display().to_string())
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let Some(format) = Format::of_content(bytes) else {
            bail!("neither a .npy, a .npz nor a .safetensors file");
        };
        let mut metadata = BTreeMap::new();
        let tensors = match format {
            Format::Npy => vec![NamedTensor { name: String::new(), tensor: npy::read(bytes)? }],
            Format::Npz => npz::read(bytes)?,
            Format::Safetensors => {
                let (tensors, pairs) = safetensors::read(bytes)?;
                metadata = pairs;
                tensors
            }
        };
        let mut names = HashSet::new();
        for NamedTensor { name, .. } in &tensors {
            ensure!(names.insert(name), "two tensors are named {name:?}");
        }
        Ok(Self { format, metadata, tensors })
    }

    /// Writes the tensors in this file's format. A `.npy` file takes exactly one.
    pub fn write(&self, output: &mut impl Write) -> Result<()> {
        match self.format {
            Format::Npy => match self.tensors.as_slice() {
                [one] => npy::write(&one.tensor, output),
                many => bail!("a .npy file holds one tensor, not {}: pick one with --name, or write .npz", many.len()),
            },
            Format::Npz => npz::write(&self.tensors, output),
            Format::Safetensors => safetensors::write(&self.tensors, &self.metadata, output),
        }
    }
}

/// All bytes of the file `path`, or of standard input for `-`.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        let failed = || format!("cannot read {}", path.display());
        let mut file = File::open(path).with_context(failed)?;
        file.read_to_end(&mut bytes).with_context(failed)?;
    }
    Ok(bytes)
}

/// Builds a tensor from little-endian bytes in C order.
fn from_le_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
    ensure!(shape.len() >= 2, "shape {shape:?} has {} axes, but a feature map has at least 2", shape.len());
    let data = match dtype {
        DType::F32 => TensorData::F32(collect(bytes, f32::from_le_bytes)),
        DType::F16 => TensorData::F16(collect(bytes, f16::from_le_bytes)),
        DType::Bf16 => TensorData::Bf16(collect(bytes, bf16::from_le_bytes)),
        DType::U8 => TensorData::U8(bytes.to_vec()),
        DType::I8 => TensorData::I8(collect(bytes, i8::from_le_bytes)),
        DType::U16 => TensorData::U16(collect(bytes, u16::from_le_bytes)),
        DType::I16 => TensorData::I16(collect(bytes, i16::from_le_bytes)),
    };
    Ok(Tensor::new(data, shape)?)
}

fn collect<T, const N: usize>(bytes: &[u8], value: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
}

/// The values as little-endian bytes in C order; borrowed on machines that store them so.
fn to_le_bytes(data: &TensorData) -> Cow<'_, [u8]> {
    #[cfg(target_endian = "little")]
    return Cow::Borrowed(match data {
        TensorData::F32(values) => bytemuck::cast_slice(values),
        TensorData::F16(values) => bytemuck::cast_slice(values),
        TensorData::Bf16(values) => bytemuck::cast_slice(values),
        TensorData::U8(values) => values,
        TensorData::I8(values) => bytemuck::cast_slice(values),
        TensorData::U16(values) => bytemuck::cast_slice(values),
        TensorData::I16(values) => bytemuck::cast_slice(values),
    });
    #[cfg(target_endian = "big")]
    return Cow::Owned(match data {
        TensorData::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::F16(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::Bf16(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::U8(values) => values.clone(),
        TensorData::I8(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::U16(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::I16(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    });
}

/// Bytes of a tensor of this shape, or `None` past what memory can address.
fn byte_length(dtype: DType, shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(dtype.size_bytes(), |bytes, &n| bytes.checked_mul(n))
}

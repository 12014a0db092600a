//! NumPy's `.npz`: a zip archive whose entries are `.npy` files.

use std::io::{Cursor, Read, Write};

use anyhow::{Context, Result, ensure};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{NamedTensor, npy};

const EXTENSION: &str = ".npy";

pub fn read(bytes: &[u8]) -> Result<Vec<NamedTensor>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).context("bad .npz archive")?;
    let mut tensors = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).with_context(|| format!("bad .npz entry {index}"))?;
        let file_name = entry.name().with_context(|| format!("bad .npz entry {index}"))?.into_owned();
        let name = file_name.strip_suffix(EXTENSION);
        let name =
            name.with_context(|| format!("entry {file_name:?} is no array: its name does not end in {EXTENSION}"))?;
        let name = name.to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).with_context(|| format!("array {name:?} is damaged"))?;
        let tensor = npy::read(&content).with_context(|| format!("array {name:?}"))?;
        tensors.push(NamedTensor { name, tensor });
    }
    ensure!(!tensors.is_empty(), "the .npz archive is empty");
    Ok(tensors)
}

/// Writes the arrays uncompressed, as `numpy.savez` does.
pub fn write(tensors: &[NamedTensor], output: &mut impl Write) -> Result<()> {
    let mut archive = ZipWriter::new_stream(output);
    for NamedTensor { name, tensor } in tensors {
        let large =
            super::byte_length(tensor.dtype(), tensor.shape()).is_none_or(|bytes| bytes > u32::MAX as usize / 2);
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large);
        archive.start_file(format!("{name}{EXTENSION}"), options)?;
        npy::write(tensor, &mut archive).with_context(|| format!("array {name:?}"))?;
    }
    archive.finish()?;
    Ok(())
}

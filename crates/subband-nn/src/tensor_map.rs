//! Named arrays in and out of safetensors files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::files::write_atomically;

/// One named array of f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Values in row-major order; as many as the shape says.
    pub values: Vec<f32>,
}

/// Named f32 arrays: the content of a safetensors file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorMap {
    arrays: BTreeMap<String, Array>,
    metadata: HashMap<String, String>,
}

impl TensorMap {
    /// Reads a safetensors file. Integer arrays (PyTorch's `num_batches_tracked`) are left out.
    ///
    /// # Errors
    /// `Io` where the file cannot be read, `Weights` where it is not safetensors or holds floats other than f32.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        Self::from_bytes(&bytes).map_err(|e| Error::new(e.kind(), format!("{}: {e}", path.display())))
    }

    /// The same from bytes in memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let broken = |e| Error::weights(format!("not a readable safetensors file: {e}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let mut map = Self { metadata: header.metadata().clone().unwrap_or_default(), ..Self::default() };
        for (name, view) in SafeTensors::deserialize(bytes).map_err(broken)?.iter() {
            match view.dtype() {
                Dtype::F32 => {
                    let (words, _) = view.data().as_chunks::<4>();
                    let values = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
                    map.insert(name, view.shape().to_vec(), values);
                }
                Dtype::I64 | Dtype::I32 | Dtype::BOOL => {}
                other => {
                    return Err(Error::weights(format!("`{name}` is {other:?}; weights must be F32")));
                }
            }
        }
        Ok(map)
    }

    /// Writes a safetensors file atomically, with `metadata` in its header.
    pub fn write(&self, path: &Path, metadata: &[(&str, String)]) -> Result<()> {
        let bytes: BTreeMap<&String, Vec<u8>> = self
            .arrays
            .iter()
            .map(|(name, array)| {
                let bytes = array.values.iter().flat_map(|v| v.to_le_bytes()).collect();
                (name, bytes)
            })
            .collect();
        let mut views = Vec::new();
        for (name, array) in &self.arrays {
            let view = TensorView::new(Dtype::F32, array.shape.clone(), &bytes[name])
                .map_err(|e| Error::weights(format!("`{name}`: {e}")))?;
            views.push((name, view));
        }
        let metadata = metadata.iter().map(|(key, value)| (key.to_string(), value.clone())).collect::<HashMap<_, _>>();
        let metadata = (!metadata.is_empty()).then_some(metadata);
        let file =
            safetensors::serialize(views, metadata).map_err(|e| Error::weights(format!("cannot serialise: {e}")))?;
        write_atomically(path, &file)
    }

    /// Adds or replaces an array. `values` must be as many as `shape` says.
    pub fn insert(&mut self, name: impl Into<String>, shape: Vec<usize>, values: Vec<f32>) {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        self.arrays.insert(name.into(), Array { shape, values });
    }

    /// The array called `name`.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// Takes out the array called `name`.
    pub fn remove(&mut self, name: &str) -> Option<Array> {
        self.arrays.remove(name)
    }

    /// Every name with its array, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays.iter().map(|(name, array)| (name.as_str(), array))
    }

    /// A text from the header of the file this was read from.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Splits off the arrays whose names start with `prefix`, and takes the prefix away.
    pub(crate) fn split_prefix(&mut self, prefix: &str) -> Self {
        let (inside, outside) = std::mem::take(&mut self.arrays)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(name, _)| name.starts_with(prefix));
        self.arrays = outside;
        let arrays = inside.into_iter().map(|(name, array)| (name[prefix.len()..].to_string(), array)).collect();
        Self { arrays, metadata: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_its_metadata_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mut map = TensorMap::default();
        map.insert("one.weight", vec![2, 1], vec![1.5, -2.0]);
        map.insert("two", vec![0], vec![]);
        map.write(&path, &[("epochs", "[]".to_string())]).unwrap();
        let mut again = TensorMap::read(&path).unwrap();
        assert_eq!(again.metadata("epochs"), Some("[]"));
        assert_eq!(again.arrays, map.arrays);
        assert_eq!(again.split_prefix("one.").get("weight").unwrap().values, [1.5, -2.0]);
        assert_eq!(again.iter().count(), 1);
    }

    #[test]
    fn a_file_that_is_no_safetensors_is_refused() {
        let error = TensorMap::from_bytes(b"hello").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Weights);
    }

    #[test]
    fn halves_are_refused_by_name() {
        let bytes = [0u8; 2];
        let view = TensorView::new(Dtype::F16, vec![1], &bytes).unwrap();
        let file = safetensors::serialize([("w", view)], None).unwrap();
        let error = TensorMap::from_bytes(&file).unwrap_err().to_string();
        assert_eq!(error, "`w` is F16; weights must be F32");
    }
}

//! What goes into a network: photographs or arrays, with or without labels.

use std::path::Path;
use std::sync::Arc;

use subband_nn::data::{Dataset, Skipped, framed_folder, has_classes, plain_folder};
use subband_nn::shuffled;

use crate::engine::Value;
use crate::error::{Error, Result};
use crate::preprocess::Settled;

/// Inputs, or a part of them: cheap to clone and to cut.
#[derive(Clone, Debug)]
pub struct Inputs {
    name: String,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Images { data: Dataset, preprocess: Settled },
    Arrays { arrays: Arc<Arrays>, order: Vec<usize> },
}

#[derive(Debug)]
struct Arrays {
    shape: Vec<usize>,
    values: Vec<f32>,
    labels: Option<Vec<u32>>,
}

/// Some inputs together.
#[derive(Debug)]
pub struct InputBatch {
    /// Batch axis first; `None` where no input could be read.
    pub value: Option<Value>,
    /// Number of inputs.
    pub len: usize,
    /// Their classes.
    pub labels: Option<Vec<u32>>,
    /// Files that were left out.
    pub skipped: Vec<Skipped>,
}

impl Inputs {
    /// The photographs of a folder: with labels where it has a subfolder a class.
    ///
    /// # Errors
    /// `Io` and `Data` as [`framed_folder`] and [`plain_folder`].
    pub fn folder(folder: &Path, classes: Option<&Path>, preprocess: Settled) -> Result<Self> {
        let listed = std::fs::metadata(folder).map_err(|e| Error::io("read", folder, e))?;
        if !listed.is_dir() {
            return Err(Error::data(format!(
                "{} is neither a folder of photographs nor .npy or .npz",
                folder.display()
            )));
        }
        let data = if classes.is_some() || has_classes(folder)? {
            framed_folder(folder, classes, preprocess.framing)?
        } else {
            plain_folder(folder, preprocess.framing)?
        };
        Ok(Self::images(data, preprocess))
    }

    /// A data set of pixels.
    pub fn images(data: Dataset, preprocess: Settled) -> Self {
        Self { name: data.name().to_owned(), source: Source::Images { data, preprocess } }
    }

    /// Arrays as the network takes them: `values` are inputs of the axes `shape` (without the batch), one after another.
    ///
    /// # Errors
    /// `Data` where the values are no whole number of inputs, or the labels are not as many.
    pub fn arrays(
        name: impl Into<String>,
        shape: Vec<usize>,
        values: Vec<f32>,
        labels: Option<Vec<u32>>,
    ) -> Result<Self> {
        let name = name.into();
        let size: usize = shape.iter().product();
        if size == 0 || values.is_empty() || !values.len().is_multiple_of(size) {
            return Err(Error::data(format!("{name}: {} values are no inputs of {shape:?}", values.len())));
        }
        let count = values.len() / size;
        if let Some(labels) = labels.as_ref().filter(|labels| labels.len() != count) {
            return Err(Error::data(format!("{name}: {} labels for {count} inputs", labels.len())));
        }
        let order = (0..count).collect();
        Ok(Self { name, source: Source::Arrays { arrays: Arc::new(Arrays { shape, values, labels }), order } })
    }

    /// What the inputs are, for reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of inputs, those that will not decode included.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Images { data, .. } => data.len(),
            Source::Arrays { order, .. } => order.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Labels are below this; `None` where there are none.
    pub fn classes(&self) -> Option<usize> {
        match &self.source {
            Source::Images { data, .. } => Some(data.classes()).filter(|&classes| classes > 0),
            Source::Arrays { arrays, .. } => Some(arrays.labels.as_ref()?.iter().max().map_or(0, |&l| l as usize + 1)),
        }
    }

    /// The inputs at some positions, in that order.
    ///
    /// # Panics
    /// Where a position is not below `len()`.
    pub fn select(&self, positions: impl IntoIterator<Item = usize>) -> Self {
        let source = match &self.source {
            Source::Images { data, preprocess } => {
                Source::Images { data: data.select(positions), preprocess: preprocess.clone() }
            }
            Source::Arrays { arrays, order } => Source::Arrays {
                arrays: arrays.clone(),
                order: positions.into_iter().map(|position| order[position]).collect(),
            },
        };
        Self { name: self.name.clone(), source }
    }

    /// The first `count`, or all.
    pub fn limit(&self, count: usize) -> Self {
        self.select(0..count.min(self.len()))
    }

    /// `count` spread evenly over the whole.
    pub fn spread(&self, count: usize) -> Self {
        let (count, len) = (count.min(self.len()), self.len());
        self.select((0..count).map(|i| i * len / count))
    }

    /// Those at even and those at odd positions.
    pub fn halves(&self) -> (Self, Self) {
        (self.select((0..self.len()).step_by(2)), self.select((1..self.len()).step_by(2)))
    }

    /// A random part of `share` of the inputs and the rest, each in the order of the whole, so that neither is empty where
    /// there are two inputs; the same `seed` gives the same parts.
    pub fn split(&self, share: f64, seed: u64) -> (Self, Self) {
        let order = shuffled(self.len(), seed);
        let count = ((share * self.len() as f64).round() as usize).clamp(1, self.len().saturating_sub(1).max(1));
        let sorted = |part: &[usize]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part
        };
        (self.select(sorted(&order[..count.min(order.len())])), self.select(sorted(&order[count.min(order.len())..])))
    }

    /// Inputs `start` up to `start + count`.
    pub fn batch(&self, start: usize, count: usize) -> Result<InputBatch> {
        let positions: Vec<usize> = (start..self.len().min(start + count)).collect();
        match &self.source {
            Source::Images { data, preprocess } => {
                let batch = data.batch(&positions)?;
                Ok(InputBatch {
                    value: (!batch.is_empty()).then(|| preprocess.value(&batch)),
                    len: batch.len(),
                    labels: (data.classes() > 0).then_some(batch.labels),
                    skipped: batch.skipped,
                })
            }
            Source::Arrays { arrays, order } => {
                let size: usize = arrays.shape.iter().product();
                let chosen = positions.iter().map(|&position| order[position]);
                let values = chosen.clone().flat_map(|at| &arrays.values[at * size..][..size]).copied().collect();
                let shape: Vec<usize> = std::iter::once(positions.len()).chain(arrays.shape.iter().copied()).collect();
                Ok(InputBatch {
                    value: (!positions.is_empty()).then(|| Value::float(shape, values)),
                    len: positions.len(),
                    labels: arrays.labels.as_ref().map(|labels| chosen.map(|at| labels[at]).collect()),
                    skipped: Vec::new(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole() {
        let inputs = Inputs::arrays("x", vec![1], (0..10).map(|v| v as f32).collect(), None).unwrap();
        let values = |inputs: &Inputs| {
            inputs.batch(0, 10).unwrap().value.map_or(Vec::new(), |value| value.floats().unwrap().to_vec())
        };
        let (a, b) = inputs.split(0.4, 1);
        assert_eq!((a.len(), b.len()), (4, 6));
        let mut all = [values(&a), values(&b)].concat();
        all.sort_by(f32::total_cmp);
        assert_eq!(all, values(&inputs));
        assert_ne!(values(&inputs.split(0.4, 2).0), values(&a));
        assert_eq!(values(&inputs.split(0.4, 1).0), values(&a));
        let (a, b) = inputs.limit(1).split(0.4, 1);
        assert_eq!((a.len(), b.len()), (1, 0));
    }
}

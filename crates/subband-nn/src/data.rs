//! Data sets: pixels and labels, in batches that are read while the previous one is worked on.

mod cifar10;
mod image_folder;
mod prefetch;
mod random_crop;
mod resize;
mod training;

use std::path::PathBuf;
use std::sync::Arc;

pub use cifar10::Cifar10;
pub use image_folder::{Framing, IMAGE_FOLDER_HELP, Resize, framed_folder, has_classes, image_folder, plain_folder};
pub use prefetch::Prefetch;
pub use training::{TrainingFolder, training_folder};

use crate::error::{Error, Result};
use crate::rng::Rng;
use image_folder::Photographs;

/// Some images with their labels.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[C, H, W]` of each image.
    pub shape: [usize; 3],
    /// The images one after another, each plane by plane, 0 to 255.
    pub pixels: Vec<u8>,
    /// The class index of each image.
    pub labels: Vec<u32>,
    /// Files that should have been in this batch and could not be decoded.
    pub skipped: Vec<Skipped>,
}

impl Batch {
    pub(crate) fn with_capacity(shape: [usize; 3], images: usize) -> Self {
        Self {
            shape,
            pixels: Vec::with_capacity(images * shape.iter().product::<usize>()),
            labels: Vec::with_capacity(images),
            skipped: Vec::new(),
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether no image is in it.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// `count` parts of it, in order and as equal as can be; some are empty where there are fewer images.
    pub(crate) fn shards(&self, count: usize) -> Vec<Self> {
        let size: usize = self.shape.iter().product();
        let cut = |shard: usize| shard * self.len() / count;
        let shard = |from: usize, to: usize| Self {
            shape: self.shape,
            pixels: self.pixels[from * size..to * size].to_vec(),
            labels: self.labels[from..to].to_vec(),
            skipped: Vec::new(),
        };
        (0..count).map(|at| shard(cut(at), cut(at + 1))).collect()
    }
}

/// So many images in the shape of CIFAR-10's, and labels from `first` on.
#[cfg(test)]
pub(crate) fn made_up(count: usize, first: u32) -> Dataset {
    let pixels = (0..count * 3072).map(|at| (at * 7919 % 251) as u8).collect();
    let labels = (0..count as u32).map(|at| (at + first) % 10).collect();
    Dataset::from_pixels("made-up", [3, 32, 32], 10, pixels, labels).unwrap()
}

/// A file that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// The decoder's complaint.
    pub reason: String,
}

/// A data set, or a part of one: cheap to clone and to cut.
#[derive(Clone, Debug)]
pub struct Dataset {
    name: String,
    shape: [usize; 3],
    classes: usize,
    source: Arc<Source>,
    order: Vec<u32>,
}

#[derive(Debug)]
enum Source {
    Memory { pixels: Vec<u8>, labels: Vec<u32> },
    Files(Photographs),
}

impl Dataset {
    /// Images held in memory, in the layout of [`Batch::pixels`].
    ///
    /// # Errors
    /// `Data` where the pixels are not as many as the labels and the shape say, or a label is not below `classes`.
    pub fn from_pixels(
        name: impl Into<String>,
        shape: [usize; 3],
        classes: usize,
        pixels: Vec<u8>,
        labels: Vec<u32>,
    ) -> Result<Self> {
        let name = name.into();
        let expected = labels.len() * shape.iter().product::<usize>();
        if pixels.len() != expected {
            return Err(Error::data(format!(
                "{name}: {} pixel bytes for {} labels of {shape:?}, expected {expected}",
                pixels.len(),
                labels.len()
            )));
        }
        if let Some(label) = labels.iter().find(|&&label| label as usize >= classes) {
            return Err(Error::data(format!("{name}: label {label} is not below the number of classes, {classes}")));
        }
        let count = labels.len();
        Ok(Self::new(name, shape, classes, count, Source::Memory { pixels, labels }))
    }

    fn new(name: String, shape: [usize; 3], classes: usize, count: usize, source: Source) -> Self {
        Self { name, shape, classes, source: Arc::new(source), order: (0..count as u32).collect() }
    }

    /// What the data is, for reports: `cifar10/test`, or a folder's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `[C, H, W]` of each image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Labels are below this; 0 where there are none, and those of batches mean nothing.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The first `count` images (all, where there are fewer).
    pub fn limit(&self, count: usize) -> Self {
        self.range(0, count.min(self.len()))
    }

    /// `count` images spread evenly over the whole, for samples of data that is sorted by class.
    pub fn spread(&self, count: usize) -> Self {
        let (count, len) = (count.min(self.len()), self.len());
        Self { order: (0..count).map(|i| self.order[i * len / count]).collect(), ..self.clone() }
    }

    /// The images at some positions of this part, in that order.
    ///
    /// # Panics
    /// Where a position is not below `len()`.
    pub fn select(&self, positions: impl IntoIterator<Item = usize>) -> Self {
        Self { order: positions.into_iter().map(|position| self.order[position]).collect(), ..self.clone() }
    }

    /// Images `start..end` of this part. `start <= end <= len()` must hold.
    pub(crate) fn range(&self, start: usize, end: usize) -> Self {
        Self { order: self.order[start..end].to_vec(), ..self.clone() }
    }

    /// The same images under another name, for parts that deserve one.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The images at `positions` of this part as one batch; files that do not decode are left out and listed.
    ///
    /// # Panics
    /// Where a position is not below `len()`.
    pub fn batch(&self, positions: &[usize]) -> Result<Batch> {
        let mut batch = Batch::with_capacity(self.shape, positions.len());
        match &*self.source {
            Source::Memory { pixels, labels } => {
                let size: usize = self.shape.iter().product();
                for &position in positions {
                    let image = self.order[position] as usize;
                    batch.labels.push(labels[image]);
                    batch.pixels.extend(&pixels[image * size..][..size]);
                }
            }
            Source::Files(photographs) => {
                let images: Vec<usize> = positions.iter().map(|&p| self.order[p] as usize).collect();
                photographs.read(&images, &mut batch);
            }
        }
        Ok(batch)
    }

    /// Whether images are photographs, decoded when they are asked for.
    pub fn is_photographs(&self) -> bool {
        matches!(*self.source, Source::Files(_))
    }

    /// Random parts of the photographs at `positions`, each at least `smallest` of the area, scaled to the size of the set;
    /// `rng_of` gives the random numbers of a place in `positions`. Images in memory are taken whole.
    pub(crate) fn random_parts(
        &self,
        positions: &[usize],
        smallest: f64,
        rng_of: impl Fn(usize) -> Rng + Sync,
    ) -> Result<Batch> {
        let Source::Files(photographs) = &*self.source else { return self.batch(positions) };
        let mut batch = Batch::with_capacity(self.shape, positions.len());
        let images: Vec<usize> = positions.iter().map(|&position| self.order[position] as usize).collect();
        photographs.read_parts(&images, smallest, rng_of, &mut batch);
        Ok(batch)
    }

    /// All images in order, `size` at a time, the next batches being read in the background. `size` must not be 0.
    pub fn batches(&self, size: usize) -> Prefetch<Batch> {
        let (data, len) = (self.clone(), self.len());
        Prefetch::new(len.div_ceil(size), move |index| {
            let positions: Vec<usize> = (index * size..len.min((index + 1) * size)).collect();
            data.batch(&positions)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(count: usize) -> Dataset {
        let pixels = (0..count as u8 * 3).collect();
        let labels = (0..count as u32).collect();
        Dataset::from_pixels("test", [3, 1, 1], count, pixels, labels).unwrap()
    }

    #[test]
    fn batches_cover_the_set_in_order() {
        let batches: Vec<Batch> = counted(5).batches(2).map(Result::unwrap).collect();
        let labels: Vec<_> = batches.iter().map(|b| b.labels.clone()).collect();
        assert_eq!(labels, [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(batches[2].pixels, [12, 13, 14]);
    }

    #[test]
    fn parts_can_be_cut_from_parts() {
        let part = counted(10).range(4, 10).limit(3);
        assert_eq!(part.batch(&[0, 2]).unwrap().labels, [4, 6]);
        assert_eq!(part.limit(100).len(), 3);
        let spread = counted(10).spread(3);
        assert_eq!(spread.batch(&[0, 1, 2]).unwrap().labels, [0, 3, 6]);
    }

    #[test]
    fn shards_are_a_batch_cut() {
        let batch = counted(5).batch(&[0, 1, 2, 3, 4]).unwrap();
        let labels = |count: usize| -> Vec<Vec<u32>> { batch.shards(count).into_iter().map(|b| b.labels).collect() };
        assert_eq!(labels(1), [vec![0, 1, 2, 3, 4]]);
        assert_eq!(labels(2), [vec![0, 1], vec![2, 3, 4]]);
        assert_eq!(batch.shards(2)[1].pixels, [6, 7, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!(labels(7).iter().filter(|shard| shard.is_empty()).count(), 2);
        assert_eq!(labels(7).concat(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_wrong_size_or_label_is_refused() {
        assert!(Dataset::from_pixels("x", [3, 1, 1], 2, vec![0; 5], vec![0, 1]).is_err());
        assert!(Dataset::from_pixels("x", [3, 1, 1], 2, vec![0; 6], vec![0, 2]).is_err());
    }
}

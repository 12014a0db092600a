//! Folders of photographs to train on: which images teach, which decide, which are measured.

use std::path::Path;

use super::{Dataset, image_folder};
use crate::error::{Error, Result};

/// The parts of a folder of photographs.
#[derive(Clone, Debug)]
pub struct TrainingFolder {
    /// What weights, steps and tables are made from.
    pub train: Dataset,
    /// Training images that choices are made on.
    pub held_out: Dataset,
    /// What is measured once, at the end: the folder `val` beside `train`, if there is one.
    pub test: Option<Dataset>,
}

/// Opens `folder`: ImageNet's layout with `train` and `val` in it, or a folder with a subfolder a class, all of which is
/// training images. Every `every`th training image is held out.
///
/// # Errors
/// Those of [`image_folder`]; `InvalidArgument` for `every` below 2; `Data` where too few images are left, or the classes
/// of `val` are not those of `train`.
pub fn training_folder(folder: &Path, classes: Option<&Path>, every: usize) -> Result<TrainingFolder> {
    if every < 2 {
        return Err(Error::argument(format!("held_out_every = {every}: must be at least 2")));
    }
    let [train, val] = ["train", "val"].map(|name| folder.join(name));
    let (images, test) = if train.is_dir() {
        let test = if val.is_dir() { Some(image_folder(&val, classes)?) } else { None };
        (image_folder(&train, classes)?, test)
    } else {
        (image_folder(folder, classes)?, None)
    };
    if let Some(test) = test.as_ref().filter(|test| test.classes() != images.classes()) {
        return Err(Error::data(format!(
            "{} has {} classes: {} has {}",
            val.display(),
            test.classes(),
            train.display(),
            images.classes()
        )));
    }
    let held = |position: &usize| position % every == every - 1;
    let part = |keep: fn(bool) -> bool| images.select((0..images.len()).filter(|position| keep(held(position))));
    let (train, held_out) = (part(|held| !held), part(|held| held));
    if train.is_empty() || held_out.is_empty() {
        return Err(Error::data(format!(
            "{} has {} training images: with every {every}th held out, too few are left",
            folder.display(),
            images.len()
        )));
    }
    let name = images.name().to_owned();
    Ok(TrainingFolder { train, held_out: held_out.named(format!("{name}, held out")), test })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn fill(folder: &Path, classes: &[&str], count: usize) {
        for class in classes {
            fs::create_dir_all(folder.join(class)).unwrap();
            for i in 0..count {
                let picture = image::RgbImage::from_pixel(8, 8, image::Rgb([i as u8; 3]));
                picture.save(folder.join(class).join(format!("{i}.png"))).unwrap();
            }
        }
    }

    #[test]
    fn parts_share_no_image() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), &["a", "b"], 5);
        let parts = training_folder(folder.path(), None, 4).unwrap();
        assert_eq!((parts.train.len(), parts.held_out.len(), parts.test.is_none()), (8, 2, true));
        let error = training_folder(folder.path(), None, 11).unwrap_err().to_string();
        assert!(error.contains("10 training images"), "{error}");
        assert!(training_folder(folder.path(), None, 1).is_err());
    }

    #[test]
    fn imagenets_layout_has_a_part_to_measure() {
        let folder = tempfile::tempdir().unwrap();
        fill(&folder.path().join("train"), &["a", "b"], 4);
        fill(&folder.path().join("val"), &["a", "b"], 1);
        let parts = training_folder(folder.path(), None, 2).unwrap();
        assert_eq!((parts.train.len(), parts.held_out.len(), parts.test.unwrap().len()), (4, 4, 2));
        fill(&folder.path().join("val"), &["c"], 1);
        let error = training_folder(folder.path(), None, 2).unwrap_err().to_string();
        assert!(error.contains("has 3 classes") && error.contains("has 2"), "{error}");
    }
}

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use image::ImageReader;
use rayon::prelude::*;

use super::random_crop::random_part;
use super::resize::{Rgb, centre_crop_planes, crop, resize, resize_short_side};
use super::{Batch, Dataset, Skipped, Source};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// The layout [`image_folder`] reads, for help texts.
pub const IMAGE_FOLDER_HELP: &str =
    "a folder with one subfolder per class (sorted by name, or ImageNet ids mapped by a classes file)";

const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "ppm", "tif", "tiff"];
const CLASSES_FILE: &str = "imagenet-classes.txt";

/// How a photograph becomes an image of fixed size: scaled, then cut out of the middle. Pillow's antialiased bilinear
/// interpolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// What is done first.
    pub resize: Resize,
    /// Height and width of the image.
    pub crop: [usize; 2],
}

/// How a photograph is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// Not at all.
    Keep,
    /// So that the shorter side has this many pixels.
    ShortSide(usize),
    /// To this height and width, whatever its own.
    Exact([usize; 2]),
}

impl Framing {
    /// Shorter side 256, then 224 x 224: what ImageNet weights are measured with.
    pub const IMAGENET: Self = Self { resize: Resize::ShortSide(256), crop: [224, 224] };
}

/// The files of an ImageFolder and their labels.
#[derive(Debug)]
pub(super) struct Photographs {
    files: Vec<(PathBuf, u32)>,
    framing: Framing,
}

/// Opens an ImageNet-style folder: one subfolder per class, photographs inside; shorter side resized to 256, centre
/// crop of 224, Pillow's antialiased bilinear interpolation.
///
/// Labels are the positions of the sorted subfolders. Where `classes` is given (lines `id name`, in class order) each
/// subfolder's name is looked up there instead; folders named by ImageNet ids that are not all 1,000 need it, and
/// `imagenet-classes.txt` in the folder or beside it is found by itself.
///
/// # Errors
/// `Io` where the folder cannot be listed; `Data` where it holds no images or a subfolder is not among the classes.
pub fn image_folder(folder: &Path, classes: Option<&Path>) -> Result<Dataset> {
    framed_folder(folder, classes, Framing::IMAGENET)
}

/// [`image_folder`] with another framing.
pub fn framed_folder(folder: &Path, classes: Option<&Path>, framing: Framing) -> Result<Dataset> {
    let subfolders = sorted_entries(folder)?.into_iter().filter(|path| path.is_dir()).collect::<Vec<_>>();
    if subfolders.is_empty() {
        return Err(Error::data(format!("{} has no subfolders; expected {IMAGE_FOLDER_HELP}", folder.display())));
    }
    let table = classes_file(folder, &subfolders, classes)?.map(|path| read_classes(&path)).transpose()?;
    let mut files = Vec::new();
    for (position, subfolder) in subfolders.iter().enumerate() {
        let label = match &table {
            None => position as u32,
            Some(table) => *table.get(&name_of(subfolder)).ok_or_else(|| {
                Error::data(format!(
                    "{} is not among the {} classes of the classes file",
                    subfolder.display(),
                    table.len()
                ))
            })?,
        };
        for file in sorted_entries(subfolder)? {
            if is_image(&file) {
                files.push((file, label));
            }
        }
    }
    if files.is_empty() {
        return Err(Error::data(format!(
            "{} has {} subfolders and no image in them (looked for {})",
            folder.display(),
            subfolders.len(),
            EXTENSIONS.join(", ")
        )));
    }
    let classes = table.map_or(subfolders.len(), |table| table.len());
    let name = folder.display().to_string();
    let count = files.len();
    let [height, width] = framing.crop;
    let source = Source::Files(Photographs { files, framing });
    Ok(Dataset::new(name, [3, height, width], classes, count, source))
}

/// The photographs that lie in `folder` itself, without labels.
///
/// # Errors
/// `Io` where the folder cannot be listed; `Data` where it holds no images.
pub fn plain_folder(folder: &Path, framing: Framing) -> Result<Dataset> {
    let files: Vec<_> =
        sorted_entries(folder)?.into_iter().filter(|path| is_image(path)).map(|path| (path, 0)).collect();
    if files.is_empty() {
        return Err(Error::data(format!("no image in {} (looked for {})", folder.display(), EXTENSIONS.join(", "))));
    }
    let [height, width] = framing.crop;
    let count = files.len();
    let source = Source::Files(Photographs { files, framing });
    Ok(Dataset::new(folder.display().to_string(), [3, height, width], 0, count, source))
}

/// Whether `folder` has subfolders, which [`image_folder`] takes for classes.
pub fn has_classes(folder: &Path) -> Result<bool> {
    Ok(sorted_entries(folder)?.iter().any(|path| path.is_dir()))
}

impl Photographs {
    /// Decodes `images` in parallel and appends those that decode, in order.
    pub fn read(&self, images: &[usize], batch: &mut Batch) {
        self.decode_into(images, batch, |_, picture| frame(picture, self.framing));
    }

    /// The same with a random part of each, at least `smallest` of its area, scaled to the size; `rng_of` gives the random
    /// numbers of a place in `images`.
    pub fn read_parts(&self, images: &[usize], smallest: f64, rng_of: impl Fn(usize) -> Rng + Sync, batch: &mut Batch) {
        self.decode_into(images, batch, |place, picture| {
            let part = random_part(picture.width, picture.height, smallest, &mut rng_of(place));
            let [height, width] = self.framing.crop;
            let scaled = resize(crop(&picture, part), width, height);
            centre_crop_planes(&scaled, height, width).ok_or_else(|| "no pixels".into())
        });
    }

    fn decode_into(
        &self,
        images: &[usize],
        batch: &mut Batch,
        planes_of: impl Fn(usize, Rgb) -> Result<Vec<u8>, String> + Sync,
    ) {
        let one = |(place, &image): (usize, &usize)| planes_of(place, decode(&self.files[image].0)?);
        let decoded: Vec<_> = images.par_iter().enumerate().map(one).collect();
        for (&image, result) in images.iter().zip(decoded) {
            let (path, label) = &self.files[image];
            match result {
                Ok(planes) => {
                    batch.pixels.extend(planes);
                    batch.labels.push(*label);
                }
                Err(reason) => batch.skipped.push(Skipped { path: path.clone(), reason }),
            }
        }
    }
}

fn decode(path: &Path) -> Result<Rgb, String> {
    let picture = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| e.to_string())?
        .decode()
        .map_err(|e| e.to_string())?
        .into_rgb8();
    let (width, height) = picture.dimensions();
    if width.min(height) == 0 {
        return Err("no pixels".into());
    }
    Ok(Rgb { width: width as usize, height: height as usize, pixels: picture.into_raw() })
}

/// Scaled, then cut out of the middle, as planes.
fn frame(image: Rgb, framing: Framing) -> Result<Vec<u8>, String> {
    let resized = match framing.resize {
        Resize::Keep => image,
        Resize::ShortSide(side) => resize_short_side(image, side),
        Resize::Exact([height, width]) => resize(image, width, height),
    };
    let [height, width] = framing.crop;
    centre_crop_planes(&resized, height, width).ok_or_else(|| format!("smaller than {width} x {height} pixels"))
}

/// The classes file to use: the one given, none where sorted folders are right, else the one found nearby.
fn classes_file(folder: &Path, subfolders: &[PathBuf], given: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(path) = given {
        return Ok(Some(path.to_path_buf()));
    }
    let are_ids = subfolders.iter().all(|path| is_wordnet_id(&name_of(path)));
    if !are_ids || subfolders.len() == 1000 {
        return Ok(None);
    }
    let beside = folder.parent().map(|parent| parent.join(CLASSES_FILE));
    std::iter::once(folder.join(CLASSES_FILE)).chain(beside).find(|path| path.is_file()).map(Some).ok_or_else(|| {
        // Numbering a part of the classes from 0 would give wrong labels, and an accuracy nobody would question.
        Error::data(format!(
            "{} holds {} of ImageNet's 1000 classes: name a classes file (lines `id name`, in class order) or put \
                 {CLASSES_FILE} beside it",
            folder.display(),
            subfolders.len()
        ))
    })
}

fn read_classes(path: &Path) -> Result<HashMap<String, u32>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let mut table = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let Some(id) = line.split_whitespace().next() else {
            continue;
        };
        if table.insert(id.to_string(), index as u32).is_some() {
            return Err(Error::data(format!("{} lists {id} twice, again on line {}", path.display(), index + 1)));
        }
    }
    Ok(table)
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |e| Error::io("list", folder, e);
    let mut paths = std::fs::read_dir(folder)
        .map_err(fail)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(fail)?;
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

fn is_wordnet_id(name: &str) -> bool {
    name.len() == 9 && name.starts_with('n') && name[1..].bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn picture(path: &Path) {
        image::RgbImage::from_pixel(300, 256, image::Rgb([10, 20, 30])).save(path).unwrap();
    }

    #[test]
    fn labels_are_sorted_folders_and_broken_files_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        for class in ["cat", "ant"] {
            fs::create_dir(folder.path().join(class)).unwrap();
        }
        picture(&folder.path().join("cat/a.png"));
        picture(&folder.path().join("ant/z.png"));
        fs::write(folder.path().join("ant/b.jpg"), b"no picture").unwrap();
        fs::write(folder.path().join("ant/notes.txt"), b"ignored").unwrap();
        let data = image_folder(folder.path(), None).unwrap();
        assert_eq!((data.len(), data.classes()), (3, 2));
        let batch = data.batches(8).next().unwrap().unwrap();
        assert_eq!(batch.labels, [0, 1]);
        assert_eq!(batch.pixels.len(), 2 * 3 * 224 * 224);
        assert_eq!(batch.pixels[224 * 224], 20);
        assert_eq!(batch.skipped.len(), 1);
        assert!(batch.skipped[0].path.ends_with("ant/b.jpg"));
    }

    #[test]
    fn random_parts_depend_on_their_stream_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        let gradient = |x: u32, y: u32| image::Rgb([x as u8, y as u8, 7]);
        for name in ["a/1.png", "a/2.png"] {
            image::RgbImage::from_fn(100, 80, gradient).save(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("a/3.png"), b"no picture").unwrap();
        let data = image_folder(folder.path(), None).unwrap();
        let read = |positions: &[usize], seed| {
            data.random_parts(positions, 0.08, |place| Rng::for_stream(seed, &[place as u64])).unwrap()
        };
        let batch = read(&[0, 1, 2], 1);
        let size = 3 * 224 * 224;
        assert_eq!((batch.pixels.len(), batch.skipped.len()), (2 * size, 1));
        assert_eq!(batch.pixels[..size], read(&[1], 1).pixels[..], "the same picture at the same place");
        assert_ne!(batch.pixels[..size], batch.pixels[size..]);
        assert_ne!(batch.pixels, read(&[0, 1, 2], 2).pixels);
        // A part of a gradient is one: rising along x, over no more than the whole range.
        let row = &batch.pixels[..224];
        assert!(row.is_sorted() && row[223] - row[0] > 20 && row[223] < 100, "{row:?}");
    }

    #[test]
    fn some_imagenet_ids_need_a_classes_file() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("n00000002")).unwrap();
        picture(&data.join("n00000002/a.png"));
        let error = image_folder(&data, None).unwrap_err().to_string();
        assert!(error.contains("1 of ImageNet's 1000"), "{error}");
        let classes = folder.path().join(CLASSES_FILE);
        fs::write(&classes, "n00000001 one\nn00000002 two\n").unwrap();
        let labels = |classes| image_folder(&data, classes).unwrap().batch(&[0]).unwrap().labels;
        assert_eq!(labels(None), [1]);
        assert_eq!(labels(Some(classes.as_path())), [1]);
    }
}

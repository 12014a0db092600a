//! From pixels to what a network takes.

use serde::{Deserialize, Serialize};
use subband_nn::data::{Batch, Framing, Resize};

use crate::engine::Value;
use crate::error::{Error, Result};

/// Order of the colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colours {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first, as OpenCV reads images.
    Bgr,
}

/// Order of the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axes {
    /// Planes: `[N, C, H, W]`.
    Nchw,
    /// Pixels: `[N, H, W, C]`.
    Nhwc,
}

/// A length for both sides, or height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// For `resize` the shorter side, for `crop` both.
    Side(usize),
    /// Height and width.
    Exact([usize; 2]),
}

/// What happens to a photograph before the network: scaled, cut, and each colour `(pixel * scale - mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Preprocess {
    /// 0 leaves photographs as they are. Default: the shorter side to 256/224 of the crop.
    pub resize: Option<Size>,
    /// Default: what the model takes, else 224.
    pub crop: Option<Size>,
    /// Factor of a pixel from 0 to 255. Default: 1/255.
    pub scale: f32,
    /// Per colour, in the order of `colours`. Default: ImageNet's .485 .456 .406.
    pub mean: [f32; 3],
    /// Per colour. Default: ImageNet's .229 .224 .225.
    pub std: [f32; 3],
    /// Default: RGB.
    pub colours: Colours,
    /// Default: as the model's input looks, where it tells.
    pub layout: Option<Axes>,
}

impl Default for Preprocess {
    fn default() -> Self {
        Self {
            resize: None,
            crop: None,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            colours: Colours::Rgb,
            layout: None,
        }
    }
}

impl Preprocess {
    /// From a TOML text with these fields.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::argument(e.to_string()))
    }

    /// Checks numbers.
    pub fn validate(&self) -> Result<()> {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if !finite(&self.mean) || !finite(&[self.scale]) || self.std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return Err(Error::argument("scale and mean must be finite, std finite and above 0"));
        }
        let sizes = [self.resize.filter(|size| *size != Size::Side(0)), self.crop];
        let allowed = |size: Size| match size {
            Size::Side(side) => (1..=16_384).contains(&side),
            Size::Exact(sides) => sides.iter().all(|side| (1..=16_384).contains(side)),
        };
        match sizes.into_iter().flatten().find(|size| !allowed(*size)) {
            Some(size) => Err(Error::argument(format!("size {size:?}: allowed are 1 to 16384 pixels"))),
            None => Ok(()),
        }
    }

    /// Height and width that the network is given, where this says so.
    pub fn size(&self) -> Option<[usize; 2]> {
        match (self.crop, self.resize) {
            (Some(Size::Side(side)), _) => Some([side, side]),
            (Some(Size::Exact(size)), _) | (None, Some(Size::Exact(size))) => Some(size),
            (None, _) => None,
        }
    }

    /// Settled for a network whose input has the axes `shape`, without the batch.
    pub fn settle(&self, shape: &[usize]) -> Result<Settled> {
        self.validate()?;
        let (axes, [height, width]) = match (shape, self.layout) {
            (&[3, height, width], None | Some(Axes::Nchw)) => (Axes::Nchw, [height, width]),
            (&[height, width, 3], None | Some(Axes::Nhwc)) => (Axes::Nhwc, [height, width]),
            _ => {
                let layout = self.layout.map_or(String::new(), |axes| format!(" {axes:?}"));
                return Err(Error::argument(format!(
                    "the model takes {shape:?}: photographs become{layout} images of 3 colours; give it arrays (.npy)"
                )));
            }
        };
        let short = height.min(width);
        let resize = match self.resize {
            None => Resize::ShortSide((short * 256).div_ceil(224)),
            Some(Size::Side(0)) => Resize::Keep,
            Some(Size::Side(side)) => Resize::ShortSide(side),
            Some(Size::Exact(size)) => Resize::Exact(size),
        };
        Ok(Settled { framing: Framing { resize, crop: [height, width] }, axes, arithmetic: self.clone() })
    }
}

/// Preprocessing for one network.
#[derive(Clone, Debug)]
pub struct Settled {
    /// What is done to photographs while they are read.
    pub framing: Framing,
    axes: Axes,
    arithmetic: Preprocess,
}

impl Settled {
    /// The network's input for a batch.
    pub(crate) fn value(&self, batch: &Batch) -> Value {
        let [channels, height, width] = batch.shape;
        let Preprocess { scale, mean, std, colours, .. } = &self.arithmetic;
        let source = |colour: usize| if *colours == Colours::Bgr { channels - 1 - colour } else { colour };
        // A pixel has 256 values, so the arithmetic is done once for each and looked up.
        let tables: Vec<[f32; 256]> = (0..channels)
            .map(|colour| std::array::from_fn(|pixel| (pixel as f32 * scale - mean[colour]) / std[colour]))
            .collect();
        let plane = height * width;
        let mut values = Vec::with_capacity(batch.pixels.len());
        for image in batch.pixels.chunks_exact(channels * plane) {
            let pixel = |colour: usize, at: usize| tables[colour][usize::from(image[source(colour) * plane + at])];
            match self.axes {
                Axes::Nchw => values
                    .extend((0..channels).flat_map(|c| (0..plane).map(move |at| (c, at))).map(|(c, at)| pixel(c, at))),
                Axes::Nhwc => values
                    .extend((0..plane).flat_map(|at| (0..channels).map(move |c| (c, at))).map(|(c, at)| pixel(c, at))),
            }
        }
        let images = batch.len();
        Value::float(
            match self.axes {
                Axes::Nchw => vec![images, channels, height, width],
                Axes::Nhwc => vec![images, height, width, channels],
            },
            values,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let data = subband_nn::data::Dataset::from_pixels("x", [3, 1, 2], 1, vec![1, 2, 3, 4, 5, 6], vec![0]).unwrap();
        data.batch(&[0]).unwrap()
    }

    #[test]
    fn orders_by_hand() {
        let plain = Preprocess { scale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..Preprocess::default() };
        let values = |preprocess: &Preprocess, shape: &[usize]| {
            preprocess.settle(shape).unwrap().value(&batch()).floats().unwrap().to_vec()
        };
        assert_eq!(values(&plain, &[3, 1, 2]), [1., 2., 3., 4., 5., 6.]);
        assert_eq!(values(&plain, &[1, 2, 3]), [1., 3., 5., 2., 4., 6.]);
        let bgr = Preprocess { colours: Colours::Bgr, mean: [5.0, 0.0, 0.0], std: [2.0, 1.0, 1.0], ..plain.clone() };
        assert_eq!(values(&bgr, &[3, 1, 2]), [0., 0.5, 3., 4., 1., 2.]);
        assert!(plain.settle(&[1, 28, 28]).unwrap_err().to_string().contains(".npy"));
    }

    #[test]
    fn the_usual_resize_and_toml() {
        let toml = "crop = 32\nmean = [0.5, 0.5, 0.5]\ncolours = \"bgr\"\nlayout = \"nhwc\"";
        let read = Preprocess::from_toml(toml).unwrap();
        assert_eq!((read.size(), read.layout), (Some([32, 32]), Some(Axes::Nhwc)));
        assert_eq!(Preprocess::default().settle(&[3, 224, 224]).unwrap().framing, Framing::IMAGENET);
        assert!(Preprocess::from_toml("mena = 1").is_err());
        assert!(Preprocess { std: [0.0; 3], ..Preprocess::default() }.validate().is_err());
    }
}

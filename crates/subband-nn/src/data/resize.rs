//! Pillow's antialiased bilinear resize of 8-bit images, to the bit.
//!
//! The accuracy published with ImageNet weights holds for this interpolation: `torchvision.transforms.Resize` on a PIL
//! image. Pillow convolves with a triangle as wide as the reduction, first along x, then along y, in 22-bit fixed point,
//! with the result of the first pass rounded to 8 bits.

use super::random_crop::Part;

/// Fractional bits of the coefficients: an 8-bit sample and a sum just over one still fit 32 bits.
const PRECISION: u32 = 22;

/// An RGB image, rows of interleaved pixels.
pub(super) struct Rgb {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// Scales so that the shorter side is `side`, the longer one rounded down, as torchvision does.
pub(super) fn resize_short_side(image: Rgb, side: usize) -> Rgb {
    let (short, long) = (image.width.min(image.height), image.width.max(image.height));
    if short == side || short == 0 {
        return image;
    }
    let long = side * long / short;
    let (width, height) = if image.width <= image.height { (side, long) } else { (long, side) };
    resize(image, width, height)
}

/// The middle `height` x `width` pixels as planes, or `None` where the image is smaller.
pub(super) fn centre_crop_planes(image: &Rgb, height: usize, width: usize) -> Option<Vec<u8>> {
    let (left, top) = (centre(image.width.checked_sub(width)?), centre(image.height.checked_sub(height)?));
    let mut planes = Vec::with_capacity(3 * height * width);
    for channel in 0..3 {
        for y in top..top + height {
            let row = &image.pixels[(y * image.width + left) * 3..][..width * 3];
            planes.extend(row.iter().skip(channel).step_by(3));
        }
    }
    Some(planes)
}

/// The pixels of a part.
pub(super) fn crop(image: &Rgb, part: Part) -> Rgb {
    let rows = image.pixels.chunks_exact(image.width * 3).skip(part.top).take(part.height);
    let pixels = rows.flat_map(|row| &row[part.left * 3..][..part.width * 3]).copied().collect();
    Rgb { width: part.width, height: part.height, pixels }
}

/// Half of the margin; an odd one as Python's `round(margin / 2)` has it, to the even neighbour.
fn centre(margin: usize) -> usize {
    let half = margin / 2;
    half + usize::from(margin % 2 == 1 && half % 2 == 1)
}

/// To any size.
pub(super) fn resize(image: Rgb, width: usize, height: usize) -> Rgb {
    let across = Weights::new(image.width, width);
    let mut wide = vec![0; width * image.height * 3];
    for (source, target) in image.pixels.chunks_exact(image.width * 3).zip(wide.chunks_exact_mut(width * 3)) {
        for (x, pixel) in target.chunks_exact_mut(3).enumerate() {
            for (channel, sample) in pixel.iter_mut().enumerate() {
                *sample = across.apply(x, |i| source[i * 3 + channel]);
            }
        }
    }
    let down = Weights::new(image.height, height);
    let mut pixels = vec![0; width * height * 3];
    for (y, target) in pixels.chunks_exact_mut(width * 3).enumerate() {
        for (at, sample) in target.iter_mut().enumerate() {
            *sample = down.apply(y, |i| wide[i * width * 3 + at]);
        }
    }
    Rgb { width, height, pixels }
}

/// For every output position the first input position and the fixed-point weights from there on.
struct Weights(Vec<(usize, Vec<i32>)>);

impl Weights {
    fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let reach = scale.max(1.0);
        let position = |at: usize| {
            let centre = (at as f64 + 0.5) * scale;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(from);
            let weights: Vec<f64> =
                (first..end).map(|i| (1.0 - ((i as f64 - centre + 0.5) / reach).abs()).max(0.0)).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = weights.iter().map(|w| (0.5 + w / sum * f64::from(1u32 << PRECISION)) as i32).collect();
            (first, fixed)
        };
        Self((0..to).map(position).collect())
    }

    fn apply(&self, at: usize, sample: impl Fn(usize) -> u8) -> u8 {
        let (first, weights) = &self.0[at];
        let half = 1i32 << (PRECISION - 1);
        let sum = weights.iter().enumerate().fold(half, |sum, (i, w)| sum + w * i32::from(sample(first + i)));
        (sum >> PRECISION).clamp(0, 255) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize, values: &[u8]) -> Rgb {
        Rgb { width, height, pixels: values.iter().flat_map(|&v| [v; 3]).collect() }
    }

    #[test]
    fn halving_weighs_as_a_triangle() {
        // Centres at 1 and 3, reach 2: weights 3/8 3/8 1/8 of what lies inside, renormalised at the borders (3 3 1)/7.
        let out = resize(grey(4, 1, &[0, 70, 140, 210]), 2, 1);
        let left = (3.0 * 0.0 + 3.0 * 70.0 + 140.0) / 7.0;
        let right = (70.0 + 3.0 * 140.0 + 3.0 * 210.0) / 7.0;
        assert_eq!(out.pixels[0], left as u8);
        assert_eq!(out.pixels[3], right as u8);
    }

    #[test]
    fn a_flat_image_stays_flat() {
        let out = resize_short_side(grey(13, 7, &[201; 91]), 5);
        assert_eq!((out.width, out.height), (9, 5));
        assert!(out.pixels.iter().all(|&p| p == 201));
    }

    #[test]
    fn the_crop_is_centred_as_python_rounds() {
        // Margins 1, 3, 5, 6: round(.5) = 0, round(1.5) = 2, round(2.5) = 2, 3.
        assert_eq!([1, 3, 5, 6].map(centre), [0, 2, 2, 3]);
        let planes = centre_crop_planes(&grey(3, 3, &[1, 2, 3, 4, 5, 6, 7, 8, 9]), 1, 1).unwrap();
        assert_eq!(planes, [5, 5, 5]);
        assert!(centre_crop_planes(&grey(3, 3, &[0; 9]), 4, 4).is_none());
    }
}

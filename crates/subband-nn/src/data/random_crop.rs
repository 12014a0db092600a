//! Random parts of photographs, for training: the usual random resized crop of ImageNet (Szegedy et al. 2015).

use crate::rng::Rng;

/// A part of a photograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// Between these lie a part's sides, width over height.
const RATIOS: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
const ATTEMPTS: usize = 10;

/// A part of at least `smallest` of the area (0 to 1) and any place, as torchvision's `RandomResizedCrop` draws it: area
/// evenly, ratio of the sides evenly on a logarithmic scale, ten attempts, then the largest part in the middle that has
/// an allowed ratio.
pub(super) fn random_part(width: usize, height: usize, smallest: f64, rng: &mut Rng) -> Part {
    let area = (width * height) as f64;
    for _ in 0..ATTEMPTS {
        let wanted = area * (smallest + (1.0 - smallest) * rng.unit());
        let [low, high] = RATIOS.map(f64::ln);
        let ratio = (low + (high - low) * rng.unit()).exp();
        let part = [wanted * ratio, wanted / ratio].map(|square| square.sqrt().round() as usize);
        if part[0] > 0 && part[0] <= width && part[1] > 0 && part[1] <= height {
            let (left, top) = (rng.below(width - part[0] + 1), rng.below(height - part[1] + 1));
            return Part { left, top, width: part[0], height: part[1] };
        }
    }
    let ratio = width as f64 / height as f64;
    let [w, h] = if ratio < RATIOS[0] {
        [width, (width as f64 / RATIOS[0]).round() as usize]
    } else if ratio > RATIOS[1] {
        [(height as f64 * RATIOS[1]).round() as usize, height]
    } else {
        [width, height]
    };
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    Part { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_inside_and_have_allowed_sizes() {
        let mut rng = Rng::for_stream(3, &[1]);
        let mut areas = Vec::new();
        for _ in 0..2000 {
            let part = random_part(400, 300, 0.08, &mut rng);
            assert!(part.left + part.width <= 400 && part.top + part.height <= 300, "{part:?}");
            let ratio = part.width as f64 / part.height as f64;
            assert!((0.72..1.38).contains(&ratio), "{part:?}");
            // Large parts of a wrong shape do not fit, so the mean is below the even 0.54.
            areas.push((part.width * part.height) as f64 / 120_000.0);
        }
        let mean = areas.iter().sum::<f64>() / areas.len() as f64;
        assert!(areas.iter().all(|area| *area > 0.07) && (0.4..0.5).contains(&mean), "{mean}");
    }

    #[test]
    fn no_photograph_is_too_narrow() {
        let mut rng = Rng::for_stream(3, &[2]);
        // Nothing of an allowed ratio has all of the area.
        assert_eq!(random_part(300, 10, 1.0, &mut rng), Part { left: 143, top: 0, width: 13, height: 10 });
        assert_eq!(random_part(10, 300, 1.0, &mut rng), Part { left: 0, top: 143, width: 10, height: 13 });
        assert_eq!(random_part(1, 1, 0.08, &mut rng), Part { left: 0, top: 0, width: 1, height: 1 });
    }
}

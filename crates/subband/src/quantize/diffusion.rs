//! Error diffusion (FORMAT.md, "Quantizer"): what rounding took from a value is added, in part, to the two neighbours that come
//! next, so that errors cancel over a few values.
//!
//! Networks answer to errors that a convolution does not average away. In a ResNet-18 errors of a low spatial frequency harm
//! two to five times as much as others of the same power, and diffusion moves the power of errors to high frequencies at
//! nearly the same entropy of the indices. It is the encoder's affair alone.

use super::IndexRange;

/// How planes are quantized with diffusion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Diffusion {
    /// Share of an error that is passed on, half of it to the right and half of it down; above 0, to 1.
    pub share: f32,
    /// In units of the values.
    pub step: f32,
    /// Rounding offset.
    pub rounding: f32,
    pub range: IndexRange,
    /// Decoded values are clamped at 0: no index is negative.
    pub nonnegative: bool,
}

impl Diffusion {
    /// Indices of a plane with rows of `width` values; returns how many were clamped. `errors` is working memory.
    ///
    /// Errors passed on are at most a step, so that a saturated value does not spoil those after it.
    pub fn quantize(self, plane: &[f32], width: usize, errors: &mut Vec<f32>, indices: &mut [i32]) -> usize {
        let (inverse, half) = (1.0 / self.step, 0.5 * self.share);
        let lowest = if self.nonnegative { 0 } else { i32::MIN };
        let mut clamped = 0;
        // Of the row above.
        errors.clear();
        errors.resize(width, 0.0);
        for (values, indices) in plane.chunks_exact(width.max(1)).zip(indices.chunks_exact_mut(width.max(1))) {
            let mut left = 0.0f32;
            for ((value, index), above) in values.iter().zip(indices).zip(errors.iter_mut()) {
                let wanted = value * inverse + half * (left + *above);
                // The conversion saturates.
                let magnitude = (wanted.abs() + self.rounding).floor() as i32;
                let nearest = if wanted < 0.0 { -magnitude } else { magnitude }.max(lowest);
                *index = self.range.clamp(nearest);
                clamped += usize::from(*index != nearest);
                left = (wanted - *index as f32).clamp(-1.0, 1.0);
                *above = left;
            }
        }
        clamped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Diffusion =
        Diffusion { share: 1.0, step: 1.0, rounding: 0.5, range: IndexRange::of_bits(8), nonnegative: false };

    fn indices(diffusion: Diffusion, plane: &[f32], width: usize) -> (Vec<i32>, usize) {
        let mut indices = vec![7; plane.len()];
        let clamped = diffusion.quantize(plane, width, &mut vec![9.0], &mut indices);
        (indices, clamped)
    }

    #[test]
    fn by_hand() {
        // 0.4 leaves 0.4, of which 0.2 go right: 0.6 becomes 1 and leaves -0.4; below the first 0.4 + 0.2 likewise.
        assert_eq!(indices(HALF, &[0.4, 0.4, 0.4, 0.4], 2).0, [0, 1, 1, 0]);
        assert_eq!(indices(HALF, &[-0.4, -0.4, -0.4, -0.4], 2).0, [0, -1, -1, 0]);
        // Half the share: 0.5 becomes 1 and leaves -0.5, then 0.4 - 0.125.
        assert_eq!(indices(Diffusion { share: 0.5, ..HALF }, &[0.4, 0.4, 0.4], 3).0, [0, 1, 0]);
        // 1.3 leaves 0.3, of which -0.4 + 0.15 keeps -0.25; nothing is below 0 where values are not.
        let floor = Diffusion { nonnegative: true, step: 0.5, ..HALF };
        assert_eq!(indices(floor, &[0.65, -0.2, -3.0, 0.6], 4), (vec![1, 0, 0, 1], 0));
        assert_eq!(indices(HALF, &[], 0).0, []);
    }

    #[test]
    fn values_out_of_range_are_counted_and_spoil_no_others() {
        let (found, clamped) = indices(HALF, &[1e30, 3.0, -1e30, 3.0], 4);
        assert_eq!((found, clamped), (vec![127, 4, -128, 3], 2));
        let tiny = Diffusion { step: 1e-30, ..HALF };
        assert_eq!(indices(tiny, &[1e30, 0.0], 2), (vec![127, 1], 1));
    }

    /// Sums of errors over the plane stay small, where rounding each value by itself takes all away.
    #[test]
    fn means_are_kept() {
        let plane: Vec<f32> = (0..64 * 64).map(|i| 0.3 + 0.1 * (i as f32 * 0.7).sin()).collect();
        let (found, _) = indices(HALF, &plane, 64);
        let mean = |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / plane.len() as f32;
        let decoded = mean(&mut found.iter().map(|&index| index as f32));
        assert!((decoded - mean(&mut plane.iter().copied())).abs() < 0.02, "{decoded}");
    }
}

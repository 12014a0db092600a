//! The separable 2-D transform of one plane: rows, then columns, level by level (FORMAT.md, "Transform").

use super::Wavelet;
use super::lifting::{Lift, float_lifting, integer_lifting};
use super::subband::SubbandLayout;

/// Working memory of the transform of one plane; grows to the largest plane seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct PlaneScratch<T> {
    /// The low-pass region that is split next (forward) or was joined last (inverse).
    region: Vec<T>,
    /// Even and odd rows of the region, later its low-pass and high-pass rows.
    low_rows: Vec<T>,
    high_rows: Vec<T>,
}

impl<T: Copy + Default> PlaneScratch<T> {
    fn reserve(&mut self, layout: &SubbandLayout) {
        let half = layout.height.div_ceil(2) * layout.width;
        for (buffer, needed) in
            [(&mut self.region, layout.plane()), (&mut self.low_rows, half), (&mut self.high_rows, half)]
        {
            if buffer.len() < needed {
                buffer.resize(needed, T::default());
            }
        }
    }
}

/// Transforms `plane` (row-major) into `coefficients`, laid out as `layout` says.
pub(crate) fn forward_f32(
    wavelet: Wavelet,
    layout: &SubbandLayout,
    plane: &[f32],
    scratch: &mut PlaneScratch<f32>,
    coefficients: &mut [f32],
) {
    forward(float_lifting(wavelet).map(|(forward, _)| forward), layout, plane, scratch, coefficients);
}

/// Undoes [`forward_f32`].
pub(crate) fn inverse_f32(
    wavelet: Wavelet,
    layout: &SubbandLayout,
    coefficients: &[f32],
    scratch: &mut PlaneScratch<f32>,
    plane: &mut [f32],
) {
    inverse(float_lifting(wavelet).map(|(_, inverse)| inverse), layout, coefficients, scratch, plane);
}

/// Reversible integer transform; the caller has checked `wavelet.is_reversible()`.
pub(crate) fn forward_i32(
    wavelet: Wavelet,
    layout: &SubbandLayout,
    plane: &[i32],
    scratch: &mut PlaneScratch<i32>,
    coefficients: &mut [i32],
) {
    forward(integer_lifting(wavelet).map(|(forward, _)| forward), layout, plane, scratch, coefficients);
}

/// Undoes [`forward_i32`], exactly.
pub(crate) fn inverse_i32(
    wavelet: Wavelet,
    layout: &SubbandLayout,
    coefficients: &[i32],
    scratch: &mut PlaneScratch<i32>,
    plane: &mut [i32],
) {
    inverse(integer_lifting(wavelet).map(|(_, inverse)| inverse), layout, coefficients, scratch, plane);
}

pub(super) fn forward<T: Copy + Default>(
    lift: Option<Lift<T>>,
    layout: &SubbandLayout,
    plane: &[T],
    scratch: &mut PlaneScratch<T>,
    coefficients: &mut [T],
) {
    let Some(lift) = lift.filter(|_| layout.levels > 0 && layout.plane() > 0) else {
        coefficients.copy_from_slice(plane);
        return;
    };
    scratch.reserve(layout);
    scratch.region[..plane.len()].copy_from_slice(plane);
    for level in 1..=layout.levels {
        let (height, width) = layout.region(level);
        let (low_height, low_width) = (height.div_ceil(2), width.div_ceil(2));
        let low_rows = &mut scratch.low_rows[..low_height * width];
        let high_rows = &mut scratch.high_rows[..(height - low_height) * width];

        for (y, row) in scratch.region[..height * width].chunks_exact(width).enumerate() {
            let rows = if y % 2 == 0 { &mut *low_rows } else { &mut *high_rows };
            let (low, high) = rows[y / 2 * width..][..width].split_at_mut(low_width);
            deinterleave(row, low, high);
            if width > 1 {
                lift(low, high, 1);
            }
        }
        if height > 1 {
            lift(low_rows, high_rows, width);
        }

        let [hl, lh, hh] = detail_blocks(layout, level);
        for (y, row) in low_rows.chunks_exact(width).enumerate() {
            scratch.region[y * low_width..][..low_width].copy_from_slice(&row[..low_width]);
            coefficients[hl + y * (width - low_width)..][..width - low_width].copy_from_slice(&row[low_width..]);
        }
        for (y, row) in high_rows.chunks_exact(width).enumerate() {
            coefficients[lh + y * low_width..][..low_width].copy_from_slice(&row[..low_width]);
            coefficients[hh + y * (width - low_width)..][..width - low_width].copy_from_slice(&row[low_width..]);
        }
    }
    let approximation = layout.blocks[0].len();
    coefficients[..approximation].copy_from_slice(&scratch.region[..approximation]);
}

pub(super) fn inverse<T: Copy + Default>(
    lift: Option<Lift<T>>,
    layout: &SubbandLayout,
    coefficients: &[T],
    scratch: &mut PlaneScratch<T>,
    plane: &mut [T],
) {
    let Some(lift) = lift.filter(|_| layout.levels > 0 && layout.plane() > 0) else {
        plane.copy_from_slice(coefficients);
        return;
    };
    scratch.reserve(layout);
    let approximation = layout.blocks[0].len();
    scratch.region[..approximation].copy_from_slice(&coefficients[..approximation]);
    for level in (1..=layout.levels).rev() {
        let (height, width) = layout.region(level);
        let (low_height, low_width) = (height.div_ceil(2), width.div_ceil(2));
        let low_rows = &mut scratch.low_rows[..low_height * width];
        let high_rows = &mut scratch.high_rows[..(height - low_height) * width];

        let [hl, lh, hh] = detail_blocks(layout, level);
        for (y, row) in low_rows.chunks_exact_mut(width).enumerate() {
            row[..low_width].copy_from_slice(&scratch.region[y * low_width..][..low_width]);
            row[low_width..].copy_from_slice(&coefficients[hl + y * (width - low_width)..][..width - low_width]);
        }
        for (y, row) in high_rows.chunks_exact_mut(width).enumerate() {
            row[..low_width].copy_from_slice(&coefficients[lh + y * low_width..][..low_width]);
            row[low_width..].copy_from_slice(&coefficients[hh + y * (width - low_width)..][..width - low_width]);
        }

        if height > 1 {
            lift(low_rows, high_rows, width);
        }
        // The finest level lands in the plane itself.
        let target = if level == 1 { &mut *plane } else { &mut scratch.region[..height * width] };
        for (y, row) in target.chunks_exact_mut(width).enumerate() {
            let rows = if y % 2 == 0 { &mut *low_rows } else { &mut *high_rows };
            let (low, high) = rows[y / 2 * width..][..width].split_at_mut(low_width);
            if width > 1 {
                lift(low, high, 1);
            }
            interleave(low, high, row);
        }
    }
}

/// Offsets of HL, LH and HH of a level in the coefficient buffer.
fn detail_blocks(layout: &SubbandLayout, level: u8) -> [usize; 3] {
    let first = 1 + 3 * (layout.levels - level) as usize;
    [first, first + 1, first + 2].map(|index| layout.blocks[index].offset)
}

/// Even samples to `low`, odd ones to `high`.
fn deinterleave<T: Copy>(row: &[T], low: &mut [T], high: &mut [T]) {
    for ((pair, l), h) in row.chunks_exact(2).zip(low.iter_mut()).zip(high) {
        *l = pair[0];
        *h = pair[1];
    }
    if row.len() % 2 == 1 {
        low[row.len() / 2] = row[row.len() - 1];
    }
}

fn interleave<T: Copy>(low: &[T], high: &[T], row: &mut [T]) {
    for ((pair, &l), &h) in row.chunks_exact_mut(2).zip(low).zip(high) {
        pair[0] = l;
        pair[1] = h;
    }
    if row.len() % 2 == 1 {
        row[row.len() - 1] = low[low.len() - 1];
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Subband, subband_count};
    use super::*;
    use proptest::prelude::*;

    fn round_trip_f32(wavelet: Wavelet, layout: &SubbandLayout, plane: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut scratch = PlaneScratch::default();
        let mut coefficients = vec![f32::NAN; plane.len()];
        let mut decoded = vec![f32::NAN; plane.len()];
        forward_f32(wavelet, layout, plane, &mut scratch, &mut coefficients);
        inverse_f32(wavelet, layout, &coefficients, &mut scratch, &mut decoded);
        (coefficients, decoded)
    }

    #[test]
    fn haar_2x2_by_hand() {
        let layout = SubbandLayout::new(2, 2, 1);
        let (coefficients, decoded) = round_trip_f32(Wavelet::Haar, &layout, &[1.0, 2.0, 3.0, 6.0]);
        // LL = (1+2+3+6)/2, HL: right minus left, LH: bottom minus top, HH: both differences.
        for (got, expected) in coefficients.iter().zip([6.0, 2.0, 3.0, 1.0]) {
            assert!((got - expected).abs() < 1e-6, "{coefficients:?}");
        }
        assert!(decoded.iter().zip([1.0, 2.0, 3.0, 6.0]).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    /// The constants of `synthesis_gain` are the norms of the transform as it is.
    #[test]
    fn synthesis_gains_are_the_measured_norms() {
        for wavelet in [Wavelet::Haar, Wavelet::LeGall53, Wavelet::Cdf97, Wavelet::Db2] {
            for levels in 1..=4u8 {
                let size = 16 << levels;
                let layout = SubbandLayout::new(size, size, levels);
                for index in 0..subband_count(levels) {
                    let block = layout.blocks[index];
                    let mut coefficients = vec![0.0; size * size];
                    coefficients[block.offset + block.height / 2 * block.width + block.width / 2] = 1.0;
                    let mut plane = vec![0.0; size * size];
                    inverse_f32(wavelet, &layout, &coefficients, &mut PlaneScratch::default(), &mut plane);
                    let norm = plane.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
                    let gain = f64::from(wavelet.synthesis_gain(&Subband::at(index, levels)));
                    assert!((norm - gain).abs() < 1e-4, "{wavelet} {levels} {index}: {norm} against {gain}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn float_transforms_invert(
            height in 1usize..20, width in 1usize..20, levels in 0u8..=8, which in 1usize..5,
            seed in any::<u32>(),
        ) {
            let wavelet = Wavelet::ALL[which];
            let layout = SubbandLayout::new(height, width, levels);
            let plane: Vec<f32> = (0..height * width)
                .map(|i| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / 1e6 - 8.0)
                .collect();
            let (_, decoded) = round_trip_f32(wavelet, &layout, &plane);
            for (a, b) in plane.iter().zip(&decoded) {
                prop_assert!((a - b).abs() < 1e-4, "{} {}", a, b);
            }
        }

        #[test]
        fn integer_transforms_are_reversible(
            height in 1usize..20, width in 1usize..20, levels in 0u8..=8, haar in any::<bool>(),
            values in prop::collection::vec(-65_536i32..65_536, 400),
        ) {
            let wavelet = if haar { Wavelet::Haar } else { Wavelet::LeGall53 };
            let layout = SubbandLayout::new(height, width, levels);
            let plane = &values[..height * width];
            let mut scratch = PlaneScratch::default();
            let mut coefficients = vec![0; plane.len()];
            let mut decoded = vec![0; plane.len()];
            forward_i32(wavelet, &layout, plane, &mut scratch, &mut coefficients);
            inverse_i32(wavelet, &layout, &coefficients, &mut scratch, &mut decoded);
            prop_assert_eq!(plane, &decoded[..]);
        }
    }
}

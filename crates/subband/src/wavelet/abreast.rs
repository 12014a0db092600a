//! The lifting transforms of several planes abreast. Coefficients lie as those of the Haar transform of several planes do.

use super::{SubbandLayout, Wavelet};
use crate::kernel::{
    AbreastLevel, AbreastScratch, Isa, abreast_forward, abreast_inverse, interleave_approximation,
    separate_approximation,
};

/// Transforms `count` planes, up to `kernel::ABREAST`, that lie one after the other. Coefficients are subband after subband in
/// coding order, in each the blocks of all planes. `layout` has a level or more, the planes values, and the wavelet lifting
/// steps other than those of Haar.
pub(crate) fn forward_abreast(
    wavelet: Wavelet,
    layout: &SubbandLayout,
    planes: &[f32],
    count: usize,
    scratch: &mut AbreastScratch,
    coefficients: &mut [f32],
) {
    let isa = Isa::current();
    let mut rest = coefficients;
    for level in 1..=layout.levels {
        let details = details_of(layout, level);
        let (before, mut own) = rest.split_at_mut(details[0].start * count);
        let blocks = details.map(|block| own.split_off_mut(..block.len() * count).expect("subbands fill the planes"));
        let (height, width) = layout.region(level);
        let source = (level == 1).then_some(planes);
        let level = AbreastLevel { wavelet, size: [height, width], planes: count };
        abreast_forward(isa, level, source, scratch, blocks);
        rest = before;
    }
    separate_approximation(isa, count, scratch, rest);
}

/// Undoes [`forward_abreast`].
pub(crate) fn inverse_abreast(
    wavelet: Wavelet,
    layout: &SubbandLayout,
    coefficients: &[f32],
    count: usize,
    scratch: &mut AbreastScratch,
    planes: &mut [f32],
) {
    let isa = Isa::current();
    interleave_approximation(isa, count, &coefficients[..layout.blocks[0].len() * count], scratch);
    for level in (1..=layout.levels).rev() {
        let blocks = details_of(layout, level).map(|block| &coefficients[block.start * count..block.end * count]);
        let (height, width) = layout.region(level);
        let target = if level == 1 { Some(&mut *planes) } else { None };
        let level = AbreastLevel { wavelet, size: [height, width], planes: count };
        abreast_inverse(isa, level, blocks, scratch, target);
    }
}

/// Places of HL, LH and HH of a level in the coefficients of a plane.
fn details_of(layout: &SubbandLayout, level: u8) -> [std::ops::Range<usize>; 3] {
    let first = 1 + 3 * (layout.levels - level) as usize;
    [first, first + 1, first + 2].map(|index| layout.blocks[index].range())
}

#[cfg(test)]
mod tests {
    use super::super::{PlaneScratch, forward_f32, inverse_f32};
    use super::*;
    use crate::kernel::ABREAST;

    /// Against the plain transform, bit for bit, with values beyond all bounds.
    #[test]
    fn gives_the_bits_of_the_plain_transform() {
        let specials = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-40, -0.0];
        let sizes = (1..=9).flat_map(|h| (1..=9).map(move |w| (h, w))).chain([(32, 32), (17, 40), (30, 33)]);
        for ((height, width), levels) in sizes.flat_map(|size| [1, 2, 4].map(|levels| (size, levels))) {
            let layout = SubbandLayout::new(height, width, levels);
            let size = height * width;
            for (wavelet, count) in [Wavelet::LeGall53, Wavelet::Cdf97, Wavelet::Db2]
                .into_iter()
                .flat_map(|wavelet| [2, 3, ABREAST].map(|count| (wavelet, count)))
            {
                let planes: Vec<f32> = (0..count * size)
                    .map(
                        |i| if i % 211 == 17 { specials[i / 211 % 5] } else { ((i * 7919) % 2003) as f32 / 97.0 - 9.0 },
                    )
                    .collect();
                let mut expected = vec![0.0; count * size];
                let mut expected_planes = vec![0.0; count * size];
                let mut scratch = PlaneScratch::default();
                for p in 0..count {
                    let mut own = vec![0.0; size];
                    forward_f32(wavelet, &layout, &planes[p * size..][..size], &mut scratch, &mut own);
                    for block in &layout.blocks {
                        expected[block.offset * count + p * block.len()..][..block.len()]
                            .copy_from_slice(&own[block.range()]);
                    }
                    inverse_f32(wavelet, &layout, &own, &mut scratch, &mut expected_planes[p * size..][..size]);
                }
                let (mut got, mut decoded) = (vec![0.0; count * size], vec![0.0; count * size]);
                let mut scratch = AbreastScratch::default();
                forward_abreast(wavelet, &layout, &planes, count, &mut scratch, &mut got);
                inverse_abreast(wavelet, &layout, &got, count, &mut scratch, &mut decoded);
                let bits = |x: &[f32]| -> Vec<Option<u32>> {
                    x.iter().map(|x| if x.is_nan() { None } else { Some(x.to_bits()) }).collect()
                };
                assert_eq!(bits(&got), bits(&expected), "{wavelet} {height}x{width} {levels} {count}");
                assert_eq!(bits(&decoded), bits(&expected_planes), "{wavelet} {height}x{width} {levels} {count}");
            }
        }
    }
}

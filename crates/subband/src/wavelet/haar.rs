//! The Haar transform of several planes at a time: small planes share the work of a call, and their subbands lie as
//! those of a chunk do.

use super::SubbandLayout;
use crate::kernel::{Isa, haar_forward, haar_inverse};

/// Low-pass regions between levels; grows to the largest planes seen.
pub(crate) type Regions = [Vec<f32>; 2];

/// Transforms `count` planes that lie one after the other. Coefficients are subband after subband in coding order, in each
/// the blocks of all planes. `layout` has a level or more.
pub(crate) fn forward_planes(
    layout: &SubbandLayout,
    planes: &[f32],
    count: usize,
    regions: &mut Regions,
    coefficients: &mut [f32],
) {
    let isa = Isa::current();
    let [source, target] = regions;
    for level in 1..=layout.levels {
        let (height, width) = layout.region(level);
        let low = height.div_ceil(2) * width.div_ceil(2) * count;
        let (approximation, details) = coefficients.split_at_mut(detail_start(layout, level) * count);
        let [hl, lh, _] = detail_lengths(layout, level).map(|length| length * count);
        let (hl, details) = details.split_at_mut(hl);
        let (lh, hh) = details.split_at_mut(lh);
        target.resize(target.len().max(low), 0.0);
        let ll = if level == layout.levels { approximation } else { &mut target[..low] };
        let region = if level == 1 { planes } else { &source[..height * width * count] };
        haar_forward(isa, [height, width], region, [ll, hl, lh, hh]);
        std::mem::swap(source, target);
    }
}

/// Undoes [`forward_planes`]; with `clamp` negative values become 0 then.
pub(crate) fn inverse_planes(
    layout: &SubbandLayout,
    coefficients: &[f32],
    count: usize,
    regions: &mut Regions,
    planes: &mut [f32],
    clamp: bool,
) {
    let isa = Isa::current();
    let [source, target] = regions;
    for level in (1..=layout.levels).rev() {
        let (height, width) = layout.region(level);
        let (low, size) = (height.div_ceil(2) * width.div_ceil(2) * count, height * width * count);
        let start = detail_start(layout, level) * count;
        let [hl, lh, hh] = detail_lengths(layout, level).map(|length| length * count);
        let (hl, lh, hh) =
            (&coefficients[start..][..hl], &coefficients[start + hl..][..lh], &coefficients[start + hl + lh..][..hh]);
        let ll = if level == layout.levels { &coefficients[..low] } else { &source[..low] };
        if level == 1 {
            haar_inverse(isa, [height, width], [ll, hl, lh, hh], planes, clamp);
        } else {
            target.resize(target.len().max(size), 0.0);
            haar_inverse(isa, [height, width], [ll, hl, lh, hh], &mut target[..size], false);
        }
        std::mem::swap(source, target);
    }
}

/// Where the details of a level begin in the coefficients of a plane.
fn detail_start(layout: &SubbandLayout, level: u8) -> usize {
    layout.blocks[1 + 3 * (layout.levels - level) as usize].offset
}

/// Coefficients of HL, LH and HH.
fn detail_lengths(layout: &SubbandLayout, level: u8) -> [usize; 3] {
    let first = 1 + 3 * (layout.levels - level) as usize;
    [first, first + 1, first + 2].map(|index| layout.blocks[index].len())
}

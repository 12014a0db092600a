//! Chunks for tests of the payloads.

use crate::coding::Coding;
use crate::mask::ChannelMask;
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::quantize::Steps;
use crate::wavelet::Wavelet;

/// A quantizer of Haar over so many levels, each third channel without the details of level 1 where there is a mask.
pub(super) fn quantizer([channels, height, width]: [usize; 3], levels: u8, mask: bool) -> PlaneQuantizer {
    let mut coding = Coding::new(Wavelet::Haar, levels, Steps::Uniform(1.0));
    if mask && levels > 0 {
        let all = ChannelMask::keep_all(channels, levels).unwrap();
        coding = coding.with_mask((0..channels).step_by(3).fold(all, |mask, channel| mask.drop_level(channel, 1)));
    }
    PlaneQuantizer::new(coding, channels, height, width).unwrap()
}

/// Indices, most of them small, from a seed; of the approximation with signs where the seed is a multiple of 3.
pub(super) fn indices(quantizer: &PlaneQuantizer, channels: usize, seed: u64, large: i32) -> IndexBlocks {
    let layout = &quantizer.layout;
    let mut indices = IndexBlocks::default();
    indices.reset(layout, channels);
    let mut state = seed | 1;
    for subband in 0..layout.blocks.len() {
        for channel in 0..channels {
            let kept = quantizer.coding.keeps(channel, subband);
            for index in indices.block_mut(layout, subband, channel) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (random, kind) = ((state >> 33) as i32, state >> 58);
                *index = match kind {
                    _ if !kept => 0,
                    0 => random % large,
                    1..12 => random % 9,
                    12..30 => random % 2,
                    _ => 0,
                };
                if (subband > 0 || seed.is_multiple_of(3)) && random & 64 > 0 {
                    *index = -*index;
                }
            }
        }
    }
    indices
}

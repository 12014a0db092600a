//! Sixteen planes forward.

use super::WaveletQuantize;
use super::lanes::{Lanes, SubbandLanes, gather, positions, scatter};
use super::noise::plane_keys;
use super::quantizer::Quantizer;
use super::transform::{Pass, Transform};
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd};

pub(super) struct ForwardGroup<'a> {
    pub layer: &'a WaveletQuantize<'a>,
    pub group: usize,
    pub lanes: &'a [SubbandLanes],
    pub x: &'a [f32],
    pub y: &'a mut [f32],
    /// `[subbands][16]`, zero before: sums of magnitudes.
    pub sums: &'a mut [f32],
}

impl Kernel for ForwardGroup<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let layer = self.layer;
        let (width, plane) = (layer.width, layer.plane());
        let mut scratch = Scratch::take(layer.band() * width * LANES);
        let (block, _) = scratch.as_chunks_mut::<LANES>();
        let (sums, _) = self.sums.as_chunks_mut::<LANES>();
        let keys = layer.noise.map(|seed| plane_keys(seed, self.group * LANES));
        for first_row in (0..layer.height).step_by(layer.band()) {
            let height = layer.band().min(layer.height - first_row);
            let block: &mut [Lanes] = &mut block[..height * width];
            let first = first_row * width;
            gather(s, self.x, None, plane, first, block);
            s.run(Transform { layer, pass: Pass::Analysis, height, data: block });
            for (subband, (lanes, sum)) in self.lanes.iter().zip(&mut *sums).enumerate() {
                let at = positions(subband, layer.levels, height, width);
                let quantizer = Quantizer { layer, lanes, at, width };
                match &keys {
                    Some(keys) => quantizer.add_noise(s, keys, first, block, sum),
                    None => quantizer.quantize(s, block, sum),
                }
            }
            s.run(Transform { layer, pass: Pass::Synthesis, height, data: block });
            scatter(s, block, layer.nonnegative, self.y, plane, first);
        }
    }
}

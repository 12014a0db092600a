//! Sixteen planes backward.

use super::WaveletQuantize;
use super::lanes::{SubbandLanes, gather, positions, scatter};
use super::noise::plane_keys;
use super::quantizer::{Quantizer, Sums};
use super::transform::{Pass, Transform};
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd};

pub(super) struct BackwardGroup<'a> {
    pub layer: &'a WaveletQuantize<'a>,
    pub group: usize,
    pub lanes: &'a [SubbandLanes],
    pub x: &'a [f32],
    /// If the output was clamped, two tensors: gradients pass where one of them is positive.
    pub passes: Option<[&'a [f32]; 2]>,
    pub dy: &'a [f32],
    pub dx: &'a mut [f32],
    /// `[subbands][2][16]`, zero before: gradients of logarithmic step and gate.
    pub sums: &'a mut [f32],
}

impl Kernel for BackwardGroup<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let layer = self.layer;
        let (width, plane) = (layer.width, layer.plane());
        let pixels = layer.band() * width;
        let mut scratch = Scratch::take(2 * pixels * LANES);
        let (blocks, _) = scratch.as_chunks_mut::<LANES>();
        let (coefficients, gradients) = blocks.split_at_mut(pixels);
        let (sums, _) = self.sums.as_chunks_mut::<LANES>();
        let keys = layer.noise.map(|seed| plane_keys(seed, self.group * LANES));
        for first_row in (0..layer.height).step_by(layer.band()) {
            let height = layer.band().min(layer.height - first_row);
            let coefficients = &mut coefficients[..height * width];
            let gradients = &mut gradients[..height * width];
            let first = first_row * width;
            gather(s, self.x, None, plane, first, coefficients);
            s.run(Transform { layer, pass: Pass::Analysis, height, data: coefficients });
            gather(s, self.dy, self.passes, plane, first, gradients);
            s.run(Transform { layer, pass: Pass::SynthesisTransposed, height, data: gradients });
            for (subband, (lanes, sums)) in self.lanes.iter().zip(sums.chunks_exact_mut(2)).enumerate() {
                let at = positions(subband, layer.levels, height, width);
                let quantizer = Quantizer { layer, lanes, at, width };
                let Sums { errors, values, magnitudes } = match &keys {
                    Some(keys) => quantizer.noise_gradients(s, keys, first, coefficients, gradients),
                    None => quantizer.gradients(s, coefficients, gradients),
                };
                // `pull` has the step in its denominator, so here is what the rate has to do with the step.
                let by_log = s.sub(s.mul(s.load(&lanes.kept), errors), s.mul(s.load(&lanes.pull), magnitudes));
                let step = s.load(&lanes.step);
                for (sum, more) in sums.iter_mut().zip([by_log, values]) {
                    s.store(s.add(s.load(sum), s.mul(step, more)), sum);
                }
            }
            s.run(Transform { layer, pass: Pass::AnalysisTransposed, height, data: gradients });
            scatter(s, gradients, false, self.dx, plane, first);
        }
    }
}

//! Weights in the order the tiles read them.

use rayon::prelude::*;

use super::direct::Tap;
use crate::simd::LANES;

/// Where in the weights `[out_channels][in_channels][kernel * kernel]` the channels that lie in the lanes, and those
/// that are summed over, are found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub lanes: usize,
    pub lane_stride: usize,
    pub channels: usize,
    pub channel_stride: usize,
}

/// Packs into `[lanes / 16, rounded up][phase][channel][tap of the phase][16]`, the lanes past the last zero.
pub(super) fn pack(layout: &Layout, phases: &[Vec<Tap>], w: &[f32], to: &mut [f32]) {
    let taps: usize = phases.iter().map(Vec::len).sum();
    let block_len = taps * layout.channels * LANES;
    to.par_chunks_mut(block_len).enumerate().for_each(|(block, to)| {
        let first = block * LANES;
        let lanes = LANES.min(layout.lanes - first);
        let mut to = to.chunks_exact_mut(LANES);
        for phase in phases {
            for channel in 0..layout.channels {
                for tap in phase {
                    let from = channel * layout.channel_stride + tap.index;
                    let to = to.next().expect("a vector for every tap");
                    for (lane, to) in to[..lanes].iter_mut().enumerate() {
                        *to = w[(first + lane) * layout.lane_stride + from];
                    }
                    to[lanes..].fill(0.0);
                }
            }
        }
    });
}

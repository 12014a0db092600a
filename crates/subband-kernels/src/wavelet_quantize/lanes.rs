//! Sixteen planes abreast: their parameters, their way into the lanes and out again, and the sums over them.

use std::iter::StepBy;
use std::ops::Range;

use subband::{Orientation, Subband};

use super::WaveletQuantize;
use crate::simd::{LANES, Simd, prefetch};

/// One sample, or one parameter, of each of 16 planes.
pub(super) type Lanes = [f32; LANES];

/// Parameters of one subband of 16 planes.
#[derive(Clone)]
pub(super) struct SubbandLanes {
    pub step: Lanes,
    /// The inverse of `step`, what the codec multiplies by.
    pub inverse: Lanes,
    pub kept: Lanes,
    /// Gradient of the rate by way of one coefficient: `rate_gradient * kept / (M * step)`.
    pub pull: Lanes,
}

/// The parameters of all groups of 16 planes. With `channels` a multiple of 16 there are `channels / 16` different
/// ones; in general they repeat when the first lane meets the first channel again.
pub(super) struct LaneTable {
    subbands: usize,
    /// `[phases][subbands]`.
    entries: Vec<SubbandLanes>,
}

impl LaneTable {
    pub fn new(layer: &WaveletQuantize<'_>, rate_gradient: Option<&[f32]>) -> LaneTable {
        let subbands = layer.subbands();
        let sizes = layer.subband_sizes();
        let zero = SubbandLanes { step: [0.0; LANES], inverse: [0.0; LANES], kept: [0.0; LANES], pull: [0.0; LANES] };
        let mut entries = vec![zero; phases(layer.channels) * subbands];
        for (row, entry) in entries.iter_mut().enumerate() {
            let (phase, subband) = (row / subbands, row % subbands);
            for lane in 0..LANES {
                let channel = (phase * LANES + lane) % layer.channels;
                let (step, kept) = (layer.step(channel, subband), layer.kept[channel * subbands + subband]);
                entry.step[lane] = step;
                entry.inverse[lane] = 1.0 / step;
                entry.kept[lane] = kept;
                let count = (layer.batch * sizes[subband]).max(1) as f32;
                entry.pull[lane] =
                    rate_gradient.map_or(0.0, |gradient| gradient[channel * subbands + subband] * kept / count / step);
            }
        }
        LaneTable { subbands, entries }
    }

    /// `[subbands]`.
    pub fn of(&self, group: usize) -> &[SubbandLanes] {
        let phases = self.entries.len() / self.subbands;
        &self.entries[group % phases * self.subbands..][..self.subbands]
    }
}

/// Number of groups of 16 planes after which the channels of the lanes repeat.
fn phases(channels: usize) -> usize {
    // 16 is a power of two, so the greatest common divisor is one as well.
    channels >> channels.trailing_zeros().min(LANES.trailing_zeros())
}

/// The grid of positions that a subband has in a plane transformed in place.
#[derive(Clone)]
pub(super) struct Positions {
    pub rows: StepBy<Range<usize>>,
    pub columns: StepBy<Range<usize>>,
}

impl Positions {
    pub fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

pub(super) fn positions(subband: usize, levels: u8, height: usize, width: usize) -> Positions {
    let Subband { level, orientation } = Subband::at(subband, levels);
    let stride = 1 << level;
    // High-pass samples lie in the middle between two low-pass ones of their level.
    let (x, y) = match orientation {
        Orientation::LL => (0, 0),
        Orientation::HL => (stride / 2, 0),
        Orientation::LH => (0, stride / 2),
        Orientation::HH => (stride / 2, stride / 2),
    };
    Positions { rows: (y..height.max(y)).step_by(stride), columns: (x..width.max(x)).step_by(stride) }
}

/// Transposes `to.len()` pixels from `first` on of each of up to 16 planes into the lanes; lanes without a plane are
/// zero. Where `positive` is given, two tensors like `planes`, only values where one of them is positive are taken.
#[inline(always)]
pub(super) fn gather<S: Simd>(
    s: S,
    planes: &[f32],
    positive: Option<[&[f32]; 2]>,
    plane: usize,
    first: usize,
    to: &mut [Lanes],
) {
    match positive {
        Some(positive) => gather_all::<S, true>(s, planes, positive, plane, first, to),
        None => gather_all::<S, false>(s, planes, [planes; 2], plane, first, to),
    }
}

#[inline(always)]
fn gather_all<S: Simd, const POSITIVE: bool>(
    s: S,
    planes: &[f32],
    positive: [&[f32]; 2],
    plane: usize,
    first: usize,
    to: &mut [Lanes],
) {
    // Outside of the loop, as the compiler clears it by a call.
    let mut square = [s.splat(0.0); LANES];
    let (blocks, rest) = to.as_chunks_mut::<LANES>();
    let first_of_rest = first + blocks.len() * LANES;
    for (block, to) in blocks.iter_mut().enumerate() {
        gather_block::<S, POSITIVE>(s, planes, positive, plane, first + block * LANES, &mut square, to);
    }
    if !rest.is_empty() {
        gather_block::<S, POSITIVE>(s, planes, positive, plane, first_of_rest, &mut square, rest);
    }
}

/// Values between what is loaded and what is asked for ahead of time.
const AHEAD: usize = 4 * LANES;

#[inline(always)]
fn gather_block<S: Simd, const POSITIVE: bool>(
    s: S,
    planes: &[f32],
    positive: [&[f32]; 2],
    plane: usize,
    first: usize,
    square: &mut [S::V; LANES],
    to: &mut [Lanes],
) {
    for (i, v) in square.iter_mut().enumerate() {
        let at = i * plane + first;
        *v = s.splat(0.0);
        if at < planes.len() {
            // Sixteen streams are too many for the hardware to see.
            prefetch::<false>(&planes[(at + AHEAD).min(planes.len())..]);
            *v = s.load_any(&planes[at..at + to.len()]);
            if POSITIVE {
                prefetch::<false>(&positive[0][(at + AHEAD).min(planes.len())..]);
                // Not mapped by a closure: that would be a function of its own, without the instruction set.
                let a = s.relu(s.load_any(&positive[0][at..at + to.len()]));
                let b = s.relu(s.load_any(&positive[1][at..at + to.len()]));
                *v = s.where_positive(s.add(a, b), *v);
            }
        }
    }
    s.transpose(square);
    for (to, v) in to.iter_mut().zip(square) {
        s.store(*v, to);
    }
}

/// Undoes [`gather`]; clamps at zero if `relu`.
#[inline(always)]
pub(super) fn scatter<S: Simd>(s: S, from: &[Lanes], relu: bool, planes: &mut [f32], plane: usize, first: usize) {
    let mut square = [s.splat(0.0); LANES];
    let (blocks, rest) = from.as_chunks::<LANES>();
    let first_of_rest = first + blocks.len() * LANES;
    for (block, from) in blocks.iter().enumerate() {
        scatter_block(s, from, relu, planes, plane, first + block * LANES, &mut square);
    }
    if !rest.is_empty() {
        scatter_block(s, rest, relu, planes, plane, first_of_rest, &mut square);
    }
}

#[inline(always)]
fn scatter_block<S: Simd>(
    s: S,
    from: &[Lanes],
    relu: bool,
    planes: &mut [f32],
    plane: usize,
    first: usize,
    square: &mut [S::V; LANES],
) {
    for (v, from) in square.iter_mut().zip(from) {
        *v = if relu { s.relu(s.load(from)) } else { s.load(from) };
    }
    s.transpose(square);
    for (i, v) in square.iter().enumerate() {
        let at = i * plane + first;
        if at < planes.len() {
            s.store_any(*v, &mut planes[at..at + from.len()]);
        }
    }
}

/// Adds up over the batch what the tasks have left: from `[groups][rows][16]` to `[channels][rows]`, in the order of
/// the planes.
pub(super) fn sum_by_channel(layer: &WaveletQuantize<'_>, sums: &[f32], rows: usize) -> Vec<f64> {
    // First with the lanes apart, which the compiler can do in vectors.
    let phases = phases(layer.channels);
    let mut lanes = vec![0.0; phases * rows * LANES];
    let whole = layer.planes() / LANES * rows * LANES;
    for all_phases in sums[..whole].chunks(lanes.len()) {
        for (lane, sum) in lanes.iter_mut().zip(all_phases) {
            *lane += f64::from(*sum);
        }
    }
    let mut channels = vec![0.0; layer.channels * rows];
    let mut add = |plane: usize, value: &dyn Fn(usize) -> f64| {
        let channel = plane % layer.channels;
        for (row, to) in channels[channel * rows..][..rows].iter_mut().enumerate() {
            *to += value(row);
        }
    };
    for plane in 0..phases * LANES {
        let of_phase = &lanes[plane / LANES * rows * LANES..][..rows * LANES];
        add(plane, &|row| of_phase[row * LANES + plane % LANES]);
    }
    // The last group may have lanes without a plane.
    for plane in layer.planes() / LANES * LANES..layer.planes() {
        let lane = plane % LANES;
        add(plane, &|row| f64::from(sums[whole + row * LANES + lane]));
    }
    channels
}

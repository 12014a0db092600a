//! The 2-D transforms of 16 planes in place, and their transposes.
//!
//! At level `l` the samples of the region are `2^(l - 1)` positions apart in both directions. A low-pass sample stays
//! on the position of its even sample, a high-pass one on that of its odd sample.

use subband::{Extension, Lifting, LiftingStep};

use super::WaveletQuantize;
use super::haar;
use super::lanes::Lanes;
use crate::simd::{Kernel, Simd};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pass {
    Analysis,
    Synthesis,
    AnalysisTransposed,
    SynthesisTransposed,
}

impl Pass {
    /// Whether it goes from pixels to coefficients: rows before columns, from the finest level to the coarsest.
    fn to_coefficients(self) -> bool {
        matches!(self, Pass::Analysis | Pass::SynthesisTransposed)
    }

    /// Whether it is the inverse that is transposed or applied.
    fn inverse(self) -> bool {
        matches!(self, Pass::Synthesis | Pass::SynthesisTransposed)
    }

    fn transposed(self) -> bool {
        matches!(self, Pass::AnalysisTransposed | Pass::SynthesisTransposed)
    }
}

pub(super) struct Transform<'a> {
    pub layer: &'a WaveletQuantize<'a>,
    pub pass: Pass,
    pub height: usize,
    /// `[height][width]`.
    pub data: &'a mut [Lanes],
}

/// The samples that a level works on.
#[derive(Clone, Copy)]
pub(super) struct Region {
    /// Distance of samples in a row.
    pub stride: usize,
    /// Distance of rows of samples.
    pub row: usize,
    /// Rows and columns of samples.
    pub rows: usize,
    pub columns: usize,
    /// Whether the plane has more than one row of samples. Not the same as `rows > 1`: the last band may have one.
    pub more_rows: bool,
}

impl Kernel for Transform<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let levels = usize::from(self.layer.levels);
        for i in 0..levels {
            let level = if self.pass.to_coefficients() { i } else { levels - 1 - i };
            let stride = 1 << level;
            let region = Region {
                stride,
                row: stride * self.layer.width,
                rows: self.height.div_ceil(stride),
                columns: self.layer.width.div_ceil(stride),
                more_rows: self.layer.height > stride,
            };
            match self.layer.wavelet.lifting() {
                Lifting::Identity => {}
                Lifting::Butterfly { factor, unpaired } => {
                    // Orthogonal apart from the unpaired samples: the transpose is the inverse with their other factor.
                    let unpaired = unpaired[usize::from(self.pass.inverse())];
                    if self.pass.to_coefficients() {
                        haar::level::<S, true>(s, region, factor, unpaired, self.data);
                    } else {
                        haar::level::<S, false>(s, region, factor, unpaired, self.data);
                    }
                }
                Lifting::Steps { steps, extension, scale, inverse_scale } => {
                    let scale = if self.pass.inverse() { inverse_scale } else { scale };
                    let lift = Lift { steps, extension, scale, pass: self.pass };
                    if self.pass.to_coefficients() {
                        lift.rows(s, region, self.data);
                        lift.columns(s, region, self.data);
                    } else {
                        lift.columns(s, region, self.data);
                        lift.rows(s, region, self.data);
                    }
                }
            }
        }
    }
}

/// Parallel signals.
#[derive(Clone, Copy)]
struct Signals {
    first: usize,
    /// Samples of each, and their distance.
    len: usize,
    along: usize,
    /// Number of signals, and their distance.
    count: usize,
    across: usize,
}

struct Lift {
    steps: &'static [LiftingStep],
    extension: Extension,
    scale: [f32; 3],
    pass: Pass,
}

impl Lift {
    #[inline(always)]
    fn rows<S: Simd>(&self, s: S, region: Region, data: &mut [Lanes]) {
        for y in 0..region.rows {
            let Region { stride, columns, .. } = region;
            self.lift(s, Signals { first: y * region.row, len: columns, along: stride, count: 1, across: 0 }, data);
        }
    }

    #[inline(always)]
    fn columns<S: Simd>(&self, s: S, region: Region, data: &mut [Lanes]) {
        let Region { stride, row, rows, columns, .. } = region;
        self.lift(s, Signals { first: 0, len: rows, along: row, count: columns, across: stride }, data);
    }

    #[inline(always)]
    fn lift<S: Simd>(&self, s: S, signals: Signals, data: &mut [Lanes]) {
        if signals.len < 2 {
            return;
        }
        let part = self.extension.part(signals.len);
        // Transposing turns the order around, and so does inverting.
        let backwards = self.pass.inverse() != self.pass.transposed();
        if backwards {
            self.multiply(s, signals, part, data);
        }
        for i in 0..self.steps.len() {
            let step = &self.steps[if backwards { self.steps.len() - 1 - i } else { i }];
            self.step(s, step, signals, part, data);
        }
        if !backwards {
            self.multiply(s, signals, part, data);
        }
    }

    #[inline(always)]
    fn multiply<S: Simd>(&self, s: S, signals: Signals, part: usize, data: &mut [Lanes]) {
        let Signals { first, len, along, count, across } = signals;
        for p in 0..len {
            let scale = s.splat(if p < part { self.scale[p % 2] } else { self.scale[2] });
            for i in 0..count {
                let at = &mut data[first + p * along + i * across];
                s.store(s.mul(s.load(at), scale), at);
            }
        }
    }

    #[inline(always)]
    fn step<S: Simd>(&self, s: S, step: &LiftingStep, signals: Signals, part: usize, data: &mut [Lanes]) {
        let Signals { first, along, count, across, .. } = signals;
        let factor = if self.pass.inverse() { -step.factor } else { step.factor };
        let [(before, _), (after, _)] = step.terms;
        let (before, after) = (before.min(after), before.max(after));
        let mut p = step.parity;
        while p < part {
            let inside = p as isize + before >= 0 && p as isize + after < part as isize;
            // Targets with neighbours at the same distances: those of the parallel signals, or the next of this one.
            let (repeat, stride) = match (count, inside) {
                (1, true) => ((part - 1 - p - after.max(0) as usize) / 2 + 1, 2 * along),
                _ => (count, across),
            };
            let place = |p: usize| first + p * along;
            let from = step.terms.map(|(offset, _)| match inside {
                true => place((p as isize + offset) as usize),
                false => place(self.extension.sample(p as isize + offset, part)),
            });
            let taps = Taps { target: place(p), from, repeat, stride };
            let [(_, a), (_, b)] = step.terms;
            if self.pass.transposed() {
                taps.distribute(s, [s.splat(factor * a), s.splat(factor * b)], data);
            } else {
                taps.collect(s, s.splat(factor), [s.splat(a), s.splat(b)], data);
            }
            p += if count == 1 { 2 * repeat } else { 2 };
        }
    }
}

/// A sample and the two that a step takes together for it, and how often and at which distance this repeats.
struct Taps {
    target: usize,
    from: [usize; 2],
    repeat: usize,
    stride: usize,
}

impl Taps {
    #[inline(always)]
    fn collect<S: Simd>(self, s: S, factor: S::V, weights: [S::V; 2], data: &mut [Lanes]) {
        for i in 0..self.repeat {
            let offset = i * self.stride;
            let [a, b] = self.from;
            let a = s.mul(weights[0], s.load(&data[a + offset]));
            let b = s.mul(weights[1], s.load(&data[b + offset]));
            let target = &mut data[self.target + offset];
            s.store(s.add(s.load(target), s.mul(factor, s.add(a, b))), target);
        }
    }

    /// The transpose of [`Taps::collect`]. The two may be the same sample.
    #[inline(always)]
    fn distribute<S: Simd>(self, s: S, weights: [S::V; 2], data: &mut [Lanes]) {
        for i in 0..self.repeat {
            let offset = i * self.stride;
            let target = s.load(&data[self.target + offset]);
            for (from, weight) in self.from.iter().zip(weights) {
                let to = &mut data[from + offset];
                s.store(s.add(s.load(to), s.mul(weight, target)), to);
            }
        }
    }
}

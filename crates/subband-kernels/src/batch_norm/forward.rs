//! One channel forward: its moments, then its values.

use super::{BatchNorm, STRETCH};
use crate::planes::Planes;
use crate::simd::{Kernel, LANES, Simd};

/// Count, mean and sum of squared deviations.
#[derive(Clone, Copy)]
pub(super) struct Moments {
    pub count: f64,
    pub mean: f64,
    pub squares: f64,
}

impl Moments {
    pub fn variance(&self) -> f64 {
        self.squares / self.count
    }

    /// Of the values of both (Chan, Golub and LeVeque 1979).
    fn join(self, other: Moments) -> Moments {
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        let share = other.count / count;
        Moments {
            count,
            mean: self.mean + apart * share,
            squares: self.squares + other.squares + apart * apart * self.count * share,
        }
    }
}

pub(super) struct ForwardChannel<'a> {
    pub norm: &'a BatchNorm<'a>,
    pub channel: usize,
    pub x: &'a [f32],
    pub residual: Option<&'a [f32]>,
    pub relu: bool,
    pub known: Option<Moments>,
    pub y: &'a Planes<'a>,
}

impl Kernel for ForwardChannel<'_> {
    type Out = Moments;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Moments {
        let moments = match self.known {
            Some(moments) => moments,
            None => moments(s, self.norm, self.channel, self.x),
        };
        match (self.residual.is_some(), self.relu) {
            (false, false) => self.normalise::<S, false, false>(s, &moments),
            (false, true) => self.normalise::<S, false, true>(s, &moments),
            (true, false) => self.normalise::<S, true, false>(s, &moments),
            (true, true) => self.normalise::<S, true, true>(s, &moments),
        }
        moments
    }
}

#[inline(always)]
fn moments<S: Simd>(s: S, norm: &BatchNorm<'_>, channel: usize, x: &[f32]) -> Moments {
    let mut all = Moments { count: 0.0, mean: 0.0, squares: 0.0 };
    let images = STRETCH.div_ceil(norm.plane);
    for first in (0..norm.batch).step_by(images) {
        let images = first..(first + images).min(norm.batch);
        let count = (images.len() * norm.plane) as f64;
        let mut sum = Sums::<S, 1>::new(s);
        for n in images.clone() {
            sum.add(s, norm.plane_of(x, n * norm.channels + channel), 0.0);
        }
        let mean = (sum.totals(s)[0] / count) as f32;
        let mut around = Sums::<S, 2>::new(s);
        for n in images {
            around.add(s, norm.plane_of(x, n * norm.channels + channel), mean);
        }
        // The mean has been rounded; what that leaves is in the first sum.
        let [rest, squares] = around.totals(s);
        let stretch = Moments { count, mean: f64::from(mean) + rest / count, squares: squares - rest * rest / count };
        all = all.join(stretch);
    }
    all
}

/// Sums of the first `POWERS` powers of the distances from a centre.
struct Sums<S: Simd, const POWERS: usize> {
    /// Several of each, to hide the latency of the addition.
    lanes: [[S::V; 4]; POWERS],
    rest: [f32; POWERS],
}

impl<S: Simd, const POWERS: usize> Sums<S, POWERS> {
    #[inline(always)]
    fn new(s: S) -> Self {
        Sums { lanes: [[s.splat(0.0); 4]; POWERS], rest: [0.0; POWERS] }
    }

    #[inline(always)]
    fn add(&mut self, s: S, values: &[f32], centre: f32) {
        let (whole, rest) = values.split_at(values.len() / LANES * LANES);
        let (fours, singles) = whole.split_at(whole.len() / (4 * LANES) * (4 * LANES));
        let around = s.splat(centre);
        for values in fours.chunks_exact(4 * LANES) {
            for i in 0..4 {
                self.add_vector(s, i, s.sub(s.load(&values[i * LANES..]), around));
            }
        }
        for values in singles.chunks_exact(LANES) {
            self.add_vector(s, 0, s.sub(s.load(values), around));
        }
        for value in rest {
            let d = value - centre;
            self.rest[0] += d;
            if POWERS == 2 {
                self.rest[1] += d * d;
            }
        }
    }

    #[inline(always)]
    fn add_vector(&mut self, s: S, i: usize, d: S::V) {
        self.lanes[0][i] = s.add(self.lanes[0][i], d);
        if POWERS == 2 {
            self.lanes[1][i] = s.fma(d, d, self.lanes[1][i]);
        }
    }

    #[inline(always)]
    fn totals(&self, s: S) -> [f64; POWERS] {
        let mut totals = [0.0; POWERS];
        for ((total, [a, b, c, d]), rest) in totals.iter_mut().zip(self.lanes).zip(self.rest) {
            *total = f64::from(s.sum(s.add(s.add(a, b), s.add(c, d)))) + f64::from(rest);
        }
        totals
    }
}

impl ForwardChannel<'_> {
    #[inline(always)]
    fn normalise<S: Simd, const RESIDUAL: bool, const RELU: bool>(&self, s: S, moments: &Moments) {
        let norm = self.norm;
        // Not folded into one addend: the difference is exact where the mean is large.
        let mean = s.splat(moments.mean as f32);
        let scale = s.splat(norm.gamma[self.channel] * norm.inv_std(moments.variance()));
        let beta = s.splat(norm.beta[self.channel]);
        for plane in norm.planes(self.channel).rev() {
            let x = norm.plane_of(self.x, plane);
            let residual = if RESIDUAL { norm.plane_of(self.residual.unwrap_or(self.x), plane) } else { x };
            // SAFETY: plane `plane` belongs to this task's channel, and each channel to one task.
            let y = unsafe { self.y.get(plane) };
            for i in (0..norm.plane).step_by(LANES) {
                let end = (i + LANES).min(norm.plane);
                let x = s.load_any(&x[i..end]);
                let mut v = s.fma(s.sub(x, mean), scale, beta);
                if RESIDUAL {
                    v = s.add(v, s.load_any(&residual[i..end]));
                }
                if RELU {
                    v = s.relu(v);
                }
                s.store_any(v, &mut y[i..end]);
            }
        }
    }
}

//! One channel backward: two sums, then the gradient of its values.

use super::{BatchNorm, Clipped, STRETCH};
use crate::planes::Planes;
use crate::simd::{Kernel, LANES, Simd};

pub(super) struct BackwardChannel<'a> {
    pub norm: &'a BatchNorm<'a>,
    pub channel: usize,
    pub x: &'a [f32],
    pub mean: f32,
    pub inv_std: f32,
    pub clipped: Clipped<'a>,
    pub dy: &'a [f32],
    pub dx: &'a Planes<'a>,
    pub dresidual: Option<&'a Planes<'a>>,
}

impl Kernel for BackwardChannel<'_> {
    /// The gradients of gamma and beta.
    type Out = (f32, f32);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32) {
        match (self.clipped, self.dresidual.is_some()) {
            (Clipped::No, false) => self.both_passes::<S, NO, false>(s),
            (Clipped::No, true) => self.both_passes::<S, NO, true>(s),
            (Clipped::Output(_), false) => self.both_passes::<S, OUTPUT, false>(s),
            (Clipped::Output(_), true) => self.both_passes::<S, OUTPUT, true>(s),
            (Clipped::WithoutResidual, false) => self.both_passes::<S, FROM_X, false>(s),
            (Clipped::WithoutResidual, true) => self.both_passes::<S, FROM_X, true>(s),
        }
    }
}

// `Clipped` as a constant.
const NO: u8 = 0;
const OUTPUT: u8 = 1;
const FROM_X: u8 = 2;

impl BackwardChannel<'_> {
    /// With `g` the gradient behind the ReLU and `d = x - mean`:
    /// `dbeta = sum g`, `dgamma = inv_std * sum g d`,
    /// `dx = gamma * inv_std * (g - dbeta / n - d * inv_std^2 * sum g d / n)`.
    #[inline(always)]
    fn both_passes<S: Simd, const CLIPPED: u8, const RESIDUAL: bool>(&self, s: S) -> (f32, f32) {
        let norm = self.norm;
        let mean = s.splat(self.mean);
        let (mut sum_g, mut sum_gd) = (0.0, 0.0);
        let planes_at_once = STRETCH.div_ceil(norm.plane);
        let scale = s.splat(norm.gamma[self.channel] * self.inv_std);
        let beta = s.splat(norm.beta[self.channel]);
        let zero = s.splat(0.0);
        let mut lanes = [[zero; 2]; 2];
        for (i, plane) in norm.planes(self.channel).enumerate() {
            let x = norm.plane_of(self.x, plane);
            let dy = norm.plane_of(self.dy, plane);
            let output = if let Clipped::Output(output) = self.clipped { norm.plane_of(output, plane) } else { x };
            // SAFETY: plane `plane` belongs to this task's channel, and each channel to one task.
            let mut dresidual = self.dresidual.map(|d| unsafe { d.get(plane) });
            for i in (0..norm.plane).step_by(LANES) {
                let end = (i + LANES).min(norm.plane);
                // Past the end of the plane `g` is zero, and with it both summands.
                let d = s.sub(s.load_any(&x[i..end]), mean);
                let g = behind_relu::<S, CLIPPED>(s, d, scale, beta, &output[i..end], &dy[i..end]);
                if RESIDUAL && let Some(dresidual) = &mut dresidual {
                    s.store_any(g, &mut dresidual[i..end]);
                }
                let [of_g, of_gd] = &mut lanes[i / LANES % 2];
                *of_g = s.add(*of_g, g);
                *of_gd = s.fma(g, d, *of_gd);
            }
            if (i + 1) % planes_at_once == 0 || i + 1 == norm.batch {
                let [[g0, gd0], [g1, gd1]] = lanes;
                sum_g += f64::from(s.sum(s.add(g0, g1)));
                sum_gd += f64::from(s.sum(s.add(gd0, gd1)));
                lanes = [[zero; 2]; 2];
            }
        }

        let count = (norm.batch * norm.plane) as f64;
        let inv_std = f64::from(self.inv_std);
        let factor = f64::from(norm.gamma[self.channel]) * inv_std;
        let offset = s.splat((-factor * sum_g / count) as f32);
        let slope = s.splat((-factor * inv_std * inv_std * sum_gd / count) as f32);
        for plane in norm.planes(self.channel).rev() {
            let x = norm.plane_of(self.x, plane);
            let dy = norm.plane_of(self.dy, plane);
            let output = if let Clipped::Output(output) = self.clipped { norm.plane_of(output, plane) } else { x };
            // SAFETY: plane `plane` belongs to this task's channel, and each channel to one task.
            let (dx, g) = unsafe { (self.dx.get(plane), self.dresidual.map(|d| &*d.get(plane))) };
            for i in (0..norm.plane).step_by(LANES) {
                let end = (i + LANES).min(norm.plane);
                let d = s.sub(s.load_any(&x[i..end]), mean);
                // The first pass has left the gradient in `dresidual`, one tensor to read instead of two.
                let g = match g {
                    Some(g) if RESIDUAL => s.load_any(&g[i..end]),
                    _ => behind_relu::<S, CLIPPED>(s, d, scale, beta, &output[i..end], &dy[i..end]),
                };
                s.store_any(s.fma(d, slope, s.fma(g, scale, offset)), &mut dx[i..end]);
            }
        }
        ((inv_std * sum_gd) as f32, sum_g as f32)
    }
}

/// The gradient behind the ReLU. `d` is the distance of the input from its mean.
#[inline(always)]
fn behind_relu<S: Simd, const CLIPPED: u8>(s: S, d: S::V, scale: S::V, beta: S::V, output: &[f32], dy: &[f32]) -> S::V {
    let dy = s.load_any(dy);
    match CLIPPED {
        OUTPUT => s.where_positive(s.load_any(output), dy),
        // What `normalise` computes.
        FROM_X => s.where_positive(s.fma(d, scale, beta), dy),
        _ => dy,
    }
}

//! The quantizer on one subband of 16 planes, and its gradients.
//!
//! Sums go over a row first and then over the rows, in the same order on every instruction set.

use super::WaveletQuantize;
use super::lanes::{Lanes, Positions, SubbandLanes};
use super::noise::uniform;
use crate::simd::{LANES, Simd};

pub(super) struct Quantizer<'a> {
    pub layer: &'a WaveletQuantize<'a>,
    pub lanes: &'a SubbandLanes,
    /// Where the subband is in a block of rows of `width`.
    pub at: Positions,
    pub width: usize,
}

/// Sums over the coefficients of a subband, with `d` the decoded value in steps before the gate, `u` the coefficient
/// in steps and `g` the gradient of the decoded coefficient.
pub(super) struct Sums<V> {
    /// Of `g * (d - u)`.
    pub errors: V,
    /// Of `g * d`.
    pub values: V,
    /// Of `|u|`; with noise, of `u` with the sign of `u + noise`.
    pub magnitudes: V,
}

impl<V: Copy> Sums<V> {
    #[inline(always)]
    fn zero<S: Simd<V = V>>(s: S) -> Self {
        Sums { errors: s.splat(0.0), values: s.splat(0.0), magnitudes: s.splat(0.0) }
    }

    #[inline(always)]
    fn add<S: Simd<V = V>>(&mut self, s: S, errors: V, values: V, magnitudes: V) {
        self.errors = s.add(self.errors, errors);
        self.values = s.add(self.values, values);
        self.magnitudes = s.add(self.magnitudes, magnitudes);
    }
}

impl Quantizer<'_> {
    /// Replaces coefficients by decoded ones; adds their `|k|` to `sum`.
    #[inline(always)]
    pub fn quantize<S: Simd>(self, s: S, block: &mut [Lanes], sum: &mut Lanes) {
        let (step, inverse, kept) = self.parameters(s);
        let (rounding, shift) = (s.splat(self.layer.rounding), s.splat(self.layer.reconstruction));
        let zero = s.splat(0.0);
        let mut total = s.load(sum);
        for y in self.at.rows {
            let row = &mut block[y * self.width..][..self.width];
            let mut row_total = zero;
            for x in self.at.columns.clone() {
                let c = s.load(&row[x]);
                let k = s.trunc(s.add(s.mul(s.abs(c), inverse), rounding));
                row_total = s.add(row_total, k);
                let decoded = s.flip_sign(s.mul(s.relu(s.sub(k, shift)), step), c);
                // Adding zero turns -0 into 0, which is what the codec has for zero indices and dropped subbands.
                s.store(s.add(s.mul(decoded, kept), zero), &mut row[x]);
            }
            total = s.add(total, row_total);
        }
        s.store(total, sum);
    }

    /// Replaces coefficients by noisy ones; adds their magnitudes in steps to `sum`.
    #[inline(always)]
    pub fn add_noise<S: Simd>(self, s: S, keys: &[u32; LANES], first: usize, block: &mut [Lanes], sum: &mut Lanes) {
        let (step, inverse, kept) = self.parameters(s);
        let mut total = s.load(sum);
        for y in self.at.rows {
            let row = &mut block[y * self.width..][..self.width];
            let mut row_total = s.splat(0.0);
            for x in self.at.columns.clone() {
                let noise = s.load(&uniform(keys, first + y * self.width + x));
                let noisy = s.add(s.mul(s.load(&row[x]), inverse), noise);
                row_total = s.add(row_total, s.abs(noisy));
                s.store(s.mul(s.mul(noisy, step), kept), &mut row[x]);
            }
            total = s.add(total, row_total);
        }
        s.store(total, sum);
    }

    /// Replaces the gradients of decoded coefficients by those of the coefficients.
    #[inline(always)]
    pub fn gradients<S: Simd>(self, s: S, coefficients: &[Lanes], gradients: &mut [Lanes]) -> Sums<S::V> {
        let (_, inverse, kept) = self.parameters(s);
        let pull = s.load(&self.lanes.pull);
        let (rounding, shift) = (s.splat(self.layer.rounding), s.splat(self.layer.reconstruction));
        let mut total = Sums::zero(s);
        for y in self.at.rows {
            let coefficients = &coefficients[y * self.width..][..self.width];
            let gradients = &mut gradients[y * self.width..][..self.width];
            let mut of_row = Sums::zero(s);
            for x in self.at.columns.clone() {
                let (c, g) = (s.load(&coefficients[x]), s.load(&gradients[x]));
                // Everything as if `c` were positive, with its sign in `outward`.
                let outward = s.flip_sign(g, c);
                let u = s.mul(s.abs(c), inverse);
                let d = s.relu(s.sub(s.trunc(s.add(u, rounding)), shift));
                of_row.add(s, s.mul(outward, s.sub(d, u)), s.mul(outward, d), u);
                let of_rate = s.flip_sign(s.where_positive(u, pull), c);
                s.store(s.add(s.mul(kept, g), of_rate), &mut gradients[x]);
            }
            total.add(s, of_row.errors, of_row.values, of_row.magnitudes);
        }
        total
    }

    /// [`Quantizer::gradients`] of [`Quantizer::add_noise`].
    #[inline(always)]
    pub fn noise_gradients<S: Simd>(
        self,
        s: S,
        keys: &[u32; LANES],
        first: usize,
        coefficients: &[Lanes],
        gradients: &mut [Lanes],
    ) -> Sums<S::V> {
        let (_, inverse, kept) = self.parameters(s);
        let pull = s.load(&self.lanes.pull);
        let mut total = Sums::zero(s);
        for y in self.at.rows {
            let coefficients = &coefficients[y * self.width..][..self.width];
            let gradients = &mut gradients[y * self.width..][..self.width];
            let mut of_row = Sums::zero(s);
            for x in self.at.columns.clone() {
                let g = s.load(&gradients[x]);
                let u = s.mul(s.load(&coefficients[x]), inverse);
                let noise = s.load(&uniform(keys, first + y * self.width + x));
                let d = s.add(u, noise);
                of_row.add(s, s.mul(g, noise), s.mul(g, d), s.flip_sign(u, d));
                let of_rate = s.flip_sign(s.where_positive(s.abs(d), pull), d);
                s.store(s.add(s.mul(kept, g), of_rate), &mut gradients[x]);
            }
            total.add(s, of_row.errors, of_row.values, of_row.magnitudes);
        }
        total
    }

    /// Step, its inverse, and gate.
    #[inline(always)]
    fn parameters<S: Simd>(&self, s: S) -> (S::V, S::V, S::V) {
        (s.load(&self.lanes.step), s.load(&self.lanes.inverse), s.load(&self.lanes.kept))
    }
}

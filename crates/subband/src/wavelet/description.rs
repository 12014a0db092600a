//! The float lifting of the wavelets as data, for code that keeps its samples in another order than the codec.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::Wavelet;
use super::lifting::{
    ALPHA, BETA, DB2_A, DB2_B, DB2_HIGH, DB2_LOW, DELTA, GAMMA, HIGH_SCALE, LOW_SCALE, PREDICT_53, SQRT_3, UPDATE_53,
};

/// How one signal of n >= 2 samples is transformed, sample `2i` becoming low-pass and `2i + 1` high-pass. A signal of
/// one sample stays as it is.
///
/// Multiplying and adding in the order given here, without fused multiply-add, gives the bits of the codec.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lifting {
    /// Nothing is done.
    Identity,
    /// Pairs `(a, b)` become `((a + b) * factor, (b - a) * factor)` and `(l, h)` again
    /// `((l - h) * factor, (l + h) * factor)`; orthonormal.
    Butterfly {
        /// The square root of 1/2.
        factor: f32,
        /// Factor of the last sample of an odd signal: forward, inverse.
        unpaired: [f32; 2],
    },
    /// Forward the steps in their order, then the scales; inverse the inverse scales, then the steps backwards with
    /// their factors negated.
    Steps {
        /// Applied one after the other to all samples.
        steps: &'static [LiftingStep],
        /// What lies beyond the ends of a signal.
        extension: Extension,
        /// Factors of the low-pass samples, the high-pass samples and a last sample that has no partner.
        scale: [f32; 3],
        /// The inverses of `scale`.
        inverse_scale: [f32; 3],
    },
}

/// `x[p] += factor * (weight0 * x[p + offset0] + weight1 * x[p + offset1])` for all even or all odd `p`; the offsets
/// are odd, so that what is read is not what is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiftingStep {
    /// 0 if the even samples are changed, 1 if the odd ones are.
    pub parity: usize,
    /// See above.
    pub factor: f32,
    /// Offsets and weights; a second weight of 0 stands for a step with one term.
    pub terms: [(isize, f32); 2],
}

/// Continuation of a signal beyond its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// Mirrored at the first and the last sample. All samples take part.
    Mirror,
    /// Periodic. The last sample of an odd signal takes no part and is only scaled.
    Periodic,
}

const fn both_sides(parity: usize, factor: f32) -> LiftingStep {
    LiftingStep { parity, factor, terms: [(-1, 1.0), (1, 1.0)] }
}

const fn one_side(parity: usize, factor: f32, offset: isize) -> LiftingStep {
    LiftingStep { parity, factor, terms: [(offset, 1.0), (offset, 0.0)] }
}

impl Wavelet {
    /// The transform of a signal.
    #[doc(hidden)]
    pub fn lifting(self) -> Lifting {
        match self {
            Wavelet::None => Lifting::Identity,
            Wavelet::Haar => Lifting::Butterfly { factor: FRAC_1_SQRT_2, unpaired: [SQRT_2, FRAC_1_SQRT_2] },
            Wavelet::LeGall53 => Lifting::Steps {
                steps: &const { [both_sides(1, PREDICT_53), both_sides(0, UPDATE_53)] },
                extension: Extension::Mirror,
                scale: [SQRT_2, FRAC_1_SQRT_2, 1.0],
                inverse_scale: [FRAC_1_SQRT_2, SQRT_2, 1.0],
            },
            Wavelet::Cdf97 => Lifting::Steps {
                steps: &const { [both_sides(1, ALPHA), both_sides(0, BETA), both_sides(1, GAMMA), both_sides(0, DELTA)] },
                extension: Extension::Mirror,
                scale: [LOW_SCALE, HIGH_SCALE, 1.0],
                inverse_scale: [HIGH_SCALE, LOW_SCALE, 1.0],
            },
            Wavelet::Db2 => Lifting::Steps {
                steps: &const {
                    [
                        one_side(0, SQRT_3, 1),
                        LiftingStep { parity: 1, factor: -1.0, terms: [(-1, DB2_A), (-3, DB2_B)] },
                        one_side(0, -1.0, 3),
                    ]
                },
                extension: Extension::Periodic,
                scale: [DB2_LOW, DB2_HIGH, SQRT_2],
                inverse_scale: [DB2_HIGH, DB2_LOW, FRAC_1_SQRT_2],
            },
        }
    }
}

impl Extension {
    /// How many of `len` samples take part in the steps.
    #[inline(always)]
    pub fn part(self, len: usize) -> usize {
        match self {
            Extension::Mirror => len,
            Extension::Periodic => len & !1,
        }
    }

    /// The sample that `position` means in a signal of which `part` samples take part, at least 2.
    #[inline(always)]
    pub fn sample(self, position: isize, part: usize) -> usize {
        let part = part as isize;
        let inside = match self {
            Extension::Mirror if position < 0 => -position,
            Extension::Mirror if position >= part => 2 * (part - 1) - position,
            Extension::Mirror => position,
            Extension::Periodic => position.rem_euclid(part),
        };
        inside as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::lifting::float_lifting;
    use super::*;

    fn forward(lifting: &Lifting, x: &mut [f32]) {
        let n = x.len();
        match *lifting {
            Lifting::Identity => {}
            Lifting::Butterfly { factor, unpaired } => {
                for pair in x.chunks_exact_mut(2) {
                    (pair[0], pair[1]) = ((pair[0] + pair[1]) * factor, (pair[1] - pair[0]) * factor);
                }
                if n % 2 == 1 {
                    x[n - 1] *= unpaired[0];
                }
            }
            Lifting::Steps { steps, extension, scale, .. } => {
                let part = extension.part(n);
                steps.iter().for_each(|step| lift(step, step.factor, extension, &mut x[..part]));
                (0..n).for_each(|p| x[p] *= if p < part { scale[p % 2] } else { scale[2] });
            }
        }
    }

    fn inverse(lifting: &Lifting, x: &mut [f32]) {
        let n = x.len();
        match *lifting {
            Lifting::Identity => {}
            Lifting::Butterfly { factor, unpaired } => {
                for pair in x.chunks_exact_mut(2) {
                    (pair[0], pair[1]) = ((pair[0] - pair[1]) * factor, (pair[0] + pair[1]) * factor);
                }
                if n % 2 == 1 {
                    x[n - 1] *= unpaired[1];
                }
            }
            Lifting::Steps { steps, extension, inverse_scale: scale, .. } => {
                let part = extension.part(n);
                (0..n).for_each(|p| x[p] *= if p < part { scale[p % 2] } else { scale[2] });
                steps.iter().rev().for_each(|step| lift(step, -step.factor, extension, &mut x[..part]));
            }
        }
    }

    fn lift(step: &LiftingStep, factor: f32, extension: Extension, x: &mut [f32]) {
        for p in (step.parity..x.len()).step_by(2) {
            let [a, b] = step.terms.map(|(offset, weight)| weight * x[extension.sample(p as isize + offset, x.len())]);
            x[p] += factor * (a + b);
        }
    }

    #[test]
    fn gives_the_bits_of_the_codec() {
        for wavelet in Wavelet::ALL {
            let Some((codec_forward, codec_inverse)) = float_lifting::<f32>(wavelet) else { continue };
            for n in 2..20 {
                let signal: Vec<f32> = (0..n).map(|i| ((i * 7919 + n * 31) % 2003) as f32 / 97.0 - 9.0).collect();
                let even = |x: &[f32]| x.iter().step_by(2).copied().collect::<Vec<_>>();
                let odd = |x: &[f32]| x.iter().skip(1).step_by(2).copied().collect::<Vec<_>>();
                let (mut low, mut high) = (even(&signal), odd(&signal));
                let mut x = signal;
                codec_forward(&mut low, &mut high, 1);
                forward(&wavelet.lifting(), &mut x);
                assert_eq!((even(&x), odd(&x)), (low.clone(), high.clone()), "{wavelet} {n} forward");
                codec_inverse(&mut low, &mut high, 1);
                inverse(&wavelet.lifting(), &mut x);
                assert_eq!((even(&x), odd(&x)), (low, high), "{wavelet} {n} inverse");
            }
        }
    }
}

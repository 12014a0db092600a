//! A differentiable estimate of what the coder will spend, from the mean magnitude of the indices.
//!
//! The coder has one static table for each group of (channel, subband) contexts, so what an index costs is close to the
//! entropy of its context's distribution. Indices of detail subbands are close to two-sided geometric, those of a map that
//! is never negative to one-sided geometric; of all distributions with the same mean magnitude these have the largest
//! entropy, so the estimate errs upwards. For both, the derivative of the entropy by the mean is the cost of one more unit
//! of magnitude, the `-log2` of the ratio theta.

/// Below this mean magnitude the slope stays as it is there (10 bits): an empty context must not be pulled at without end.
const LEAST_MEAN: f64 = 1e-3;

/// Bits an index, and their derivative by the mean magnitude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub bits: f64,
    pub slope: f64,
}

/// Indices of either sign: `theta = m / (1 + sqrt(1 + m^2))`, `H = -log2((1 - theta) / (1 + theta)) - m log2 theta`.
pub(crate) fn two_sided(mean: f64) -> Rate {
    let theta = |m: f64| m / (1.0 + (1.0 + m * m).sqrt());
    let slope = -theta(mean.max(LEAST_MEAN)).log2();
    let t = theta(mean);
    let bits = if mean > 0.0 { -((1.0 - t) / (1.0 + t)).log2() - mean * t.log2() } else { 0.0 };
    Rate { bits, slope }
}

/// Indices that are never negative: `theta = m / (1 + m)`, `H = (1 + m) log2(1 + m) - m log2 m`.
pub(crate) fn one_sided(mean: f64) -> Rate {
    let slope = ((1.0 + mean.max(LEAST_MEAN)) / mean.max(LEAST_MEAN)).log2();
    let bits = if mean > 0.0 { (1.0 + mean) * (1.0 + mean).log2() - mean * mean.log2() } else { 0.0 };
    Rate { bits, slope }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entropy(probabilities: impl Iterator<Item = f64>) -> f64 {
        probabilities.filter(|&p| p > 0.0).map(|p| -p * p.log2()).sum()
    }

    #[test]
    fn both_are_the_entropies_they_claim_to_be() {
        for theta in [0.01, 0.2, 0.7] {
            let zero = (1.0 - theta) / (1.0 + theta);
            let side = |k: i32| zero * f64::powi(theta, k);
            let mean: f64 = (1..2000).map(|k| 2.0 * f64::from(k) * side(k)).sum();
            let bits = entropy((1..2000).flat_map(|k| [side(k); 2]).chain([zero]));
            assert!((two_sided(mean).bits - bits).abs() < 1e-9, "{theta}");

            let p = |k: i32| (1.0 - theta) * f64::powi(theta, k);
            let mean: f64 = (0..2000).map(|k| f64::from(k) * p(k)).sum();
            let bits = entropy((0..2000).map(p));
            assert!((one_sided(mean).bits - bits).abs() < 1e-9, "{theta}");
        }
    }

    #[test]
    fn slopes_are_derivatives() {
        for rate in [two_sided, one_sided] {
            for mean in [0.002, 0.05, 0.6, 3.0] {
                let h = 1e-5 * mean;
                let numeric = (rate(mean + h).bits - rate(mean - h).bits) / (2.0 * h);
                assert!((rate(mean).slope - numeric).abs() < 1e-4 * numeric, "{mean}");
            }
            assert_eq!(rate(0.0).bits, 0.0);
            assert_eq!(rate(0.0).slope, rate(LEAST_MEAN).slope);
        }
    }
}

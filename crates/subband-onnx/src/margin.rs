//! The drop of top-1 accuracy that is to be expected, from how far answers moved rather than from how many flipped.
//!
//! Of a few hundred inputs a dozen change their answer, some for the better, and their balance is mostly chance: over 150
//! inputs one of half a point cannot be told from one of two. But how far the codec moves an input's *margin* is known of every
//! input. So an input counts as right by degree, with a soft edge that is a little wider than the moves are: as long as margins
//! are spread evenly across such an edge, the drop is the same on average, and chance has less than half the say in it.

use serde::{Deserialize, Serialize};

/// One labelled input without the codec and with it. It is right where the margin is not below 0 (but for ties).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Outcome {
    /// Its class.
    pub class: u32,
    /// Logarithm of the probability of its class less that of the likeliest other, without the codec.
    pub margin_uncompressed: f64,
    /// The same with decoded maps.
    pub margin: f64,
}

/// Width of the edge in median moves, and at most in median margins: beyond, margins are not spread evenly, and large drops
/// would come out too small.
const OF_MOVES: f64 = 2.0;
const OF_MARGINS: f64 = 0.25;
const Z: f64 = 1.959_963_984_540_054;

/// The score of `class` less the largest other. `probabilities`: the scores are such, and their logarithms are meant.
pub(crate) fn margin(scores: &[f32], class: usize, probabilities: bool) -> f64 {
    let score = |value: f32| if probabilities { f64::from(value).max(1e-12).ln() } else { f64::from(value) };
    let others = scores.iter().enumerate().filter(|&(at, _)| at != class).map(|(_, &value)| score(value));
    score(scores[class]) - others.fold(f64::NEG_INFINITY, f64::max)
}

/// The expected drop of top-1 accuracy, 0 to 1, and its 95% interval over inputs like these.
pub(crate) fn expected_drop(outcomes: &[Outcome]) -> (f64, [f64; 2]) {
    let count = outcomes.len() as f64;
    if outcomes.is_empty() {
        return (0.0, [0.0; 2]);
    }
    let moved = median(outcomes.iter().map(|o| (o.margin - o.margin_uncompressed).abs()));
    let margins = median(outcomes.iter().map(|o| o.margin_uncompressed.abs()));
    let width = (OF_MOVES * moved).min(OF_MARGINS * margins);
    let right = |margin: f64| match width > 0.0 {
        _ if margin.is_nan() => 0.0,
        true => 1.0 / (1.0 + (-margin / width).exp()),
        false => f64::from(u8::from(margin >= 0.0)),
    };
    let lost: Vec<f64> = outcomes.iter().map(|o| right(o.margin_uncompressed) - right(o.margin)).collect();
    let drop = lost.iter().sum::<f64>() / count;
    let reach = Z * lost.iter().map(|lost| (lost - drop).powi(2)).sum::<f64>().sqrt() / count;
    (drop, [drop - reach, drop + reach])
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(margins: impl IntoIterator<Item = (f64, f64)>) -> Vec<Outcome> {
        let outcome = |(plain, coded)| Outcome { class: 0, margin_uncompressed: plain, margin: coded };
        margins.into_iter().map(outcome).collect()
    }

    #[test]
    fn margins_by_hand() {
        assert_eq!(margin(&[1.0, 3.0, 2.5], 1, false), 0.5);
        assert_eq!(margin(&[1.0, 3.0, 2.5], 0, false), -2.0);
        assert!((margin(&[0.2, 0.8], 0, true) - 0.25f64.ln()).abs() < 1e-6);
        assert!(margin(&[f32::NAN, 0.0], 0, false).is_nan());
    }

    #[test]
    fn drops_by_hand() {
        // Moves of 1 and margins of 4: an edge 1 wide.
        let (drop, _) = expected_drop(&outcomes([(4.0, 3.0), (-4.0, -5.0), (4.0, 5.0)]));
        let s = |x: f64| 1.0 / (1.0 + (-x).exp());
        let by_hand = (s(4.0) - s(3.0) + s(-4.0) - s(-5.0) + s(4.0) - s(5.0)) / 3.0;
        assert!((drop - by_hand).abs() < 1e-12, "{drop} {by_hand}");
        // Where most do not move, flips are counted; outputs that are no numbers are wrong.
        let (drop, [low, high]) = expected_drop(&outcomes([(1.0, -1.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0)]));
        assert!(drop == 0.25 && low < 0.0 && high > 0.5, "{drop} {low} {high}");
        assert_eq!(expected_drop(&outcomes([(1.0, f64::NAN), (1.0, 1.0), (1.0, 1.0)])).0, 1.0 / 3.0);
        assert_eq!(expected_drop(&[]).0, 0.0);
    }

    /// Portable randomness, evenly spread over 0 to 1.
    struct Even(u64);

    impl Even {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }

        /// A bell of deviation 1.
        fn bell(&mut self) -> f64 {
            (0..12).map(|_| self.next()).sum::<f64>() - 6.0
        }
    }

    #[test]
    fn it_is_right_on_average_and_surer_than_counting() {
        // A network that is right on three of four; moves grow with the margin and lean to the worse.
        let mut even = Even(7);
        for (size, lean) in [(0.3, 0.05), (0.6, 0.1), (1.2, 0.3)] {
            let mut draw = |count: usize| {
                outcomes((0..count).map(|_| {
                    let plain = 3.0 * (even.bell() + 0.7);
                    (plain, plain - lean + size * (1.0 + 0.1 * plain.abs()) * even.bell())
                }))
            };
            let counted = |of: &[Outcome]| {
                let right = |margin: f64| f64::from(u8::from(margin >= 0.0));
                of.iter().map(|o| right(o.margin_uncompressed) - right(o.margin)).sum::<f64>() / of.len() as f64
            };
            let truth = counted(&draw(200_000));
            let (mut expected, mut plain, mut held) = (Vec::new(), Vec::new(), 0);
            for _ in 0..400 {
                let some = draw(250);
                let (drop, [low, high]) = expected_drop(&some);
                expected.push(drop - truth);
                plain.push(counted(&some) - truth);
                held += usize::from(low <= truth && truth <= high);
            }
            let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
            let deviation = |of: &[f64]| (of.iter().map(|x| x * x).sum::<f64>() / of.len() as f64).sqrt();
            assert!(mean(&expected).abs() < 0.12 * truth + 0.001, "{} of {truth}", mean(&expected));
            assert!(deviation(&expected) < 0.7 * deviation(&plain), "{} {}", deviation(&expected), deviation(&plain));
            assert!((360..=396).contains(&held), "{held} of 400, {size}");
        }
    }
}

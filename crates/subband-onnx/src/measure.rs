//! What the codec does to a network's outputs: accuracy where there are labels, closeness everywhere.

use serde::{Deserialize, Serialize};
use subband_nn::rank;

use crate::engine::Value;
use crate::error::{Error, Result};
use crate::margin::{Outcome, expected_drop, margin};

/// Counts and sums over inputs, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measures {
    images: usize,
    labelled: usize,
    /// Inputs right [without the codec][with it]: top-1.
    right: [[usize; 2]; 2],
    outcomes: Vec<Outcome>,
    top5: [usize; 2],
    agreement: f64,
    kl: f64,
    cosine: f64,
    squared_error: f64,
    /// Sum of the squares of the outputs without the codec.
    energy: f64,
    values: u64,
    low: f64,
    high: f64,
}

/// The measures of an evaluation. Accuracies and agreement are in per cent, drops in points.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measured {
    /// Top-1 accuracy without the codec; `None`, as all that needs labels, where there are none.
    pub top1_uncompressed: Option<f64>,
    /// Top-1 accuracy with decoded maps fed onward.
    pub top1: Option<f64>,
    /// Top-5 accuracy without the codec.
    pub top5_uncompressed: Option<f64>,
    /// Top-5 accuracy with decoded maps.
    pub top5: Option<f64>,
    /// Points of top-1 accuracy lost.
    pub top1_drop: Option<f64>,
    /// 95% interval of the drop over inputs like these (Newcombe 1998, paired, method 10).
    pub top1_drop_interval: Option<[f64; 2]>,
    /// Points that are to be expected by how far answers moved: a drop with less chance in it than the balance of those that
    /// flipped.
    #[serde(default)]
    pub top1_drop_expected: Option<f64>,
    /// Its 95% interval.
    #[serde(default)]
    pub top1_drop_expected_interval: Option<[f64; 2]>,
    /// How often the largest output is the same with and without the codec; of dense outputs, over all places.
    pub top1_agreement: f64,
    /// Mean Kullback-Leibler divergence from the softmax of the outputs without the codec to that with it, in nats.
    pub kl: f64,
    /// Mean cosine of the outputs with and without.
    pub cosine: f64,
    /// Of the outputs against those without, the peak being their range, in dB; `None` where they are equal.
    pub psnr: Option<f64>,
}

impl Measures {
    /// Adds a batch: outputs without and with the codec, and labels. `probabilities`: the outputs are such already.
    pub fn add(&mut self, plain: &Value, coded: &Value, labels: Option<&[u32]>, probabilities: bool) -> Result<()> {
        let (Some(a), Some(b)) = (plain.floats(), coded.floats()) else {
            return Err(Error::argument("the network's first output has no f32 values"));
        };
        let images = plain.shape.first().copied().unwrap_or(0);
        if plain.shape != coded.shape || images == 0 || a.is_empty() {
            return Err(Error::argument(format!(
                "the network's output is {:?}, and {:?} with decoded maps",
                plain.shape, coded.shape
            )));
        }
        let size = a.len() / images;
        let classes = plain.shape.get(1).copied().unwrap_or(1);
        for (at, (a, b)) in a.chunks_exact(size).zip(b.chunks_exact(size)).enumerate() {
            self.compare(a, b, classes, probabilities);
            if let Some(&label) = labels.and_then(|labels| labels.get(at)) {
                if classes != size {
                    return Err(Error::argument(format!(
                        "labels are for one class an input: the network's output is {:?}",
                        plain.shape
                    )));
                }
                if label as usize >= classes {
                    return Err(Error::data(format!(
                        "class {label}, of a network with {classes}: name a classes file"
                    )));
                }
                let ranks = [rank(a, label as usize), rank(b, label as usize)];
                self.labelled += 1;
                let margins = [a, b].map(|scores| margin(scores, label as usize, probabilities));
                self.outcomes.push(Outcome { class: label, margin_uncompressed: margins[0], margin: margins[1] });
                self.right[usize::from(ranks[0] == 0)][usize::from(ranks[1] == 0)] += 1;
                for (top5, rank) in self.top5.iter_mut().zip(ranks) {
                    *top5 += usize::from(rank < 5);
                }
            }
        }
        Ok(())
    }

    fn compare(&mut self, a: &[f32], b: &[f32], classes: usize, probabilities: bool) {
        let places = a.len() / classes;
        let (mut kl, mut agree) = (0.0, 0usize);
        for place in 0..places {
            let column = |of: &[f32]| of.iter().skip(place).step_by(places).map(|&v| f64::from(v)).collect::<Vec<_>>();
            let (a, b) = (column(a), column(b));
            agree += usize::from(argmax(&a) == argmax(&b));
            kl += divergence(&log_probabilities(&a, probabilities), &log_probabilities(&b, probabilities));
        }
        let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for (&a, &b) in a.iter().zip(b) {
            let (a, b) = (f64::from(a), f64::from(b));
            dot += a * b;
            aa += a * a;
            bb += b * b;
            self.squared_error += (a - b) * (a - b);
            self.low = if self.values == 0 { a } else { self.low.min(a) };
            self.high = if self.values == 0 { a } else { self.high.max(a) };
            self.values += 1;
        }
        self.energy += aa;
        self.cosine += if aa == 0.0 && bb == 0.0 { 1.0 } else { dot / (aa * bb).sqrt().max(f64::MIN_POSITIVE) };
        self.kl += kl / places as f64;
        self.agreement += agree as f64 / places as f64;
        self.images += 1;
    }

    /// Number of inputs.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Number of inputs with a label.
    pub fn labelled(&self) -> usize {
        self.labelled
    }

    /// Labelled inputs that only the network without the codec has right, and those that only the one with it has.
    pub fn changed(&self) -> [usize; 2] {
        let [[_, gained], [lost, _]] = self.right;
        [lost, gained]
    }

    /// The labelled inputs one by one, in their order.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Mean squared error of the outputs.
    pub fn mse(&self) -> f64 {
        self.squared_error / self.values.max(1) as f64
    }

    /// Squared error of the outputs in proportion to them.
    pub fn relative_error(&self) -> f64 {
        self.squared_error / self.energy.max(f64::MIN_POSITIVE)
    }

    /// Mean divergence of the outputs, in nats.
    pub fn kl(&self) -> f64 {
        self.kl / self.images.max(1) as f64
    }

    /// The figures.
    pub fn finish(&self) -> Measured {
        let images = self.images.max(1) as f64;
        let [[neither, gained], [lost, both]] = self.right;
        let share = |hits: usize| 100.0 * hits as f64 / self.labelled as f64;
        let labelled = self.labelled > 0;
        let (expected, expected_interval) = expected_drop(&self.outcomes);
        let psnr = 10.0 * ((self.high - self.low).powi(2) / self.mse()).log10();
        Measured {
            top1_uncompressed: labelled.then(|| share(both + lost)),
            top1: labelled.then(|| share(both + gained)),
            top5_uncompressed: labelled.then(|| share(self.top5[0])),
            top5: labelled.then(|| share(self.top5[1])),
            top1_drop: labelled.then(|| share(lost) - share(gained)),
            top1_drop_interval: labelled.then(|| paired_interval(both, lost, gained, neither).map(|d| 100.0 * d)),
            top1_drop_expected: labelled.then_some(100.0 * expected),
            top1_drop_expected_interval: labelled.then(|| expected_interval.map(|d| 100.0 * d)),
            top1_agreement: 100.0 * self.agreement / images,
            kl: self.kl(),
            cosine: self.cosine / images,
            psnr: Some(psnr).filter(|psnr| psnr.is_finite()),
        }
    }
}

fn argmax(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] || values[best].is_nan() {
            best = index;
        }
    }
    best
}

fn log_probabilities(values: &[f64], probabilities: bool) -> Vec<f64> {
    if probabilities {
        return values.iter().map(|p| p.max(1e-12).ln()).collect();
    }
    let peak = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = peak + values.iter().map(|v| (v - peak).exp()).sum::<f64>().ln();
    values.iter().map(|v| v - log_sum).collect()
}

fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>().max(0.0)
}

/// The 95% interval of a difference of paired proportions, `(both + lost - both - gained) / n`: Newcombe, "Improved
/// confidence intervals for the difference between binomial proportions based on paired data" (1998), method 10.
pub(crate) fn paired_interval(both: usize, lost: usize, gained: usize, neither: usize) -> [f64; 2] {
    let [e, f, g, h] = [both, lost, gained, neither].map(|count| count as f64);
    let n = e + f + g + h;
    let [p1, p2] = [(e + f) / n, (e + g) / n];
    let [[l1, u1], [l2, u2]] = [wilson(p1, n), wilson(p2, n)];
    let product = (e + f) * (g + h) * (e + g) * (f + h);
    let determinant = e * h - f * g;
    let corrected = if determinant > 0.0 { (determinant - n / 2.0).max(0.0) } else { determinant };
    let phi = if product > 0.0 { corrected / product.sqrt() } else { 0.0 };
    let reach = |a: f64, b: f64| (a * a - 2.0 * phi * a * b + b * b).max(0.0).sqrt();
    [p1 - p2 - reach(p1 - l1, u2 - p2), p1 - p2 + reach(u1 - p1, p2 - l2)]
}

/// Wilson's 95% interval of a proportion.
fn wilson(p: f64, n: f64) -> [f64; 2] {
    const Z: f64 = 1.959_963_984_540_054;
    let centre = p + Z * Z / (2.0 * n);
    let reach = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    [((centre - reach) / scale).max(0.0), ((centre + reach) / scale).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_of_the_interval() {
        // Newcombe 1998, table II, cell counts 36 12 2 0: -0.2 swapped in sign; method 10 gives 0.0569 to 0.3404.
        let [low, high] = paired_interval(36, 12, 2, 0);
        assert!((low - 0.0569).abs() < 5e-4 && (high - 0.3404).abs() < 5e-4, "{low} {high}");
    }

    #[test]
    fn measures_by_hand() {
        let mut measures = Measures::default();
        let plain = Value::float([2, 2], vec![0.0, 1.0, 2.0, 0.0]);
        let coded = Value::float([2, 2], vec![1.0, 0.0, 2.0, 0.0]);
        measures.add(&plain, &coded, Some(&[1, 0]), false).unwrap();
        let found = measures.finish();
        assert_eq!((found.top1_uncompressed, found.top1, found.top1_drop), (Some(100.0), Some(50.0), Some(50.0)));
        assert_eq!((found.top5, found.top1_agreement), (Some(100.0), 50.0));
        // First input: p = softmax(0, 1), q its mirror image: (p1 - p0) * 1, tanh(1/2).
        assert!((found.kl - 0.5f64.tanh() / 2.0).abs() < 1e-9);
        assert!((found.cosine - 0.5).abs() < 1e-9);
        // Mean squared error 2/4, range 2.
        assert!((found.psnr.unwrap() - 10.0 * 8f64.log10()).abs() < 1e-9);
    }

    #[test]
    fn dense_outputs_agree_place_by_place() {
        let mut measures = Measures::default();
        let plain = Value::float([1, 2, 1, 2], vec![1.0, 0.0, 0.0, 1.0]);
        let coded = Value::float([1, 2, 1, 2], vec![1.0, 1.0, 0.0, 0.0]);
        measures.add(&plain, &coded, None, false).unwrap();
        assert_eq!(measures.finish().top1_agreement, 50.0);
        assert!(measures.add(&plain, &coded, Some(&[0]), false).is_err());
    }
}

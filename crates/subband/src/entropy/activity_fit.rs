//! Fitting an activity model to counted maps: weights by least squares, then tables by counts.

use super::activity::{ActivityModel, BINS, MAX_BASE, MAX_MAGNITUDE_TABLES, NEIGHBOUR_CAP, NEIGHBOURS, UNIT_BITS};
use super::cluster::{ClusterLimits, cluster};
use super::histogram::Histogram;
use super::magnitude::{CLASSES, class};
use super::magnitude_table::MagnitudeTable;

/// What is summed of an index: 1, its neighbours' magnitudes and its own.
const TERMS: usize = NEIGHBOURS + 2;
const OWN: usize = TERMS - 1;

/// Sums of products over the indices of one subband and channel; integers, so their order does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moments {
    /// Upper triangle: products of terms `i <= j`.
    sums: [[u64; TERMS]; TERMS],
}

impl Moments {
    pub const NONE: Moments = Moments { sums: [[0; TERMS]; TERMS] };

    #[inline]
    fn count(&mut self, neighbours: [u8; NEIGHBOURS], own: u8) {
        let mut terms = [1u64; TERMS];
        for (term, value) in terms[1..].iter_mut().zip(neighbours) {
            *term = u64::from(value);
        }
        terms[OWN] = u64::from(own);
        if terms[1..].iter().all(|&term| term == 0) {
            self.sums[0][0] += 1;
            return;
        }
        for i in 0..TERMS {
            for j in i..TERMS {
                self.sums[i][j] += terms[i] * terms[j];
            }
        }
    }

    fn indices(&self) -> u64 {
        self.sums[0][0]
    }

    /// Mean magnitude.
    fn mean(&self) -> f64 {
        self.sums[0][OWN] as f64 / self.indices().max(1) as f64
    }
}

/// Adds an index to the moments of its subband and channel.
pub(crate) fn count_moments(moments: &mut Moments, neighbours: [u8; NEIGHBOURS], index: i32) {
    moments.count(neighbours, index.unsigned_abs().min(NEIGHBOUR_CAP) as u8);
}

/// Weights and bases without tables, and the counts of classes that tables will be made of.
#[derive(Debug, Clone)]
pub(crate) struct ActivityCounts {
    /// All bins of all subbands point to one table of no use.
    estimator: ActivityModel,
    channels: usize,
    /// Bins of each subband.
    counts: Vec<Histogram>,
    weights: Vec<[u8; NEIGHBOURS]>,
    bases: Vec<u16>,
}

impl ActivityCounts {
    /// Fits weights and bases; `moments` by subband, then channel.
    pub fn fit(moments: &[Moments], channels: usize) -> Self {
        let means: Vec<f64> = moments.iter().map(Moments::mean).collect();
        Self::fit_to_means(moments, &means, channels)
    }

    /// As [`ActivityCounts::fit`], with the mean magnitudes given, for moments of a sample that has not every channel.
    pub fn fit_to_means(moments: &[Moments], means: &[f64], channels: usize) -> Self {
        let subbands = moments.len() / channels.max(1);
        let of_subbands = moments.chunks_exact(channels.max(1)).zip(means.chunks_exact(channels.max(1)));
        let fitted: Vec<_> = of_subbands.map(|(moments, means)| fit_subband(moments, means)).collect();
        let weights: Vec<_> = fitted.iter().map(|(weights, _)| *weights).collect();
        let bases: Vec<u16> = fitted.into_iter().flat_map(|(_, bases)| bases).collect();
        let table = MagnitudeTable::from_counts(&[0; CLASSES]);
        let estimator =
            ActivityModel::new(channels, weights.clone(), bases.clone(), vec![[0; BINS]; subbands], vec![table]);
        ActivityCounts { estimator, channels, counts: vec![Histogram::EMPTY; subbands * BINS], weights, bases }
    }

    /// Counts an index.
    pub fn count(&mut self, subband: usize, channel: usize, neighbours: [u8; NEIGHBOURS], index: i32) {
        let mut bin = [0];
        let rows = neighbours.each_ref().map(std::slice::from_ref);
        self.estimator.bins(subband, channel, &rows, &mut bin);
        let counts = &mut self.counts[subband * BINS + bin[0] as usize].counts;
        let count = &mut counts[class(index.unsigned_abs()) as usize];
        *count = count.saturating_add(1);
    }

    /// The model with tables for what was counted; fewer of them if they cost bits in a stream.
    pub fn finish(self, tables_cost: bool) -> ActivityModel {
        let limits = ClusterLimits { max_tables: MAX_MAGNITUDE_TABLES, tables_cost };
        let (table_of, counts) = cluster(&self.counts, limits);
        let tables = counts
            .iter()
            .map(|histogram| {
                MagnitudeTable::from_counts(histogram.counts[..CLASSES].try_into().expect("there are more tokens"))
            })
            .collect();
        let mut of_bins: Vec<[u8; BINS]> = Vec::new();
        for (subband, numbers) in table_of.chunks_exact(BINS).enumerate() {
            let mut numbers: [u8; BINS] = numbers.try_into().expect("a chunk of that size");
            // Bins that never occurred take the table of the nearest one that did, so that new data find something sane.
            let seen = |bin: usize| self.counts[subband * BINS + bin].total() > 0;
            for bin in (0..BINS).filter(|&bin| !seen(bin)) {
                let nearest = (0..BINS).filter(|&other| seen(other)).min_by_key(|other| other.abs_diff(bin));
                numbers[bin] = nearest.map_or(0, |other| numbers[other]);
            }
            of_bins.push(numbers);
        }
        ActivityModel::new(self.channels, self.weights, self.bases, of_bins, tables)
    }
}

/// Weights of a subband and the bases of its channels, in units.
///
/// Least squares over all channels for magnitude = share * (mean of the channel) + weights * neighbours, without negative
/// weights; a channel counts by the inverse of its mean, since the relative error is what costs bits.
fn fit_subband(channels: &[Moments], means: &[f64]) -> ([u8; NEIGHBOURS], Vec<u16>) {
    // Unknowns: the weights, then the share of the mean.
    const UNKNOWNS: usize = NEIGHBOURS + 1;
    let mut normal = [[0f64; UNKNOWNS]; UNKNOWNS];
    let mut right = [0f64; UNKNOWNS];
    for (moments, &mean) in channels.iter().zip(means).filter(|(moments, _)| moments.indices() > 0) {
        let importance = 1.0 / (0.1 + mean);
        let product = |i: usize, j: usize| moments.sums[i.min(j)][i.max(j)] as f64;
        for (i, (row, right)) in normal.iter_mut().zip(&mut right).enumerate() {
            for (j, entry) in row.iter_mut().enumerate() {
                *entry += importance
                    * match (i, j) {
                        (NEIGHBOURS, NEIGHBOURS) => product(0, 0) * mean * mean,
                        (NEIGHBOURS, j) => product(0, j + 1) * mean,
                        (i, NEIGHBOURS) => product(0, i + 1) * mean,
                        (i, j) => product(i + 1, j + 1),
                    };
            }
            *right += importance * if i == NEIGHBOURS { product(0, OWN) * mean } else { product(i + 1, OWN) };
        }
    }
    let solution = solve_nonnegative(&normal, &right);
    let unit = f64::from(1u32 << UNIT_BITS);
    let weights = std::array::from_fn(|i| (solution[i] * unit).round().clamp(0.0, 255.0) as u8);
    let base = |mean: &f64| (solution[NEIGHBOURS] * mean * unit).round().clamp(1.0, f64::from(MAX_BASE));
    (weights, means.iter().map(|mean| base(mean) as u16).collect())
}

/// Minimises the quadratic form under x >= 0 by coordinate descent, which is plain and converges for these few unknowns.
fn solve_nonnegative<const N: usize>(normal: &[[f64; N]; N], right: &[f64; N]) -> [f64; N] {
    let mut x = [0f64; N];
    for _ in 0..500 {
        for i in 0..N {
            let rest: f64 = (0..N).filter(|&j| j != i).map(|j| normal[i][j] * x[j]).sum();
            // A little towards zero, for neighbours that never differ.
            let curvature = normal[i][i] * (1.0 + 1e-6) + 1e-9;
            x[i] = ((right[i] - rest) / curvature).max(0.0);
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_found_again() {
        // Magnitude = left / 2 + parent / 4, exactly.
        let mut moments = Moments::NONE;
        for left in 0..6u8 {
            for parent in 0..6u8 {
                moments.count([2 * left, 7, 4 * parent, 0, 0], left + parent);
            }
        }
        let (weights, bases) = fit_subband(&[moments], &[moments.mean()]);
        assert_eq!((weights[0], weights[2]), (128, 64));
        assert!(weights[1] <= 1 && weights[3] == 0 && bases[0] <= 4, "{weights:?} {bases:?}");
    }

    #[test]
    fn channels_differ_in_their_bases() {
        let mut moments = [Moments::NONE; 3];
        for i in 0..100u8 {
            moments[0].count([0; NEIGHBOURS], i % 2);
            moments[1].count([0; NEIGHBOURS], 3 * (i % 2));
        }
        let (_, bases) = fit_subband(&moments, &moments.map(|moments| moments.mean()));
        assert_eq!(bases, [128, 384, 1]);
    }

    #[test]
    fn bins_without_counts_have_a_table_too() {
        let mut moments = Moments::NONE;
        moments.count([0; NEIGHBOURS], 1);
        let mut counts = ActivityCounts::fit(&[moments], 1);
        counts.count(0, 0, [0; NEIGHBOURS], 1);
        let model = counts.finish(false);
        assert_eq!(model.tables().len(), 1);
        assert!(model.tables()[0].frequency(1) > 30_000);
    }
}

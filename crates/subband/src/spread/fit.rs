//! Fitting a spread model: to the maps of a tap, by Newton steps and counts, or to the indices of one stream, by sums.

use std::collections::BTreeMap;

use super::model::{
    COARSE, DETAIL_COARSE, INPUTS, LOWEST_COARSE, MAX_COARSE, MAX_OFFSET, MAX_TABLES, Offsets, OffsetsApart, SIGN_BINS,
    SpreadModel, Tables, Weights, has_input,
};
use super::walk::{SpreadScratch, SpreadWalk, sign_context};
use super::{BINS, UNITS, builtin};
use crate::entropy::{CLASSES, ClusterLimits, Histogram, MagnitudeTable, class, cluster, log2};
use crate::plane::{IndexBlocks, PlaneQuantizer};

/// Indices of a tap that are kept for the fit.
const KEPT_INDICES: usize = 1 << 21;
/// Indices of a subband that the fit looks at.
const SEEN: usize = 1 << 17;
/// Newton steps.
const STEPS: usize = 14;

/// Indices of some maps of a tap. Which ones does not depend on their order: those with the smallest checksums.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptMaps {
    maps: BTreeMap<u32, Vec<i16>>,
}

impl KeptMaps {
    pub fn observe(&mut self, indices: &IndexBlocks) {
        let map: Vec<i16> = indices.values().iter().map(|&index| index.clamp(-32_767, 32_767) as i16).collect();
        let mut hasher = crc32fast::Hasher::new();
        map.iter().for_each(|index| hasher.update(&index.to_le_bytes()));
        self.insert(hasher.finalize(), map);
    }

    pub fn merge(&mut self, other: &KeptMaps) {
        for (&checksum, map) in &other.maps {
            self.insert(checksum, map.clone());
        }
    }

    fn insert(&mut self, checksum: u32, map: Vec<i16>) {
        let limit = (KEPT_INDICES / map.len().max(1)).max(1);
        self.maps.insert(checksum, map);
        while self.maps.len() > limit {
            self.maps.pop_last();
        }
    }
}

/// What the fit knows of one index.
struct Sample {
    inputs: [u8; INPUTS],
    channel: u16,
    magnitude: u16,
}

/// Offsets and weights without tables, and the counts that tables will be made of.
#[derive(Debug, Clone)]
pub(crate) struct SpreadCounts {
    estimator: SpreadModel,
    levels: Vec<[i8; INPUTS]>,
    offsets: Offsets,
    /// By subband and bin.
    counts: Vec<Histogram>,
    /// By subband, bin of the slope, and whether the sign is another than foretold.
    signs: Vec<[u64; 2]>,
}

impl SpreadCounts {
    /// Fits weights and offsets to kept maps.
    pub fn fit(quantizer: &PlaneQuantizer, channels: usize, kept: &KeptMaps) -> Self {
        let subbands = quantizer.layout.blocks.len();
        let mut samples: Vec<Vec<Sample>> = (0..subbands).map(|_| Vec::new()).collect();
        let blank = SpreadModel::new(subbands, channels, Offsets::Each(vec![0; subbands * channels]), None, None);
        let mut scratch = SpreadScratch::default();
        let mut indices = IndexBlocks::default();
        indices.reset(&quantizer.layout, channels);
        let mut random = 1u64;
        for map in kept.maps.values() {
            indices.values_mut().iter_mut().zip(map).for_each(|(index, &kept)| *index = kept.into());
            let walk = SpreadWalk { quantizer, model: &blank, first_channel: 0, channels };
            walk.each_inputs(&indices, &mut scratch, |subband, channel, inputs, index| {
                let all = quantizer.layout.blocks[subband].len() * channels * kept.maps.len();
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if (random >> 33) as usize % all.max(1) < SEEN {
                    let magnitude = index.unsigned_abs().min(u16::MAX.into()) as u16;
                    samples[subband].push(Sample { inputs, channel: channel as u16, magnitude });
                }
            });
        }
        let fitted: Vec<_> =
            samples.iter().enumerate().map(|(subband, samples)| fit_subband(subband, samples, channels)).collect();
        let levels: Vec<_> = fitted.iter().map(|(weights, _)| *weights).collect();
        let offsets = Offsets::Each(fitted.into_iter().flat_map(|(_, offsets)| offsets).collect());
        let signs = vec![[128; SIGN_BINS]; subbands.saturating_sub(1)];
        let weights = Weights { levels: levels.clone(), signs };
        SpreadCounts {
            estimator: SpreadModel::new(subbands, channels, offsets.clone(), Some(weights), None),
            levels,
            offsets,
            counts: vec![Histogram::EMPTY; subbands * BINS],
            signs: vec![[0; 2]; subbands * SIGN_BINS],
        }
    }

    /// Counts the indices of a map.
    pub fn count(
        &mut self,
        quantizer: &PlaneQuantizer,
        channels: usize,
        indices: &IndexBlocks,
        scratch: &mut SpreadScratch,
    ) {
        let SpreadCounts { estimator, counts, signs, .. } = self;
        let walk = SpreadWalk { quantizer, model: estimator, first_channel: 0, channels };
        walk.each_index(indices, scratch, |subband, _, bin, slope, index| {
            let count = &mut counts[subband * BINS + usize::from(bin)].counts[usize::from(class(index.unsigned_abs()))];
            *count = count.saturating_add(1);
            if index != 0 {
                let (bin, foretold) = sign_context(slope);
                signs[subband * SIGN_BINS + bin][usize::from((index < 0) != foretold)] += 1;
            }
        });
    }

    pub fn add(&mut self, other: &SpreadCounts) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| a.add(b));
        self.signs.as_flattened_mut().iter_mut().zip(other.signs.as_flattened()).for_each(|(a, b)| *a += b);
    }

    /// The model with tables for what was counted.
    pub fn finish(self) -> SpreadModel {
        let limits = ClusterLimits { max_tables: MAX_TABLES, tables_cost: false };
        let (table_of, clusters) = cluster(&self.counts, limits);
        let tables = clusters
            .iter()
            .map(|counts| {
                MagnitudeTable::from_counts(counts.counts[..CLASSES].try_into().expect("there are more tokens"))
            })
            .collect();
        let of_subbands = table_of.chunks_exact(BINS).zip(self.counts.chunks_exact(BINS));
        let table_of = of_subbands.map(|(numbers, counts)| with_unseen(numbers, counts)).collect();
        let subbands = self.levels.len();
        let signs = self.signs[SIGN_BINS.min(self.signs.len())..].chunks_exact(SIGN_BINS);
        let signs = signs.map(|bins| std::array::from_fn(|bin| share(bins[bin]))).collect();
        let channels = self.estimator.offsets(0).len();
        let weights = Weights { levels: self.levels, signs };
        SpreadModel::new(subbands, channels, self.offsets, Some(weights), Some(Tables { table_of, tables }))
    }
}

/// Signs as foretold, of 256, by counts of those and of others; near a half where there are few.
fn share([foretold, other]: [u64; 2]) -> u8 {
    ((256 * (foretold + 8)) / (foretold + other + 16)).clamp(1, 255) as u8
}

/// Bins that never occurred take the table of the nearest one that did, so that new data find something sane.
fn with_unseen(numbers: &[u8], counts: &[Histogram]) -> [u8; BINS] {
    let seen = |bin: usize| counts[bin].total() > 0;
    std::array::from_fn(|bin| {
        let nearest = (0..BINS).filter(|&other| seen(other)).min_by_key(|other| other.abs_diff(bin));
        nearest.map_or(0, |other| numbers[other])
    })
}

/// Weights of a subband and offsets of its channels, in units.
///
/// Maximises the likelihood of rounded logistic distributions whose spread is two to the estimate, by Fisher's scoring: steps
/// as Newton's with the expected curvature. The offsets, one a channel, are eliminated from each step.
fn fit_subband(subband: usize, samples: &[Sample], channels: usize) -> ([i8; INPUTS], Vec<i16>) {
    let used: Vec<usize> = (0..INPUTS).filter(|&input| has_input(subband, input)).collect();
    let mut sums = vec![[0f64; 2]; channels];
    for sample in samples {
        sums[usize::from(sample.channel)][0] += f64::from(sample.magnitude);
        sums[usize::from(sample.channel)][1] += 1.0;
    }
    let all = sums.iter().fold([0.0; 2], |all, sum| [all[0] + sum[0], all[1] + sum[1]]);
    // A channel begins from its mean, as if it had one more index with that of all, and is held there a little.
    let prior = (all[0] + 0.01) / (all[1] + 1.0);
    let start: Vec<f64> = sums.iter().map(|sum| spread_of_mean((sum[0] + prior) / (sum[1] + 1.0)).ln()).collect();
    let mut offsets = start.clone();
    let mut weights = [0f64; INPUTS];
    let information = Information::new();
    for step in 0..STEPS {
        let mut gradient = [0f64; INPUTS];
        let mut normal = [[0f64; INPUTS]; INPUTS];
        let mut of_channels = vec![([0f64; INPUTS], HOLD, 0f64); channels];
        for ((_, _, gradient), (offset, start)) in of_channels.iter_mut().zip(offsets.iter().zip(&start)) {
            *gradient = HOLD * (offset - start);
        }
        for Sample { inputs, channel, magnitude } in samples {
            let channel = usize::from(*channel);
            let estimate = used.iter().fold(offsets[channel], |sum, &i| sum + weights[i] * f64::from(inputs[i]));
            let error = slope(estimate, *magnitude);
            let curvature = information.at(estimate);
            let (cross, own, own_gradient) = &mut of_channels[channel];
            *own += curvature;
            *own_gradient += error;
            for (position, &i) in used.iter().enumerate().filter(|(_, i)| inputs[**i] > 0) {
                let x = f64::from(inputs[i]);
                gradient[i] += error * x;
                cross[i] += curvature * x;
                used[position..].iter().for_each(|&j| normal[i][j] += curvature * x * f64::from(inputs[j]));
            }
        }
        for (position, &i) in used.iter().enumerate() {
            normal[i][i] *= 1.0 + 1e-4;
            normal[i][i] += 1.0;
            gradient[i] += weights[i];
            for &j in &used[position..] {
                normal[j][i] = normal[i][j];
            }
        }
        for (cross, own, own_gradient) in &of_channels {
            for &i in &used {
                gradient[i] -= cross[i] * own_gradient / own;
                used.iter().for_each(|&j| normal[i][j] -= cross[i] * cross[j] / own);
            }
        }
        let change = solve(normal, gradient, &used);
        // The first steps may overshoot.
        let part = if step < 4 { 0.5 } else { 1.0 };
        for &i in &used {
            weights[i] = (weights[i] - (part * change[i]).clamp(-0.1, 0.1)).clamp(-0.34, 0.34);
        }
        for (offset, (cross, own, own_gradient)) in offsets.iter_mut().zip(&of_channels) {
            let known: f64 = used.iter().map(|&i| cross[i] * change[i]).sum();
            *offset -= part * ((own_gradient - known) / own).clamp(-1.0, 1.0);
        }
    }
    let unit = f64::from(UNITS) / std::f64::consts::LN_2;
    let mut rounded = weights.map(|weight| (weight * unit).round().clamp(-127.0, 127.0) as i8);
    while !Weights::fit_in_sums(&rounded) {
        rounded = rounded.map(|weight| weight / 2);
    }
    let limit = f64::from(MAX_OFFSET);
    (rounded, offsets.iter().map(|offset| (offset * unit).round().clamp(-limit, limit) as i16).collect())
}

/// Weight of what offsets are held at, in indices.
const HOLD: f64 = 1.0;
/// Logarithms of spreads that the fit tells apart.
const ESTIMATES: std::ops::Range<f64> = -4.2..7.0;

/// About the spread that gives a mean magnitude.
fn spread_of_mean(mean: f64) -> f64 {
    if mean > 0.7 { mean / (2.0 * std::f64::consts::LN_2) } else { 0.5 / (2.0 / mean - 1.0).ln() }
}

/// How fast the bits, times ln 2, grow with the estimate.
fn slope(estimate: f64, magnitude: u16) -> f64 {
    let inverse = (-estimate.clamp(ESTIMATES.start, ESTIMATES.end)).exp();
    // The share of magnitudes beyond t is 2 q / (1 + q), q = exp(-t / spread), and grows by 2 q t / spread / (1 + q)^2.
    if magnitude == 0 {
        let x = 0.5 * inverse;
        let q = (-x).exp();
        return 2.0 * q * x / ((1.0 + q) * (1.0 - q));
    }
    let (near, far) = ((f64::from(magnitude) - 0.5) * inverse, (f64::from(magnitude) + 0.5) * inverse);
    let (q, ratio) = ((-near).exp(), (-inverse).exp());
    // Both divided by q, which may be 0.
    let share = 1.0 / (1.0 + q) - ratio / (1.0 + q * ratio);
    let growth = near / (1.0 + q).powi(2) - far * ratio / (1.0 + q * ratio).powi(2);
    // One index must not pull all others.
    (-growth / share).max(-8.0)
}

/// Expected squares of slopes, by the estimate.
struct Information(Vec<f64>);

impl Information {
    const A_UNIT: f64 = 32.0;

    fn new() -> Self {
        let count = ((ESTIMATES.end - ESTIMATES.start) * Self::A_UNIT) as usize + 1;
        let at = |i: usize| {
            let estimate = ESTIMATES.start + i as f64 / Self::A_UNIT;
            let spread = estimate.exp();
            if spread > 8.0 {
                // As without rounding.
                return (std::f64::consts::PI.powi(2) + 3.0) / 9.0;
            }
            let beyond = |t: f64| 2.0 / (1.0 + (t / spread).exp());
            let share = |m: u16| {
                let m = f64::from(m);
                if m == 0.0 { 1.0 - beyond(0.5) } else { beyond(m - 0.5) - beyond(m + 0.5) }
            };
            (0..120).map(|m| share(m) * slope(estimate, m).powi(2)).sum::<f64>().max(1e-6)
        };
        Information((0..count).map(at).collect())
    }

    fn at(&self, estimate: f64) -> f64 {
        let place = (estimate.clamp(ESTIMATES.start, ESTIMATES.end) - ESTIMATES.start) * Self::A_UNIT;
        self.0[place as usize]
    }
}

/// Solves the symmetric equations of the unknowns that are used, by elimination.
fn solve(mut normal: [[f64; INPUTS]; INPUTS], mut right: [f64; INPUTS], used: &[usize]) -> [f64; INPUTS] {
    for (position, &i) in used.iter().enumerate() {
        for &j in &used[position + 1..] {
            let factor = normal[j][i] / normal[i][i];
            used[position..].iter().for_each(|&k| normal[j][k] -= factor * normal[i][k]);
            right[j] -= factor * right[i];
        }
    }
    let mut solution = [0.0; INPUTS];
    for (position, &i) in used.iter().enumerate().rev() {
        let rest: f64 = used[position + 1..].iter().map(|&k| normal[i][k] * solution[k]).sum();
        solution[i] = (right[i] - rest) / normal[i][i];
    }
    solution
}

/// Models for a stream: weights and tables that are built in, with offsets that make the sums of magnitudes come true; one
/// with offsets of subbands alone, one with those of the channels of LL too, and one that has them for all other subbands as well.
/// Integers alone, so that every machine writes the same.
///
/// Of `chunks`, each with its first channel, those in `sample` are looked at. Channels that are in none of these are taken to be
/// like the one whose magnitudes in LL are nearest to theirs in the mean.
pub(crate) fn models_for_stream(
    quantizer: &PlaneQuantizer,
    channels: usize,
    chunks: &[(usize, &IndexBlocks)],
    sample: &[(usize, &IndexBlocks)],
    scratch: &mut SpreadScratch,
) -> [SpreadModel; 3] {
    let subbands = quantizer.layout.blocks.len();
    let model = |apart: &OffsetsApart| SpreadModel::new(subbands, channels, Offsets::Apart(apart.clone()), None, None);
    let none = vec![0; channels];
    let mut plain = OffsetsApart { of_subbands: vec![0; subbands], of_lowest: none.clone(), of_details: none.clone() };
    let fit_once = |apart: &mut OffsetsApart, scratch: &mut SpreadScratch| {
        let sums = sums_of(quantizer, channels, &model(apart), sample, scratch);
        for (of_subband, cells) in apart.of_subbands.iter_mut().zip(sums.chunks_exact(channels.max(1))) {
            *of_subband = (*of_subband + offset_of(cells)).clamp(-MAX_COARSE, MAX_COARSE);
        }
        sums
    };
    fit_once(&mut plain, scratch);
    let sums = fit_once(&mut plain, scratch);
    let nearest = nearest_known(quantizer, channels, chunks, sample);
    let mut by_channel = plain.clone();
    let of_lowest = offset_of(&sums[..channels]);
    for (channel, &known) in nearest.iter().enumerate() {
        let apart = (offset_of(&sums[known..known + 1]) - of_lowest) * COARSE;
        by_channel.of_lowest[channel] = rounded_by(apart, LOWEST_COARSE);
    }
    let mut by_detail = by_channel.clone();
    for (channel, &known) in nearest.iter().enumerate() {
        let details = (1..subbands).map(|subband| sums[subband * channels + known]);
        by_detail.of_details[channel] = rounded_by(offset_of_cells(details) * COARSE, DETAIL_COARSE);
    }
    fit_once(&mut by_detail, scratch);
    [plain, by_channel, by_detail].map(|apart| model(&apart))
}

/// For each channel one that is in the sample: itself or, of those that are, the one whose magnitudes in LL are nearest to its own.
fn nearest_known(
    quantizer: &PlaneQuantizer,
    channels: usize,
    chunks: &[(usize, &IndexBlocks)],
    sample: &[(usize, &IndexBlocks)],
) -> Vec<usize> {
    let seen = channels_in(channels, sample);
    if !seen.contains(&false) {
        return (0..channels).collect();
    }
    let means = mean_magnitudes(quantizer, channels, chunks);
    let known: Vec<usize> = (0..channels).filter(|&channel| seen[channel]).collect();
    let nearest = |channel: usize| known.iter().copied().min_by_key(|&known| means[known].abs_diff(means[channel]));
    (0..channels).map(|channel| if seen[channel] { channel } else { nearest(channel).unwrap_or(channel) }).collect()
}

/// Whether each channel is in one of the chunks.
pub(crate) fn channels_in(channels: usize, chunks: &[(usize, &IndexBlocks)]) -> Vec<bool> {
    let mut seen = vec![false; channels];
    chunks.iter().for_each(|(first, indices)| seen[*first..*first + indices.channels()].fill(true));
    seen
}

/// Mean magnitudes of LL by channel, in units of 2^-16.
fn mean_magnitudes(quantizer: &PlaneQuantizer, channels: usize, chunks: &[(usize, &IndexBlocks)]) -> Vec<u64> {
    let mut sums = vec![[0u64; 2]; channels];
    for (first, indices) in chunks {
        for (slot, [sum, count]) in sums[*first..*first + indices.channels()].iter_mut().enumerate() {
            let block = indices.block(&quantizer.layout, 0, slot);
            *sum += block.iter().map(|index| u64::from(index.unsigned_abs().min(1 << 10))).sum::<u64>();
            *count += block.len() as u64;
        }
    }
    sums.into_iter().map(|[sum, count]| (sum << 16) / count.max(1)).collect()
}

fn rounded_by(number: i16, by: i16) -> i16 {
    (number + by / 2).div_euclid(by)
}

/// Of the indices of a subband and channel.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    magnitudes: u64,
    /// What the estimates expect, in units of 2^-16.
    expected: u64,
    /// How much more they expect an octave higher, in units of 2^-16.
    growth: u64,
}

/// By subband, then channel.
fn sums_of(
    quantizer: &PlaneQuantizer,
    channels: usize,
    model: &SpreadModel,
    chunks: &[(usize, &IndexBlocks)],
    scratch: &mut SpreadScratch,
) -> Vec<Sums> {
    let mut sums = vec![Sums::default(); quantizer.layout.blocks.len() * channels];
    let means = builtin::means();
    // From half an octave below to half an octave above.
    let growths: [u64; BINS] = std::array::from_fn(|bin| means[(bin + 4).min(BINS - 1)] - means[bin.saturating_sub(4)]);
    for &(first_channel, indices) in chunks {
        let walk = SpreadWalk { quantizer, model, first_channel, channels: indices.channels() };
        walk.each_index(indices, scratch, |subband, channel, bin, _, index| {
            let sum = &mut sums[subband * channels + channel];
            sum.magnitudes += u64::from(index.unsigned_abs().min(1 << 10));
            sum.expected += means[usize::from(bin)];
            sum.growth += growths[usize::from(bin)];
        });
    }
    sums
}

/// The offset that makes the expectations of cells come true, about, in coarse units.
fn offset_of(cells: &[Sums]) -> i16 {
    offset_of_cells(cells.iter().copied())
}

fn offset_of_cells(cells: impl Iterator<Item = Sums>) -> i16 {
    let mut all = Sums::default();
    for cell in cells {
        all.magnitudes += cell.magnitudes;
        all.expected += cell.expected;
        all.growth += cell.growth;
    }
    // A little towards no offset.
    let hold = 2 << 16;
    let [wanted, expected] = [(all.magnitudes << 16) + hold, all.expected + hold].map(|sum| log2(sum) as i64);
    // Logarithms have 16 bits below the point.
    let octaves = i128::from(wanted - expected) * i128::from(all.expected + hold) / i128::from(all.growth + hold);
    let per_octave = i64::from(UNITS / COARSE);
    ((octaves.clamp(-3 << 16, 3 << 16) as i64 * per_octave + (1 << 15)) >> 16) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::Coding;
    use crate::quantize::Steps;
    use crate::wavelet::Wavelet;

    #[test]
    fn weights_are_found_again() {
        // Spreads two to the offset of the channel and a quarter octave for each level to the left, sampled by ranks.
        let mut samples = Vec::new();
        for channel in 0..2u16 {
            for left in [0u8, 4, 8] {
                let spread = (f64::from(channel) - 1.0 + f64::from(left) / 4.0).exp2();
                for rank in 0..2000 {
                    // The magnitude at a share of (rank + 1/2) / 2000 from the top.
                    let share = (f64::from(rank) + 0.5) / 2000.0;
                    let magnitude = (spread * (2.0 / share - 1.0).ln() + 0.5).floor() as u16;
                    let mut inputs = [0; INPUTS];
                    (inputs[0], inputs[1]) = (left, 7);
                    samples.push(Sample { inputs, channel, magnitude });
                }
            }
        }
        let (weights, offsets) = fit_subband(0, &samples, 2);
        assert!((weights[0] - 64).abs() <= 2, "{weights:?}");
        assert!((offsets[1] - offsets[0] - 256).abs() <= 12, "{offsets:?}");
        assert!((offsets[1] + 7 * i16::from(weights[1])).abs() <= 16, "{offsets:?} {weights:?}");
    }

    #[test]
    fn kept_maps_do_not_depend_on_their_order() {
        let quantizer = PlaneQuantizer::new(Coding::new(Wavelet::Haar, 1, Steps::Uniform(1.0)), 64, 64, 64).unwrap();
        let maps: Vec<IndexBlocks> = (0..20)
            .map(|seed| {
                let mut indices = IndexBlocks::default();
                indices.reset(&quantizer.layout, 64);
                indices.values_mut().iter_mut().enumerate().for_each(|(i, index)| *index = (i % (seed + 2)) as i32);
                indices
            })
            .collect();
        let mut all = KeptMaps::default();
        maps.iter().for_each(|map| all.observe(map));
        let (mut a, mut b) = (KeptMaps::default(), KeptMaps::default());
        maps.iter().rev().enumerate().for_each(|(i, map)| if i % 3 == 0 { a.observe(map) } else { b.observe(map) });
        a.merge(&b);
        assert_eq!(a.maps, all.maps);
        assert_eq!(a.maps.len(), 8);
    }

    #[test]
    fn slopes_are_those_of_the_bits() {
        let nats = |estimate: f64, magnitude: f64| {
            let beyond = |t: f64| 2.0 / (1.0 + (t / estimate.exp()).exp());
            let below = if magnitude == 0.0 { 1.0 } else { beyond(magnitude - 0.5) };
            -(below - beyond(magnitude + 0.5)).ln()
        };
        for estimate in [-1.5, 0.0, 2.0] {
            for magnitude in [0u16, 1, 2, 5] {
                let m = f64::from(magnitude);
                let found = (nats(estimate + 1e-5, m) - nats(estimate - 1e-5, m)) / 2e-5;
                assert!((slope(estimate, magnitude) - found.max(-8.0)).abs() < 1e-4, "{estimate} {magnitude}: {found}");
            }
        }
    }
}

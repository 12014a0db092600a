//! What codes the indices of a self-contained stream: the tables that take fewest bits, their own included.

use crate::effort::Effort;
use crate::entropy::{ActivityCounts, BitWriter, COST_BITS, ContextTables, Histogram, Moments, count_moments};
use crate::format::{ChunkCoder, ChunkScratch, EntropyModel};
use crate::index_walk::{IndexWalk, WalkScratch};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::wavelet::SubbandLayout;

/// More contexts than this are not worth their tables.
const MAX_CONTEXTS: usize = 1 << 14;
/// An activity model is fitted to chunks of about so many values, spread over the tensor. All 800,000 values of a large map
/// would take five times as long as coding it.
const FITTED_VALUES: usize = 1 << 17;

/// Tables for `chunks` of a tensor of `channels` channels, each with its first channel. Effort max is default: a mixing model
/// takes tens of kilobytes and seconds of training.
pub(crate) fn choose_model(
    quantizer: &PlaneQuantizer,
    channels: usize,
    chunks: &[(usize, &IndexBlocks)],
    effort: Effort,
) -> EntropyModel {
    let (counts, told_apart) = count_tokens(&quantizer.layout, channels, chunks);
    let order_zero = order_zero_model(&counts, told_apart);
    if effort == Effort::Fast || told_apart < channels {
        return order_zero;
    }
    let means: Vec<f64> = counts.iter().map(Histogram::mean_magnitude).collect();
    let values: usize = chunks.iter().map(|(_, indices)| indices.values().len()).sum();
    let stride = values.div_ceil(FITTED_VALUES).max(1);
    let sample: Vec<_> = chunks.iter().step_by(stride).copied().collect();
    let activity = activity_model(quantizer, channels, &means, &sample);
    // What the sample takes with each, for the whole tensor, and the models themselves.
    let sampled: usize = sample.iter().map(|(_, indices)| indices.values().len()).sum();
    let total = |model: &EntropyModel| {
        let coder = ChunkCoder::for_encoding(model.clone());
        let mut scratch = ChunkScratch::default();
        let costs = sample.iter().flat_map(|(first, indices)| coder.costs(quantizer, *first, indices, &mut scratch));
        let bits = u128::from(costs.sum::<u64>() >> COST_BITS);
        bits * values as u128 / sampled.max(1) as u128 + model_bits(model)
    };
    if total(&activity) < total(&order_zero) { activity } else { order_zero }
}

fn model_bits(model: &EntropyModel) -> u128 {
    let mut writer = BitWriter::default();
    match model {
        EntropyModel::OrderZero(tables) => tables.write_to(&mut writer),
        EntropyModel::Activity(model) => model.write_to(&mut writer),
        EntropyModel::Mixing(model) => model.write_to(&mut writer),
    }
    8 * writer.finish().len() as u128
}

/// Tables for counted tokens, by subband, then channel.
pub(crate) fn order_zero_model(counts: &[Histogram], channels: usize) -> EntropyModel {
    EntropyModel::OrderZero(ContextTables::for_stream(counts, channels))
}

/// How many channels counts tell apart: all, or one where that takes too much memory.
pub(crate) fn channels_told_apart(layout: &SubbandLayout, channels: usize) -> usize {
    if layout.blocks.len() * channels <= MAX_CONTEXTS { channels } else { 1 }
}

/// Counts by subband and channel, and how many channels are told apart: all, or one where that takes too much memory.
fn count_tokens(layout: &SubbandLayout, channels: usize, chunks: &[(usize, &IndexBlocks)]) -> (Vec<Histogram>, usize) {
    let subbands = layout.blocks.len();
    let told_apart = channels_told_apart(layout, channels);
    let mut counts = vec![Histogram::EMPTY; subbands * told_apart];
    for (first_channel, indices) in chunks {
        for subband in 0..subbands {
            for slot in 0..indices.channels() {
                let channel = (first_channel + slot) % told_apart;
                counts[subband * told_apart + channel].count(indices.block(layout, subband, slot));
            }
        }
    }
    (counts, told_apart)
}

/// Fitted to some chunks; `means` are the mean magnitudes by subband and channel of all.
fn activity_model(
    quantizer: &PlaneQuantizer,
    channels: usize,
    means: &[f64],
    chunks: &[(usize, &IndexBlocks)],
) -> EntropyModel {
    let mut scratch = WalkScratch::default();
    let mut moments = vec![Moments::NONE; quantizer.layout.blocks.len() * channels];
    for &(first_channel, indices) in chunks {
        let walk = IndexWalk { quantizer, first_channel, channels: indices.channels() };
        walk.each_index(indices, &mut scratch, |subband, channel, neighbours, index| {
            count_moments(&mut moments[subband * channels + channel], neighbours, index);
        });
    }
    let mut counts = ActivityCounts::fit_to_means(&moments, means, channels);
    for &(first_channel, indices) in chunks {
        let walk = IndexWalk { quantizer, first_channel, channels: indices.channels() };
        walk.each_index(indices, &mut scratch, |subband, channel, neighbours, index| {
            counts.count(subband, channel, neighbours, index);
        });
    }
    EntropyModel::Activity(counts.finish(true))
}

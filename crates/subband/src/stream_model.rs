//! What codes the indices of a self-contained stream: the tables that take fewest bits, their own included.

use crate::effort::Effort;
use crate::entropy::{BitWriter, COST_BITS, ContextTables, Histogram};
use crate::format::{ChunkCoder, ChunkScratch, EntropyModel};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::spread::{SpreadScratch, models_for_stream};
use crate::wavelet::SubbandLayout;

/// More contexts than this are not worth their tables.
const MAX_CONTEXTS: usize = 1 << 14;
/// A spread model is fitted to chunks of about so many values, spread over the tensor: it has few numbers.
const FITTED_VALUES: usize = 1 << 17;

/// Tables for `chunks` of a tensor of `channels` channels, each with its first channel. Effort max is default: a mixing model
/// takes tens of kilobytes and seconds of training.
pub(crate) fn choose_model(
    quantizer: &PlaneQuantizer,
    channels: usize,
    chunks: &[(usize, &IndexBlocks)],
    effort: Effort,
) -> EntropyModel {
    let all_counts = || {
        let (counts, told_apart) = count_tokens(&quantizer.layout, channels, chunks);
        order_zero_model(&counts, told_apart)
    };
    if effort == Effort::Fast || channels_told_apart(&quantizer.layout, channels) < channels {
        return all_counts();
    }
    let values: usize = chunks.iter().map(|(_, indices)| indices.values().len()).sum();
    let stride = values.div_ceil(FITTED_VALUES).max(1);
    let sample: Vec<_> = chunks.iter().step_by(stride).copied().collect();
    let sampled: usize = sample.iter().map(|(_, indices)| indices.values().len()).sum();
    let whole = |bits: u64| u128::from(bits) * values as u128 / sampled.max(1) as u128;
    // What the sample takes with a model, for the whole tensor, and the model itself.
    let mut scratch = ChunkScratch::default();
    let mut total = |model: &EntropyModel| {
        let coder = ChunkCoder::for_encoding(model.clone());
        let costs = sample.iter().flat_map(|(first, indices)| coder.costs(quantizer, *first, indices, &mut scratch));
        whole(costs.sum::<u64>() >> COST_BITS) + model_bits(model)
    };
    let models = models_for_stream(quantizer, channels, &sample, &mut SpreadScratch::default());
    let [plain, by_channel] = models.map(EntropyModel::Spread).map(|model| (total(&model), model));
    let (least, spread) = if by_channel.0 < plain.0 { by_channel } else { plain };
    // Order-0 coding cannot take less than the entropy by subband and channel.
    let (counts, told_apart) = count_tokens(&quantizer.layout, channels, &sample);
    if least <= whole(counts.iter().map(Histogram::entropy).sum::<u64>() >> COST_BITS) {
        return spread;
    }
    if least < total(&order_zero_model(&counts, told_apart)) {
        return spread;
    }
    all_counts()
}

fn model_bits(model: &EntropyModel) -> u128 {
    let mut writer = BitWriter::default();
    match model {
        EntropyModel::OrderZero(tables) => tables.write_to(&mut writer),
        EntropyModel::Activity(model) => model.write_to(&mut writer),
        EntropyModel::Mixing(model) => model.write_to(&mut writer),
        EntropyModel::Spread(model) => model.write_to(&mut writer),
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

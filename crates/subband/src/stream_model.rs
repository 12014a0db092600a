//! What codes the indices of a self-contained stream: the tables that take fewest bits, their own included.

use crate::effort::Effort;
use crate::entropy::{BitWriter, COST_BITS, ChannelGroups, ContextTables, Histogram, raw_bits};
use crate::format::{ChunkCoder, ChunkScratch, EntropyModel};
use crate::kernel::{Isa, count_nonzero, count_nonzero_tokens};
use crate::parallel::{self, Pool};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::spread::{SpreadScratch, channels_in, models_for_stream};
use crate::token_blocks::TokenBlocks;
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
    let order_zero =
        |chunks: &[(usize, &IndexBlocks)]| EntropyModel::OrderZero(order_zero_tables(quantizer, channels, chunks));
    if effort == Effort::Fast || channels * quantizer.layout.blocks.len() > MAX_CONTEXTS {
        return order_zero(chunks);
    }
    let sample = sample_of(chunks);
    let [values, sampled] = [values_of(chunks), values_of(&sample)];
    let whole = |bits: u64| u128::from(bits) * values as u128 / sampled.max(1) as u128;
    // What the sample takes with a model, for the whole tensor, and the model itself.
    let mut scratch = ChunkScratch::default();
    let mut total = |model: &EntropyModel| {
        let coder = ChunkCoder::for_costs(model.clone());
        let costs = sample.iter().flat_map(|(first, indices)| coder.costs(quantizer, *first, indices, &mut scratch));
        whole(costs.sum::<u64>() >> COST_BITS) + model_bits(model)
    };
    let models = models_for_stream(quantizer, channels, chunks, &sample, &mut SpreadScratch::default());
    let priced = models.map(EntropyModel::Spread).map(|model| (total(&model), model));
    let (least, spread) = priced.into_iter().min_by_key(|(bits, _)| *bits).expect("there are models");
    // No tables take less than the entropy of what is counted.
    let counted = CountedTokens::new(quantizer, channels, &sample);
    let bound = whole(counted.histograms.iter().map(Histogram::entropy).sum::<u64>() >> COST_BITS);
    if least <= bound || least < total(&EntropyModel::OrderZero(counted.tables())) {
        return spread;
    }
    order_zero(chunks)
}

fn values_of(chunks: &[(usize, &IndexBlocks)]) -> usize {
    chunks.iter().map(|(_, indices)| indices.values().len()).sum()
}

/// The chunks that a model is fitted to.
fn sample_of<'c>(chunks: &[(usize, &'c IndexBlocks)]) -> Vec<(usize, &'c IndexBlocks)> {
    let stride = values_of(chunks).div_ceil(FITTED_VALUES).max(1);
    chunks.iter().step_by(stride).copied().collect()
}

/// Tables that take fewer bits than the payloads of a spread model for the same chunks, if there may be such since the model
/// was fitted to some channels alone.
pub(crate) fn better_tables(
    quantizer: &PlaneQuantizer,
    channels: usize,
    chunks: &[(usize, &IndexBlocks)],
    payload_bytes: usize,
) -> Option<EntropyModel> {
    if !channels_in(channels, &sample_of(chunks)).contains(&false) {
        return None;
    }
    let counted = CountedTokens::new(quantizer, channels, chunks);
    let tables = counted.tables();
    let bits = counted.bits(&tables);
    let model = EntropyModel::OrderZero(tables);
    (u128::from(bits) + model_bits(&model) < 8 * payload_bytes as u128).then_some(model)
}

fn model_bits(model: &EntropyModel) -> u128 {
    let mut writer = BitWriter::default();
    match model {
        EntropyModel::OrderZero(tables) => tables.write_to(&mut writer),
        EntropyModel::Activity(model) => model.write_to(&mut writer),
        EntropyModel::Mixing(model) => model.write_to(&mut writer),
        EntropyModel::Spread(model) => model.write_short(&mut writer),
    }
    8 * writer.finish().len() as u128
}

/// Indices that can be counted, by subband and slot.
pub(crate) trait Countable: Sync {
    fn channels(&self) -> usize;
    /// How many indices of a block are not 0.
    fn nonzero(&self, layout: &SubbandLayout, subband: usize, slot: usize) -> usize;
    /// Adds the tokens of a block.
    fn count(&self, layout: &SubbandLayout, subband: usize, slot: usize, histogram: &mut Histogram);
}

impl Countable for IndexBlocks {
    fn channels(&self) -> usize {
        self.channels()
    }

    fn nonzero(&self, layout: &SubbandLayout, subband: usize, slot: usize) -> usize {
        count_nonzero(Isa::current(), self.block(layout, subband, slot))
    }

    fn count(&self, layout: &SubbandLayout, subband: usize, slot: usize, histogram: &mut Histogram) {
        histogram.count(self.block(layout, subband, slot));
    }
}

impl Countable for TokenBlocks {
    fn channels(&self) -> usize {
        self.channels()
    }

    fn nonzero(&self, layout: &SubbandLayout, subband: usize, slot: usize) -> usize {
        count_nonzero_tokens(Isa::current(), &self.tokens()[self.range(layout, subband, slot..slot + 1)])
    }

    fn count(&self, layout: &SubbandLayout, subband: usize, slot: usize, histogram: &mut Histogram) {
        histogram.count_tokens(&self.tokens()[self.range(layout, subband, slot..slot + 1)]);
    }
}

/// Order-0 tables for `chunks` of a tensor of `channels` channels, each with its first channel.
pub(crate) fn order_zero_tables(
    quantizer: &PlaneQuantizer,
    channels: usize,
    chunks: &[(usize, &impl Countable)],
) -> ContextTables {
    CountedTokens::new(quantizer, channels, chunks).tables()
}

/// The tokens of some chunks, counted by subband, then group of channels.
struct CountedTokens {
    groups: ChannelGroups,
    histograms: Vec<Histogram>,
}

impl CountedTokens {
    fn new(quantizer: &PlaneQuantizer, channels: usize, chunks: &[(usize, &impl Countable)]) -> Self {
        let layout = &quantizer.layout;
        let kept = |channel: usize| (0..layout.blocks.len()).filter(move |&b| quantizer.coding.keeps(channel, b));
        let own = parallel::map(chunks.to_vec(), |_: &mut (), _, (first_channel, indices)| {
            let of_slot =
                |slot: usize| kept(first_channel + slot).map(|b| indices.nonzero(layout, b, slot) as u64).sum();
            Ok((0..indices.channels()).map(of_slot).collect::<Vec<u64>>())
        });
        let mut nonzero = vec![0; channels];
        for ((first_channel, _), own) in chunks.iter().zip(own.expect("counting does not fail")) {
            nonzero[*first_channel..].iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        }
        let groups = ChannelGroups::by_activity(&nonzero);
        let counts = Pool::<Vec<Histogram>>::default();
        let counted = parallel::map_with(&counts, chunks.to_vec(), |counts, _, (first_channel, indices)| {
            counts.resize(layout.blocks.len() * groups.groups(), Histogram::EMPTY);
            for slot in 0..indices.channels() {
                let channel = first_channel + slot;
                for subband in kept(channel) {
                    let context = subband * groups.groups() + groups.group(channel);
                    indices.count(layout, subband, slot, &mut counts[context]);
                }
            }
            Ok(())
        });
        counted.expect("counting does not fail");
        let mut histograms = vec![Histogram::EMPTY; layout.blocks.len() * groups.groups()];
        for counts in counts.into_states() {
            histograms.iter_mut().zip(&counts).for_each(|(sum, counts)| sum.add(counts));
        }
        CountedTokens { groups, histograms }
    }

    fn tables(&self) -> ContextTables {
        ContextTables::for_stream(&self.groups, &self.histograms)
    }

    /// What the tokens cost with tables for them, raw bits included.
    fn bits(&self, tables: &ContextTables) -> u64 {
        let groups = self.groups.groups();
        let mut bits = 0;
        for (context, histogram) in self.histograms.iter().enumerate() {
            // All channels of a group have the same table.
            let Some(channel) = self.groups.first_of(context % groups) else { continue };
            let table = &tables.tables()[usize::from(tables.table_of(context / groups, channel))];
            let counts = histogram.counts.iter().zip(table.costs()).zip(0..);
            bits += counts
                .map(|((&count, cost), token)| {
                    u64::from(count) * (u64::from(cost) + (u64::from(raw_bits(token)) << COST_BITS))
                })
                .sum::<u64>();
        }
        bits >> COST_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::Coding;
    use crate::quantize::Steps;
    use crate::wavelet::Wavelet;

    #[test]
    fn tables_are_tried_where_channels_were_not_looked_at() {
        let coding = Coding::new(Wavelet::None, 0, Steps::Uniform(1.0));
        let quantizer = PlaneQuantizer::new(coding, 6, 256, 256).unwrap();
        let chunk = |number: usize| {
            let mut indices = IndexBlocks::default();
            indices.reset(&quantizer.layout, 1);
            indices
                .values_mut()
                .iter_mut()
                .enumerate()
                .for_each(|(i, index)| *index = (i * 7 % 13 % 3 * number) as i32);
            indices
        };
        let chunks: Vec<IndexBlocks> = (0..6).map(chunk).collect();
        let of_channels: Vec<_> = chunks.iter().enumerate().collect();
        // Six chunks of 2^16 values: every third is looked at.
        let tables = order_zero_tables(&quantizer, 6, &of_channels);
        let coder = ChunkCoder::for_encoding(EntropyModel::OrderZero(tables));
        let mut payload = Vec::new();
        for (first_channel, indices) in &of_channels {
            coder.encode(&quantizer, *first_channel, indices, &mut ChunkScratch::default(), &mut payload);
        }
        assert!(better_tables(&quantizer, 6, &of_channels, payload.len() * 102 / 100).is_some());
        assert!(better_tables(&quantizer, 6, &of_channels, payload.len() * 98 / 100).is_none());
        // The same channel in all chunks: all channels were looked at.
        let of_items: Vec<_> = chunks.iter().map(|indices| (0, indices)).collect();
        assert!(better_tables(&quantizer, 1, &of_items, usize::MAX >> 8).is_none());
    }
}

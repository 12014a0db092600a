//! The coders of chunks: which kind of payload, with its tables prepared.

use super::activity_chunk::{
    ActivityScratch, PreparedActivity, activity_costs, decode_activity_chunk, encode_activity_chunk, trade_activity,
};
use super::chunk::{
    OrderZeroScratch, PreparedTables, decode_chunk, decode_tokens, encode_chunk, encode_tokens, order_zero_costs,
    trade_order_zero,
};
use super::mixing_chunk::{decode_mixing_chunk, encode_mixing_chunk, mixing_costs, trade_mixing};
use super::spread_chunk::{
    PreparedSpread, SpreadChunkScratch, decode_spread_chunk, encode_spread_chunk, spread_costs, trade_spread,
};
use crate::entropy::{ActivityModel, ChannelGroups, ContextTables, Histogram};
use crate::error::Result;
use crate::mixing::{MixingModel, MixingScratch};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::rate::Trade;
use crate::spread::SpreadModel;
use crate::token_blocks::TokenBlocks;

/// What codes the indices of chunks, as streams and profiles hold it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EntropyModel {
    /// Tables by subband and channel group.
    OrderZero(ContextTables),
    /// Tables by an estimate of each magnitude.
    Activity(ActivityModel),
    /// Networks; of profiles alone.
    Mixing(MixingModel),
    /// Tables by an estimate of how far each index spreads.
    Spread(SpreadModel),
}

impl EntropyModel {
    /// For tensors without values or without indices.
    pub fn nothing() -> Self {
        EntropyModel::OrderZero(ContextTables::for_stream(&ChannelGroups::by_activity(&[]), &[Histogram::EMPTY]))
    }

    pub fn payload_kind(&self) -> PayloadKind {
        match self {
            EntropyModel::OrderZero(_) => PayloadKind::OrderZero,
            EntropyModel::Activity(_) => PayloadKind::Activity,
            EntropyModel::Mixing(_) => PayloadKind::Mixing,
            EntropyModel::Spread(_) => PayloadKind::Spread,
        }
    }
}

/// Kind of the payload of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadKind {
    OrderZero,
    Activity,
    Mixing,
    Spread,
}

impl PayloadKind {
    /// What a tap must have for it, for messages.
    pub fn needs(self) -> &'static str {
        match self {
            PayloadKind::OrderZero => "tables",
            PayloadKind::Activity => "an activity model",
            PayloadKind::Mixing => "a mixing model",
            PayloadKind::Spread => "a spread model",
        }
    }
}

/// An entropy model prepared for coding.
#[derive(Debug, Clone)]
pub(crate) enum ChunkCoder {
    OrderZero(PreparedTables),
    Activity(PreparedActivity),
    Mixing(MixingModel),
    Spread(PreparedSpread),
}

/// Working memory for chunks; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct ChunkScratch {
    order_zero: OrderZeroScratch,
    activity: ActivityScratch,
    mixing: MixingScratch,
    spread: SpreadChunkScratch,
}

impl ChunkCoder {
    pub fn new(model: EntropyModel) -> Self {
        match model {
            EntropyModel::OrderZero(tables) => ChunkCoder::OrderZero(PreparedTables::new(tables)),
            EntropyModel::Activity(model) => ChunkCoder::Activity(PreparedActivity::new(model)),
            EntropyModel::Mixing(model) => ChunkCoder::Mixing(model),
            EntropyModel::Spread(model) => ChunkCoder::Spread(PreparedSpread::new(model)),
        }
    }

    /// For encoding only: decoding tables are left out.
    pub fn for_encoding(model: EntropyModel) -> Self {
        match model {
            EntropyModel::OrderZero(tables) => ChunkCoder::OrderZero(PreparedTables::for_encoding(tables)),
            model => Self::new(model),
        }
    }

    /// For costs only.
    pub fn for_costs(model: EntropyModel) -> Self {
        match model {
            EntropyModel::OrderZero(tables) => ChunkCoder::OrderZero(PreparedTables::for_costs(tables)),
            model => Self::for_decoding(model),
        }
    }

    /// For decoding and costs only: encoding tables are left out.
    pub fn for_decoding(model: EntropyModel) -> Self {
        match model {
            EntropyModel::OrderZero(tables) => ChunkCoder::OrderZero(PreparedTables::for_decoding(tables)),
            EntropyModel::Spread(model) => ChunkCoder::Spread(PreparedSpread::for_decoding(model)),
            model => Self::new(model),
        }
    }

    /// Prepares for chunks that are whole maps of so many channels.
    pub fn plan_whole_maps(&mut self, quantizer: &PlaneQuantizer, channels: usize) {
        if let ChunkCoder::OrderZero(prepared) = self {
            prepared.plan_whole_maps(quantizer, channels);
        }
    }

    pub fn payload_kind(&self) -> PayloadKind {
        match self {
            ChunkCoder::OrderZero(_) => PayloadKind::OrderZero,
            ChunkCoder::Activity(_) => PayloadKind::Activity,
            ChunkCoder::Mixing(_) => PayloadKind::Mixing,
            ChunkCoder::Spread(_) => PayloadKind::Spread,
        }
    }

    /// Number of frequency tables; a mixing model has none.
    pub fn tables(&self) -> usize {
        match self {
            ChunkCoder::OrderZero(prepared) => prepared.contexts.tables().len(),
            ChunkCoder::Activity(prepared) => prepared.model.tables().len(),
            ChunkCoder::Mixing(_) => 0,
            ChunkCoder::Spread(prepared) => prepared.model.tables().len(),
        }
    }

    /// Appends the payload for `indices`, whose first channel is `first_channel` of the map.
    pub fn encode(
        &self,
        quantizer: &PlaneQuantizer,
        first_channel: usize,
        indices: &IndexBlocks,
        scratch: &mut ChunkScratch,
        out: &mut Vec<u8>,
    ) {
        match self {
            ChunkCoder::OrderZero(prepared) => {
                encode_chunk(quantizer, prepared, first_channel, indices, &mut scratch.order_zero, out);
            }
            ChunkCoder::Activity(prepared) => {
                encode_activity_chunk(quantizer, prepared, first_channel, indices, &mut scratch.activity, out);
            }
            ChunkCoder::Mixing(model) => {
                encode_mixing_chunk(quantizer, model, first_channel, indices, &mut scratch.mixing, out);
            }
            ChunkCoder::Spread(prepared) => {
                encode_spread_chunk(quantizer, prepared, first_channel, indices, &mut scratch.spread, out);
            }
        }
    }

    /// Whether chunks are coded from tokens: [`ChunkCoder::encode_tokens`] and [`ChunkCoder::decode_tokens`] are for those.
    pub fn codes_tokens(&self) -> bool {
        matches!(self, ChunkCoder::OrderZero(_))
    }

    /// As [`ChunkCoder::encode`].
    pub fn encode_tokens(
        &self,
        quantizer: &PlaneQuantizer,
        first_channel: usize,
        tokens: &TokenBlocks,
        scratch: &mut ChunkScratch,
        out: &mut Vec<u8>,
    ) {
        let ChunkCoder::OrderZero(prepared) = self else { unreachable!("only order-0 payloads are coded from tokens") };
        encode_tokens(quantizer, prepared, first_channel, tokens, &mut scratch.order_zero, out);
    }

    /// As [`ChunkCoder::decode`].
    pub fn decode_tokens(
        &self,
        payload: &[u8],
        quantizer: &PlaneQuantizer,
        first_channel: usize,
        scratch: &mut ChunkScratch,
        tokens: &mut TokenBlocks,
    ) -> Result<()> {
        let ChunkCoder::OrderZero(prepared) = self else { unreachable!("only order-0 payloads are coded from tokens") };
        decode_tokens(payload, quantizer, prepared, first_channel, &mut scratch.order_zero, tokens)
    }

    /// Decodes a payload into the blocks of `indices`, which has been reset to the chunk's channels.
    pub fn decode(
        &self,
        payload: &[u8],
        quantizer: &PlaneQuantizer,
        first_channel: usize,
        scratch: &mut ChunkScratch,
        indices: &mut IndexBlocks,
    ) -> Result<()> {
        match self {
            ChunkCoder::OrderZero(prepared) => {
                decode_chunk(payload, quantizer, prepared, first_channel, &mut scratch.order_zero, indices)
            }
            ChunkCoder::Activity(prepared) => {
                decode_activity_chunk(payload, quantizer, prepared, first_channel, &mut scratch.activity, indices)
            }
            ChunkCoder::Mixing(model) => {
                decode_mixing_chunk(payload, quantizer, model, first_channel, &mut scratch.mixing, indices)
            }
            ChunkCoder::Spread(prepared) => {
                decode_spread_chunk(payload, quantizer, prepared, first_channel, &mut scratch.spread, indices)
            }
        }
    }

    /// Moves indices towards zero where `lambda` squared steps a bit make that worth it; never to a larger J = D + lambda * R
    /// than the indices given. `scaled` has the coefficients' magnitudes in steps, laid out as the indices.
    pub fn optimize(
        &self,
        lambda: f32,
        quantizer: &PlaneQuantizer,
        first_channel: usize,
        scaled: &[f32],
        indices: &mut IndexBlocks,
        scratch: &mut ChunkScratch,
    ) {
        let trade = Trade { lambda, shift: quantizer.coding.reconstruction };
        let rounded = indices.clone();
        match self {
            ChunkCoder::OrderZero(prepared) => {
                trade_order_zero(&trade, quantizer, prepared, first_channel, scaled, indices)
            }
            ChunkCoder::Activity(prepared) => {
                trade_activity(&trade, quantizer, prepared, first_channel, scaled, indices, &mut scratch.activity);
            }
            ChunkCoder::Mixing(model) => {
                trade_mixing(&trade, quantizer, model, first_channel, scaled, indices, &mut scratch.mixing);
            }
            ChunkCoder::Spread(prepared) => {
                trade_spread(&trade, quantizer, prepared, first_channel, scaled, indices, &mut scratch.spread);
            }
        }
        let mut total = |indices: &IndexBlocks| {
            let errors: f64 =
                indices.values().iter().zip(scaled).map(|(index, &x)| trade.j(x, index.unsigned_abs(), 0)).sum();
            let costs: u64 = self.costs(quantizer, first_channel, indices, scratch).iter().sum();
            errors + trade.j(0.0, 0, costs)
        };
        if total(indices) > total(&rounded) {
            *indices = rounded;
        }
    }

    /// What the indices of each subband cost, in units of 2^-16 bits, raw bits included.
    pub fn costs(
        &self,
        quantizer: &PlaneQuantizer,
        first_channel: usize,
        indices: &IndexBlocks,
        scratch: &mut ChunkScratch,
    ) -> Vec<u64> {
        match self {
            ChunkCoder::OrderZero(prepared) => order_zero_costs(quantizer, prepared, first_channel, indices),
            ChunkCoder::Activity(prepared) => {
                activity_costs(quantizer, prepared, first_channel, indices, &mut scratch.activity)
            }
            ChunkCoder::Mixing(model) => mixing_costs(quantizer, model, first_channel, indices, &mut scratch.mixing),
            ChunkCoder::Spread(prepared) => {
                spread_costs(quantizer, prepared, first_channel, indices, &mut scratch.spread)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::Coding;
    use crate::effort::Effort;
    use crate::plane::{Piece, PlaneBuffers};
    use crate::quantize::Steps;
    use crate::stream_model::choose_model;
    use crate::wavelet::Wavelet;

    /// J falls for every price, indices only move towards zero, and the bits fall with the price.
    #[test]
    fn optimised_indices_are_worth_their_bits() {
        let (channels, height, width) = (6, 30, 33);
        let coding = Coding::new(Wavelet::Haar, 3, Steps::Uniform(0.5)).with_reconstruction(0.1);
        let quantizer = PlaneQuantizer::new(coding, channels, height, width).unwrap();
        let plane = quantizer.layout.plane();
        let mut rounded = IndexBlocks::default();
        rounded.reset(&quantizer.layout, channels);
        let mut scaled = vec![0.0; plane * channels];
        let mut buffers = PlaneBuffers::default();
        for channel in 0..channels {
            let map: Vec<f32> =
                (0..plane).map(|i| ((i * (channel + 7)) as f32 * 0.37).sin() + (i % 11) as f32 * 0.1).collect();
            quantizer.forward(channel, &map, channel, &mut buffers, &mut rounded);
            let piece = Piece { slots: channel..channel + 1, rows: 0..height };
            quantizer.scaled_magnitudes(channel, &piece, channels, &map, &mut buffers, &mut scaled);
        }
        for effort in Effort::ALL {
            let model = choose_model(&quantizer, channels, &[(0, &rounded)], effort);
            let coder = ChunkCoder::new(model);
            let mut scratch = ChunkScratch::default();
            let mut measure = |indices: &IndexBlocks| {
                let error = |(&index, &x): (&i32, &f32)| {
                    let decoded = (index.unsigned_abs() as f64 - 0.1).max(0.0);
                    (f64::from(x) - decoded).powi(2)
                };
                let errors: f64 = indices.values().iter().zip(&scaled).map(error).sum();
                let costs: u64 = coder.costs(&quantizer, 0, indices, &mut scratch).iter().sum();
                (errors, costs as f64 / 65_536.0)
            };
            let (plain_errors, plain_bits) = measure(&rounded);
            let mut bits_before = plain_bits;
            for lambda in [0.0f32, 0.05, 0.2, 1.0] {
                let mut indices = rounded.clone();
                coder.optimize(lambda, &quantizer, 0, &scaled, &mut indices, &mut ChunkScratch::default());
                let (errors, bits) = measure(&indices);
                let j = |errors: f64, bits: f64| errors + f64::from(lambda) * bits;
                assert!(j(errors, bits) <= j(plain_errors, plain_bits) * (1.0 + 1e-6), "{effort} {lambda}");
                assert!(bits <= bits_before, "{effort} {lambda}: {bits} {bits_before}");
                let towards_zero = |(a, b): (&i32, &i32)| a.signum() * b.signum() >= 0 && a.abs() <= b.abs();
                assert!(indices.values().iter().zip(rounded.values()).all(towards_zero));
                bits_before = bits;
            }
            assert!(bits_before < 0.95 * plain_bits, "{effort}: {bits_before} {plain_bits}");
        }
    }
}

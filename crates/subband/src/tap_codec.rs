//! One map at a time against a profile: the batch-1 packets that an accelerator or a split network
//! would send, with everything prepared once.

use crate::config::validate_rdo;
use crate::effort::Effort;
use crate::entropy::{ContextTables, Histogram};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{ChunkCoder, ChunkScratch, Header, PayloadKind, TableSource, open_packet, write_packet};
use crate::kernel::{Isa, count_nonzero, count_nonzero_tokens, survey};
use crate::mask::ChannelMask;
use crate::mixing::{self, KeptMap, MixingModel};
use crate::plane::{IndexBlocks, Piece, PlaneBuffers, PlaneQuantizer};
use crate::profile::{TapHash, TapProfile};
use crate::spread::{KeptMaps, SpreadCounts, SpreadScratch};
use crate::stream_model::choose_model;
use crate::tensor::DType;
use crate::token_blocks::TokenBlocks;

/// Working memory of [`TapCodec`] and [`TapCalibrator`]; one for each thread, any taps.
#[derive(Debug, Default)]
pub struct Scratch {
    buffers: PlaneBuffers,
    chunk: ChunkScratch,
    indices: IndexBlocks,
    /// Instead of the indices, where tokens are coded.
    tokens: TokenBlocks,
    holds_tokens: bool,
    walk: SpreadScratch,
    scaled: Vec<f32>,
    payload: Vec<u8>,
}

/// What became of one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapStats {
    /// Values and indices that were clamped to their range.
    pub saturated: u64,
    /// Indices that are not zero.
    pub nonzero: u64,
}

/// The tap of a profile, prepared for coding.
#[derive(Debug, Clone)]
pub struct TapCodec {
    map: MapQuantizer,
    order_zero: ChunkCoder,
    activity: Option<ChunkCoder>,
    spread: Option<ChunkCoder>,
    mixing: Option<ChunkCoder>,
    effort: Effort,
    rdo: f32,
    hash: TapHash,
}

impl TapCodec {
    /// Prepares tables and layout of a tap.
    pub fn new(tap: &TapProfile) -> Result<Self> {
        let map = MapQuantizer::new(tap.name(), tap.shape(), tap.coding().clone())?;
        let mut order_zero = ChunkCoder::new(tap.model_for(Effort::Fast));
        order_zero.plan_whole_maps(&map.quantizer, map.channels);
        Ok(TapCodec {
            map,
            order_zero,
            activity: tap.model(PayloadKind::Activity).map(ChunkCoder::new),
            spread: tap.model(PayloadKind::Spread).map(ChunkCoder::new),
            mixing: tap.model(PayloadKind::Mixing).map(ChunkCoder::new),
            effort: Effort::default(),
            rdo: 0.0,
            hash: tap.hash(),
        })
    }

    /// With another effort in compressing. A tap without what an effort codes with is coded with the next lower one.
    pub fn with_effort(mut self, effort: Effort) -> Self {
        self.set_effort(effort);
        self
    }

    pub(crate) fn set_effort(&mut self, effort: Effort) {
        self.effort = effort;
    }

    /// With rate-distortion optimised indices in compressing: a bit is worth `lambda` squared steps of error, 0 (plain
    /// rounding) to 10. Decoding is the same.
    ///
    /// # Errors
    /// `InvalidArgument` for a price out of range.
    pub fn with_rdo(mut self, lambda: f32) -> Result<Self> {
        self.set_rdo(lambda)?;
        Ok(self)
    }

    pub(crate) fn set_rdo(&mut self, lambda: f32) -> Result<()> {
        validate_rdo(lambda)?;
        self.rdo = lambda;
        Ok(())
    }

    /// The coder of the effort.
    fn coder(&self) -> &ChunkCoder {
        let default = self.spread.as_ref().or(self.activity.as_ref()).unwrap_or(&self.order_zero);
        match self.effort {
            Effort::Fast => &self.order_zero,
            Effort::Default => default,
            Effort::Max => self.mixing.as_ref().unwrap_or(default),
        }
    }

    /// Number of values of a map, `C * H * W`.
    pub fn values(&self) -> usize {
        self.map.values()
    }

    /// Appends the packet of one map (`[C, H, W]` row-major) to `out`.
    ///
    /// # Errors
    /// `InvalidArgument` for a map of another size, `NonFinite`; `out` is as it was then.
    pub fn compress(&self, map: &[f32], scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<MapStats> {
        let coder = self.coder();
        if coder.codes_tokens() && self.rdo == 0.0 {
            let stats = self.map.forward_tokens(map, scratch)?;
            write_packet(&self.hash, coder.payload_kind(), out, |out| {
                coder.encode_tokens(&self.map.quantizer, 0, &scratch.tokens, &mut scratch.chunk, out);
            });
            return Ok(stats);
        }
        let mut stats = self.map.forward(map, scratch, self.rdo > 0.0)?;
        if self.rdo > 0.0 {
            let Scratch { scaled, indices, chunk, .. } = scratch;
            coder.optimize(self.rdo, &self.map.quantizer, 0, scaled, indices, chunk);
            stats.nonzero = nonzero(indices);
        }
        write_packet(&self.hash, coder.payload_kind(), out, |out| {
            coder.encode(&self.map.quantizer, 0, &scratch.indices, &mut scratch.chunk, out);
        });
        Ok(stats)
    }

    /// Decodes a packet into `map`.
    ///
    /// # Errors
    /// `InvalidArgument` for a map of another size, `WrongProfile`, `UnsupportedVersion`, `Corrupt`,
    /// `Truncated`. `map` may then be partly written.
    pub fn decompress(&self, packet: &[u8], scratch: &mut Scratch, map: &mut [f32]) -> Result<()> {
        self.map.check_size(map.len())?;
        let (kind, payload) = open_packet(&self.hash, packet)?;
        let coder = match kind {
            PayloadKind::OrderZero => Some(&self.order_zero),
            PayloadKind::Activity => self.activity.as_ref(),
            PayloadKind::Mixing => self.mixing.as_ref(),
            PayloadKind::Spread => self.spread.as_ref(),
        };
        let coder = coder.ok_or_else(|| {
            Error::corrupt(format!("the packet asks for {}, which tap '{}' has not", kind.needs(), self.map.name))
        })?;
        let (quantizer, channels) = (&self.map.quantizer, self.map.channels);
        scratch.holds_tokens = coder.codes_tokens();
        if scratch.holds_tokens {
            scratch.tokens.reset(&quantizer.layout, channels);
            coder.decode_tokens(payload, quantizer, 0, &mut scratch.chunk, &mut scratch.tokens)?;
        } else {
            scratch.indices.reset(&quantizer.layout, channels);
            coder.decode(payload, quantizer, 0, &mut scratch.chunk, &mut scratch.indices)?;
        }
        self.map.inverse(scratch, map);
        Ok(())
    }

    /// Codes again the tokens that `scratch` was last used for, and decodes a packet as far as tokens: the entropy coder alone,
    /// for benches of effort fast.
    #[doc(hidden)]
    pub fn entropy_stage(&self, scratch: &mut Scratch, packet: Option<&[u8]>, out: &mut Vec<u8>) -> Result<()> {
        let (coder, quantizer) = (&self.order_zero, &self.map.quantizer);
        match packet {
            Some(packet) => {
                let (_, payload) = open_packet(&self.hash, packet)?;
                scratch.tokens.reset(&quantizer.layout, self.map.channels);
                coder.decode_tokens(payload, quantizer, 0, &mut scratch.chunk, &mut scratch.tokens)
            }
            None => {
                coder.encode_tokens(quantizer, 0, &scratch.tokens, &mut scratch.chunk, out);
                Ok(())
            }
        }
    }

    /// Calls `visit(subband, channel, indices)` for every coded block of the map that `scratch` was last
    /// used for.
    pub fn for_each_block(&self, scratch: &Scratch, visit: impl FnMut(usize, usize, &[i32])) {
        if scratch.holds_tokens {
            let mut indices = IndexBlocks::default();
            scratch.tokens.to_indices(&self.map.quantizer.layout, &mut indices);
            self.map.for_each_block(&indices, visit);
        } else {
            self.map.for_each_block(&scratch.indices, visit);
        }
    }

    /// Number of subbands.
    pub fn subbands(&self) -> usize {
        self.map.quantizer.layout.blocks.len()
    }

    /// The map that `scratch` was last used for as a self-contained stream, its tables inside.
    pub fn self_contained(&self, scratch: &mut Scratch) -> Vec<u8> {
        let MapQuantizer { quantizer, channels, shape, .. } = &self.map;
        if std::mem::take(&mut scratch.holds_tokens) {
            scratch.tokens.to_indices(&quantizer.layout, &mut scratch.indices);
        }
        let model = choose_model(quantizer, *channels, &[(0, &scratch.indices)], self.effort);
        let coder = ChunkCoder::for_encoding(model.clone());
        scratch.payload.clear();
        coder.encode(quantizer, 0, &scratch.indices, &mut scratch.chunk, &mut scratch.payload);
        let header = Header {
            dtype: DType::F32,
            shape: shape.to_vec(),
            channels_per_chunk: *channels,
            source: TableSource::Stream(quantizer.coding.clone(), model),
        };
        let mut stream = Vec::new();
        header.write_stream(std::slice::from_ref(&scratch.payload), &mut stream);
        stream
    }
}

/// Counts the indices of a tap over training maps, then makes the tables of its profile.
///
/// Two passes make a full profile: maps are observed, [`TapCalibrator::fit`] fits the estimates of [`Effort::Default`] to
/// them, and maps observed from then on are counted for the tables. Without a fit the profile has order-0 tables only. For
/// [`Effort::Max`] the indices of some maps are kept ([`TapCalibrator::indices`]) and networks trained on them.
#[derive(Debug, Clone)]
pub struct TapCalibrator {
    map: MapQuantizer,
    /// By subband, then channel.
    histograms: Vec<Histogram>,
    /// None after the fit.
    kept: KeptMaps,
    /// Since the fit.
    spread: Option<SpreadCounts>,
    mixing: Option<MixingModel>,
}

/// The indices of a map, kept for [`TapCalibrator::train_max`]: two bytes a value.
#[derive(Debug, Clone)]
pub struct MapIndices(KeptMap);

impl MapIndices {
    /// Number of indices, `C * H * W`.
    #[expect(clippy::len_without_is_empty, reason = "no map is empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = i32> {
        self.0.values()
    }
}

impl TapCalibrator {
    /// For maps of shape `[C, H, W]`. Errors: an empty shape, a coding that does not validate.
    pub fn new(name: &str, shape: [usize; 3], coding: crate::Coding) -> Result<Self> {
        let map = MapQuantizer::new(name, shape, coding)?;
        let (histograms, kept) = (map.no_counts(), KeptMaps::default());
        Ok(TapCalibrator { histograms, kept, spread: None, mixing: None, map })
    }

    /// Name of the tap.
    pub fn name(&self) -> &str {
        &self.map.name
    }

    /// Counts the indices of one map and decodes it into `decoded`, for the network to go on with.
    ///
    /// # Errors
    /// `InvalidArgument` for maps of another size, `NonFinite`.
    pub fn observe(&mut self, map: &[f32], scratch: &mut Scratch, decoded: &mut [f32]) -> Result<MapStats> {
        self.map.check_size(decoded.len())?;
        let stats = self.map.forward(map, scratch, false)?;
        self.map.count(&scratch.indices, &mut self.histograms);
        let Scratch { indices, walk, .. } = scratch;
        match &mut self.spread {
            None => self.kept.observe(indices),
            Some(counts) => counts.count(&self.map.quantizer, self.map.channels, indices, walk),
        }
        self.map.inverse(scratch, decoded);
        Ok(stats)
    }

    /// Decodes one map into `decoded` as [`TapCalibrator::observe`] does, and counts nothing: for trying a coding out.
    ///
    /// # Errors
    /// `InvalidArgument` for maps of another size, `NonFinite`.
    pub fn decode(&self, map: &[f32], scratch: &mut Scratch, decoded: &mut [f32]) -> Result<MapStats> {
        self.map.check_size(decoded.len())?;
        let stats = self.map.forward(map, scratch, false)?;
        self.map.inverse(scratch, decoded);
        Ok(stats)
    }

    /// Masks every detail subband of a channel in which no index observed so far was other than 0; returns how many. Before
    /// [`TapCalibrator::fit`], so that the tables are counted with the mask.
    pub fn drop_unused(&mut self) -> usize {
        let MapQuantizer { quantizer, channels, .. } = &mut self.map;
        let PlaneQuantizer { coding, layout, .. } = quantizer;
        let all = || ChannelMask::keep_all(*channels, coding.levels).expect("the levels are valid");
        let mut mask = coding.mask.clone().unwrap_or_else(all);
        let mut dropped = 0;
        for subband in 1..layout.blocks.len() {
            for channel in (0..*channels).filter(|&channel| coding.keeps(channel, subband)) {
                let histogram = &self.histograms[subband * *channels + channel];
                if histogram.total() > 0 && histogram.total() == u64::from(histogram.counts[0]) {
                    mask = mask.drop(channel, subband);
                    dropped += 1;
                }
            }
        }
        if dropped > 0 {
            coding.mask = Some(mask);
        }
        dropped
    }

    /// Fits the estimates of [`Effort::Default`] to maps observed so far, and starts counting anew.
    pub fn fit(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        self.spread = Some(SpreadCounts::fit(&self.map.quantizer, self.map.channels, &kept));
        self.histograms.fill(Histogram::EMPTY);
    }

    /// The indices of the map that `scratch` was last used for.
    pub fn indices(&self, scratch: &Scratch) -> MapIndices {
        MapIndices(KeptMap::new(&scratch.indices))
    }

    /// Trains what [`Effort::Max`] codes with on kept maps of this tap; a thousand of 16,384 values take half a minute. The
    /// same maps in the same order and the same seed give the same model. `progress` is told how many of how many steps are
    /// done. Nothing is trained where there are no maps.
    ///
    /// # Panics
    /// If a map is of another size.
    pub fn train_max(&mut self, maps: &[MapIndices], seed: u64, progress: &mut dyn FnMut(usize, usize)) {
        assert!(maps.iter().all(|map| map.len() == self.map.values()), "maps of another tap");
        let maps: Vec<&KeptMap> = maps.iter().map(|map| &map.0).collect();
        self.mixing = mixing::fit(&self.map.quantizer, self.map.channels, &maps, seed, progress);
    }

    /// Adds the counts of another calibrator of the same tap; a trained model of the other is left.
    ///
    /// # Panics
    /// If the other is for another shape or number of levels, or only one of them is fitted.
    pub fn merge(&mut self, other: &TapCalibrator) {
        assert_eq!(self.histograms.len(), other.histograms.len(), "calibrators of different taps");
        assert_eq!(self.spread.is_some(), other.spread.is_some(), "only one calibrator is fitted");
        for (a, b) in self.histograms.iter_mut().zip(&other.histograms) {
            a.add(b);
        }
        self.kept.merge(&other.kept);
        if let (Some(a), Some(b)) = (&mut self.spread, &other.spread) {
            a.add(b);
        }
    }

    /// Clusters the contexts into tables.
    pub fn finish(self) -> TapProfile {
        let tables = ContextTables::for_profile(&self.histograms, self.map.channels);
        let spread = self.spread.map(SpreadCounts::finish);
        TapProfile::new(self.map.name, self.map.shape, self.map.quantizer.coding, tables, spread, self.mixing)
    }
}

fn nonzero(indices: &IndexBlocks) -> u64 {
    count_nonzero(Isa::current(), indices.values()) as u64
}

/// Whole maps of a fixed shape to indices and back.
#[derive(Debug, Clone)]
struct MapQuantizer {
    name: String,
    shape: [usize; 3],
    channels: usize,
    quantizer: PlaneQuantizer,
}

impl MapQuantizer {
    fn new(name: &str, shape: [usize; 3], coding: crate::Coding) -> Result<Self> {
        let [channels, height, width] = shape;
        if shape.contains(&0) || crate::tensor::element_count(&shape).is_err() {
            return Err(Error::invalid(format!("tap '{name}' has the shape {shape:?}: no size may be 0 or absurd")));
        }
        let quantizer = PlaneQuantizer::new(coding, channels, height, width)?;
        Ok(MapQuantizer { name: name.to_owned(), shape, channels, quantizer })
    }

    fn values(&self) -> usize {
        self.channels * self.quantizer.layout.plane()
    }

    fn check_size(&self, values: usize) -> Result<()> {
        if values == self.values() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "a map of {values} values was given: tap '{}' has {:?}, {} values",
            self.name,
            self.shape,
            self.values()
        )))
    }

    /// Leaves the indices of `map` in `scratch.indices`, and if asked the magnitudes in steps in `scratch.scaled`.
    fn forward(&self, map: &[f32], scratch: &mut Scratch, scale: bool) -> Result<MapStats> {
        self.check_size(map.len())?;
        let (quantizer, channels) = (&self.quantizer, self.channels);
        let Scratch { buffers, indices, scaled, .. } = scratch;
        scratch.holds_tokens = false;
        indices.reset(&quantizer.layout, channels);
        let mut saturated = 0;
        for piece in quantizer.pieces.of(channels) {
            let values = self.finite_values(map, &piece)?;
            saturated += quantizer.forward_piece(0, &piece, values, buffers, indices) as u64;
        }
        if scale {
            scaled.resize(map.len(), 0.0);
            for piece in quantizer.pieces.whole(channels) {
                let values = &map[quantizer.pieces.values(&piece)];
                quantizer.scaled_magnitudes(piece.slots.start, &piece, channels, values, buffers, scaled);
            }
        }
        Ok(MapStats { saturated, nonzero: nonzero(indices) })
    }

    /// As [`MapQuantizer::forward`], to `scratch.tokens`.
    fn forward_tokens(&self, map: &[f32], scratch: &mut Scratch) -> Result<MapStats> {
        self.check_size(map.len())?;
        let (quantizer, channels) = (&self.quantizer, self.channels);
        let Scratch { buffers, tokens, .. } = scratch;
        scratch.holds_tokens = true;
        tokens.reset(&quantizer.layout, channels);
        let mut saturated = 0;
        for piece in quantizer.pieces.of(channels) {
            let values = self.finite_values(map, &piece)?;
            saturated += quantizer.forward_tokens(0, &piece, values, buffers, tokens) as u64;
        }
        Ok(MapStats { saturated, nonzero: count_nonzero_tokens(Isa::current(), tokens.tokens()) as u64 })
    }

    /// The values of a piece. Error: a NaN or an infinity among them.
    fn finite_values<'m>(&self, map: &'m [f32], piece: &Piece) -> Result<&'m [f32]> {
        let range = self.quantizer.pieces.values(piece);
        let values = &map[range.clone()];
        match survey(Isa::current(), values).0 < f32::INFINITY.to_bits() {
            true => Ok(values),
            false => Err(self.not_finite(map)),
        }
    }

    /// The error for a map that has a NaN or an infinity.
    #[cold]
    fn not_finite(&self, map: &[f32]) -> Error {
        let at = map.iter().position(|value| !value.is_finite()).expect("one was found");
        let (plane, width) = (self.quantizer.layout.plane(), self.shape[2]);
        let index = [at / plane, at % plane / width, at % plane % width];
        Error::new(
            ErrorKind::NonFinite,
            format!("tap '{}' has {} at index {index:?}: only finite values can be coded", self.name, map[at]),
        )
    }

    fn inverse(&self, scratch: &mut Scratch, map: &mut [f32]) {
        let quantizer = &self.quantizer;
        let Scratch { buffers, tokens, indices, .. } = scratch;
        for piece in quantizer.pieces.of(self.channels) {
            let values = &mut map[quantizer.pieces.values(&piece)];
            match scratch.holds_tokens {
                true => quantizer.inverse_tokens(0, &piece, tokens, buffers, values),
                false => quantizer.inverse_piece(0, &piece, indices, buffers, values),
            }
        }
    }

    /// Empty histograms by subband, then channel.
    fn no_counts(&self) -> Vec<Histogram> {
        vec![Histogram::EMPTY; self.contexts()]
    }

    /// Pairs of subband and channel.
    fn contexts(&self) -> usize {
        self.quantizer.layout.blocks.len() * self.channels
    }

    /// Adds the coded indices to histograms by subband, then channel.
    fn count(&self, indices: &IndexBlocks, histograms: &mut [Histogram]) {
        self.for_each_block(indices, |subband, channel, block| {
            histograms[subband * self.channels + channel].count(block);
        });
    }

    fn for_each_block(&self, indices: &IndexBlocks, mut visit: impl FnMut(usize, usize, &[i32])) {
        for subband in 0..self.quantizer.layout.blocks.len() {
            for channel in 0..self.channels {
                let block = indices.block(&self.quantizer.layout, subband, channel);
                if !block.is_empty() && self.quantizer.coding.keeps(channel, subband) {
                    visit(subband, channel, block);
                }
            }
        }
    }
}

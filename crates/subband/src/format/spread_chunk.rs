//! The payload of a chunk coded with a spread model (FORMAT.md, "Spread payload").

use std::sync::{Arc, LazyLock};

use super::payload::{PayloadParts, begin_payload};
use crate::entropy::{
    BitReader, CLASSES, COST_BITS, EncodeSymbols, LaneDecoder, MAGNITUDE_SCALE_BITS, MagnitudeTable,
    OTHERS_MAX_LANE_BITS, RansDecoder, class, log2, rest_bits,
};
use crate::error::{Error, Result};
use crate::kernel::{
    ClassShares, CodedRows, Isa, Signs, SubbandSymbols, SubbandTables, count_nonzero, decode_row, encode_row,
};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::rate::Trade;
use crate::spread::{
    BINS, SIGN_BINS, SIGN_SHARE_BITS, SpreadModel, SpreadScratch, SpreadWalk, built_in_tables, sign_context,
};

/// Flag of a payload: indices of the approximation have signs.
const SIGNED_APPROXIMATION: u8 = 1 << 4;
/// Bits of a chunk for each index that is not 0, zeros' included; for choosing lanes.
const BITS_A_NONZERO: u64 = 5;
/// A lane for each so many bits, since it costs three bytes, and more than four make nothing faster.
const BITS_A_LANE: u64 = 8 * 512;
const MOST_LANE_BITS: u32 = 2;

/// A spread model in the forms that coding looks up.
#[derive(Debug, Clone)]
pub(crate) struct PreparedSpread {
    pub model: SpreadModel,
    /// By subband and bin: the share of 0, and the table.
    bins: Vec<[(u16, u8); BINS]>,
    /// By subband but LL and bin of the slope: the share of signs as foretold.
    signs: Vec<[u16; SIGN_BINS]>,
    tables: Arc<PreparedClasses>,
    /// Classes of each table, then for each subband but LL and each bin of the slope: a sign as foretold, and one that is not.
    /// None of them where there is no encoding.
    symbols: EncodeSymbols,
    /// What those cost, in the same order, in units of 2^-16 bits.
    sign_costs: Vec<[u32; 2]>,
}

/// What decoding and costs look up of classes, by table.
#[derive(Debug)]
struct PreparedClasses {
    shares: Vec<ClassShares>,
    /// What each class costs, in units of 2^-16 bits.
    costs: Vec<[u32; CLASSES]>,
}

/// Of the built-in tables, which most streams use: preparing them takes longer than coding a small map.
static BUILT_IN: LazyLock<Arc<PreparedClasses>> = LazyLock::new(|| Arc::new(PreparedClasses::new(built_in_tables())));
/// Those tables for encoding.
static BUILT_IN_SYMBOLS: LazyLock<EncodeSymbols> = LazyLock::new(|| symbols_of(built_in_tables()));

impl PreparedClasses {
    fn new(tables: &[MagnitudeTable]) -> Self {
        let shares = tables.iter().map(ClassShares::new).collect();
        PreparedClasses { shares, costs: tables.iter().map(MagnitudeTable::costs).collect() }
    }
}

fn symbols_of(tables: &[MagnitudeTable]) -> EncodeSymbols {
    let mut symbols = EncodeSymbols::default();
    for table in tables {
        (0..CLASSES as u8).for_each(|class| symbols.push(table.frequency(class), table.start(class)));
    }
    symbols
}

impl PreparedSpread {
    pub fn new(model: SpreadModel) -> Self {
        let mut symbols =
            if model.has_built_in_tables() { BUILT_IN_SYMBOLS.clone() } else { symbols_of(model.tables()) };
        for share in (1..model.subbands()).flat_map(|subband| model.signs(subband)) {
            let share = share_of(*share);
            symbols.push(share, 0);
            symbols.push((1 << MAGNITUDE_SCALE_BITS) - share, share);
        }
        PreparedSpread { symbols, ..Self::for_decoding(model) }
    }

    /// For decoding and costs only: what encoding looks up is left out.
    pub fn for_decoding(model: SpreadModel) -> Self {
        let tables = model.tables();
        let prepared =
            if model.has_built_in_tables() { BUILT_IN.clone() } else { Arc::new(PreparedClasses::new(tables)) };
        let mut sign_costs = Vec::new();
        for subband in 1..model.subbands() {
            for &share in model.signs(subband) {
                let share = share_of(share);
                let cost =
                    |share: u32| ((u64::from(MAGNITUDE_SCALE_BITS) << COST_BITS) - log2(u64::from(share))) as u32;
                sign_costs.push([cost(share), cost((1 << MAGNITUDE_SCALE_BITS) - share)]);
            }
        }
        let bin = |subband: usize, bin: usize| {
            let table = model.table_of(subband, bin);
            (tables[usize::from(table)].start(1) as u16, table)
        };
        let bins = (0..model.subbands()).map(|subband| std::array::from_fn(|at| bin(subband, at))).collect();
        let signs =
            (1..model.subbands()).map(|subband| model.signs(subband).map(|share| share_of(share) as u16)).collect();
        PreparedSpread { bins, signs, tables: prepared, symbols: EncodeSymbols::default(), sign_costs, model }
    }

    /// What a magnitude costs in a table, in units of 2^-16 bits, raw bits included, the sign not.
    #[inline]
    fn cost(&self, table: u8, magnitude: u32) -> u64 {
        let class = class(magnitude);
        let raw = if magnitude > 0 { rest_bits(magnitude, class) } else { 0 };
        u64::from(self.tables.costs[usize::from(table)][usize::from(class)]) + (u64::from(raw) << COST_BITS)
    }

    /// Number of the sign as foretold among signs of all contexts.
    #[inline]
    fn sign_number(subband: usize, bin: usize) -> usize {
        (subband - 1) * SIGN_BINS + bin
    }

    /// What a sign costs, in units of 2^-16 bits.
    #[inline]
    fn sign_cost(&self, subband: usize, slope: i8, negative: bool) -> u64 {
        let (bin, foretold) = sign_context(slope);
        self.sign_costs[Self::sign_number(subband, bin)][usize::from(negative != foretold)].into()
    }
}

/// A stored share of signs at the scale of magnitude tables.
#[inline]
fn share_of(stored: u8) -> u32 {
    u32::from(stored) << (MAGNITUDE_SCALE_BITS - SIGN_SHARE_BITS)
}

/// Working memory for chunks; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct SpreadChunkScratch {
    walk: SpreadScratch,
    coded: CodedRows,
    words: Vec<u16>,
}

fn walk_of<'a>(
    quantizer: &'a PlaneQuantizer,
    prepared: &'a PreparedSpread,
    first_channel: usize,
    channels: usize,
) -> SpreadWalk<'a> {
    SpreadWalk { quantizer, model: &prepared.model, first_channel, channels }
}

/// Appends the payload for `indices`, whose first channel is `first_channel` of the map.
pub(crate) fn encode_spread_chunk(
    quantizer: &PlaneQuantizer,
    prepared: &PreparedSpread,
    first_channel: usize,
    indices: &IndexBlocks,
    scratch: &mut SpreadChunkScratch,
    out: &mut Vec<u8>,
) {
    let SpreadChunkScratch { walk, coded, words } = scratch;
    let (values, channels, isa) = (indices.values(), indices.channels(), Isa::current());
    coded.clear();
    let signed = indices.has_negative_approximation(&quantizer.layout);
    let nonzero = count_nonzero(isa, values) as u64;
    let lane_bits = (nonzero * BITS_A_NONZERO / BITS_A_LANE).checked_ilog2().unwrap_or(0).min(MOST_LANE_BITS);
    let first_sign = prepared.tables.costs.len() * CLASSES;
    walk_of(quantizer, prepared, first_channel, channels).each_row(walk, |row| {
        let sign = |subband| (first_sign + 2 * PreparedSpread::sign_number(subband, 0)) as u32;
        let signs = signs_of(row.subband, signed, sign);
        let look = SubbandSymbols { bins: &prepared.bins[row.subband], signs, lanes: 1 << lane_bits };
        encode_row(isa, row, look, values, coded);
    });
    begin_payload(lane_bits, if signed { SIGNED_APPROXIMATION } else { 0 }, coded.raw.finish(), out);
    prepared.symbols.encode(coded.symbols(), lane_bits, words, out);
}

/// Where the signs of a subband are, with what coded ones look up.
fn signs_of<T>(subband: usize, signed_approximation: bool, coded: impl Fn(usize) -> T) -> Signs<T> {
    match subband {
        0 if signed_approximation => Signs::Raw,
        0 => Signs::None,
        subband => Signs::Coded(coded(subband)),
    }
}

/// Decodes a payload into the blocks of `indices`, which has been reset to the chunk's channels.
pub(crate) fn decode_spread_chunk(
    payload: &[u8],
    quantizer: &PlaneQuantizer,
    prepared: &PreparedSpread,
    first_channel: usize,
    scratch: &mut SpreadChunkScratch,
    indices: &mut IndexBlocks,
) -> Result<()> {
    let parts = PayloadParts::of(payload, SIGNED_APPROXIMATION, OTHERS_MAX_LANE_BITS)?;
    let walk = walk_of(quantizer, prepared, first_channel, indices.channels());
    let job = Decoding { walk, prepared, signed: parts.flags & SIGNED_APPROXIMATION != 0, raw: parts.raw };
    let decoder = RansDecoder::new(parts.words, parts.lane_bits)?;
    let values = indices.values_mut();
    match parts.lane_bits {
        0 => job.run::<1>(decoder.lanes(), &mut scratch.walk, values),
        1 => job.run::<2>(decoder.lanes(), &mut scratch.walk, values),
        2 => job.run::<4>(decoder.lanes(), &mut scratch.walk, values),
        3 => job.run::<8>(decoder.lanes(), &mut scratch.walk, values),
        4 => job.run::<16>(decoder.lanes(), &mut scratch.walk, values),
        _ => job.run::<32>(decoder.lanes(), &mut scratch.walk, values),
    }
}

struct Decoding<'a> {
    walk: SpreadWalk<'a>,
    prepared: &'a PreparedSpread,
    signed: bool,
    raw: &'a [u8],
}

impl Decoding<'_> {
    fn run<const LANES: usize>(
        self,
        mut decoder: LaneDecoder<LANES>,
        scratch: &mut SpreadScratch,
        values: &mut [i32],
    ) -> Result<()> {
        let Decoding { walk, prepared, signed, raw } = self;
        let (isa, tables) = (Isa::current(), &prepared.tables.shares[..]);
        let mut raw_reader = BitReader::new(raw);
        // Nearly all are, and then nothing is stored; what is dropped is not visited.
        values.fill(0);
        walk.try_each_row(scratch, |row| {
            let signs = signs_of(row.subband, signed, |subband| &prepared.signs[subband - 1]);
            let look = SubbandTables { bins: &prepared.bins[row.subband], tables, signs };
            decode_row(isa, row, look, &mut decoder, &mut raw_reader, values)
        })?;
        decoder.finish()?;
        if raw_reader.finish()? != raw.len() {
            return Err(Error::corrupt("a chunk has more raw bits than its magnitudes ask for"));
        }
        Ok(())
    }
}

/// What the indices of each subband cost, in units of 2^-16 bits, raw bits included.
pub(crate) fn spread_costs(
    quantizer: &PlaneQuantizer,
    prepared: &PreparedSpread,
    first_channel: usize,
    indices: &IndexBlocks,
    scratch: &mut SpreadChunkScratch,
) -> Vec<u64> {
    let (values, channels) = (indices.values(), indices.channels());
    let signed = indices.has_negative_approximation(&quantizer.layout);
    let mut costs = vec![0u64; quantizer.layout.blocks.len()];
    walk_of(quantizer, prepared, first_channel, channels).each(&mut scratch.walk, |mut place| {
        let bins = &prepared.bins[place.subband];
        let mut sum = 0;
        for &slot in place.kept {
            let index = values[place.at(slot)];
            let (_, table) = bins[usize::from(place.bins[slot]) & (BINS - 1)];
            sum += prepared.cost(table, index.unsigned_abs());
            if index != 0 {
                place.set(slot, index);
                sum += match place.subband {
                    0 => u64::from(signed) << COST_BITS,
                    subband => prepared.sign_cost(subband, place.slopes[slot], index < 0),
                };
            }
        }
        costs[place.subband] += sum;
    });
    costs
}

/// Chooses indices anew, each by the table that the choices before lead to.
pub(crate) fn trade_spread(
    trade: &Trade,
    quantizer: &PlaneQuantizer,
    prepared: &PreparedSpread,
    first_channel: usize,
    scaled: &[f32],
    indices: &mut IndexBlocks,
    scratch: &mut SpreadChunkScratch,
) {
    let channels = indices.channels();
    let signed = indices.has_negative_approximation(&quantizer.layout);
    let values = indices.values_mut();
    walk_of(quantizer, prepared, first_channel, channels).each(&mut scratch.walk, |mut place| {
        let bins = &prepared.bins[place.subband];
        for &slot in place.kept {
            let at = place.at(slot);
            let given = values[at];
            if given == 0 {
                continue;
            }
            let (_, table) = bins[usize::from(place.bins[slot]) & (BINS - 1)];
            let sign = match place.subband {
                0 => u64::from(signed) << COST_BITS,
                subband => prepared.sign_cost(subband, place.slopes[slot], given < 0),
            };
            let cost = |magnitude| prepared.cost(table, magnitude) + if magnitude > 0 { sign } else { 0 };
            let magnitude = trade.choose(scaled[at], given.unsigned_abs(), cost);
            values[at] = given.signum() * magnitude as i32;
            if magnitude > 0 {
                place.set(slot, values[at]);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::BitWriter;
    use crate::format::test_chunks::{indices, quantizer};
    use crate::spread::{KeptMaps, SpreadCounts, models_for_stream};
    use proptest::prelude::*;

    /// A model fitted to the indices as to maps of a tap, and those of a stream.
    fn models(quantizer: &PlaneQuantizer, channels: usize, indices: &IndexBlocks) -> [SpreadModel; 4] {
        let mut scratch = SpreadScratch::default();
        let mut kept = KeptMaps::default();
        kept.observe(indices);
        let mut counts = SpreadCounts::fit(quantizer, channels, &kept);
        counts.count(quantizer, channels, indices, &mut scratch);
        let [plain, by_channel, by_detail] =
            models_for_stream(quantizer, channels, &[(0, indices)], &[(0, indices)], &mut scratch);
        [counts.finish(), plain, by_channel, by_detail]
    }

    fn encode(quantizer: &PlaneQuantizer, prepared: &PreparedSpread, indices: &IndexBlocks) -> Vec<u8> {
        let mut payload = Vec::new();
        encode_spread_chunk(quantizer, prepared, 0, indices, &mut SpreadChunkScratch::default(), &mut payload);
        payload
    }

    fn decode(
        quantizer: &PlaneQuantizer,
        prepared: &PreparedSpread,
        channels: usize,
        payload: &[u8],
    ) -> Result<IndexBlocks> {
        let mut decoded = IndexBlocks::default();
        decoded.reset(&quantizer.layout, channels);
        decode_spread_chunk(payload, quantizer, prepared, 0, &mut SpreadChunkScratch::default(), &mut decoded)?;
        Ok(decoded)
    }

    #[test]
    fn models_come_back() {
        let quantizer = quantizer([5, 9, 7], 2, true);
        for model in models(&quantizer, 5, &indices(&quantizer, 5, 3, 1000)) {
            for short in [false, true] {
                if if short { !model.is_short() } else { model.has_offsets_of_details() } {
                    continue;
                }
                let read = |reader: &mut BitReader| match short {
                    true => SpreadModel::read_short(reader, 7, 5),
                    false => SpreadModel::read_from(reader, 7, 5),
                };
                let mut writer = BitWriter::default();
                if short {
                    model.write_short(&mut writer)
                } else {
                    model.write_to(&mut writer)
                }
                let bytes = writer.finish().to_vec();
                let mut reader = BitReader::new(&bytes);
                assert_eq!(read(&mut reader).unwrap(), model);
                assert_eq!(reader.finish().unwrap(), bytes.len());
                for end in 0..bytes.len() {
                    let cut = read(&mut BitReader::new(&bytes[..end]));
                    // The last bits may be padding.
                    assert!(cut.is_err() || end + 1 == bytes.len(), "{end}");
                }
            }
        }
    }

    #[test]
    fn damage_is_an_error_or_other_indices() {
        let quantizer = quantizer([3, 8, 8], 2, false);
        let original = indices(&quantizer, 3, 9, 300);
        for model in models(&quantizer, 3, &original) {
            let prepared = PreparedSpread::new(model);
            let payload = encode(&quantizer, &prepared, &original);
            for end in 0..payload.len() {
                let cut = decode(&quantizer, &prepared, 3, &payload[..end]);
                assert!(cut.is_err() || cut.unwrap().values() != original.values(), "{end}");
            }
            for bit in 0..8 * payload.len() {
                let mut damaged = payload.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                if let Ok(found) = decode(&quantizer, &prepared, 3, &damaged) {
                    assert!(found.values() != original.values(), "bit {bit}");
                }
            }
        }
    }

    /// Channels that differ in their details, and are alike in LL.
    #[test]
    fn offsets_of_details_pay_for_themselves() {
        let quantizer = quantizer([8, 32, 32], 2, false);
        let mut original = indices(&quantizer, 8, 5, 20);
        for subband in 1..quantizer.layout.blocks.len() {
            for slot in 0..8 {
                let block = original.block_mut(&quantizer.layout, subband, slot);
                block
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, index)| *index = (*index * 7 + i as i32) % (1 << (slot / 2 + 1)));
            }
        }
        let [_, plain, by_channel, by_detail] = models(&quantizer, 8, &original).map(|model| {
            let mut writer = BitWriter::default();
            model.is_short().then(|| model.write_short(&mut writer));
            writer.finish().len() + encode(&quantizer, &PreparedSpread::new(model), &original).len()
        });
        assert!(by_detail < plain.min(by_channel), "{plain} {by_channel} {by_detail}");
    }

    /// What payloads take is what costs say.
    #[test]
    fn costs_are_those_of_payloads() {
        let quantizer = quantizer([20, 32, 32], 3, true);
        let original = indices(&quantizer, 20, 11, 40);
        for model in models(&quantizer, 20, &original) {
            let prepared = PreparedSpread::new(model);
            let payload = encode(&quantizer, &prepared, &original);
            let costs = spread_costs(&quantizer, &prepared, 0, &original, &mut SpreadChunkScratch::default());
            let bytes = (costs.iter().sum::<u64>() >> COST_BITS) as f64 / 8.0;
            assert!((payload.len() as f64 - bytes).abs() < 20.0 + bytes / 500.0, "{} {bytes}", payload.len());
        }
    }

    proptest! {
        #[test]
        fn indices_come_back(
            channels in 1usize..20, height in 1usize..20, width in 1usize..20, levels in 0u8..4, mask in any::<bool>(),
            seed in any::<u64>(), large in prop_oneof![Just(2), Just(300), Just((1 << 24) - 1)],
        ) {
            let quantizer = quantizer([channels, height, width], levels, mask);
            let original = indices(&quantizer, channels, seed, large);
            for model in models(&quantizer, channels, &original) {
                let prepared = PreparedSpread::new(model);
                let payload = encode(&quantizer, &prepared, &original);
                let decoded = decode(&quantizer, &prepared, channels, &payload).unwrap();
                prop_assert_eq!(decoded.values(), original.values());
            }
        }
    }
}

//! The payload of a chunk coded with an activity model (FORMAT.md, "Activity payload").

use super::payload::{PayloadParts, begin_payload};
use crate::entropy::{
    ActivityModel, BINS, BitReader, BitWriter, CLASSES, COST_BITS, EncodeMagnitudes, OTHERS_MAX_LANE_BITS, RansDecoder,
    class, encode_magnitudes, lane_bits_for, read_magnitude, rest_bits, write_rest,
};
use crate::error::{Error, Result};
use crate::index_walk::{IndexWalk, WalkScratch, capped};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::rate::Trade;

/// Bits of the classes of a chunk for each that is not 0, zeros' included; for choosing lanes.
const BITS_A_NONZERO_CLASS: u64 = 3;
/// Flag of a payload: indices of the approximation have signs.
const SIGNED_APPROXIMATION: u8 = 1 << 4;

/// An activity model in the forms that coding looks up.
#[derive(Debug, Clone)]
pub(crate) struct PreparedActivity {
    pub model: ActivityModel,
    /// What each class costs in each table, in units of 2^-16 bits.
    costs: Vec<[u32; CLASSES]>,
    encode: Vec<EncodeMagnitudes>,
}

impl PreparedActivity {
    pub fn new(model: ActivityModel) -> Self {
        let costs = model.tables().iter().map(|table| table.costs()).collect();
        let encode = model.tables().iter().map(EncodeMagnitudes::new).collect();
        PreparedActivity { model, costs, encode }
    }
}

impl PreparedActivity {
    /// What a magnitude costs in a table, in units of 2^-16 bits, raw bits included, with a sign or without.
    #[inline]
    fn cost(&self, table: u8, magnitude: u32, has_sign: bool) -> u64 {
        let class = class(magnitude);
        let raw = if class > 0 { rest_bits(magnitude, class) + u32::from(has_sign) } else { 0 };
        u64::from(self.costs[table as usize][class as usize]) + (u64::from(raw) << COST_BITS)
    }
}

/// Working memory for chunks; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct ActivityScratch {
    walk: WalkScratch,
    bins: Vec<u8>,
    /// Table and class of each index.
    classes: Vec<(u8, u8)>,
    raw: BitWriter,
}

/// Appends the payload for `indices`, whose first channel is `first_channel` of the map.
pub(crate) fn encode_activity_chunk(
    quantizer: &PlaneQuantizer,
    prepared: &PreparedActivity,
    first_channel: usize,
    indices: &IndexBlocks,
    scratch: &mut ActivityScratch,
    out: &mut Vec<u8>,
) {
    let ActivityScratch { walk, bins, classes, raw } = scratch;
    let (values, channels) = (indices.values(), indices.channels());
    bins.resize(channels, 0);
    classes.resize(values.len(), (0, 0));
    raw.clear();
    let mut count = 0;
    let mut nonzero = 0u64;
    let signed = indices.has_negative_approximation(&quantizer.layout);
    IndexWalk { quantizer, first_channel, channels }.each(walk, |position| {
        let table_of = prepared.model.table_of(position.subband);
        let has_sign = position.subband > 0 || signed;
        prepared.model.bins(position.subband, first_channel, &position.neighbours, bins);
        for &slot in position.kept {
            let index = values[position.at(slot)];
            let magnitude = index.unsigned_abs();
            let class = class(magnitude);
            classes[count] = (table_of[bins[slot] as usize], class);
            count += 1;
            position.own[slot] = capped(magnitude);
            if class > 0 {
                nonzero += 1;
                write_rest(magnitude, class, raw);
                if has_sign {
                    raw.write(u32::from(index < 0), 1);
                }
            }
        }
    });
    // About what classes cost in maps of one or two bits a value; exact costs would take a look-up for each.
    let lane_bits = lane_bits_for(nonzero * BITS_A_NONZERO_CLASS);
    begin_payload(lane_bits, if signed { SIGNED_APPROXIMATION } else { 0 }, raw.finish(), out);
    encode_magnitudes(&prepared.encode, &classes[..count], lane_bits, out);
}

/// Decodes a payload into the blocks of `indices`, which has been reset to the chunk's channels.
pub(crate) fn decode_activity_chunk(
    payload: &[u8],
    quantizer: &PlaneQuantizer,
    prepared: &PreparedActivity,
    first_channel: usize,
    scratch: &mut ActivityScratch,
    indices: &mut IndexBlocks,
) -> Result<()> {
    let PayloadParts { lane_bits, flags, raw, words } =
        PayloadParts::of(payload, SIGNED_APPROXIMATION, OTHERS_MAX_LANE_BITS)?;
    let mut raw_reader = BitReader::new(raw);
    let mut decoder = RansDecoder::new(words, lane_bits)?;

    let ActivityScratch { walk, bins, .. } = scratch;
    let channels = indices.channels();
    bins.resize(channels, 0);
    let tables = prepared.model.tables();
    let values = indices.values_mut();
    if quantizer.coding.mask.is_some() {
        // What is dropped is not visited.
        values.fill(0);
    }
    IndexWalk { quantizer, first_channel, channels }.try_each(walk, |position| {
        let table_of = prepared.model.table_of(position.subband);
        let has_sign = position.subband > 0 || flags & SIGNED_APPROXIMATION != 0;
        prepared.model.bins(position.subband, first_channel, &position.neighbours, bins);
        for &slot in position.kept {
            let table = table_of[bins[slot] as usize & (BINS - 1)];
            let class = decoder.decode_magnitude(&tables[table as usize])?;
            let mut index = 0;
            if class > 0 {
                let magnitude = read_magnitude(class, &mut raw_reader)?;
                position.own[slot] = capped(magnitude);
                let negative = has_sign && raw_reader.read(1)? == 1;
                index = if negative { -(magnitude as i32) } else { magnitude as i32 };
            }
            values[position.at(slot)] = index;
        }
        Ok(())
    })?;
    decoder.finish()?;
    if raw_reader.finish()? != raw.len() {
        return Err(Error::corrupt("a chunk has more raw bits than its magnitudes ask for"));
    }
    Ok(())
}

/// What the indices of each subband cost, in units of 2^-16 bits, raw bits included.
pub(crate) fn activity_costs(
    quantizer: &PlaneQuantizer,
    prepared: &PreparedActivity,
    first_channel: usize,
    indices: &IndexBlocks,
    scratch: &mut ActivityScratch,
) -> Vec<u64> {
    let ActivityScratch { walk, bins, .. } = scratch;
    let (values, channels) = (indices.values(), indices.channels());
    bins.resize(channels, 0);
    let signed = indices.has_negative_approximation(&quantizer.layout);
    let mut costs = vec![0u64; quantizer.layout.blocks.len()];
    IndexWalk { quantizer, first_channel, channels }.each(walk, |position| {
        let table_of = prepared.model.table_of(position.subband);
        let has_sign = position.subband > 0 || signed;
        prepared.model.bins(position.subband, first_channel, &position.neighbours, bins);
        for &slot in position.kept {
            let magnitude = values[position.at(slot)].unsigned_abs();
            costs[position.subband] += prepared.cost(table_of[bins[slot] as usize], magnitude, has_sign);
            position.own[slot] = capped(magnitude);
        }
    });
    costs
}

/// Chooses indices anew, each by the table that the choices before lead to.
pub(crate) fn trade_activity(
    trade: &Trade,
    quantizer: &PlaneQuantizer,
    prepared: &PreparedActivity,
    first_channel: usize,
    scaled: &[f32],
    indices: &mut IndexBlocks,
    scratch: &mut ActivityScratch,
) {
    let ActivityScratch { walk, bins, .. } = scratch;
    let channels = indices.channels();
    bins.resize(channels, 0);
    let signed = indices.has_negative_approximation(&quantizer.layout);
    let values = indices.values_mut();
    IndexWalk { quantizer, first_channel, channels }.each(walk, |position| {
        let table_of = prepared.model.table_of(position.subband);
        let has_sign = position.subband > 0 || signed;
        prepared.model.bins(position.subband, first_channel, &position.neighbours, bins);
        for &slot in position.kept {
            let (at, table) = (position.at(slot), table_of[bins[slot] as usize]);
            let cost = |magnitude| prepared.cost(table, magnitude, has_sign);
            let magnitude = trade.choose(scaled[at], values[at].unsigned_abs(), cost);
            values[at] = values[at].signum() * magnitude as i32;
            position.own[slot] = capped(magnitude);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{ActivityCounts, Moments, count_moments};
    use crate::format::test_chunks::{indices, quantizer};
    use crate::wavelet::subband_count;
    use proptest::prelude::*;

    fn model(quantizer: &PlaneQuantizer, channels: usize, indices: &IndexBlocks) -> ActivityModel {
        let walk = IndexWalk { quantizer, first_channel: 0, channels };
        let mut scratch = WalkScratch::default();
        let mut moments = vec![Moments::NONE; quantizer.layout.blocks.len() * channels];
        walk.each_index(indices, &mut scratch, |subband, channel, neighbours, index| {
            count_moments(&mut moments[subband * channels + channel], neighbours, index);
        });
        let mut counts = ActivityCounts::fit(&moments, channels);
        walk.each_index(indices, &mut scratch, |subband, channel, neighbours, index| {
            counts.count(subband, channel, neighbours, index);
        });
        counts.finish(false)
    }

    fn encode(quantizer: &PlaneQuantizer, prepared: &PreparedActivity, indices: &IndexBlocks) -> Vec<u8> {
        let mut payload = Vec::new();
        encode_activity_chunk(quantizer, prepared, 0, indices, &mut ActivityScratch::default(), &mut payload);
        payload
    }

    fn decode(
        quantizer: &PlaneQuantizer,
        prepared: &PreparedActivity,
        channels: usize,
        payload: &[u8],
    ) -> Result<IndexBlocks> {
        let mut decoded = IndexBlocks::default();
        decoded.reset(&quantizer.layout, channels);
        decode_activity_chunk(payload, quantizer, prepared, 0, &mut ActivityScratch::default(), &mut decoded)?;
        Ok(decoded)
    }

    #[test]
    fn models_come_back() {
        let quantizer = quantizer([5, 9, 7], 2, true);
        let model = model(&quantizer, 5, &indices(&quantizer, 5, 3, 1000));
        let mut writer = BitWriter::default();
        model.write_to(&mut writer);
        let bytes = writer.finish().to_vec();
        let mut reader = BitReader::new(&bytes);
        assert_eq!(ActivityModel::read_from(&mut reader, subband_count(2), 5).unwrap(), model);
        assert_eq!(reader.finish().unwrap(), bytes.len());
        for end in 0..bytes.len() {
            let cut = ActivityModel::read_from(&mut BitReader::new(&bytes[..end]), subband_count(2), 5);
            assert!(cut.is_err(), "{end}");
        }
    }

    #[test]
    fn damage_is_an_error_or_other_indices() {
        let quantizer = quantizer([3, 8, 8], 2, false);
        let original = indices(&quantizer, 3, 9, 300);
        let prepared = PreparedActivity::new(model(&quantizer, 3, &original));
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

    proptest! {
        #[test]
        fn indices_come_back(
            channels in 1usize..20, height in 1usize..20, width in 1usize..20, levels in 0u8..4, mask in any::<bool>(),
            seed in any::<u64>(), large in prop_oneof![Just(2), Just(300), Just((1 << 24) - 1)],
        ) {
            let quantizer = quantizer([channels, height, width], levels, mask);
            let original = indices(&quantizer, channels, seed, large);
            let prepared = PreparedActivity::new(model(&quantizer, channels, &original));
            let payload = encode(&quantizer, &prepared, &original);
            let decoded = decode(&quantizer, &prepared, channels, &payload).unwrap();
            prop_assert_eq!(decoded.values(), original.values());
            // A model of other data codes them too.
            let other = PreparedActivity::new(model(&quantizer, channels, &indices(&quantizer, channels, seed ^ 0xff00, 2)));
            let payload = encode(&quantizer, &other, &original);
            let decoded = decode(&quantizer, &other, channels, &payload).unwrap();
            prop_assert_eq!(decoded.values(), original.values());
        }
    }
}

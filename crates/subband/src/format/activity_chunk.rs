//! The payload of a chunk coded with an activity model (FORMAT.md, "Activity payload").

use super::bytes::{ByteReader, put_varint};
use crate::entropy::{
    ActivityModel, BINS, BitReader, BitWriter, CLASSES, COST_BITS, EncodeMagnitudes, MAX_LANE_BITS, MAX_MAGNITUDE,
    MagnitudeRows, NEIGHBOUR_CAP, Places, RansDecoder, class, encode_magnitudes, lane_bits_for, read_rest, rest_bits,
    write_rest,
};
use crate::error::{Error, Result};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::rate::Trade;

/// Bits of the classes of a chunk for each that is not 0, zeros' included; for choosing lanes.
const BITS_A_NONZERO_CLASS: u64 = 3;
/// Bit of the first byte that says that raw bits follow; the lanes are in the bits below.
const HAS_RAW_BITS: u8 = 1 << 3;
/// Bit of the first byte that says that indices of the approximation have signs.
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

/// Working memory for chunks; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct ActivityScratch {
    rows: MagnitudeRows,
    bins: Vec<u8>,
    kept: Vec<usize>,
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
    let ActivityScratch { rows, bins, kept, classes, raw } = scratch;
    let (layout, channels) = (&quantizer.layout, indices.channels());
    rows.reset(layout.plane(), channels);
    bins.resize(channels, 0);
    raw.clear();
    classes.resize(layout.plane() * channels, (0, 0));
    let mut count = 0;
    let mut nonzero = 0u64;
    let signed = has_negative_approximation(quantizer, indices);
    for subband in 0..layout.blocks.len() {
        keep(kept, quantizer, subband, first_channel, channels);
        let table_of = prepared.model.table_of(subband);
        let has_signs = subband > 0 || signed;
        let (blocks, length) = (indices.subband(layout, subband), layout.blocks[subband].len());
        let walked = Places { layout }.for_each(subband, |offset, places, place| {
            let (neighbours, own) = rows.at(places, place);
            prepared.model.bins(subband, first_channel, &neighbours, bins);
            for &slot in &*kept {
                let index = blocks[slot * length + offset];
                let magnitude = index.unsigned_abs();
                let (table, class) = (table_of[bins[slot] as usize], class(magnitude));
                classes[count] = (table, class);
                count += 1;
                own[slot] = magnitude.min(NEIGHBOUR_CAP) as u8;
                if class > 0 {
                    nonzero += 1;
                    write_rest(magnitude, class, raw);
                    if has_signs {
                        raw.write(u32::from(index < 0), 1);
                    }
                }
            }
            Ok(())
        });
        walked.expect("encoding does not fail");
    }
    // About what classes cost in maps of one or two bits a value; exact costs would take a look-up for each.
    let lane_bits = lane_bits_for(nonzero * BITS_A_NONZERO_CLASS);
    let raw = raw.finish();
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(lane_bits as u8 | flag(!raw.is_empty(), HAS_RAW_BITS) | flag(signed, SIGNED_APPROXIMATION));
    if !raw.is_empty() {
        put_varint(out, raw.len() as u64);
        out.extend_from_slice(raw);
    }
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
    let mut reader = ByteReader::new(payload, "chunk payload");
    let mode = reader.u8()?;
    let lane_bits = u32::from(mode & 7);
    if mode & !(SIGNED_APPROXIMATION | HAS_RAW_BITS | 7) != 0 || lane_bits > MAX_LANE_BITS {
        return Err(Error::corrupt(format!("unknown coding mode {mode:#x} of a chunk")));
    }
    let raw = if mode & HAS_RAW_BITS != 0 {
        let length = reader.varint()?;
        reader.take(length)?
    } else {
        &[]
    };
    let mut raw_reader = BitReader::new(raw);
    let mut decoder = RansDecoder::new(reader.rest(), lane_bits)?;

    let ActivityScratch { rows, bins, kept, .. } = scratch;
    let (layout, channels) = (&quantizer.layout, indices.channels());
    rows.reset(layout.plane(), channels);
    bins.resize(channels, 0);
    for subband in 0..layout.blocks.len() {
        keep(kept, quantizer, subband, first_channel, channels);
        if kept.len() < channels {
            (0..channels).for_each(|slot| indices.block_mut(layout, subband, slot).fill(0));
        }
        let (tables, table_of) = (prepared.model.tables(), prepared.model.table_of(subband));
        let has_signs = subband > 0 || mode & SIGNED_APPROXIMATION != 0;
        let (blocks, length) = (indices.subband_mut(layout, subband), layout.blocks[subband].len());
        Places { layout }.for_each(subband, |offset, places, place| {
            let (neighbours, own) = rows.at(places, place);
            prepared.model.bins(subband, first_channel, &neighbours, bins);
            for &slot in &*kept {
                let table = table_of[bins[slot] as usize & (BINS - 1)];
                let class = decoder.decode_magnitude(&tables[table as usize])?;
                let mut index = 0;
                if class > 0 {
                    let magnitude = read_rest(class, &mut raw_reader)?;
                    if magnitude > MAX_MAGNITUDE {
                        return Err(Error::corrupt(format!("the magnitude {magnitude} is beyond {MAX_MAGNITUDE}")));
                    }
                    own[slot] = magnitude.min(NEIGHBOUR_CAP) as u8;
                    let negative = has_signs && raw_reader.read(1)? == 1;
                    index = if negative { -(magnitude as i32) } else { magnitude as i32 };
                }
                blocks[slot * length + offset] = index;
            }
            Ok(())
        })?;
    }
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
    let ActivityScratch { rows, bins, kept, .. } = scratch;
    let (layout, channels) = (&quantizer.layout, indices.channels());
    rows.reset(layout.plane(), channels);
    bins.resize(channels, 0);
    let signed = has_negative_approximation(quantizer, indices);
    let mut costs = vec![0u64; layout.blocks.len()];
    for (subband, sum) in costs.iter_mut().enumerate() {
        keep(kept, quantizer, subband, first_channel, channels);
        let sign_bits = u32::from(subband > 0 || signed);
        let walked = Places { layout }.for_each(subband, |offset, places, place| {
            let (neighbours, own) = rows.at(places, place);
            prepared.model.bins(subband, first_channel, &neighbours, bins);
            for &slot in &*kept {
                let magnitude = indices.block(layout, subband, slot)[offset].unsigned_abs();
                let class = class(magnitude);
                let table = prepared.model.table_of(subband)[bins[slot] as usize];
                let raw = if class > 0 { rest_bits(magnitude, class) + sign_bits } else { 0 };
                *sum += u64::from(prepared.costs[table as usize][class as usize]) + (u64::from(raw) << 16);
                own[slot] = magnitude.min(NEIGHBOUR_CAP) as u8;
            }
            Ok(())
        });
        walked.expect("the walk does not fail");
    }
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
    let ActivityScratch { rows, bins, kept, .. } = scratch;
    let (layout, channels) = (&quantizer.layout, indices.channels());
    rows.reset(layout.plane(), channels);
    bins.resize(channels, 0);
    let signed = has_negative_approximation(quantizer, indices);
    for subband in 0..layout.blocks.len() {
        keep(kept, quantizer, subband, first_channel, channels);
        let sign_bits = u32::from(subband > 0 || signed);
        let length = layout.blocks[subband].len();
        let scaled = &scaled[layout.blocks[subband].offset * channels..][..length * channels];
        let blocks = indices.subband_mut(layout, subband);
        let walked = Places { layout }.for_each(subband, |offset, places, place| {
            let (neighbours, own) = rows.at(places, place);
            prepared.model.bins(subband, first_channel, &neighbours, bins);
            for &slot in &*kept {
                let at = slot * length + offset;
                let costs = &prepared.costs[prepared.model.table_of(subband)[bins[slot] as usize] as usize];
                let magnitude = trade.choose(scaled[at], blocks[at].unsigned_abs(), |magnitude| {
                    let class = class(magnitude);
                    let raw = if class > 0 { rest_bits(magnitude, class) + sign_bits } else { 0 };
                    u64::from(costs[class as usize]) + (u64::from(raw) << COST_BITS)
                });
                blocks[at] = blocks[at].signum() * magnitude as i32;
                own[slot] = magnitude.min(NEIGHBOUR_CAP) as u8;
            }
            Ok(())
        });
        walked.expect("the walk does not fail");
    }
}

fn has_negative_approximation(quantizer: &PlaneQuantizer, indices: &IndexBlocks) -> bool {
    (0..indices.channels()).any(|slot| indices.block(&quantizer.layout, 0, slot).iter().any(|&index| index < 0))
}

/// The slots whose channels keep a subband.
fn keep(kept: &mut Vec<usize>, quantizer: &PlaneQuantizer, subband: usize, first_channel: usize, channels: usize) {
    kept.clear();
    kept.extend((0..channels).filter(|slot| quantizer.coding.keeps(first_channel + slot, subband)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::Coding;
    use crate::entropy::{ActivityCounts, Moments, count_moments, for_each_index};
    use crate::mask::ChannelMask;
    use crate::quantize::Steps;
    use crate::wavelet::{Wavelet, subband_count};
    use proptest::prelude::*;

    fn quantizer(shape: [usize; 3], levels: u8, mask: bool) -> PlaneQuantizer {
        let mut coding = Coding::new(Wavelet::Haar, levels, Steps::Uniform(1.0));
        if mask && levels > 0 {
            let all = ChannelMask::keep_all(shape[0], levels).unwrap();
            coding = coding.with_mask((0..shape[0]).step_by(3).fold(all, |mask, channel| mask.drop_level(channel, 1)));
        }
        let [channels, height, width] = shape;
        PlaneQuantizer::new(coding, channels, height, width).unwrap()
    }

    /// Indices of a channel range, most of them small, from a seed.
    fn indices(quantizer: &PlaneQuantizer, channels: usize, seed: u64, large: i32) -> IndexBlocks {
        let layout = &quantizer.layout;
        let mut indices = IndexBlocks::default();
        indices.reset(layout, channels);
        let mut state = seed | 1;
        for subband in 0..layout.blocks.len() {
            for channel in 0..channels {
                let kept = quantizer.coding.keeps(channel, subband);
                for index in indices.block_mut(layout, subband, channel) {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let (random, kind) = ((state >> 33) as i32, state >> 58);
                    *index = match kind {
                        _ if !kept => 0,
                        0 => random % large,
                        1..12 => random % 9,
                        12..30 => random % 2,
                        _ => 0,
                    };
                    if subband > 0 && random & 64 > 0 {
                        *index = -*index;
                    }
                }
            }
        }
        indices
    }

    fn model(quantizer: &PlaneQuantizer, channels: usize, indices: &IndexBlocks) -> ActivityModel {
        let layout = &quantizer.layout;
        let subbands = layout.blocks.len();
        let at = |subband, channel, offset: usize| indices.block(layout, subband, channel)[offset];
        let keeps = |channel, subband| quantizer.coding.keeps(channel, subband);
        let mut rows = MagnitudeRows::default();
        let mut moments = vec![Moments::NONE; subbands * channels];
        for_each_index(layout, channels, at, keeps, &mut rows, |subband, channel, neighbours, index| {
            count_moments(&mut moments[subband * channels + channel], neighbours, index);
        });
        let mut counts = ActivityCounts::fit(&moments, channels);
        for_each_index(layout, channels, at, keeps, &mut rows, |subband, channel, neighbours, index| {
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

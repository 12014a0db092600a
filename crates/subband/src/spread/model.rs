//! A spread model, as bits and as estimates take it (FORMAT.md, "Spread model").

use std::sync::Arc;

use super::builtin;
use super::{BINS, surroundings::orientation};
use crate::entropy::{BitReader, BitWriter, MagnitudeTable, best_order, bits_for, read_signed, write_signed};
use crate::error::{Error, Result};

/// What an estimate looks at: left and above; the subbands one and two before; three parents; the height; two slopes.
pub(crate) const INPUTS: usize = 10;
/// Bins of a slope, for the sign.
pub(crate) const SIGN_BINS: usize = 16;
/// A share of signs is in units of 2^-8.
pub(crate) const SIGN_SHARE_BITS: u32 = 8;
/// Most tables of a model.
pub(super) const MAX_TABLES: usize = 64;
/// Offsets of a subband and channel are this at most, in units.
pub(super) const MAX_OFFSET: i16 = 4095;
const OFFSET_BITS: u32 = 13;
/// Offsets of subbands, where those of channels are apart, are in so many units, and come on top of those built in.
pub(super) const COARSE: i16 = 16;
/// Offsets of channels in LL are in so many units.
pub(super) const LOWEST_COARSE: i16 = 128;
/// Offsets of channels in all other subbands are in so many units.
pub(super) const DETAIL_COARSE: i16 = 64;
/// Such offsets are this at most.
pub(super) const MAX_COARSE: i16 = 255;
/// Bits of the order of the exp-Golomb code of such offsets.
const ORDER_BITS: u32 = 3;
/// Most offsets of a model, which may take no bytes.
const MAX_OFFSETS: usize = 1 << 22;
/// Levels are below this.
const LEVELS: i32 = 64;

/// Offsets of estimates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offsets {
    /// By subband, then channel, in units.
    Each(Vec<i16>),
    /// In coarse units; they add up with those built in.
    Apart(OffsetsApart),
}

/// Offsets of subbands and of channels, each in coarse units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetsApart {
    pub of_subbands: Vec<i16>,
    /// Of the channels in LL; often all 0.
    pub of_lowest: Vec<i16>,
    /// Of the channels in all other subbands; often all 0, and always before version 6.
    pub of_details: Vec<i16>,
}

impl OffsetsApart {
    fn sum(&self, subband: usize, channel: usize) -> i16 {
        let of_channel = match subband {
            0 => i32::from(LOWEST_COARSE) * i32::from(self.of_lowest[channel]),
            _ => i32::from(DETAIL_COARSE) * i32::from(self.of_details[channel]),
        };
        let of_subband = i32::from(COARSE) * i32::from(self.of_subbands[subband]);
        let sum = i32::from(builtin::offset(subband)) + of_subband + of_channel;
        sum.clamp(-i32::from(MAX_OFFSET), MAX_OFFSET.into()) as i16
    }
}

/// Weights of estimates, and what signs are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weights {
    /// By subband; 0 for what it has not.
    pub levels: Vec<[i8; INPUTS]>,
    /// By subband but LL, then bin of the slope: how many signs of 256 are that of the slope, not 0.
    pub signs: Vec<[u8; SIGN_BINS]>,
}

/// Tables of magnitudes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tables {
    /// By subband and bin.
    pub table_of: Vec<[u8; BINS]>,
    pub tables: Vec<MagnitudeTable>,
}

/// Offsets, weights and tables of a tap or stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpreadModel {
    channels: usize,
    offsets: Offsets,
    /// The offsets by subband, then channel.
    all_offsets: Vec<i16>,
    /// None: those that are built in.
    weights: Option<Weights>,
    /// The weights, whoever they are from.
    all_weights: Arc<Weights>,
    /// None: those that are built in.
    tables: Option<Tables>,
}

/// Inputs that a subband has.
pub(super) fn has_input(subband: usize, input: usize) -> bool {
    match input {
        0 | 1 => true,
        2 | 3 => subband > 0 && orientation(subband) >= input - 1,
        4..7 => subband > 3,
        _ => subband > 0,
    }
}

impl SpreadModel {
    pub fn new(
        subbands: usize,
        channels: usize,
        offsets: Offsets,
        weights: Option<Weights>,
        tables: Option<Tables>,
    ) -> Self {
        let all_offsets = match &offsets {
            Offsets::Each(offsets) => offsets.clone(),
            Offsets::Apart(apart) => (0..subbands)
                .flat_map(|subband| (0..channels).map(move |channel| apart.sum(subband, channel)))
                .collect(),
        };
        debug_assert_eq!(all_offsets.len(), subbands * channels);
        let all_weights = Arc::new(weights.clone().unwrap_or_else(|| builtin::weights(subbands)));
        SpreadModel { channels, offsets, all_offsets, weights, all_weights, tables }
    }

    pub fn weights(&self, subband: usize) -> [i8; INPUTS] {
        self.all_weights.levels[subband]
    }

    /// The offsets of all channels.
    pub fn offsets(&self, subband: usize) -> &[i16] {
        &self.all_offsets[subband * self.channels..(subband + 1) * self.channels]
    }

    /// How many signs of 256 in a subband other than LL are that of the slope, by its bin.
    pub fn signs(&self, subband: usize) -> &[u8; SIGN_BINS] {
        &self.all_weights.signs[subband - 1]
    }

    pub fn subbands(&self) -> usize {
        self.all_weights.levels.len()
    }

    /// All tables.
    pub fn tables(&self) -> &[MagnitudeTable] {
        self.tables.as_ref().map_or_else(|| builtin::tables(), |own| &own.tables)
    }

    pub fn has_built_in_tables(&self) -> bool {
        self.tables.is_none()
    }

    /// Number of the table of a bin of a subband.
    pub fn table_of(&self, subband: usize, bin: usize) -> u8 {
        self.tables.as_ref().map_or(bin as u8, |own| own.table_of[subband][bin])
    }

    pub fn write_to(&self, writer: &mut BitWriter) {
        writer.write(u32::from(self.weights.is_some()), 1);
        if let Some(weights) = &self.weights {
            for (subband, of_subband) in weights.levels.iter().enumerate() {
                for (_, &weight) in of_subband.iter().enumerate().filter(|(input, _)| has_input(subband, *input)) {
                    writer.write(u32::from(weight as u8), 8);
                }
            }
            weights.signs.iter().flatten().for_each(|&share| writer.write(share.into(), SIGN_SHARE_BITS));
        }
        match &self.offsets {
            Offsets::Each(offsets) => {
                writer.write(1, 1);
                offsets.iter().for_each(|&offset| writer.write((offset + MAX_OFFSET) as u32, OFFSET_BITS));
            }
            Offsets::Apart(OffsetsApart { of_subbands, of_lowest, of_details }) => {
                debug_assert!(of_details.iter().all(|&offset| offset == 0), "only the short form has them");
                writer.write(0, 1);
                write_numbers(of_subbands, writer);
                write_numbers_if_any(of_lowest, writer);
            }
        }
        let count = self.tables.as_ref().map_or(0, |own| own.tables.len());
        writer.write(count as u32, 7);
        if let Some(own) = &self.tables {
            own.tables.iter().for_each(|table| table.write_to(writer));
            own.table_of.iter().flatten().for_each(|&table| writer.write(table.into(), bits_for(count)));
        }
    }

    /// Vectors grow as the bits come, since the sizes may be lies.
    pub fn read_from(reader: &mut BitReader, subbands: usize, channels: usize) -> Result<Self> {
        check_size(subbands, channels)?;
        let weights = if reader.read(1)? == 1 { Some(read_weights(reader, subbands)?) } else { None };
        let offsets = if reader.read(1)? == 1 {
            let mut offsets = Vec::new();
            for _ in 0..subbands * channels {
                let offset = reader.read(OFFSET_BITS)? as i16 - MAX_OFFSET;
                if offset > MAX_OFFSET {
                    return Err(Error::corrupt(format!("a spread model has the offset {offset}")));
                }
                offsets.push(offset);
            }
            Offsets::Each(offsets)
        } else {
            let of_subbands = read_numbers(reader, subbands)?;
            let of_lowest = read_numbers_if_any(reader, channels)?;
            Offsets::Apart(OffsetsApart { of_subbands, of_lowest, of_details: vec![0; channels] })
        };
        let count = reader.read(7)? as usize;
        if count > MAX_TABLES {
            return Err(Error::corrupt(format!("{count} magnitude tables: allowed are 0 to {MAX_TABLES}")));
        }
        let tables = if count > 0 { Some(read_tables(reader, subbands, count)?) } else { None };
        Ok(Self::new(subbands, channels, offsets, weights, tables))
    }

    /// Whether all but offsets apart is built in, as in streams since version 6.
    pub fn is_short(&self) -> bool {
        self.weights.is_none() && self.tables.is_none() && matches!(self.offsets, Offsets::Apart(_))
    }

    /// Whether channels have offsets in subbands other than LL, which streams have since version 6.
    pub fn has_offsets_of_details(&self) -> bool {
        matches!(&self.offsets, Offsets::Apart(apart) if apart.of_details.iter().any(|&offset| offset != 0))
    }

    /// The model as streams have it since version 6; it has to be short.
    pub fn write_short(&self, writer: &mut BitWriter) {
        let Offsets::Apart(apart) = &self.offsets else { unreachable!("models of streams have offsets apart") };
        write_numbers(&apart.of_subbands, writer);
        write_numbers_if_any(&apart.of_lowest, writer);
        write_numbers_if_any(&apart.of_details, writer);
    }

    /// Vectors grow as the bits come, since the sizes may be lies.
    pub fn read_short(reader: &mut BitReader, subbands: usize, channels: usize) -> Result<Self> {
        check_size(subbands, channels)?;
        let apart = OffsetsApart {
            of_subbands: read_numbers(reader, subbands)?,
            of_lowest: read_numbers_if_any(reader, channels)?,
            of_details: read_numbers_if_any(reader, channels)?,
        };
        Ok(Self::new(subbands, channels, Offsets::Apart(apart), None, None))
    }
}

fn check_size(subbands: usize, channels: usize) -> Result<()> {
    match subbands.saturating_mul(channels) > MAX_OFFSETS {
        true => Err(Error::corrupt(format!(
            "a spread model for {channels} channels of {subbands} subbands: allowed are {MAX_OFFSETS} together"
        ))),
        false => Ok(()),
    }
}

impl Weights {
    /// Whether no estimate leaves 16 bits, whatever it looks at.
    pub fn fit_in_sums(levels: &[i8; INPUTS]) -> bool {
        let most: i32 = levels.iter().map(|&weight| (LEVELS - 1) * i32::from(weight).abs()).sum();
        most + i32::from(MAX_OFFSET) <= i32::from(i16::MAX)
    }
}

fn read_weights(reader: &mut BitReader, subbands: usize) -> Result<Weights> {
    let mut weights = Weights { levels: Vec::new(), signs: Vec::new() };
    for subband in 0..subbands {
        let mut of_subband = [0; INPUTS];
        for (input, weight) in of_subband.iter_mut().enumerate() {
            if has_input(subband, input) {
                *weight = reader.read(8)? as u8 as i8;
            }
        }
        if !Weights::fit_in_sums(&of_subband) {
            return Err(Error::corrupt("the weights of a spread model are too large together"));
        }
        weights.levels.push(of_subband);
    }
    for _ in 1..subbands {
        let mut of_subband = [0; SIGN_BINS];
        for share in &mut of_subband {
            *share = reader.read(SIGN_SHARE_BITS)? as u8;
            if *share == 0 {
                return Err(Error::corrupt("a spread model has a share of signs of 0"));
            }
        }
        weights.signs.push(of_subband);
    }
    Ok(weights)
}

fn read_tables(reader: &mut BitReader, subbands: usize, count: usize) -> Result<Tables> {
    let tables = (0..count).map(|_| MagnitudeTable::read_from(reader)).collect::<Result<Vec<_>>>()?;
    let mut table_of = Vec::new();
    for _ in 0..subbands {
        let mut of_subband = [0; BINS];
        for table in &mut of_subband {
            *table = reader.read(bits_for(count))? as u8;
            if usize::from(*table) >= count {
                return Err(Error::corrupt(format!("magnitude table {table} of {count}")));
            }
        }
        table_of.push(of_subband);
    }
    Ok(Tables { table_of, tables })
}

/// Numbers in exp-Golomb code, of the order that takes fewest bits.
fn write_numbers(numbers: &[i16], writer: &mut BitWriter) {
    let numbers = numbers.iter().map(|&number| i32::from(number));
    let order = best_order(numbers.clone(), 1 << ORDER_BITS);
    writer.write(order, ORDER_BITS);
    numbers.for_each(|number| write_signed(number, order, writer));
}

/// A bit whether a number is not 0, and if so all.
fn write_numbers_if_any(numbers: &[i16], writer: &mut BitWriter) {
    let any = numbers.iter().any(|&number| number != 0);
    writer.write(u32::from(any), 1);
    if any {
        write_numbers(numbers, writer);
    }
}

fn read_numbers_if_any(reader: &mut BitReader, count: usize) -> Result<Vec<i16>> {
    if reader.read(1)? == 0 {
        return Ok(vec![0; count]);
    }
    let numbers = read_numbers(reader, count)?;
    // One way to write a model, so that a profile that is read and written is the same.
    match numbers.iter().any(|&number| number != 0) {
        true => Ok(numbers),
        false => Err(Error::corrupt("a spread model lists offsets of channels that are all 0")),
    }
}

fn read_numbers(reader: &mut BitReader, count: usize) -> Result<Vec<i16>> {
    let order = reader.read(ORDER_BITS)?;
    let mut numbers = Vec::new();
    for _ in 0..count {
        let number = read_signed(reader, order)?;
        if number.unsigned_abs() > MAX_COARSE as u32 {
            return Err(Error::corrupt(format!("a spread model has the offset {number}")));
        }
        numbers.push(number as i16);
    }
    if order != best_order(numbers.iter().map(|&number| number.into()), 1 << ORDER_BITS) {
        return Err(Error::corrupt(format!("offsets of a spread model are in a code of order {order}")));
    }
    Ok(numbers)
}

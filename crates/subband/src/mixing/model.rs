//! A mixing model: the networks of a tap, and how they are written (FORMAT.md, "Mixing model").

use super::context::{SUMS, input_counts};
use super::network::{HIDDEN, Links, Network, NetworkSet, Row};
use crate::coding::Coding;
use crate::entropy::{BitReader, BitWriter, best_order, read_signed, write_signed};
use crate::error::{Error, Result};
use crate::quantize::Steps;
use crate::wavelet::subband_count;

/// Decisions about a magnitude before the rest is coded plainly: of LL, whose magnitudes are larger, and of details.
const HEADS: [usize; 2] = [24, 14];
/// Weights are at most this.
pub(super) const MAX_WEIGHT: i16 = 127;
/// Bits of the order of the exp-Golomb code of weights.
const ORDER_BITS: u32 = 4;
/// Units of weights of the biases by channel and of gains, in units of the sums.
pub(super) const BIAS_UNIT: i16 = 8;
pub(super) const GAIN_UNIT: i16 = 256;

/// The networks of a tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MixingModel {
    /// Step of each subband in 16ths of that of LL.
    pub(super) scales: Vec<u16>,
    /// Of LL, HL, LH, HH.
    pub(super) orientations: Vec<OrientationModel>,
}

/// The networks of an orientation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrientationModel {
    pub magnitudes: NetworkSet,
    /// None for LL.
    pub signs: Option<NetworkSet>,
}

/// Number of the orientation of a subband, and of its network there.
pub(super) fn orientation_of(subband: usize) -> (usize, usize) {
    if subband == 0 { (0, 0) } else { (1 + (subband - 1) % 3, (subband - 1) / 3) }
}

/// The subbands of an orientation, coarsest first.
pub(super) fn subbands_of(orientation: usize, subbands: usize) -> Vec<usize> {
    (0..subbands).filter(|&subband| orientation_of(subband).0 == orientation).collect()
}

/// Decisions about a magnitude.
pub(super) fn heads_of(orientation: usize) -> usize {
    HEADS[usize::from(orientation > 0)]
}

impl MixingModel {
    /// Steps of the subbands in 16ths of that of LL; those of the first channel where each has its own.
    pub(super) fn scales_of(coding: &Coding) -> Vec<u16> {
        let subbands = subband_count(coding.levels);
        let scale = |steps: &[f32]| {
            steps.iter().map(|step| (16.0 * step / steps[0]).round().clamp(1.0, 65_535.0) as u16).collect()
        };
        match &coding.steps {
            Steps::Uniform(_) => vec![16; subbands],
            Steps::PerSubband(steps) => scale(steps),
            Steps::PerChannel(rows) => rows.first().map_or_else(|| vec![16; subbands], |steps| scale(steps)),
        }
    }

    pub fn write_to(&self, writer: &mut BitWriter) {
        self.scales.iter().for_each(|&scale| writer.write(scale.into(), 16));
        for orientation in &self.orientations {
            write_set(&orientation.magnitudes, writer);
            orientation.signs.iter().for_each(|signs| write_set(signs, writer));
        }
    }

    pub fn read_from(reader: &mut BitReader, subbands: usize, channels: usize) -> Result<Self> {
        let mut scales = Vec::new();
        for _ in 0..subbands {
            match reader.read(16)? {
                0 => return Err(Error::corrupt("a mixing model has the scale 0")),
                scale => scales.push(scale as u16),
            }
        }
        let mut orientations = Vec::new();
        for orientation in 0..if subbands > 1 { 4 } else { 1 } {
            let members = subbands_of(orientation, subbands);
            let counts = members.iter().map(|&subband| input_counts(subband));
            let (of_magnitudes, of_signs): (Vec<usize>, Vec<usize>) = counts.unzip();
            let magnitudes = read_set(reader, channels, &of_magnitudes, heads_of(orientation))?;
            let signs = if orientation > 0 { Some(read_set(reader, channels, &of_signs, 1)?) } else { None };
            orientations.push(OrientationModel { magnitudes, signs });
        }
        Ok(MixingModel { scales, orientations })
    }
}

fn write_set(set: &NetworkSet, writer: &mut BitWriter) {
    let links = &set.links;
    write_rows(&links.bias, BIAS_UNIT, writer);
    write_rows(&links.gain, GAIN_UNIT, writer);
    links.sources.iter().for_each(|rows| write_rows(rows, 1, writer));
    for network in &set.networks {
        write_numbers(&network.base, 1, writer);
        write_rows(&network.weights, 1, writer);
        write_rows(&network.heads, 1, writer);
        write_numbers(&network.biases, 1, writer);
    }
}

fn read_set(reader: &mut BitReader, channels: usize, inputs: &[usize], heads: usize) -> Result<NetworkSet> {
    let bias = read_rows(reader, channels, BIAS_UNIT)?;
    let gain = read_rows(reader, channels, GAIN_UNIT)?;
    let mut sources: [Vec<Row>; 1 + SUMS] = Default::default();
    for rows in &mut sources {
        *rows = read_rows(reader, channels, 1)?;
    }
    let mut networks = Vec::new();
    for &inputs in inputs {
        let base = read_numbers(reader, HIDDEN, i16::MAX)?;
        networks.push(Network {
            base: base.try_into().expect("so many were read"),
            weights: read_rows(reader, inputs, 1)?,
            heads: read_rows(reader, heads, 1)?,
            biases: read_numbers(reader, heads, i16::MAX)?,
        });
    }
    Ok(NetworkSet { links: Links { bias, gain, sources }, networks })
}

fn write_rows(rows: &[Row], unit: i16, writer: &mut BitWriter) {
    write_numbers(rows.as_flattened(), unit, writer);
}

/// The order that suits the numbers best, then each, in units of `unit`.
fn write_numbers(numbers: &[i16], unit: i16, writer: &mut BitWriter) {
    let numbers = numbers.iter().map(|&number| i32::from(number / unit));
    let order = best_order(numbers.clone(), 1 << ORDER_BITS);
    writer.write(order, ORDER_BITS);
    numbers.for_each(|number| write_signed(number, order, writer));
}

fn read_rows(reader: &mut BitReader, rows: usize, unit: i16) -> Result<Vec<Row>> {
    let mut numbers = read_numbers(reader, rows * HIDDEN, MAX_WEIGHT)?;
    numbers.iter_mut().for_each(|number| *number *= unit);
    Ok(numbers.as_chunks().0.to_vec())
}

/// Numbers of at most `largest` in magnitude.
fn read_numbers(reader: &mut BitReader, count: usize, largest: i16) -> Result<Vec<i16>> {
    let order = reader.read(ORDER_BITS)?;
    // Grows as the bits come, since the sizes may be lies.
    let mut numbers = Vec::new();
    for _ in 0..count {
        let number = read_signed(reader, order)?;
        if number.unsigned_abs() > largest as u32 {
            return Err(Error::corrupt(format!("a mixing model has a weight of {number}: at most {largest}")));
        }
        numbers.push(number as i16);
    }
    // One way to write a model, so that a profile that is read and written is the same.
    if order != best_order(numbers.iter().map(|&number| number.into()), 1 << ORDER_BITS) {
        return Err(Error::corrupt(format!("weights of a mixing model are in a code of order {order}")));
    }
    Ok(numbers)
}

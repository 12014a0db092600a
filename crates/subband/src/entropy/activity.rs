//! The activity model: which magnitude table codes an index, by an estimate of its magnitude from what is decoded
//! already (FORMAT.md, "Activity model").
//!
//! Read this first. The estimate is a base, by subband and channel, plus a weighted sum of five magnitudes of the same
//! channel: those to the left and above in the subband, the parent's (the coefficient of the coarser level that covers the
//! place), and those of the subbands of the same level coded before. Half an octave of the estimate is a bin, and a bin of
//! a subband has a table. One number made of all neighbours needs far fewer tables than a context for each combination,
//! and is one multiply-add each: on the indices of a retrained ResNet-20 it takes 24% off order-0 coding by subband and 7%
//! off order-0 coding by subband and channel.
//!
//! New profiles have a spread model in its place; this one decodes and encodes against older ones, and only tests still fit
//! it.
//!
//! Magnitudes are kept position by position, in each channel by channel, so that the estimates of all channels at a
//! position are one loop without branches over rows of bytes.

use super::bit_io::{BitReader, BitWriter, bits_for};
use super::magnitude_table::MagnitudeTable;
use crate::error::{Error, Result};
use crate::wavelet::SubbandLayout;

/// Bins of the estimate in each subband.
pub(crate) const BINS: usize = 32;
/// Magnitudes that an estimate looks at.
pub(crate) const NEIGHBOURS: usize = 5;
/// Larger magnitudes count as this in estimates, so that the sum stays within 16 bits.
pub(crate) const NEIGHBOUR_CAP: u32 = 31;
/// Bases and weights are in units of 1 / 2^8.
#[cfg(test)]
pub(crate) const UNIT_BITS: u32 = 8;
/// Largest base: with five neighbours of 31 at the largest weights the sum is 64,101.
pub(crate) const MAX_BASE: u16 = 24_576;
/// Most tables of a model.
#[cfg(test)]
pub(crate) const MAX_MAGNITUDE_TABLES: usize = 64;

/// Weights, bases and tables of a tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActivityModel {
    channels: usize,
    /// By subband: weights of left, above, parent, and the subbands one and two before.
    weights: Vec<[u8; NEIGHBOURS]>,
    /// By subband, then channel; 1 to `MAX_BASE`.
    bases: Vec<u16>,
    /// Table of each bin, by subband.
    table_of: Vec<[u8; BINS]>,
    tables: Vec<MagnitudeTable>,
}

impl ActivityModel {
    /// `bases` by subband, then channel; one array of weights and one of table numbers a subband.
    #[cfg(test)]
    pub fn new(
        channels: usize,
        weights: Vec<[u8; NEIGHBOURS]>,
        bases: Vec<u16>,
        table_of: Vec<[u8; BINS]>,
        tables: Vec<MagnitudeTable>,
    ) -> Self {
        debug_assert_eq!(bases.len(), weights.len() * channels);
        debug_assert!(bases.iter().all(|base| (1..=MAX_BASE).contains(base)));
        ActivityModel { channels, weights, bases, table_of, tables }
    }

    pub fn tables(&self) -> &[MagnitudeTable] {
        &self.tables
    }

    /// The tables of the bins of a subband.
    pub fn table_of(&self, subband: usize) -> &[u8; BINS] {
        &self.table_of[subband]
    }

    /// The bins of all channels at one position, from the rows of its neighbours; channel 0 of the rows is
    /// `first_channel` of the map.
    pub fn bins(&self, subband: usize, first_channel: usize, neighbours: &[&[u8]; NEIGHBOURS], bins: &mut [u8]) {
        let bases = &self.bases[subband * self.channels + first_channel..];
        bins_of(&bases[..bins.len()], &self.weights[subband], neighbours, bins);
    }

    pub fn write_to(&self, writer: &mut BitWriter) {
        for weights in &self.weights {
            weights.iter().for_each(|&weight| writer.write(u32::from(weight), 8));
        }
        self.bases.iter().for_each(|&base| writer.write(u32::from(base), 15));
        writer.write(self.tables.len() as u32 - 1, 6);
        self.tables.iter().for_each(|table| table.write_to(writer));
        let bits = bits_for(self.tables.len());
        self.table_of.iter().flatten().for_each(|&table| writer.write(u32::from(table), bits));
    }

    pub fn read_from(reader: &mut BitReader, subbands: usize, channels: usize) -> Result<Self> {
        // Vectors grow as the bits come, since the sizes may be lies.
        let mut weights = Vec::new();
        for _ in 0..subbands {
            let mut of_subband = [0; NEIGHBOURS];
            for weight in &mut of_subband {
                *weight = reader.read(8)? as u8;
            }
            weights.push(of_subband);
        }
        let mut bases = Vec::new();
        for _ in 0..subbands * channels {
            let base = reader.read(15)? as u16;
            if !(1..=MAX_BASE).contains(&base) {
                return Err(Error::corrupt(format!(
                    "an activity model has the base {base}: allowed are 1 to {MAX_BASE}"
                )));
            }
            bases.push(base);
        }
        let count = reader.read(6)? as usize + 1;
        let tables = (0..count).map(|_| MagnitudeTable::read_from(reader)).collect::<Result<Vec<_>>>()?;
        let mut table_of = Vec::new();
        for _ in 0..subbands {
            let mut of_subband = [0; BINS];
            for table in &mut of_subband {
                *table = reader.read(bits_for(count))? as u8;
                if *table as usize >= count {
                    return Err(Error::corrupt(format!("magnitude table {table} of {count}")));
                }
            }
            table_of.push(of_subband);
        }
        Ok(ActivityModel { channels, weights, bases, table_of, tables })
    }
}

/// One loop over rows of equal length, so that it becomes vector code.
#[inline]
fn bins_of(bases: &[u16], weights: &[u8; NEIGHBOURS], neighbours: &[&[u8]; NEIGHBOURS], bins: &mut [u8]) {
    let count = bins.len();
    let [a, b, c, d, e] = neighbours.map(|row| &row[..count]);
    let [wa, wb, wc, wd, we] = weights.map(u16::from);
    let bases = &bases[..count];
    for i in 0..count {
        let sum = |row: &[u8], weight: u16| u16::from(row[i]) * weight;
        bins[i] = bin(bases[i] + sum(a, wa) + sum(b, wb) + sum(c, wc) + sum(d, wd) + sum(e, we));
    }
}

/// Half octaves of an estimate of at least 1: twice the exponent, plus the bit below the leading one.
#[inline]
fn bin(estimate: u16) -> u8 {
    // The exponent and the first bit of the mantissa of the float, which has a vector instruction.
    (((f32::from(estimate).to_bits() >> 22) as u16).wrapping_sub(254)) as u8
}

/// Magnitudes of a chunk as estimates see them: for each position of each subband a row of channels.
#[derive(Debug, Default)]
pub(crate) struct MagnitudeRows {
    /// A row of zeros for neighbours outside, then the positions in coding order.
    values: Vec<u8>,
    channels: usize,
}

impl MagnitudeRows {
    /// Makes room for the positions of a plane; all magnitudes are 0.
    pub fn reset(&mut self, positions: usize, channels: usize) {
        self.channels = channels;
        self.values.clear();
        self.values.resize((positions + 1) * channels, 0);
    }

    /// The rows of the neighbours of a position, and its own.
    #[inline]
    pub fn at(&mut self, places: &[usize; NEIGHBOURS], place: usize) -> ([&[u8]; NEIGHBOURS], &mut [u8]) {
        let channels = self.channels;
        let (before, after) = self.values.split_at_mut(place * channels);
        (places.map(|at| &before[at * channels..(at + 1) * channels]), &mut after[..channels])
    }
}

/// Where rows lie: 0 is the row of zeros, and a coefficient's place is its offset in the plane's coefficients, plus 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    pub layout: &'a SubbandLayout,
}

impl Places<'_> {
    /// Calls `visit(offset in the block, places of the neighbours, place)` for each position of a subband.
    #[inline]
    pub fn for_each<E>(
        &self,
        subband: usize,
        mut visit: impl FnMut(usize, &[usize; NEIGHBOURS], usize) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let blocks = &self.layout.blocks;
        let block = blocks[subband];
        // Position in a block, or the row of zeros where it has none.
        let within = |number: Option<usize>, y: usize, x: usize| match number {
            Some(number) if y < blocks[number].height && x < blocks[number].width => {
                blocks[number].offset + y * blocks[number].width + x + 1
            }
            _ => 0,
        };
        // LL, then HL, LH, HH of each level.
        let orientation = if subband == 0 { 0 } else { (subband - 1) % 3 + 1 };
        let is_coarsest = subband < 4;
        let parent = if is_coarsest { 0 } else { subband - 3 };
        let parent = (subband > 0).then_some(parent);
        let shift = u32::from(!is_coarsest);
        let one_before = (orientation >= 2).then(|| subband - 1);
        let two_before = (orientation == 3).then(|| subband - 2);
        for y in 0..block.height {
            for x in 0..block.width {
                let offset = y * block.width + x;
                let place = block.offset + offset + 1;
                let neighbours = [
                    if x > 0 { place - 1 } else { 0 },
                    if y > 0 { place - block.width } else { 0 },
                    within(parent, y >> shift, x >> shift),
                    within(one_before, y, x),
                    within(two_before, y, x),
                ];
                visit(offset, &neighbours, place)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_half_octaves() {
        let by_hand: Vec<u8> = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32_768, 49_152, 65_535].map(bin).to_vec();
        assert_eq!(by_hand, [0, 2, 3, 4, 4, 5, 5, 6, 7, 8, 30, 31, 31]);
        for estimate in 1..=u16::MAX {
            let exponent = estimate.ilog2();
            let below = if exponent == 0 { 0 } else { estimate >> (exponent - 1) & 1 };
            assert_eq!(u32::from(bin(estimate)), 2 * exponent + u32::from(below));
        }
    }

    #[test]
    fn the_largest_sum_fits() {
        let row: &[u8] = &[NEIGHBOUR_CAP as u8];
        let mut bins = [0];
        bins_of(&[MAX_BASE], &[255; NEIGHBOURS], &[row; NEIGHBOURS], &mut bins);
        assert_eq!(bins, [31]);
    }

    #[test]
    fn neighbours_by_hand() {
        // 3 x 5, two levels: LL2 1x2 at 0, HL2 1x1 at 2, LH2 1x2 at 3, HH2 1x1 at 5, HL1 2x2 at 6, LH1 1x3 at 10, HH1 1x2 at 13.
        let layout = SubbandLayout::new(3, 5, 2);
        let mut seen = Vec::new();
        for subband in 0..7 {
            let places = Places { layout: &layout };
            let Ok(()) = places.for_each(subband, |offset, neighbours, place| {
                seen.push((subband, offset, *neighbours, place));
                Ok::<(), std::convert::Infallible>(())
            });
        }
        assert_eq!(seen.len(), 15);
        assert_eq!(seen[1], (0, 1, [1, 0, 0, 0, 0], 2));
        assert_eq!(seen[2], (1, 0, [0, 0, 1, 0, 0], 3));
        assert_eq!(seen[4], (2, 1, [4, 0, 2, 0, 0], 5));
        assert_eq!(seen[5], (3, 0, [0, 0, 1, 4, 3], 6));
        // HL1 at y 1, x 1: left, above, its parent HL2 at 0, 0.
        assert_eq!(seen[9], (4, 3, [9, 8, 3, 0, 0], 10));
        // LH1 at 0, 2: parent LH2 at 0, 1; HL1 is two wide.
        assert_eq!(seen[12], (5, 2, [12, 0, 5, 0, 0], 13));
        assert_eq!(seen[14], (6, 1, [14, 0, 6, 12, 8], 15));
    }
}

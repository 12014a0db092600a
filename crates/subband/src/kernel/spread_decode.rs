//! Decoding a row of a spread payload.
//!
//! Four indices of five are 0 and take no more than a comparison with the share of 0. The bins of a whole row are made at once as if
//! the neighbours to the left were 0 too; an index that is not makes the bin of the next place of its channel anew. (Bins made place by
//! place wait for the levels just stored: a load of a vector cannot take bytes from stores that are still on their way.)
//!
//! On one core of a Sapphire Rapids, packets of 64x112x112 and 64x8x8 values: from 285 and 369 MB/s of f32 to 430 and 560. Half of
//! that came from one loop without calls for all lanes, a quarter from tables in the form that is looked up and what is said above.

use super::isa::{Isa, Level};
use super::spread::{bin_of, bins_of};
use crate::entropy::{BitReader, CLASSES, LaneDecoder, MAGNITUDE_SCALE_BITS, MagnitudeTable, level, read_magnitude};
use crate::error::Result;
use crate::spread::{BINS, Row, SIGN_BINS, capped, sign_context};

/// A table in the form that decoding looks up.
#[derive(Debug, Clone)]
#[repr(align(32))]
pub(crate) struct ClassShares {
    /// Rising from 0, as signed numbers, which all instruction sets can compare.
    starts: [i16; CLASSES],
    /// Start, and frequency above its 16 bits.
    shares: [u32; CLASSES],
}

impl ClassShares {
    pub fn new(table: &MagnitudeTable) -> Self {
        ClassShares {
            starts: std::array::from_fn(|class| table.start(class as u8) as i16),
            shares: std::array::from_fn(|class| table.start(class as u8) | table.frequency(class as u8) << 16),
        }
    }

    /// The class whose interval holds `slot`. With `AVX2` only called where the CPU has that.
    #[inline(always)]
    fn class_at<const AVX2: bool>(&self, slot: u32) -> usize {
        #[cfg(target_arch = "x86_64")]
        if AVX2 {
            // SAFETY: the caller's.
            return unsafe { self.avx2_class_at(slot) };
        }
        let slot = slot as i16;
        self.starts.iter().map(|&start| i16::from(start <= slot)).sum::<i16>() as usize - 1
    }

    /// In five instructions.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    #[inline]
    fn avx2_class_at(&self, slot: u32) -> usize {
        use std::arch::x86_64::*;
        // SAFETY: 16 numbers of two bytes.
        let starts = unsafe { _mm256_loadu_si256(self.starts.as_ptr().cast()) };
        let beyond = _mm256_cmpgt_epi16(starts, _mm256_set1_epi16(slot as i16));
        // Starts rise, and the first is 0.
        CLASSES - 1 - (_mm256_movemask_epi8(beyond) as u32).count_ones() as usize / 2
    }
}

/// What decoding a subband looks up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubbandTables<'a> {
    /// By bin: the share of 0, and the table.
    pub bins: &'a [(u16, u8); BINS],
    pub tables: &'a [ClassShares],
    /// Shares of signs as foretold, by the bin of the slope, at the scale of magnitude tables.
    pub signs: Signs<&'a [u16; SIGN_BINS]>,
}

/// Where signs are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signs<T> {
    /// Nowhere: there are no negative indices.
    None,
    /// A raw bit.
    Raw,
    /// Coded by what is foretold by the slope.
    Coded(T),
}

/// Decodes a row: its levels and capped indices, which are all 0 before, and those of `values` that are not 0.
pub(crate) fn decode_row<const LANES: usize>(
    isa: Isa,
    row: Row,
    look: SubbandTables,
    decoder: &mut LaneDecoder<LANES>,
    raw: &mut BitReader,
    values: &mut [i32],
) -> Result<()> {
    bins_of(isa, row.sums, 0, row.nothing, row.bins);
    #[cfg(target_arch = "x86_64")]
    if isa.level() >= Level::Avx2 {
        // SAFETY: the `Isa` of a level only exists where the CPU has its features.
        return unsafe { avx2(row, look, decoder, raw, values) };
    }
    plain::<LANES, false>(row, look, decoder, raw, values)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn avx2<const LANES: usize>(
    row: Row,
    look: SubbandTables,
    decoder: &mut LaneDecoder<LANES>,
    raw: &mut BitReader,
    values: &mut [i32],
) -> Result<()> {
    plain::<LANES, true>(row, look, decoder, raw, values)
}

/// Magnitudes below this are their classes.
pub(super) const PLAIN_CLASSES: usize = 8;
/// Their levels.
const PLAIN_LEVELS: [i16; PLAIN_CLASSES] = [0, 4, 6, 8, 9, 10, 11, 12];

/// Reads a magnitude of a class with raw bits; returns its level too. Apart, since there are few.
#[inline(never)]
fn large(class: usize, raw: &mut BitReader) -> Result<(u32, i16)> {
    let magnitude = read_magnitude(class as u8, raw)?;
    Ok((magnitude, level(magnitude)))
}

#[inline(always)]
fn plain<const LANES: usize, const AVX2: bool>(
    row: Row,
    look: SubbandTables,
    decoder: &mut LaneDecoder<LANES>,
    raw: &mut BitReader,
    values: &mut [i32],
) -> Result<()> {
    let Row { kept, channels, sums, left, bins, slopes, levels, signed, first, stride, .. } = row;
    let count = sums.len();
    assert!(bins.len() == count && slopes.len() == count && levels.len() == count && signed.len() == count);
    let width = count / channels;
    assert!(kept.iter().all(|&slot| slot < channels) && first + (channels - 1) * stride + width <= values.len());
    for place in 0..width {
        for (number, &slot) in kept.iter().enumerate() {
            let (lane, at) = (number % LANES, place * channels + slot);
            // SAFETY (all without checks): `at` is below `count`, as is a place and a slot each by the assertions.
            let bin = usize::from(unsafe { *bins.get_unchecked(at) });
            let (zeros, table) = look.bins[bin & (BINS - 1)];
            let share = decoder.slot(lane);
            // The lane need not wait for its table.
            if share < u32::from(zeros) {
                decoder.advance(lane, 0, zeros.into())?;
                continue;
            }
            let table = &look.tables[usize::from(table)];
            let class = table.class_at::<AVX2>(share) & (CLASSES - 1);
            let interval = table.shares[class];
            decoder.advance(lane, interval & 0xffff, interval >> 16)?;
            let (magnitude, level) = match class {
                ..PLAIN_CLASSES => (class as u32, PLAIN_LEVELS[class]),
                _ => large(class, raw)?,
            };
            let negative = match look.signs {
                Signs::Coded(shares) => {
                    let (bin, foretold) = sign_context(unsafe { *slopes.get_unchecked(at) });
                    let share = u32::from(shares[bin]);
                    let other = decoder.slot(lane) >= share;
                    let start = if other { share } else { 0 };
                    let frequency = if other { (1 << MAGNITUDE_SCALE_BITS) - share } else { share };
                    decoder.advance(lane, start, frequency)?;
                    other != foretold
                }
                Signs::None => false,
                Signs::Raw => raw.read(1)? == 1,
            };
            let index = if negative { -(magnitude as i32) } else { magnitude as i32 };
            unsafe {
                *values.get_unchecked_mut(first + slot * stride + place) = index;
                *signed.get_unchecked_mut(at) = capped(index);
                *levels.get_unchecked_mut(at) = level as u8;
            }
            let next = at + channels;
            if next < count {
                unsafe {
                    let estimate = sums.get_unchecked(next).wrapping_add(left.wrapping_mul(level));
                    *bins.get_unchecked_mut(next) = bin_of(estimate);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_plain_classes() {
        assert_eq!(PLAIN_LEVELS, std::array::from_fn(|magnitude| level(magnitude as u32)));
    }

    #[test]
    fn classes_are_those_of_the_table() {
        let mut counts = [0u32; CLASSES];
        for seed in 0..40u32 {
            counts
                .iter_mut()
                .zip(1u32..)
                .for_each(|(count, i)| *count = (seed * i * i).wrapping_mul(2_654_435_769) >> (seed % 32));
            let table = MagnitudeTable::from_counts(&counts);
            let shares = ClassShares::new(&table);
            for slot in 0..1 << MAGNITUDE_SCALE_BITS {
                let class = usize::from(table.class_at(slot));
                assert_eq!(shares.class_at::<false>(slot), class);
                #[cfg(target_arch = "x86_64")]
                if Isa::available().any(|isa| isa.level() >= Level::Avx2) {
                    assert_eq!(shares.class_at::<true>(slot), class);
                }
            }
        }
    }
}

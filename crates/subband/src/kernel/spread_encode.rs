//! Encoding a row of a spread payload: all bins at once, since all indices are known, then symbols, then rANS from the last to
//! the first. On one core of a Sapphire Rapids, packets of 64x112x112 and 16x32x32 values: from 315 and 430 MB/s of f32 to 480 and
//! 540, of that a tenth of the large map by fetching rows ahead. What is left is half rANS, which waits for multiplications.

use super::multiversion;
use super::rans_encode::TokenEntry;
use super::spread::plain_bins_of;
use super::spread_decode::{PLAIN_CLASSES, Signs};
use crate::entropy::{BitWriter, CLASSES, FIRST_MAGNITUDES, class, level, write_rest};
use crate::spread::{BINS, Row, SIGNED_CAP, capped, sign_context};

/// Where the lane of a coded symbol is.
const LANE_SHIFT: u32 = 24;
const SYMBOL_MASK: u32 = (1 << LANE_SHIFT) - 1;

/// What encoding a subband looks up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubbandSymbols<'a> {
    /// By bin: the share of 0, and the table, whose classes have numbers from [`CLASSES`] times its own on.
    pub bins: &'a [(u16, u8); BINS],
    /// Where signs are, and the numbers of those of the first bin: as foretold, then the other.
    pub signs: Signs<u32>,
    /// Number of lanes, a power of two.
    pub lanes: usize,
}

/// What rows were coded as, and working memory.
#[derive(Debug, Default)]
pub(crate) struct CodedRows {
    /// Symbols, each a number with its lane above; those from `count` on are of no use.
    symbols: Vec<u32>,
    count: usize,
    pub raw: BitWriter,
    /// Capped indices of a slot.
    slot: Vec<i16>,
    /// For each index of a row its class, and above 8 bits the number of its sign among those of the subband.
    marks: Vec<u16>,
}

impl CodedRows {
    pub fn clear(&mut self) {
        self.count = 0;
        self.raw.clear();
    }

    pub fn symbols(&self) -> &[u32] {
        &self.symbols[..self.count]
    }
}

multiversion! {
    /// Appends a row, and fills its levels and capped indices.
    pub(crate) fn encode_row(
        row: Row<'_>,
        look: SubbandSymbols<'_>,
        values: &[i32],
        coded: &mut CodedRows,
    ) = plain_encode_row;
}

/// First all that is done alike for every index, then a loop over symbols of 16 instructions without a branch: whether an index
/// is 0 and so has no sign cannot be foretold, so a sign is stored in any case and then may be stored over.
#[inline(always)]
fn plain_encode_row(mut row: Row, look: SubbandSymbols, values: &[i32], coded: &mut CodedRows) {
    let any_raw = take(&mut row, values, coded);
    let CodedRows { symbols, count, raw, marks, .. } = coded;
    let Row { kept, channels, sums, left, bins, nothing, levels, signed, first, stride, .. } = row;
    let places = sums.len() / channels;
    plain_bins_of(&sums[..channels], left, nothing, bins);
    plain_bins_of(&sums[channels..], left, levels, &mut bins[channels..]);
    if any_raw || matches!(look.signs, Signs::Raw) {
        let raw_signs = matches!(look.signs, Signs::Raw);
        for place in 0..places {
            for &slot in kept {
                let index = signed[place * channels + slot];
                if index.unsigned_abs() >= PLAIN_CLASSES as u16 {
                    let magnitude = values[first + slot * stride + place].unsigned_abs();
                    write_rest(magnitude, class(magnitude), raw);
                }
                if raw_signs && index != 0 {
                    raw.write(u32::from(index < 0), 1);
                }
            }
        }
    }
    let (first_sign, signs) = match look.signs {
        Signs::Coded(first) => (first, 1),
        _ => (0, 0),
    };
    let lane_mask = look.lanes - 1;
    symbols.resize(symbols.len().max(*count + 2 * kept.len() * places), 0);
    let symbols = &mut symbols[*count..];
    assert!(bins.len() == places * channels && marks.len() == bins.len() && kept.iter().all(|&slot| slot < channels));
    let mut at = 0;
    for place in 0..places {
        for (number, &slot) in kept.iter().enumerate() {
            let lane = ((number & lane_mask) as u32) << LANE_SHIFT;
            // SAFETY: places and slots are within the row by the assertion, and at most two symbols are stored for each index
            // before, of the two that there is room for.
            unsafe {
                let mark = u32::from(*marks.get_unchecked(place * channels + slot));
                let bin = usize::from(*bins.get_unchecked(place * channels + slot)) & (BINS - 1);
                let class = mark & 0xff;
                *symbols.get_unchecked_mut(at) = lane | (u32::from(look.bins[bin].1) * CLASSES as u32 + class);
                *symbols.get_unchecked_mut(at + 1) = lane | (first_sign + (mark >> 8));
                at += 1 + (usize::from(class != 0) & signs);
            }
        }
    }
    *count += at;
}

/// Levels, capped indices and marks of a row. Returns whether a magnitude has raw bits.
#[inline(always)]
fn take(row: &mut Row, values: &[i32], coded: &mut CodedRows) -> bool {
    let Row { kept, channels, slopes, levels, signed, first, stride, .. } = row;
    let places = signed.len() / *channels;
    coded.slot.resize(places, 0);
    let mut all = 0;
    for &slot in *kept {
        let of_slot = &values[*first + slot * *stride..][..places];
        prefetch(of_slot.as_ptr_range().end, places);
        for (capped_index, &index) in coded.slot.iter_mut().zip(of_slot) {
            *capped_index = capped(index);
            all |= index.unsigned_abs();
        }
        for (signed, &index) in signed[slot..].iter_mut().step_by(*channels).zip(&coded.slot) {
            *signed = index;
        }
    }
    coded.marks.resize(signed.len(), 0);
    for (((mark, level_of), &index), &slope) in coded.marks.iter_mut().zip(&mut **levels).zip(&**signed).zip(*slopes) {
        let magnitude = index.unsigned_abs();
        *level_of = level(magnitude.into()) as u8;
        let (bin, foretold) = sign_context(slope);
        let sign = 2 * bin as u16 + u16::from((index < 0) != foretold);
        *mark = capped_class(magnitude) | sign << 8;
    }
    if all > SIGNED_CAP as u32 {
        for &slot in *kept {
            for place in 0..places {
                let magnitude = values[*first + slot * *stride + place].unsigned_abs();
                levels[place * *channels + slot] = level(magnitude) as u8;
            }
        }
    }
    all >= PLAIN_CLASSES as u32
}

/// Fetches so many numbers from there on: the row below of a slot, which the processor does not foresee where slots are many.
#[inline(always)]
fn prefetch(next: *const i32, count: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..count).step_by(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: an address that is not there is ignored.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(line).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (next, count);
}

/// The class of a magnitude, which may be capped, since from 256 on all are alike; by comparing, for vectors.
#[inline(always)]
fn capped_class(magnitude: u16) -> u16 {
    let beyond = FIRST_MAGNITUDES[PLAIN_CLASSES..].iter().map(|&first| u16::from(magnitude >= first as u16));
    magnitude.min(PLAIN_CLASSES as u16 - 1) + beyond.sum::<u16>()
}

/// Codes symbols by their numbers from the last to the first, each with the lane above its number. Words are stored from the
/// first of `words` on, which has room for one a symbol; returns how many.
pub(crate) fn encode_symbols<const LANES: usize>(
    entries: &[TokenEntry],
    coded: &[u32],
    states: &mut [u32; LANES],
    words: &mut [u16],
) -> usize {
    assert!(coded.len() <= words.len());
    let mut at = 0;
    for &symbol in coded.iter().rev() {
        let state = &mut states[(symbol >> LANE_SHIFT) as usize % LANES];
        // SAFETY: at most one word a symbol is stored before this one, and there is room for one a symbol.
        unsafe { *words.get_unchecked_mut(at) = *state as u16 };
        let (next, full) = entries[(symbol & SYMBOL_MASK) as usize].step(*state);
        *state = next;
        at += usize::from(full);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capped_classes_are_those_of_magnitudes() {
        for magnitude in 0..10_000u32 {
            let capped = magnitude.min(SIGNED_CAP as u32) as u16;
            assert_eq!(capped_class(capped), u16::from(class(magnitude)), "{magnitude}");
        }
    }
}

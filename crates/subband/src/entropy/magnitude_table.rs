//! Frequencies of magnitude classes (FORMAT.md, "Magnitude tables").

use super::bit_io::{BitReader, BitWriter};
use super::log2::{COST_BITS, log2};
use super::magnitude::CLASSES;
use crate::error::{Error, Result};

/// Frequencies of a table add up to `1 << MAGNITUDE_SCALE_BITS`. Every class has one of at least 1, so any magnitude can be
/// coded; at 15 bits those shares cost 0.0007 bits a value, where 12 bits would cost 0.005, a percent of a sparse map.
pub(crate) const MAGNITUDE_SCALE_BITS: u32 = 15;
const SCALE: u32 = 1 << MAGNITUDE_SCALE_BITS;
/// Order of the exp-Golomb code of frequencies.
const ORDER: u32 = 2;

/// Frequencies of the classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MagnitudeTable {
    /// Sum of the frequencies of the classes before, rising.
    starts: [u16; CLASSES],
}

impl MagnitudeTable {
    /// The table for counted classes; one for zeros mostly if there are none.
    pub fn from_counts(counts: &[u32; CLASSES]) -> Self {
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let free = u64::from(SCALE) - CLASSES as u64;
        let mut frequencies = counts.map(|count| 1 + (u64::from(count) * free).checked_div(total).unwrap_or(0) as u32);
        let largest =
            (0..CLASSES).max_by_key(|&class| (frequencies[class], CLASSES - class)).expect("there are classes");
        frequencies[largest] += SCALE - frequencies.iter().sum::<u32>();
        Self::from_frequencies(&frequencies)
    }

    fn from_frequencies(frequencies: &[u32; CLASSES]) -> Self {
        let mut sum = 0;
        let starts = frequencies.map(|frequency| {
            sum += frequency;
            (sum - frequency) as u16
        });
        debug_assert_eq!(sum, SCALE);
        MagnitudeTable { starts }
    }

    /// With the sum of the frequencies before each class, rising from 0.
    pub fn from_starts(starts: [u16; CLASSES]) -> Self {
        debug_assert!(starts[0] == 0 && starts.is_sorted_by(|a, b| a < b) && u32::from(starts[CLASSES - 1]) < SCALE);
        MagnitudeTable { starts }
    }

    #[inline]
    pub fn start(&self, class: u8) -> u32 {
        u32::from(self.starts[class as usize])
    }

    #[inline]
    pub fn frequency(&self, class: u8) -> u32 {
        let end = self.starts.get(class as usize + 1).map_or(SCALE, |&start| u32::from(start));
        end - self.start(class)
    }

    /// The class whose interval holds `slot`, below the scale.
    #[inline]
    pub fn class_at(&self, slot: u32) -> u8 {
        // Compared with all starts at once, as signed numbers, which x86 has an instruction for; the first start is 0.
        let slot = slot as i16;
        self.starts.iter().map(|&start| i16::from(start as i16 <= slot)).sum::<i16>() as u8 - 1
    }

    /// What each class costs, in units of 2^-16 bits.
    pub fn costs(&self) -> [u32; CLASSES] {
        std::array::from_fn(|class| {
            ((u64::from(MAGNITUDE_SCALE_BITS) << COST_BITS) - log2(u64::from(self.frequency(class as u8)))) as u32
        })
    }

    /// Writes all frequencies but the last.
    pub fn write_to(&self, writer: &mut BitWriter) {
        for class in 0..CLASSES as u8 - 1 {
            writer.write_exp_golomb(self.frequency(class) - 1, ORDER);
        }
    }

    pub fn read_from(reader: &mut BitReader) -> Result<Self> {
        let mut frequencies = [0; CLASSES];
        let mut rest = SCALE;
        for frequency in &mut frequencies[..CLASSES - 1] {
            let read = reader.read_exp_golomb(ORDER)?;
            if read >= rest - 1 {
                return Err(Error::corrupt("the frequencies of a magnitude table do not add up"));
            }
            *frequency = read + 1;
            rest -= *frequency;
        }
        frequencies[CLASSES - 1] = rest;
        Ok(Self::from_frequencies(&frequencies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let mut counts = [0; CLASSES];
        (counts[0], counts[1]) = (3, 1);
        let table = MagnitudeTable::from_counts(&counts);
        // 32752 shares for the counts, one more for each class, and the largest takes what is left.
        assert_eq!([table.frequency(0), table.frequency(1), table.frequency(15)], [24_565, 8_189, 1]);
        assert_eq!([table.start(1), table.start(2), table.start(15)], [24_565, 32_754, 32_767]);
        assert_eq!([0, 24_564, 24_565, 32_753, 32_754, 32_767].map(|slot| table.class_at(slot)), [0, 0, 1, 1, 2, 15]);
        assert_eq!(MagnitudeTable::from_counts(&[0; CLASSES]).frequency(0), 32_753);
        assert_eq!(table.costs()[15], 15 << 16);
    }

    proptest! {
        #[test]
        fn tables_come_back(counts in prop::array::uniform16(prop_oneof![Just(0u32), 0u32..8, 0u32..=u32::MAX])) {
            let table = MagnitudeTable::from_counts(&counts);
            let mut writer = BitWriter::default();
            table.write_to(&mut writer);
            let bytes = writer.finish().to_vec();
            let mut reader = BitReader::new(&bytes);
            prop_assert_eq!(MagnitudeTable::read_from(&mut reader).unwrap(), table);
            prop_assert_eq!(reader.finish().unwrap(), bytes.len());
        }

        #[test]
        fn hostile_tables_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = MagnitudeTable::read_from(&mut BitReader::new(&bytes));
        }
    }
}

//! Pairs of a run and a value, as zero run-length coding and compressed sparse columns have them: so many zeros, then the
//! value, a word. A run of the longest length may be followed by a value of 0, which is then one more zero; zeros at the
//! end have no pair.

use crate::Width;
use crate::bits::{BitReader, BitWriter};
use crate::error::{Error, Result};

/// The form of the pairs of a code.
#[derive(Debug, Clone, Copy)]
pub struct Pairs {
    pub run_bits: u32,
    pub width: Width,
}

impl Pairs {
    fn longest(self) -> u32 {
        (1 << self.run_bits) - 1
    }

    /// Writes the pairs of `indices`. Returns their number.
    pub fn write(self, indices: &[i16], writer: &mut BitWriter) -> u32 {
        let (mut run, mut count) = (0, 0);
        let end = indices.iter().rposition(|&index| index != 0).map_or(0, |last| last + 1);
        for &index in &indices[..end] {
            if index == 0 && run < self.longest() {
                run += 1;
            } else {
                writer.put(run, self.run_bits);
                writer.put(self.width.to_word(index), self.width.bits());
                count += 1;
                run = 0;
            }
        }
        count
    }

    /// Reads a pair into `indices`, which are zeros from `at` on. Returns the position after it.
    pub fn read(self, reader: &mut BitReader, indices: &mut [i16], at: usize) -> Result<usize> {
        let run = reader.take(self.run_bits)?;
        let index = self.width.index_of_word(reader.take(self.width.bits())?);
        let longest = self.longest();
        if index == 0 && run < longest {
            return Err(Error::corrupt(format!("a zero follows a run of {run}: allowed after {longest} only")));
        }
        let (at, count) = (at + run as usize, indices.len());
        let place = indices.get_mut(at);
        *place.ok_or_else(|| Error::corrupt(format!("runs and values are more than {count}")))? = index;
        Ok(at + 1)
    }
}

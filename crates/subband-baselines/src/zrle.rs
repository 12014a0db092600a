//! Zero run-length coding (Chen et al., "Eyeriss: An Energy-Efficient Reconfigurable Accelerator for Deep Convolutional
//! Neural Networks", JSSC 2017: "RLC").
//!
//! Pairs of a run, 5 bits, and a value, a word: so many zeros, then the value. A run of 31 may be followed by a value of
//! 0, which is then one more zero; zeros at the end have no pair. Eyeriss packs three pairs of 16-bit values into
//! 64 bits with one bit that marks the end; here pairs follow each other without it, since the decoder knows the
//! number of values.

use crate::Width;
use crate::bits::{BitReader, BitWriter};
use crate::error::{Error, Result};

const RUN_BITS: u32 = 5;
const LONGEST: u32 = (1 << RUN_BITS) - 1;

pub fn encode(indices: &[i16], width: Width) -> Vec<u8> {
    let mut writer = BitWriter::default();
    let mut run = 0;
    // Zeros at the end are left out.
    let end = indices.iter().rposition(|&index| index != 0).map_or(0, |last| last + 1);
    for &index in &indices[..end] {
        if index == 0 && run < LONGEST {
            run += 1;
        } else {
            writer.put(run, RUN_BITS);
            writer.put(width.to_word(index), width.bits());
            run = 0;
        }
    }
    writer.finish()
}

pub fn decode(bytes: &[u8], count: usize, width: Width) -> Result<Vec<i16>> {
    let mut reader = BitReader::new(bytes);
    let mut indices = vec![0; count];
    let mut at = 0;
    // A whole byte of padding is never written, and a pair has more bits than a byte.
    while reader.bits_left() >= 8 {
        let run = reader.take(RUN_BITS)?;
        let index = width.index_of_word(reader.take(width.bits())?);
        if index == 0 && run < LONGEST {
            return Err(Error::corrupt(format!("a zero follows a run of {run}: allowed after {LONGEST} only")));
        }
        at += run as usize;
        let Some(place) = indices.get_mut(at) else {
            return Err(Error::corrupt(format!("runs and values are more than {count}")));
        };
        *place = index;
        at += 1;
    }
    reader.finish()?;
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Run 2 and 5, run 0 and -1, nothing for the end: 00010 00000101 00000 11111111, 26 bits.
        let bytes = encode(&[0, 0, 5, -1, 0, 0], Width::Eight);
        assert_eq!(bytes, [0b0001_0000, 0b0010_1000, 0b0011_1111, 0b1100_0000]);
        assert_eq!(decode(&bytes, 6, Width::Eight).unwrap(), [0, 0, 5, -1, 0, 0]);
        // 33 zeros and 1: run 31 with the value 0, run 1 with the value 1.
        let mut indices = [0; 34];
        indices[33] = 1;
        let bytes = encode(&indices, Width::Eight);
        assert_eq!(bytes, [0b1111_1000, 0b0000_0000, 0b0100_0000, 0b0100_0000]);
        assert_eq!(decode(&bytes, 34, Width::Eight).unwrap(), indices);
        assert!(decode(&bytes, 33, Width::Eight).is_err());
    }
}

//! Zero run-length coding (Chen et al., "Eyeriss: An Energy-Efficient Reconfigurable Accelerator for Deep Convolutional
//! Neural Networks", JSSC 2017: "RLC").
//!
//! Pairs of a run, 5 bits, and a value, a word: so many zeros, then the value. A run of 31 may be followed by a value of
//! 0, which is then one more zero; zeros at the end have no pair. Eyeriss packs three pairs of 16-bit values into
//! 64 bits with one bit that marks the end; here pairs follow each other without it, since the decoder knows the
//! number of values.

use crate::Width;
use crate::bits::{BitReader, BitWriter};
use crate::error::Result;
use crate::run_value::Pairs;

const RUN_BITS: u32 = 5;

pub fn encode(indices: &[i16], width: Width) -> Vec<u8> {
    let mut writer = BitWriter::default();
    Pairs { run_bits: RUN_BITS, width }.write(indices, &mut writer);
    writer.finish()
}

pub fn decode(bytes: &[u8], count: usize, width: Width) -> Result<Vec<i16>> {
    let mut reader = BitReader::new(bytes);
    let mut indices = vec![0; count];
    let mut at = 0;
    // A whole byte of padding is never written, and a pair has more bits than a byte.
    while reader.bits_left() >= 8 {
        at = Pairs { run_bits: RUN_BITS, width }.read(&mut reader, &mut indices, at)?;
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

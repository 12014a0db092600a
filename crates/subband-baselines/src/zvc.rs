//! Zero-value compression (Rhu et al., "Compressing DMA Engine: Leveraging Activation Sparsity for Training Deep Neural
//! Networks", HPCA 2018).
//!
//! Groups of 32 values; the last may have fewer. For each group a mask, one bit a value, 1 where it is not zero, then
//! the values that are not zero, each as a word. The mask of a last group is filled up to whole bytes.

use crate::Width;
use crate::bits::{BitReader, BitWriter};
use crate::error::{Error, Result};

const GROUP: usize = 32;

pub fn encode(indices: &[i16], width: Width) -> Vec<u8> {
    let mut writer = BitWriter::default();
    for group in indices.chunks(GROUP) {
        let mask = group.iter().fold(0, |mask, &index| mask << 1 | u32::from(index != 0));
        writer.put(mask, group.len() as u32);
        writer.align(8);
        for &index in group.iter().filter(|&&index| index != 0) {
            writer.put(width.to_word(index), width.bits());
        }
    }
    writer.finish()
}

pub fn decode(bytes: &[u8], count: usize, width: Width) -> Result<Vec<i16>> {
    let mut reader = BitReader::new(bytes);
    let mut indices = vec![0; count];
    for group in indices.chunks_mut(GROUP) {
        let mask = reader.take(group.len() as u32)?;
        reader.align(8)?;
        // The first value's bit on top.
        let mut mask = mask << (GROUP - group.len());
        while mask != 0 {
            let at = mask.leading_zeros();
            mask &= !(1 << 31 >> at);
            let index = width.index_of_word(reader.take(width.bits())?);
            if index == 0 {
                return Err(Error::corrupt("a value that the mask says is not zero is zero"));
            }
            group[at as usize] = index;
        }
    }
    reader.finish()?;
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut indices = [0; 35];
        (indices[0], indices[31], indices[33]) = (7, -2, 1);
        // 32 mask bits and two values, then three mask bits in a byte and one value.
        let expected = [0b1000_0000, 0, 0, 0b1, 7, 0xFE, 0b0100_0000, 1];
        assert_eq!(encode(&indices, Width::Eight), expected);
        assert_eq!(encode(&[0, 300], Width::Sixteen), [0b0100_0000, 1, 44]);
        assert_eq!(decode(&expected, 35, Width::Eight).unwrap(), indices);
    }
}

//! Bit-plane compression (Kim et al., ISCA 2016) of maps, in blocks of 32 words: see [`bit_plane`](crate::bit_plane).
//!
//! The blocks follow each other; the last one is filled up with zeros.

use crate::Width;
use crate::bit_plane::{BlockFormat, decode_blocks, encode_blocks};
use crate::bits::{BitReader, BitWriter};
use crate::error::Result;

const FORMAT: BlockFormat = BlockFormat { words: 32, one_zero: (0b001, 3), zero_run: (0b01, 2) };

pub fn encode(indices: &[i16], width: Width) -> Vec<u8> {
    let mut writer = BitWriter::default();
    encode_blocks(FORMAT, indices, width, &mut writer);
    writer.finish()
}

pub fn decode(bytes: &[u8], count: usize, width: Width) -> Result<Vec<i16>> {
    let mut reader = BitReader::new(bytes);
    let mut indices = vec![0; count];
    decode_blocks(FORMAT, &mut reader, width, &mut indices)?;
    reader.finish()?;
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // 5 and 32 equal words: the word, then one run of 9 planes: 00000101 01 111.
        assert_eq!(encode(&[5; 32], Width::Eight), [0b0000_0101, 0b0111_1000]);
        // 17 planes at 16 bits: 0000000000000101 01 1111.
        assert_eq!(encode(&[5; 32], Width::Sixteen), [0, 5, 0b0111_1100]);
        // A ramp: every difference is 1. Plane 0 all ones, plane 1 differs from it everywhere but is 0 itself; that DBX is
        // all ones comes first. Then seven zeros: 00000000 00000 00000 01 101.
        let ramp: Vec<i16> = (0..32).collect();
        assert_eq!(encode(&ramp, Width::Eight), [0, 0, 0b0001_1010]);
        // One step up at the third difference: planes 0 and 1 have DBX 001000..., DBP of 1 is 0:
        // 00000000 00011 00010 00001 01 101.
        let mut step = [3; 32];
        step[..3].fill(2);
        assert_eq!(encode(&step, Width::Eight), [2, 0b0001_1000, 0b1000_0010, 0b1101_0000]);
        // One step down at the first difference, -1: plane 0 has 1000..., the others are alike: 00011 00000 01 110.
        let mut step = [1; 32];
        step[0] = 2;
        assert_eq!(encode(&step, Width::Eight), [2, 0b0001_1000, 0b0001_1100]);
        // Up and down again: differences 1, -1 at the top. Plane 0 11000..., plane 1 01000..., DBX 1000....
        let mut bump = [1; 32];
        bump[1] = 2;
        // 00010 00000, 00011 00000, 01 101
        assert_eq!(encode(&bump, Width::Eight), [1, 0b0001_0000, 0b0000_0110, 0b0000_0110, 0b1000_0000]);
        for block in [&ramp[..], &step, &bump] {
            assert_eq!(decode(&encode(block, Width::Eight), 32, Width::Eight).unwrap(), block);
        }
    }
}

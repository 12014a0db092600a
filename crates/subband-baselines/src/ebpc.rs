//! Extended bit-plane compression (Cavigelli, Rutishauser, Benini, "EBPC: Extended Bit-Plane Compression for Deep Neural
//! Network Inference and Training Accelerators", JETCAS 2019).
//!
//! Two streams, in this order, each filled up with zero bits to a whole word:
//!
//! 1. Which values are zero, with runs: `1` for a value that is not zero; `0` and the length less 1 in 4 bits for a run of
//!    1 to 16 zeros.
//! 2. The values that are not zero, by bit-plane compression in blocks of 8, the last one filled up with zeros: see
//!    [`bit_plane`](crate::bit_plane).
//!
//! The hardware has the streams on two ports; here the second follows the first, whose end the number of values tells.

use crate::Width;
use crate::bit_plane::{BlockFormat, decode_blocks, encode_blocks};
use crate::bits::{BitReader, BitWriter};
use crate::error::{Error, Result};

const FORMAT: BlockFormat = BlockFormat { words: 8, one_zero: (0b01, 2), zero_run: (0b001, 3) };
const RUN_BITS: u32 = 4;
const LONGEST: u32 = 1 << RUN_BITS;

pub fn encode(indices: &[i16], width: Width) -> Vec<u8> {
    let mut writer = BitWriter::default();
    let mut nonzero = Vec::with_capacity(indices.len());
    let mut run = 0;
    for &index in indices {
        if index == 0 {
            run += 1;
            if run == LONGEST {
                writer.put(run - 1, 1 + RUN_BITS);
                run = 0;
            }
            continue;
        }
        if run > 0 {
            writer.put(run - 1, 1 + RUN_BITS);
            run = 0;
        }
        writer.put(1, 1);
        nonzero.push(index);
    }
    if run > 0 {
        writer.put(run - 1, 1 + RUN_BITS);
    }
    writer.align(width.bits());
    encode_blocks(FORMAT, &nonzero, width, &mut writer);
    writer.align(width.bits());
    writer.finish()
}

pub fn decode(bytes: &[u8], count: usize, width: Width) -> Result<Vec<i16>> {
    let mut reader = BitReader::new(bytes);
    // 1 in the place of a value that is not zero, until it is known.
    let mut indices = vec![0; count];
    let (mut at, mut ones) = (0, 0);
    while at < count {
        if reader.take(1)? == 1 {
            indices[at] = 1;
            at += 1;
            ones += 1;
            continue;
        }
        let run = reader.take(RUN_BITS)? as usize + 1;
        at += run;
        if at > count {
            return Err(Error::corrupt(format!("a run of {run} zeros ends at {at} of {count} values")));
        }
    }
    reader.align(width.bits())?;
    let mut nonzero = vec![0; ones];
    decode_blocks(FORMAT, &mut reader, width, &mut nonzero)?;
    if nonzero.contains(&0) {
        return Err(Error::corrupt("a value that is not zero by the first stream is zero by the second"));
    }
    reader.align(width.bits())?;
    reader.finish()?;
    for (place, value) in indices.iter_mut().filter(|place| **place != 0).zip(nonzero) {
        *place = value;
    }
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Zeros only: 16 + 1 of them are 0 1111 0 0000, in two words.
        assert_eq!(encode(&[0; 17], Width::Eight), [0b0111_1000, 0]);
        // 2, 0, 0, then seven times 2: 1 0 0001 1 1 | 1 1 1 1 1 padded; the block of eight equal words is the word and
        // nine planes alike: 00000010 001 111, padded.
        let indices = [2, 0, 0, 2, 2, 2, 2, 2, 2, 2];
        let expected = [0b1000_0111, 0b1111_1000, 2, 0b0011_1100];
        assert_eq!(encode(&indices, Width::Eight), expected);
        assert_eq!(decode(&expected, 10, Width::Eight).unwrap(), indices);
        // One value, 3, and seven zeros fill the block: the first difference is -3 = ...11101.
        // Plane 0 1000000 (one one at 0), plane 1 0 (DBP is 0), plane 2 1000000 (one one), then six zeros:
        // 1 + 7 bits; 00000011 00011 000 00001 00011 000 001 100, to whole words.
        let expected = [0b1000_0000, 3, 0b0001_1000, 0b0000_1000, 0b1100_0001, 0b1000_0000];
        assert_eq!(encode(&[3], Width::Eight), expected);
        assert_eq!(decode(&expected, 1, Width::Eight).unwrap(), [3]);
    }
}

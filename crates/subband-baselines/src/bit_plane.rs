//! A block of the bit-plane codes (Kim et al., "Bit-Plane Compression: Transforming Data for Better Compression in
//! Many-core Architectures", ISCA 2016), as Cavigelli et al. use it for maps.
//!
//! A block of n words of w bits is its first word, raw, and the n - 1 differences of neighbours, of w + 1 bits each in two's
//! complement. Plane j (DBP) holds bit j of every difference, the first difference in its top bit. Plane 0 goes as it
//! is, plane j > 0 as its exclusive or with plane j - 1 (DBX), from 0 to w, each by the first of these that fits:
//!
//! | bits | meaning |
//! |---|---|
//! | one zero: `001` (BPC), `01` (EBPC) | DBX is 0 |
//! | zero run: `01` (BPC), `001` (EBPC), then the run less 2 in log2 w bits | DBX is 0 for 2 to w + 1 planes |
//! | `00000` | DBX is all ones |
//! | `00001` | DBP is 0 |
//! | `00010`, then the place in log2 n bits | DBX has two ones, here and in the next place |
//! | `00011`, then the place in log2 n bits | DBX has one one |
//! | `1`, then n - 1 bits | DBX as it is |
//!
//! Places count from the top bit. EBPC swaps the first two codes since single zero planes are common in short blocks.
//! The order of planes and the raw first word are those of the authors' model of EBPC
//! (pulp-platform/stream-ebpc); Kim et al. code the first word too, which gains where it is small.

use crate::Width;
use crate::bits::{BitReader, BitWriter};
use crate::error::{Error, Result};

/// The block length, and the codes in which BPC and EBPC differ: bits and their number.
#[derive(Debug, Clone, Copy)]
pub struct BlockFormat {
    /// Words, a power of two, at most 32.
    pub words: usize,
    pub one_zero: (u32, u32),
    pub zero_run: (u32, u32),
}

const ALL_ONES: (u32, u32) = (0b00000, 5);
const ZERO_DBP: (u32, u32) = (0b00001, 5);
const TWO_ONES: (u32, u32) = (0b00010, 5);
const ONE_ONE: (u32, u32) = (0b00011, 5);

/// Planes of 16-bit words.
const MOST_PLANES: usize = 17;

impl BlockFormat {
    /// Bits of a plane.
    fn plane_bits(self) -> u32 {
        self.words as u32 - 1
    }

    fn place_bits(self) -> u32 {
        self.words.ilog2()
    }

    /// Appends a block of `words` values.
    pub fn encode(self, block: &[i16], width: Width, writer: &mut BitWriter) {
        debug_assert_eq!(block.len(), self.words);
        let mut planes = [0u32; MOST_PLANES];
        let planes = &mut planes[..width.bits() as usize + 1];
        for pair in block.windows(2) {
            let difference = i32::from(pair[1]) - i32::from(pair[0]);
            for (j, plane) in planes.iter_mut().enumerate() {
                *plane = *plane << 1 | (difference >> j & 1) as u32;
            }
        }
        writer.put(width.to_word(block[0]), width.bits());
        let (mut zeros, mut below) = (0, 0);
        for &plane in planes.iter() {
            let dbx = plane ^ below;
            below = plane;
            if dbx == 0 {
                zeros += 1;
                continue;
            }
            self.put_zeros(zeros, width, writer);
            zeros = 0;
            self.put_plane(dbx, plane, writer);
        }
        self.put_zeros(zeros, width, writer);
    }

    fn put_zeros(self, run: u32, width: Width, writer: &mut BitWriter) {
        match run {
            0 => {}
            1 => writer.put(self.one_zero.0, self.one_zero.1),
            _ => {
                writer.put(self.zero_run.0, self.zero_run.1);
                writer.put(run - 2, width.bits().ilog2());
            }
        }
    }

    /// A DBX that is not 0.
    fn put_plane(self, dbx: u32, dbp: u32, writer: &mut BitWriter) {
        let bits = self.plane_bits();
        let place = dbx.leading_zeros() - (32 - bits);
        let pair = 0b11u32.checked_shl((bits - 1).wrapping_sub(place + 1));
        if dbx == (1 << bits) - 1 {
            writer.put(ALL_ONES.0, ALL_ONES.1);
        } else if dbp == 0 {
            writer.put(ZERO_DBP.0, ZERO_DBP.1);
        } else if pair == Some(dbx) {
            writer.put(TWO_ONES.0, TWO_ONES.1);
            writer.put(place, self.place_bits());
        } else if dbx.is_power_of_two() {
            writer.put(ONE_ONE.0, ONE_ONE.1);
            writer.put(place, self.place_bits());
        } else {
            writer.put(1, 1);
            writer.put(dbx, bits);
        }
    }

    /// Reads a block into `block`, `words` long.
    pub fn decode(self, reader: &mut BitReader, width: Width, block: &mut [i16]) -> Result<()> {
        debug_assert_eq!(block.len(), self.words);
        let first = width.index_of_word(reader.take(width.bits())?);
        let count = width.bits() as usize + 1;
        let mut planes = [0u32; MOST_PLANES];
        let (mut j, mut below) = (0, 0);
        while j < count {
            let run = self.take_plane(reader, width, below, &mut planes[j])?;
            below = planes[j];
            // Planes whose DBX is 0 are those below them.
            let Some(same) = planes[..count].get_mut(j + 1..j + run) else {
                return Err(Error::corrupt(format!("a run of {run} zero planes at plane {j}: there are {count}")));
            };
            same.fill(below);
            j += run;
        }
        block[0] = first;
        let mut value = i32::from(first);
        for (i, place) in block[1..].iter_mut().enumerate() {
            let shift = self.plane_bits() as usize - 1 - i;
            let bits = planes[..count].iter().rev().fold(0, |bits, plane| bits << 1 | plane >> shift & 1);
            // Sign extension of a difference of w + 1 bits.
            value += (bits << (32 - count)) as i32 >> (32 - count);
            if !width.holds(value) {
                return Err(Error::corrupt(format!("a difference leads to {value}, not of {} bits", width.bits())));
            }
            *place = value as i16;
        }
        Ok(())
    }

    /// Reads the code of a plane above `below` into `plane`, and gives the number of planes it stands for.
    fn take_plane(self, reader: &mut BitReader, width: Width, below: u32, plane: &mut u32) -> Result<usize> {
        let next = reader.peek(5);
        let starts = |(code, bits): (u32, u32)| next >> (5 - bits) == code;
        if starts((1, 1)) {
            reader.skip(1)?;
            *plane = reader.take(self.plane_bits())? ^ below;
        } else if starts(self.one_zero) {
            reader.skip(self.one_zero.1)?;
            *plane = below;
        } else if starts(self.zero_run) {
            reader.skip(self.zero_run.1)?;
            *plane = below;
            return Ok(reader.take(width.bits().ilog2())? as usize + 2);
        } else if starts(ALL_ONES) {
            reader.skip(ALL_ONES.1)?;
            *plane = below ^ ((1 << self.plane_bits()) - 1);
        } else if starts(ZERO_DBP) {
            reader.skip(ZERO_DBP.1)?;
            *plane = 0;
        } else {
            let ones = if starts(TWO_ONES) { 2 } else { 1 };
            reader.skip(ONE_ONE.1)?;
            let place = reader.take(self.place_bits())?;
            let Some(shift) = self.plane_bits().checked_sub(place + ones) else {
                return Err(Error::corrupt(format!("{ones} ones at place {place}: a plane has {}", self.plane_bits())));
            };
            *plane = below ^ ((1 << ones) - 1) << shift;
        }
        Ok(1)
    }
}

/// Codes `values` block by block, the last one filled up with zeros.
pub fn encode_blocks(format: BlockFormat, values: &[i16], width: Width, writer: &mut BitWriter) {
    let mut blocks = values.chunks_exact(format.words);
    for block in &mut blocks {
        format.encode(block, width, writer);
    }
    let rest = blocks.remainder();
    if !rest.is_empty() {
        let mut block = [0; 32];
        block[..rest.len()].copy_from_slice(rest);
        format.encode(&block[..format.words], width, writer);
    }
}

/// Reads as many blocks as `values` need. Errors: what fills up the last block has to be zero.
pub fn decode_blocks(format: BlockFormat, reader: &mut BitReader, width: Width, values: &mut [i16]) -> Result<()> {
    let mut blocks = values.chunks_exact_mut(format.words);
    for block in &mut blocks {
        format.decode(reader, width, block)?;
    }
    let rest = blocks.into_remainder();
    if !rest.is_empty() {
        let mut block = [0; 32];
        format.decode(reader, width, &mut block[..format.words])?;
        if block[rest.len()..].iter().any(|&value| value != 0) {
            return Err(Error::corrupt("the last block is not filled up with zeros"));
        }
        rest.copy_from_slice(&block[..rest.len()]);
    }
    Ok(())
}

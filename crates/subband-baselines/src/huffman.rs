//! Canonical Huffman coding (Huffman, "A Method for the Construction of Minimum-Redundancy Codes", 1952; of quantized values
//! of networks: Han, Mao, Dally, "Deep Compression", ICLR 2016), with codes short enough for one look-up.
//!
//! The symbol of an index is its zigzag number, 0, 1, 2 for 0, 1, -1 and so on, where that is below 255; else it is 255, the
//! escape, and the index follows its code as a word. (With 8-bit indices only -128 escapes.)
//!
//! 1. 9 bits: the number n of symbols up to the last that occurs.
//! 2. For each of the n symbols, 4 bits: the bits of its code, 0 where it does not occur, at most 12.
//! 3. The codes. Codes are numbered as in DEFLATE: by length, then by symbol, from 0 on.
//!
//! A lone symbol has a code of one bit, 0.

use crate::Width;
use crate::bits::{BitReader, BitWriter};
use crate::error::{Error, Result};
use crate::package_merge::code_lengths;

const SYMBOLS: usize = 256;
const ESCAPE: usize = SYMBOLS - 1;
const LONGEST: u32 = 12;

pub fn encode(indices: &[i16], width: Width) -> Vec<u8> {
    let mut counts = [0u64; SYMBOLS];
    for &index in indices {
        counts[symbol(index)] += 1;
    }
    let lengths = code_lengths(&counts, LONGEST);
    let codes = canonical_codes(&lengths);
    let used = lengths.iter().rposition(|&length| length > 0).map_or(0, |last| last + 1);

    let mut writer = BitWriter::default();
    writer.put(used as u32, 9);
    for &length in &lengths[..used] {
        writer.put(length.into(), 4);
    }
    for &index in indices {
        let symbol = symbol(index);
        writer.put(codes[symbol], lengths[symbol].into());
        if symbol == ESCAPE {
            writer.put(width.to_word(index), width.bits());
        }
    }
    writer.finish()
}

pub fn decode(bytes: &[u8], count: usize, width: Width) -> Result<Vec<i16>> {
    let mut reader = BitReader::new(bytes);
    let used = reader.take(9)? as usize;
    if used > SYMBOLS {
        return Err(Error::corrupt(format!("a table of {used} symbols: allowed are {SYMBOLS}")));
    }
    let mut lengths = [0; SYMBOLS];
    for length in &mut lengths[..used] {
        *length = reader.take(4)? as u8;
    }
    let table = decoding_table(&lengths)?;
    let mut indices = vec![0; count];
    for place in &mut indices {
        let Entry { symbol, length } = table[reader.peek(LONGEST) as usize];
        if length == 0 {
            return Err(Error::corrupt("bits that are no code"));
        }
        reader.skip(length.into())?;
        *place = if usize::from(symbol) == ESCAPE {
            width.index_of_word(reader.take(width.bits())?)
        } else {
            let half = i16::from(symbol).div_euclid(2);
            if symbol % 2 == 1 { half + 1 } else { -half }
        };
    }
    reader.finish()?;
    Ok(indices)
}

fn symbol(index: i16) -> usize {
    let zigzag = 2 * usize::from(index.unsigned_abs()) - usize::from(index > 0);
    zigzag.min(ESCAPE)
}

/// Codes by DEFLATE's rule (RFC 1951, 3.2.2).
fn canonical_codes(lengths: &[u8]) -> Vec<u32> {
    let mut codes = vec![0; lengths.len()];
    let mut code = 0;
    for length in 1..=LONGEST {
        code <<= 1;
        for (symbol, _) in lengths.iter().enumerate().filter(|(_, l)| u32::from(**l) == length) {
            codes[symbol] = code;
            code += 1;
        }
    }
    codes
}

/// The symbol that the next bits begin with, and its length; 0 for none.
#[derive(Clone, Copy)]
struct Entry {
    symbol: u8,
    length: u8,
}

/// An entry for each value of the next 12 bits.
fn decoding_table(lengths: &[u8; SYMBOLS]) -> Result<Vec<Entry>> {
    let room: u32 =
        lengths.iter().filter(|&&l| l > 0).map(|&l| (1u32 << LONGEST).checked_shr(l.into()).unwrap_or(0)).sum();
    if lengths.iter().any(|&length| u32::from(length) > LONGEST) || room > 1 << LONGEST {
        return Err(Error::corrupt("lengths that are of no prefix code"));
    }
    let mut table = vec![Entry { symbol: 0, length: 0 }; 1 << LONGEST];
    for (symbol, code) in canonical_codes(lengths).into_iter().enumerate() {
        let length = lengths[symbol];
        if length > 0 {
            let shift = LONGEST - u32::from(length);
            table[(code << shift) as usize..][..1 << shift].fill(Entry { symbol: symbol as u8, length });
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Symbols 0 four times, 1 twice, 2 once: lengths 1, 2, 2, codes 0, 10, 11.
        let indices = [0, 1, 0, -1, 0, 1, 0];
        let bytes = encode(&indices, Width::Eight);
        // 000000011 0001 0010 0010, then 0 10 0 11 0 10 0.
        assert_eq!(bytes, [0b0000_0001, 0b1000_1001, 0b0001_0010, 0b0110_1000]);
        assert_eq!(decode(&bytes, 7, Width::Eight).unwrap(), indices);
    }

    #[test]
    fn symbols_of_large_indices_escape() {
        assert_eq!([0, 1, -1, 127, -127, -128, 128].map(symbol), [0, 1, 2, 253, 254, 255, 255]);
        let indices = [i16::MIN, 0, i16::MAX, -128, 128];
        let bytes = encode(&indices, Width::Sixteen);
        assert_eq!(decode(&bytes, 5, Width::Sixteen).unwrap(), indices);
        let all: Vec<i16> = (-128..128).collect();
        assert_eq!(decode(&encode(&all, Width::Eight), 256, Width::Eight).unwrap(), all);
    }
}

//! Bits in bytes, least significant bit first.

use crate::error::{Error, Result};

/// Bits that a number below `limit` takes; 0 for limits of 0 and 1.
pub(crate) fn bits_for(limit: usize) -> u32 {
    limit.next_power_of_two().trailing_zeros()
}

/// Appends bits to a byte buffer.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`, fewer than 32 between calls.
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    /// Writes the low `count` bits of `value`, `count` up to 32.
    #[inline]
    pub fn write(&mut self, value: u32, count: u32) {
        debug_assert!(count == 32 || u64::from(value) < 1 << count);
        self.pending |= u64::from(value) << self.pending_bits;
        self.pending_bits += count;
        if self.pending_bits >= 32 {
            self.bytes.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.pending_bits -= 32;
        }
    }

    /// Exp-Golomb code of order `order`: unsigned values, short for small ones.
    pub fn write_exp_golomb(&mut self, value: u32, order: u32) {
        let shifted = u64::from(value) + (1 << order);
        let bits = 63 - shifted.leading_zeros();
        let prefix = bits - order;
        // `prefix` ones, a zero, then the bits below the leading one.
        self.write(((1u64 << prefix) - 1) as u32, prefix);
        self.write(0, 1);
        self.write((shifted - (1 << bits)) as u32, bits);
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.pending = 0;
        self.pending_bits = 0;
    }

    /// Pads the last byte with zero bits and returns all bytes.
    pub fn finish(&mut self) -> &[u8] {
        let bytes = self.pending_bits.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
        self.pending = 0;
        self.pending_bits = 0;
        &self.bytes
    }
}

/// Reads what [`BitWriter`] wrote.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    position: usize,
    pending: u64,
    pending_bits: u32,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, position: 0, pending: 0, pending_bits: 0 }
    }

    /// The next `count` bits, up to 32. Error: the bytes end.
    #[inline]
    pub fn read(&mut self, count: u32) -> Result<u32> {
        if self.pending_bits < count
            && let Some(word) = self.bytes.get(self.position..).and_then(<[u8]>::first_chunk::<4>)
        {
            // At most 31 bits are pending, so 32 more fit.
            self.pending |= u64::from(u32::from_le_bytes(*word)) << self.pending_bits;
            self.pending_bits += 32;
            self.position += 4;
        }
        while self.pending_bits < count {
            let &byte = self.bytes.get(self.position).ok_or_else(|| Error::truncated("bit field"))?;
            self.pending |= u64::from(byte) << self.pending_bits;
            self.pending_bits += 8;
            self.position += 1;
        }
        let value = self.pending & ((1 << count) - 1);
        self.pending >>= count;
        self.pending_bits -= count;
        Ok(value as u32)
    }

    pub fn read_exp_golomb(&mut self, order: u32) -> Result<u32> {
        let mut bits = order;
        while self.read(1)? == 1 {
            bits += 1;
            if bits > 31 {
                return Err(Error::corrupt("an exp-Golomb code is longer than 32 bits"));
            }
        }
        let low = u64::from(self.read(bits)?);
        u32::try_from((1 << bits) + low - (1 << order))
            .map_err(|_| Error::corrupt("an exp-Golomb code is out of range"))
    }

    /// Ends the bit field: the padding must be zero. Returns the number of bytes read.
    pub fn finish(self) -> Result<usize> {
        if self.pending & ((1 << (self.pending_bits % 8)) - 1) != 0 {
            return Err(Error::corrupt("the padding of a bit field is not zero"));
        }
        // Whole bytes that were only looked ahead at.
        Ok(self.position - (self.pending_bits / 8) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_codes_come_back() {
        let mut writer = BitWriter::default();
        writer.write(0b101, 3);
        writer.write_exp_golomb(0, 1);
        writer.write_exp_golomb(9, 1);
        writer.write(u32::MAX, 32);
        for value in [0, 1, 2, 3, 1000, 1 << 20] {
            writer.write_exp_golomb(value, 0);
        }
        let bytes = writer.finish().to_vec();
        // 101, then "0" + 0 (order 1), "110" + 011 read from bit 0.
        let mut reader = BitReader::new(&bytes);
        assert_eq!(reader.read(3).unwrap(), 0b101);
        assert_eq!(reader.read_exp_golomb(1).unwrap(), 0);
        assert_eq!(reader.read_exp_golomb(1).unwrap(), 9);
        assert_eq!(reader.read(32).unwrap(), u32::MAX);
        for value in [0, 1, 2, 3, 1000, 1 << 20] {
            assert_eq!(reader.read_exp_golomb(0).unwrap(), value);
        }
        assert_eq!(reader.finish().unwrap(), bytes.len());
        let mut reader = BitReader::new(&[0xff]);
        assert!(reader.read(9).is_err());
        assert!(BitReader::new(&[0xff; 8]).read_exp_golomb(0).is_err());
    }
}

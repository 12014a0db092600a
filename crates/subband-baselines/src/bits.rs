//! Bits in and out, the most significant first, as the papers draw them.

use crate::error::{Error, Result};

/// Appends bits to bytes, 64 at a time.
#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// The last `used` bits are those not yet in `bytes`; what is above them is of no meaning.
    pending: u64,
    /// Below 64.
    used: u32,
}

impl BitWriter {
    /// Appends the low `count` bits of `value`, 0 to 32 of them; the bits above have to be zero.
    #[inline]
    pub fn put(&mut self, value: u32, count: u32) {
        debug_assert!(count <= 32 && u64::from(value) >> count == 0);
        let free = 64 - self.used;
        if count < free {
            self.pending = self.pending << count | u64::from(value);
            self.used += count;
            return;
        }
        // `free` is at most `count`, so at most 32, and at least 1.
        let rest = count - free;
        let full = self.pending << free | u64::from(value) >> rest;
        self.bytes.extend_from_slice(&full.to_be_bytes());
        self.pending = value.into();
        self.used = rest;
    }

    /// Fills up with zero bits to a multiple of `bits`.
    pub fn align(&mut self, bits: u32) {
        let over = (self.bytes.len() as u64 * 8 + u64::from(self.used)) % u64::from(bits);
        if over > 0 {
            self.put(0, bits - over as u32);
        }
    }

    /// The bytes, the last one filled up with zero bits.
    pub fn finish(mut self) -> Vec<u8> {
        self.align(8);
        let rest = self.pending.checked_shl(64 - self.used).unwrap_or(0).to_be_bytes();
        self.bytes.extend_from_slice(&rest[..self.used as usize / 8]);
        self.bytes
    }
}

/// Takes bits from bytes.
#[derive(Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits, at most 8 times the bytes.
    position: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next `count` bits, 0 to 32 of them, without taking them; zeros follow the last.
    #[inline]
    pub fn peek(&self, count: u32) -> u32 {
        let at = self.position / 8;
        let word = match self.bytes.get(at..at + 8) {
            Some(eight) => u64::from_be_bytes(eight.try_into().expect("eight bytes")),
            None => {
                let rest = &self.bytes[at..];
                let mut eight = [0; 8];
                eight[..rest.len()].copy_from_slice(rest);
                u64::from_be_bytes(eight)
            }
        };
        // Two shifts, since one by 64 is not allowed.
        (word << (self.position % 8) >> 32 >> (32 - count)) as u32
    }

    /// Skips bits that were looked at. Errors: `Truncated`.
    #[inline]
    pub fn skip(&mut self, count: u32) -> Result<()> {
        if self.bits_left() < count as usize {
            return Err(Error::truncated());
        }
        self.position += count as usize;
        Ok(())
    }

    /// Takes the next `count` bits, 0 to 32 of them. Errors: `Truncated`.
    #[inline]
    pub fn take(&mut self, count: u32) -> Result<u32> {
        let value = self.peek(count);
        self.skip(count)?;
        Ok(value)
    }

    pub fn bits_left(&self) -> usize {
        self.bytes.len() * 8 - self.position
    }

    /// Skips the zero bits up to a multiple of `bits`, at most 32. Errors: `Truncated`, `Corrupt` for a one.
    pub fn align(&mut self, bits: u32) -> Result<()> {
        let over = (self.position % bits as usize) as u32;
        if over > 0 && self.take(bits - over)? != 0 {
            return Err(Error::corrupt("padding bits are not zero"));
        }
        Ok(())
    }

    /// Checks that nothing but the padding of the last byte is left. Errors: `Corrupt`.
    pub fn finish(mut self) -> Result<()> {
        self.align(8)?;
        match self.bits_left() {
            0 => Ok(()),
            bits => Err(Error::corrupt(format!("{} bytes follow the last value", bits / 8))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut writer = BitWriter::default();
        writer.put(0b101, 3);
        writer.put(0, 0);
        writer.put(0b1, 1);
        writer.align(8);
        writer.put(0xABC, 12);
        assert_eq!(writer.finish(), [0b1011_0000, 0xAB, 0xC0]);
        assert_eq!(BitWriter::default().finish(), []);
    }

    #[test]
    fn all_counts_come_back_across_words() {
        let mut writer = BitWriter::default();
        let value = |i: u32, count: u32| (i.wrapping_mul(0x9E37_79B9) as u64 & ((1u64 << count) - 1)) as u32;
        for i in 0..2000 {
            writer.put(value(i, i * 7 % 33), i * 7 % 33);
        }
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for i in 0..2000 {
            assert_eq!(reader.take(i * 7 % 33).unwrap(), value(i, i * 7 % 33), "{i}");
        }
        reader.finish().unwrap();
    }

    #[test]
    fn ends_are_checked() {
        let mut reader = BitReader::new(&[0b1010_0001]);
        assert_eq!(reader.peek(16), 0b1010_0001_0000_0000);
        assert_eq!(reader.take(3).unwrap(), 0b101);
        assert!(reader.take(6).is_err());
        assert!(reader.align(8).is_err());
        assert!(BitReader::new(&[0]).finish().is_err());
    }
}

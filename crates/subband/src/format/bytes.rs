//! Little-endian fields, variable-length integers and strings.

use crate::error::{Error, Result};

/// Unsigned LEB128: 7 bits a byte, low first, high bit set on all but the last.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_f32(out: &mut Vec<u8>, value: f32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Length as a varint, then UTF-8.
pub(crate) fn put_string(out: &mut Vec<u8>, value: &str) {
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

/// Reads fields one after the other; running out is `Truncated`, named after `what` is read.
#[derive(Debug, Clone)]
pub(crate) struct ByteReader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> ByteReader<'a> {
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        ByteReader { rest: bytes, what }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| Error::truncated(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn f32(&mut self) -> Result<f32> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    pub fn tag<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.array()
    }

    pub fn varint(&mut self) -> Result<usize> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    break; // A longer form of a smaller number: there is one form only.
                }
                return usize::try_from(value).map_err(|_| Error::corrupt(format!("the number {value} is too large")));
            }
        }
        Err(Error::corrupt("a variable-length integer is malformed"))
    }

    pub fn string(&mut self) -> Result<&'a str> {
        let length = self.varint()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Error::corrupt("a name is not UTF-8"))
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(Error::corrupt(format!("{extra} bytes follow the {}", self.what))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_one_form() {
        for value in [0u64, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(ByteReader::new(&out, "test").varint().unwrap() as u64, value);
        }
        for bad in [&[0x80, 0x00][..], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            assert_eq!(ByteReader::new(bad, "test").varint().unwrap_err().kind(), crate::ErrorKind::Corrupt);
        }
        assert_eq!(ByteReader::new(&[0x80], "test").varint().unwrap_err().kind(), crate::ErrorKind::Truncated);
    }
}

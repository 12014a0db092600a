//! Magnitude classes: the magnitude of an index becomes a class, which rANS codes, and raw bits (FORMAT.md, "Magnitudes").
//!
//! | class | magnitudes | raw bits |
//! |---|---|---|
//! | 0 to 7 | 0 to 7 | |
//! | 8, 9 | 8 to 11, 12 to 15 | 2 |
//! | 10, 11 | 16 to 23, 24 to 31 | 3 |
//! | 12, 13, 14 | 32 to 63, 64 to 127, 128 to 255 | 5, 6, 7 |
//! | 15 | from 256 | exp-Golomb code of order 8 |
//!
//! Sixteen classes, so that the starts of a table fill one vector register and a class is found by comparing with all.

use super::bit_io::{BitReader, BitWriter};
use super::symbol::MAX_MAGNITUDE;
use crate::error::{Error, Result};

/// Number of classes.
pub(crate) const CLASSES: usize = 16;
/// The first magnitude of each class.
pub(crate) const FIRST_MAGNITUDES: [u32; CLASSES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 64, 128, 256];
/// Raw bits of each class but the last.
const RAW_BITS: [u32; CLASSES] = [0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 3, 3, 5, 6, 7, 0];
const LAST_ORDER: u32 = 8;

/// The class of a magnitude.
#[inline]
pub(crate) fn class(magnitude: u32) -> u8 {
    match magnitude {
        0..8 => magnitude as u8,
        8..32 => {
            let exponent = magnitude.ilog2();
            (2 * (exponent + 1) + (magnitude >> (exponent - 1) & 1)) as u8
        }
        _ => (magnitude.ilog2() + 7).min(CLASSES as u32 - 1) as u8,
    }
}

/// Writes what the class leaves open.
#[inline]
pub(crate) fn write_rest(magnitude: u32, class: u8, writer: &mut BitWriter) {
    let rest = magnitude - FIRST_MAGNITUDES[class as usize];
    match class as usize {
        ..8 => {}
        // Few magnitudes are that large.
        15 => writer.write_exp_golomb(rest, LAST_ORDER),
        class => writer.write(rest, RAW_BITS[class]),
    }
}

/// The magnitude if an index may have it.
#[inline]
pub(crate) fn checked_magnitude(magnitude: u32) -> Result<u32> {
    if magnitude > MAX_MAGNITUDE {
        return Err(Error::corrupt(format!("the magnitude {magnitude} is beyond {MAX_MAGNITUDE}")));
    }
    Ok(magnitude)
}

/// Reads what the class leaves open. Returns the magnitude, at most [`MAX_MAGNITUDE`].
#[inline]
pub(crate) fn read_magnitude(class: u8, reader: &mut BitReader) -> Result<u32> {
    let first = FIRST_MAGNITUDES[class as usize];
    match class as usize {
        ..8 => Ok(first),
        15 => checked_magnitude(first.saturating_add(reader.read_exp_golomb(LAST_ORDER)?)),
        class => Ok(first + reader.read(RAW_BITS[class])?),
    }
}

/// Raw bits of a magnitude, without its sign.
pub(crate) fn rest_bits(magnitude: u32, class: u8) -> u32 {
    match class as usize {
        15 => 2 * (magnitude - FIRST_MAGNITUDES[15] + (1 << LAST_ORDER)).ilog2() + 1 - LAST_ORDER,
        class => RAW_BITS[class],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn classes_begin_where_they_should() {
        for (number, &first) in FIRST_MAGNITUDES.iter().enumerate() {
            assert_eq!(class(first), number as u8, "{first}");
            if first > 0 {
                assert_eq!(class(first - 1), number as u8 - 1, "{first}");
            }
        }
        assert_eq!(class(MAX_MAGNITUDE), 15);
    }

    #[test]
    fn every_magnitude_comes_back() {
        let magnitudes: Vec<u32> = (0..1000).chain([4095, 4096, 1 << 20, MAX_MAGNITUDE]).collect();
        let mut writer = BitWriter::default();
        let mut bits = 0;
        for &magnitude in &magnitudes {
            write_rest(magnitude, class(magnitude), &mut writer);
            bits += rest_bits(magnitude, class(magnitude));
        }
        let bytes = writer.finish().to_vec();
        assert_eq!(bytes.len(), bits.div_ceil(8) as usize);
        let mut reader = BitReader::new(&bytes);
        for magnitude in magnitudes {
            assert_eq!(read_magnitude(class(magnitude), &mut reader).unwrap(), magnitude);
        }
        assert_eq!(reader.finish().unwrap(), bytes.len());
    }

    #[test]
    fn magnitudes_beyond_the_largest_are_errors() {
        for beyond in [1, 1 << 30] {
            let mut writer = BitWriter::default();
            write_rest(MAX_MAGNITUDE + beyond, 15, &mut writer);
            let bytes = writer.finish().to_vec();
            let error = read_magnitude(15, &mut BitReader::new(&bytes)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{beyond}");
        }
    }
}

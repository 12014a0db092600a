//! A binary range coder.
//!
//! The interval is 64 bits wide and gives up 32 bits at a time, so that it is narrowed by multiples of at least 2^16 of
//! its 2^-16, and renormalised about once in 32 bits of code. A carry runs back into bytes already written (Martin,
//! "Range encoding", 1979).

use super::probability::PROBABILITY_BITS;
use crate::error::{Error, Result};

/// Writes decisions.
#[derive(Debug)]
pub(crate) struct RangeEncoder<'a> {
    low: u64,
    range: u64,
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> RangeEncoder<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        RangeEncoder { low: 0, range: u64::MAX, start: out.len(), out }
    }

    /// A decision that is true with a probability in units of 2^-16, not 0.
    #[inline]
    pub fn encode(&mut self, decision: bool, probability: u16) {
        let bound = (self.range >> PROBABILITY_BITS) * u64::from(probability);
        if decision {
            self.range = bound;
        } else {
            self.add(bound);
            self.range -= bound;
        }
        if self.range >> 32 == 0 {
            self.out.extend_from_slice(&((self.low >> 32) as u32).to_be_bytes());
            self.low <<= 32;
            self.range <<= 32;
        }
    }

    #[inline]
    fn add(&mut self, bound: u64) {
        let (low, carry) = self.low.overflowing_add(bound);
        self.low = low;
        if carry {
            self.carry();
        }
    }

    #[cold]
    fn carry(&mut self) {
        for byte in self.out[self.start..].iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }

    /// Writes as few bytes as tell the interval: the decoder reads zeros beyond the end.
    pub fn finish(mut self) {
        let last = self.range - 1;
        for bytes in 0..=8u32 {
            let below = u64::MAX.checked_shr(8 * bytes).unwrap_or(0);
            // What is missing to the next number with `bytes` bytes.
            let missing = self.low.wrapping_neg() & below;
            if missing <= last {
                self.add(missing);
                let code = self.low.to_be_bytes();
                self.out.extend_from_slice(&code[..bytes as usize]);
                break;
            }
        }
        while self.out.len() > self.start && self.out.last() == Some(&0) {
            self.out.pop();
        }
    }
}

/// Reads decisions.
#[derive(Debug)]
pub(crate) struct RangeDecoder<'a> {
    /// Where the code is in the interval.
    offset: u64,
    range: u64,
    rest: &'a [u8],
}

impl<'a> RangeDecoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = RangeDecoder { offset: 0, range: u64::MAX, rest: bytes };
        decoder.offset = u64::from(decoder.word()) << 32;
        decoder.offset |= u64::from(decoder.word());
        decoder
    }

    /// The next four bytes, zeros beyond the end.
    #[inline]
    fn word(&mut self) -> u32 {
        if let Some((word, rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            return u32::from_be_bytes(*word);
        }
        let mut word = [0; 4];
        word[..self.rest.len()].copy_from_slice(self.rest);
        self.rest = &[];
        u32::from_be_bytes(word)
    }

    /// The next decision, true with a probability in units of 2^-16.
    #[inline]
    pub fn decode(&mut self, probability: u16) -> bool {
        let bound = (self.range >> PROBABILITY_BITS) * u64::from(probability);
        let decision = self.offset < bound;
        if decision {
            self.range = bound;
        } else {
            self.offset -= bound;
            self.range -= bound;
        }
        if self.range >> 32 == 0 {
            self.range <<= 32;
            self.offset = self.offset << 32 | u64::from(self.word());
        }
        decision
    }

    /// Errors: bytes that were not asked for.
    pub fn finish(self) -> Result<()> {
        match self.rest {
            [] => Ok(()),
            rest => Err(Error::corrupt(format!("{} bytes are left behind the last decision of a chunk", rest.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(decisions: &[(bool, u16)]) -> Vec<u8> {
        let mut out = vec![7];
        let mut encoder = RangeEncoder::new(&mut out);
        decisions.iter().for_each(|&(decision, probability)| encoder.encode(decision, probability));
        encoder.finish();
        assert_eq!(out.remove(0), 7, "what was there before stays");
        out
    }

    #[test]
    fn bytes_by_hand() {
        assert_eq!(encode(&[]), []);
        assert_eq!(encode(&[(true, 32_768)]), []);
        // The upper half of the interval begins at 2^63 - 1/2 - 2^15, rounded up to a byte.
        assert_eq!(encode(&[(false, 32_768)]), [0x80]);
        assert_eq!(encode(&[(false, 32_768), (false, 32_768)]), [0xc0]);
        assert_eq!(encode(&[(false, 65_535); 2]), [0xff, 0xff, 0xff, 0xff]);
    }

    proptest! {
        #[test]
        fn decisions_come_back(
            decisions in prop::collection::vec((any::<bool>(), prop_oneof![Just(1u16), Just(65_535), 1u16..]), 0..600),
        ) {
            let bytes = encode(&decisions);
            prop_assert!(bytes.last() != Some(&0));
            let mut decoder = RangeDecoder::new(&bytes);
            for &(decision, probability) in &decisions {
                prop_assert_eq!(decoder.decode(probability), decision);
            }
            decoder.finish().unwrap();
            let ideal: f64 = decisions.iter().map(|&(decision, probability)| {
                let one = f64::from(probability) / 65_536.0;
                -(if decision { one } else { 1.0 - one }).log2()
            }).sum();
            prop_assert!(bytes.len() as f64 <= ideal / 8.0 + 2.0, "{} {ideal}", bytes.len());
        }

        #[test]
        fn any_bytes_decode(bytes in prop::collection::vec(any::<u8>(), 0..40), probability in 1u16..) {
            let mut decoder = RangeDecoder::new(&bytes);
            (0..300).for_each(|_| { decoder.decode(probability); });
        }
    }
}

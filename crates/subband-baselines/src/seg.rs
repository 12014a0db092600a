//! Signed sparse exp-Golomb coding (Georgiadis, "Accelerating Convolutional Neural Networks via Activation Map
//! Compression", CVPR 2019; signed as in Yang's thesis of the same year, which this project starts from).
//!
//! One byte, the order k, 0 to 15; then for each value `0` where it is zero, else `1` and the exp-Golomb code of order k of
//! 2m - 2 for m > 0 and of 2|m| - 1 for m < 0: with w = v + 2^k of b + 1 binary digits, b - k ones, a zero, and the low b bits
//! of w. The order is the one with the fewest bits.

use crate::Width;
use crate::bits::{BitReader, BitWriter};
use crate::error::{Error, Result};

const ORDERS: usize = 16;

pub fn encode(indices: &[i16]) -> Vec<u8> {
    let order = best_order(indices);
    let mut writer = BitWriter::default();
    writer.put(order, 8);
    for &index in indices {
        if index == 0 {
            writer.put(0, 1);
            continue;
        }
        let shifted = zigzag(index) + (1 << order);
        let digits = shifted.ilog2();
        let ones = digits - order + 1;
        // The flag counts among the ones: at most 18 of them and a zero, then at most 16 bits.
        writer.put(((1 << ones) - 1) << 1, ones + 1);
        writer.put(shifted - (1 << digits), digits);
    }
    writer.finish()
}

pub fn decode(bytes: &[u8], count: usize, width: Width) -> Result<Vec<i16>> {
    let mut reader = BitReader::new(bytes);
    let order = reader.take(8)?;
    if order as usize >= ORDERS {
        return Err(Error::corrupt(format!("order {order}: allowed are 0 to {}", ORDERS - 1)));
    }
    let mut indices = vec![0; count];
    for place in &mut indices {
        let ones = (!reader.peek(32)).leading_zeros();
        reader.skip(ones)?;
        if ones > 18 {
            return Err(Error::corrupt(format!("a code with {ones} ones: allowed are 18")));
        }
        reader.skip(1)?;
        if ones == 0 {
            continue;
        }
        let digits = ones - 1 + order;
        if digits > 17 {
            return Err(Error::corrupt(format!("a value of {digits} bits: allowed are 17")));
        }
        let value = reader.take(digits)? + (1 << digits) - (1 << order);
        let magnitude = (value / 2 + 1) as i32;
        let index = if value.is_multiple_of(2) { magnitude } else { -magnitude };
        if !width.holds(index) {
            return Err(Error::corrupt(format!("index {index} is not of {} bits", width.bits())));
        }
        *place = index as i16;
    }
    reader.finish()?;
    Ok(indices)
}

fn zigzag(index: i16) -> u32 {
    2 * u32::from(index.unsigned_abs()) - 2 + u32::from(index < 0)
}

fn best_order(indices: &[i16]) -> u32 {
    // Values of a map repeat, so their lengths are counted, not summed one by one: the length depends on the zigzag
    // value, which is a number of at most 16 bits.
    let mut counts = vec![0u64; 1 << 16];
    for &index in indices.iter().filter(|&&index| index != 0) {
        counts[zigzag(index) as usize] += 1;
    }
    let most = counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
    let bits = |order: u32| -> u64 {
        let length = |value: usize| u64::from(2 * (value as u32 + (1 << order)).ilog2() + 1 - order);
        counts[..most].iter().enumerate().filter(|(_, count)| **count > 0).map(|(v, count)| count * length(v)).sum()
    };
    (0..ORDERS as u32).min_by_key(|&order| bits(order)).expect("there are orders")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Order 0: 0 -> 0; 1 -> zigzag 0 -> 1 0; -1 -> 1 -> w = 2 -> 1 10 0; 2 -> 2 -> w = 3 -> 1 10 1.
        let bytes = encode(&[0, 1, -1, 2]);
        assert_eq!(bytes, [0, 0b0101_1001, 0b1010_0000]);
        assert_eq!(decode(&bytes, 4, Width::Eight).unwrap(), [0, 1, -1, 2]);
        // Ten values of 100: zigzag 198. Order 7: w = 326, 9 digits: 1 10 01000110, 11 bits; order 8: w = 454: 1 0 11000110,
        // 10 bits.
        assert_eq!(best_order(&[100; 10]), 8);
        assert_eq!(encode(&[100])[1..], [0b1011_0001, 0b1000_0000]);
    }
}

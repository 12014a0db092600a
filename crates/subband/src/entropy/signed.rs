//! Signed numbers as unsigned ones (zigzag: 0, -1, 1, -2, 2 become 0 to 4), and in exp-Golomb code.

use super::bit_io::{BitReader, BitWriter};
use crate::error::Result;

/// The zigzag number of a signed one.
#[inline]
pub(crate) fn zigzag(number: i32) -> u32 {
    ((number << 1) ^ (number >> 31)) as u32
}

#[inline]
fn from_zigzag(zigzag: u32) -> i32 {
    (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32)
}

/// Writes a signed number in exp-Golomb code.
pub(crate) fn write_signed(number: i32, order: u32, writer: &mut BitWriter) {
    writer.write_exp_golomb(zigzag(number), order);
}

/// Reads a signed number in exp-Golomb code.
pub(crate) fn read_signed(reader: &mut BitReader, order: u32) -> Result<i32> {
    Ok(from_zigzag(reader.read_exp_golomb(order)?))
}

/// Bits of a signed number in exp-Golomb code.
fn signed_bits(number: i32, order: u32) -> u64 {
    let beyond = u64::from(zigzag(number)) + (1 << order);
    u64::from(2 * beyond.ilog2() + 1 - order)
}

/// The order below `orders` of the exp-Golomb code that takes fewest bits for all numbers, the lowest of several.
pub(crate) fn best_order(numbers: impl Iterator<Item = i32> + Clone, orders: u32) -> u32 {
    let bits = |order: u32| numbers.clone().map(|number| signed_bits(number, order)).sum::<u64>();
    (0..orders).min_by_key(|&order| bits(order)).expect("there are orders")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_in_the_bits_foretold() {
        let numbers = [0, -1, 1, -2, 2, 77, -4095, 32_767, -32_768, 1 << 24, -(1 << 24)];
        for order in 0..16 {
            let mut writer = BitWriter::default();
            numbers.iter().for_each(|&number| write_signed(number, order, &mut writer));
            let bytes = writer.finish().to_vec();
            let bits: u64 = numbers.iter().map(|&number| signed_bits(number, order)).sum();
            assert_eq!(bytes.len() as u64, bits.div_ceil(8), "order {order}");
            let mut reader = BitReader::new(&bytes);
            for number in numbers {
                assert_eq!(read_signed(&mut reader, order).unwrap(), number, "order {order}");
            }
        }
    }

    #[test]
    fn the_best_order_takes_fewest_bits() {
        assert_eq!(best_order([0, 0, 0, 1].into_iter(), 8), 0);
        assert_eq!(best_order([500, -500].into_iter(), 8), 7);
        assert_eq!(best_order([].into_iter(), 8), 0);
    }
}

//! Steps in few bytes (FORMAT.md, "Short steps"): as multiples of the coarsest grid that holds them, each by its difference to
//! the one before, since steps of one map lie within an octave or two.

use super::bytes::ByteReader;
use crate::entropy::{BitReader, BitWriter, best_order, read_signed, write_signed};
use crate::error::{Error, Result};

/// Bits of the mantissa of an f32.
const MANTISSA_BITS: u32 = 23;
/// Bits that hold the number of mantissa bits, and those that hold an order.
const COUNT_BITS: u32 = 5;
/// Orders of the exp-Golomb code are below this.
const ORDERS: u32 = 24;

/// A step without the mantissa bits that are 0 in all: an integer that grows with the step.
fn place(step: f32, mantissa_bits: u32) -> i32 {
    (step.to_bits() >> (MANTISSA_BITS - mantissa_bits)) as i32
}

/// Rows of `width` steps, one below the other: the step that each is told by, but for the first, is the one before it in the
/// first row, and in other rows the one above it.
fn before(number: usize, width: usize) -> usize {
    number - if number < width { 1 } else { width }
}

/// Appends rows of `width` steps, all above 0.
pub(super) fn write_steps(steps: &[f32], width: usize, out: &mut Vec<u8>) {
    let Some(&first) = steps.first() else { return };
    let bits = steps.iter().fold(0, |bits, step| bits | step.to_bits()) & ((1 << MANTISSA_BITS) - 1);
    let mantissa_bits = MANTISSA_BITS - bits.trailing_zeros().min(MANTISSA_BITS);
    let mut writer = BitWriter::default();
    writer.write(mantissa_bits, COUNT_BITS);
    writer.write(place(first, mantissa_bits) as u32, 8 + mantissa_bits);
    if steps.len() > 1 {
        let at = |number: usize| place(steps[number], mantissa_bits);
        let differences = (1..steps.len()).map(|number| at(number) - at(before(number, width)));
        let order = best_order(differences.clone(), ORDERS);
        writer.write(order, COUNT_BITS);
        differences.for_each(|difference| write_signed(difference, order, &mut writer));
    }
    out.extend_from_slice(writer.finish());
}

/// Reads `count` steps in rows of `width`; they grow as the bits come, since the count may be a lie. Steps may be any floats from
/// 0 on.
pub(super) fn read_steps(reader: &mut ByteReader, count: usize, width: usize) -> Result<Vec<f32>> {
    let mut bits = BitReader::new(reader.rest());
    let mantissa_bits = bits.read(COUNT_BITS)?;
    if mantissa_bits > MANTISSA_BITS {
        return Err(Error::corrupt(format!("steps with {mantissa_bits} bits of mantissa")));
    }
    let mut places = vec![bits.read(8 + mantissa_bits)? as i32];
    if count > 1 {
        let order = bits.read(COUNT_BITS)?;
        if order >= ORDERS {
            return Err(Error::corrupt(format!("steps in a code of order {order}")));
        }
        for number in 1..count {
            let place = places[before(number, width)].checked_add(read_signed(&mut bits, order)?);
            let place = place.filter(|&place| place >= 0 && place as u32 >> (8 + mantissa_bits) == 0);
            places.push(place.ok_or_else(|| Error::corrupt("a step is beyond those that there are"))?);
        }
    }
    reader.take(bits.finish()?)?;
    Ok(places.into_iter().map(|place| f32::from_bits((place as u32) << (MANTISSA_BITS - mantissa_bits))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(steps: &[f32], width: usize) -> Vec<u8> {
        let mut out = Vec::new();
        write_steps(steps, width, &mut out);
        out
    }

    #[test]
    fn by_hand() {
        // 1.0 is 127 << 23, so without mantissa the place is 127: five bits of 0, then eight.
        assert_eq!(written(&[1.0], 1), [0b111_00000, 0b01111]);
        // One bit of mantissa: places 254, 255, 253; the differences 1 and -2 are 2 and 3, which take three bits each in the code
        // of order 2.
        let bytes = written(&[1.0, 1.5, 0.75], 3);
        let mut reader = BitReader::new(&bytes);
        assert_eq!((reader.read(5).unwrap(), reader.read(9).unwrap(), reader.read(5).unwrap()), (1, 254, 2));
        assert_eq!([1, -2].map(|_| read_signed(&mut reader, 2).unwrap()), [1, -2]);
        assert_eq!(reader.finish().unwrap(), bytes.len());
    }

    #[test]
    fn steps_by_channel_are_told_by_the_channel_before() {
        let row = [0.5f32, 0.25, 8.0, 0.125];
        let two_rows = [row, row].concat();
        let [alone, by_channel] = [written(&row, 4), written(&two_rows, 4)].map(|bytes| bytes.len());
        assert!(by_channel <= alone + 4, "{alone} {by_channel}");
        assert!(written(&[], 4).is_empty());
    }

    #[test]
    fn hostile_bits_are_refused() {
        let read = |fields: &[(u32, u32)], count: usize| {
            let mut writer = BitWriter::default();
            fields.iter().for_each(|&(value, bits)| writer.write(value, bits));
            read_steps(&mut ByteReader::new(writer.finish(), "steps"), count, 4).map_err(|error| error.kind())
        };
        let corrupt = Err(crate::ErrorKind::Corrupt);
        assert_eq!(read(&[(24, 5), (0, 32)], 1), corrupt);
        assert_eq!(read(&[(0, 5), (127, 8), (24, 5), (0, 32)], 2), corrupt);
        // -1 after 0, and 256 places after 255.
        assert_eq!(read(&[(0, 5), (0, 8), (0, 5), (0b001, 3)], 2), corrupt);
        assert_eq!(read(&[(0, 5), (255, 8), (0, 5), (0b101, 3)], 2), corrupt);
        assert_eq!(read(&[(0, 5), (127, 8), (0, 5)], usize::MAX), Err(crate::ErrorKind::Truncated));
    }

    proptest! {
        #[test]
        fn steps_come_back(
            steps in prop::collection::vec((1e-30f32..1e30, 0u32..24), 1..60), width in 1usize..12, alike in any::<bool>(),
        ) {
            let masked = |(step, bits): &(f32, u32)| {
                let step = if alike { 0.5 + step / 4e30 } else { *step };
                f32::from_bits(step.to_bits() & !0 << bits)
            };
            let steps: Vec<f32> = steps.iter().map(masked).collect();
            let bytes = written(&steps, width);
            let mut reader = ByteReader::new(&bytes, "steps");
            prop_assert_eq!(read_steps(&mut reader, steps.len(), width).unwrap(), steps);
            reader.finish().unwrap();
        }
    }
}

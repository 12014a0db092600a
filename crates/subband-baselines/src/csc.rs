//! Compressed sparse columns with run lengths (Han et al., "EIE: Efficient Inference Engine on Compressed Deep Neural
//! Network", ISCA 2016; of maps: Chen et al., "Eyeriss v2", JETCAS 2019).
//!
//! What the papers call a column is here a row of a plane, in the order of memory. Entries are pairs of a run, 4 bits, the
//! number of zeros before a value in its row, and the value, a word. A run of 15 may be followed by a value of 0, which is
//! then one more zero. Zeros at the end of a row have no entry.
//!
//! 1. 6 bits: the bits p of a pointer, enough for the number of all entries.
//! 2. For each row, p bits: the number of entries up to its end.
//! 3. The entries of all rows: run and value, run and value.
//!
//! The papers have pointers, runs and values in memories of their own; the sizes are the same.

use crate::Layout;
use crate::bits::{BitReader, BitWriter};
use crate::error::{Error, Result};
use crate::run_value::Pairs;

const RUN_BITS: u32 = 4;

pub fn encode(indices: &[i16], layout: Layout) -> Vec<u8> {
    let pairs = Pairs { run_bits: RUN_BITS, width: layout.width };
    let mut entries = BitWriter::default();
    let mut ends = Vec::with_capacity(layout.rows);
    let mut count = 0u32;
    for row in indices.chunks_exact(layout.columns.max(1)) {
        count += pairs.write(row, &mut entries);
        ends.push(count);
    }
    let mut writer = BitWriter::default();
    let pointer_bits = u32::BITS - count.leading_zeros();
    writer.put(pointer_bits, 6);
    for &end in &ends {
        writer.put(end, pointer_bits);
    }
    writer.align(8);
    let mut bytes = writer.finish();
    bytes.extend(entries.finish());
    bytes
}

pub fn decode(bytes: &[u8], layout: Layout) -> Result<Vec<i16>> {
    let (count, pairs) = (layout.count()?, Pairs { run_bits: RUN_BITS, width: layout.width });
    let rows = if layout.columns == 0 { 0 } else { layout.rows };
    let mut pointers = BitReader::new(bytes);
    let pointer_bits = pointers.take(6)?;
    if pointer_bits > 32 {
        return Err(Error::corrupt(format!("pointers of {pointer_bits} bits: allowed are 32")));
    }
    // Where the entries begin, known before the pointers are read.
    let table_bits = rows as u64 * u64::from(pointer_bits) + 6;
    let start = usize::try_from(table_bits.div_ceil(8)).ok().filter(|&start| start <= bytes.len());
    let mut entries = BitReader::new(&bytes[start.ok_or_else(Error::truncated)?..]);
    let mut indices = vec![0; count];
    let mut done = 0;
    for row in indices.chunks_exact_mut(layout.columns.max(1)) {
        let end = pointers.take(pointer_bits)?;
        let Some(length) = end.checked_sub(done) else {
            return Err(Error::corrupt(format!("a row ends at entry {end}, the one before it at {done}")));
        };
        done = end;
        let mut at = 0;
        for _ in 0..length {
            at = pairs.read(&mut entries, row, at)?;
        }
    }
    pointers.align(8)?;
    entries.finish()?;
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Width;

    #[test]
    fn by_hand() {
        let layout = Layout { width: Width::Eight, rows: 3, columns: 4 };
        let indices = [0, 0, 9, 0, 0, 0, 0, 0, -1, 2, 0, 0];
        let bytes = encode(&indices, layout);
        // 2-bit pointers 1, 1, 3: 000010 01 01 11, padded; then 0010 00001001, 0000 11111111, 0000 00000010, padded.
        assert_eq!(bytes, [0b0000_1001, 0b0111_0000, 0b0010_0000, 0b1001_0000, 0xFF, 0, 0b0010_0000]);
        assert_eq!(decode(&bytes, layout).unwrap(), indices);
        // 20 zeros and 1: run 15 with a 0, run 4 with the 1.
        let long = Layout { width: Width::Eight, rows: 1, columns: 21 };
        let mut indices = [0; 21];
        indices[20] = 1;
        let bytes = encode(&indices, long);
        assert_eq!(bytes, [0b0000_1010, 0b1111_0000, 0b0000_0100, 0b0000_0001]);
        assert_eq!(decode(&bytes, long).unwrap(), indices);
    }
}

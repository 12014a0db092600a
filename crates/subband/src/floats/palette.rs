//! Palettes: tensors of few distinct values, such as dequantized bytes, are coded as ranks.

use super::model::{FloatFormat, palette_order};

/// Most distinct values that the encoder makes a palette of; more cost more in the header than they save.
const MOST: usize = 4096;
/// The same for 16-bit types, whose values have few bits to save.
const MOST_HALF: usize = 256;
const EMPTY: u32 = u32::MAX;

/// Most distinct values that a palette is worth for in a tensor of so many values.
pub(crate) fn palette_limit(format: FloatFormat, values: usize) -> usize {
    (values / 32).min(if format.bits == 32 { MOST } else { MOST_HALF })
}

/// A set of bits, each with a number: open addressing in four times the room that it needs.
#[derive(Debug)]
pub(crate) struct BitsTable {
    slots: Vec<(u32, u32)>,
    count: usize,
    limit: usize,
}

impl BitsTable {
    pub fn new(limit: usize) -> Self {
        debug_assert!(limit <= MOST);
        BitsTable { slots: vec![(0, EMPTY); (4 * limit + 4).next_power_of_two()], count: 0, limit }
    }

    /// Where these bits are, or the empty slot where they belong.
    fn slot(&self, bits: u32) -> usize {
        let mut at = bits.wrapping_mul(0x9e37_79b1) as usize >> 16 & (self.slots.len() - 1);
        while self.slots[at].1 != EMPTY && self.slots[at].0 != bits {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }

    /// Adds values; `false` if there are more distinct ones than the limit.
    pub fn add(&mut self, values: impl IntoIterator<Item = u32>) -> bool {
        for bits in values {
            let slot = self.slot(bits);
            if self.slots[slot].1 == EMPTY {
                if self.count == self.limit {
                    return false;
                }
                self.slots[slot] = (bits, 0);
                self.count += 1;
            }
        }
        true
    }

    pub fn values(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().filter(|slot| slot.1 != EMPTY).map(|slot| slot.0)
    }

    /// The values in the order of ranks; from now on their numbers are the f32 bits of the ranks.
    pub fn rank(&mut self, format: FloatFormat) -> Vec<u32> {
        let mut palette: Vec<u32> = self.values().collect();
        palette.sort_unstable_by_key(|&bits| palette_order(format, bits));
        for (rank, &bits) in palette.iter().enumerate() {
            let slot = self.slot(bits);
            self.slots[slot].1 = (rank as f32).to_bits();
        }
        palette
    }

    /// The f32 bits of the rank of one of the values.
    pub fn rank_of(&self, bits: u32) -> u32 {
        self.slots[self.slot(bits)].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_ranked() {
        let mut table = BitsTable::new(4);
        let bits = [3.0f32, -1.0, 3.0, 0.0, 1.0].map(f32::to_bits);
        assert!(table.add(bits));
        assert_eq!(table.rank(FloatFormat::F32), [0.0f32, 1.0, -1.0, 3.0].map(f32::to_bits));
        assert_eq!(f32::from_bits(table.rank_of(3f32.to_bits())), 3.0);
        assert!(!BitsTable::new(3).add(bits));
        assert!(BitsTable::new(4096).add((0..4096).map(|i| i << 20)), "colliding values find room");
    }
}

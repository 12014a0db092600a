//! Length of the thesis's code, for comparison: signed sparse exp-Golomb (METHOD.md, "entropy code").

/// Sums the bits that signed sparse exp-Golomb coding would take, for every order at once: `0` for a
/// zero, else `1` and the exp-Golomb code of order k of the zigzag value.
///
/// A zero is no non-zero value, so the zigzag of an index m > 0 is 2m - 2 and of -m is 2m - 1.
#[derive(Debug, Clone, Default)]
pub struct SegLength {
    bits: [u64; SegLength::ORDERS],
}

impl SegLength {
    const ORDERS: usize = 8;

    /// Adds the code lengths of some indices.
    pub fn add(&mut self, indices: &[i32]) {
        for &index in indices {
            if index == 0 {
                continue;
            }
            let zigzag = 2 * u64::from(index.unsigned_abs()) - 2 + u64::from(index < 0);
            for (order, bits) in self.bits.iter_mut().enumerate() {
                let shifted = zigzag + (1 << order);
                let length = 63 - u64::from(shifted.leading_zeros());
                // Prefix of length - order ones, a zero, then `length` bits.
                *bits += 2 * length + 1 - order as u64;
            }
        }
        for bits in &mut self.bits {
            *bits += indices.len() as u64;
        }
    }

    /// Adds the sums of another counter.
    pub fn merge(&mut self, other: &SegLength) {
        for (a, b) in self.bits.iter_mut().zip(&other.bits) {
            *a += b;
        }
    }

    /// The order with the fewest bits, and those bits.
    pub fn best(&self) -> (usize, u64) {
        let (order, bits) = self.bits.iter().enumerate().min_by_key(|(_, bits)| **bits).expect("there are orders");
        (order, *bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut length = SegLength::default();
        // Order 0: 0 -> "0"; 1 -> "1" + "0"; -1 -> "1" + "100"-like 3 bits; 2 -> "1" + 3 bits.
        length.add(&[0, 1, -1, 2]);
        assert_eq!(length.bits[0], 1 + 2 + 4 + 4);
        // Order 1: 1 and -1 -> "1" + 2 bits; 2 -> "1" + 4 bits.
        assert_eq!(length.bits[1], 1 + 3 + 3 + 5);
        assert_eq!(length.best(), (0, 11));
    }
}

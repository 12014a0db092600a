//! Rate-distortion optimised indices: some are moved towards zero where the bits saved are worth the error.
//!
//! J = D + lambda * R, with D the squared error in units of the squared step and R what the coder spends in bits. Indices
//! are chosen in coding order, each against the tables that the choices before lead to; what a choice does to the tables of
//! later indices is not looked at, so the whole is compared with plain rounding at the end.

use crate::entropy::COST_BITS;

/// What choosing one index needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trade {
    /// Price of a bit in squared steps.
    pub lambda: f32,
    /// Shift of the point of reconstruction.
    pub shift: f32,
}

impl Trade {
    /// The magnitude with the least J among `rounded`, one less, and 0; `scaled` is the coefficient's magnitude in steps
    /// and `cost` what a magnitude costs, in units of 2^-16 bits.
    #[inline]
    pub fn choose(&self, scaled: f32, rounded: u32, cost: impl Fn(u32) -> u64) -> u32 {
        let mut best = rounded;
        if rounded == 0 {
            return 0;
        }
        let mut least = self.j(scaled, rounded, cost(rounded));
        for magnitude in [rounded - 1, 0] {
            let j = self.j(scaled, magnitude, cost(magnitude));
            if j < least {
                (best, least) = (magnitude, j);
            }
        }
        best
    }

    /// J of one index.
    #[inline]
    pub fn j(&self, scaled: f32, magnitude: u32, cost: u64) -> f64 {
        let error = f64::from(scaled - (magnitude as f32 - self.shift).max(0.0));
        error * error + f64::from(self.lambda) * cost as f64 / f64::from(1u32 << COST_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let bits = |magnitude: u32| [1u64, 4, 6][magnitude as usize] << COST_BITS;
        let choose = |lambda, scaled, rounded| Trade { lambda, shift: 0.0 }.choose(scaled, rounded, bits);
        // Nothing is worth an error without a price.
        assert_eq!(choose(0.0, 0.6, 1), 1);
        // 0.6 as 1: 0.16 + 0.4 = 0.56; as 0: 0.36 + 0.1 = 0.46.
        assert_eq!(choose(0.1, 0.6, 1), 0);
        // 0.9 as 1: 0.01 + 0.4; as 0: 0.81 + 0.1.
        assert_eq!(choose(0.1, 0.9, 1), 1);
        // 1.55 as 2: 0.2025 + 0.6; as 1: 0.3025 + 0.4.
        assert_eq!(choose(0.1, 1.55, 2), 1);
        assert_eq!(choose(10.0, 1.9, 2), 0);
        assert_eq!(choose(10.0, 0.3, 0), 0);
    }
}

//! The entropy of indices as an ideal order-0 coder would see them: an estimate to print beside real bytes.

use std::collections::BTreeMap;

use super::signed::zigzag;

/// Indices up to this zigzag number are counted in an array, rarer ones in a map.
const DENSE: usize = 4096;

/// Counts indices by subband and channel, for the entropy an ideal order-0 coder with free tables would reach.
#[derive(Clone, Debug)]
pub(crate) struct OrderZero {
    channels: usize,
    contexts: Vec<Counts>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    /// By zigzag number. Only as long as the largest one met.
    dense: Vec<u64>,
    rare: BTreeMap<u32, u64>,
}

impl OrderZero {
    pub fn new(subbands: usize, channels: usize) -> Self {
        Self { channels, contexts: vec![Counts::default(); subbands * channels] }
    }

    pub fn count(&mut self, subband: usize, channel: usize, indices: &[i32]) {
        let counts = &mut self.contexts[subband * self.channels + channel];
        for &index in indices {
            let zigzag = zigzag(index);
            let position = zigzag as usize;
            if position < DENSE {
                if position >= counts.dense.len() {
                    counts.dense.resize(position + 1, 0);
                }
                counts.dense[position] += 1;
            } else {
                *counts.rare.entry(zigzag).or_default() += 1;
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.contexts.iter_mut().zip(&other.contexts) {
            if mine.dense.len() < theirs.dense.len() {
                mine.dense.resize(theirs.dense.len(), 0);
            }
            for (a, b) in mine.dense.iter_mut().zip(&theirs.dense) {
                *a += b;
            }
            for (zigzag, count) in &theirs.rare {
                *mine.rare.entry(*zigzag).or_default() += count;
            }
        }
    }

    /// [`bits`](Self::bits), subband by subband.
    pub fn bits_of_subbands(&self) -> Vec<f64> {
        self.contexts.chunks(self.channels).map(|channels| channels.iter().map(Counts::bits).sum()).collect()
    }

    /// Bits that all counted indices would take at their context's entropy.
    pub fn bits(&self) -> f64 {
        self.contexts.iter().map(Counts::bits).sum()
    }
}

impl Counts {
    fn bits(&self) -> f64 {
        let counts = || self.dense.iter().chain(self.rare.values()).copied();
        let total: u64 = counts().sum();
        counts().filter(|&count| count > 0).map(|count| count as f64 * (total as f64 / count as f64).log2()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_by_hand() {
        let mut counts = OrderZero::new(1, 2);
        // Two of four are 0: 1 bit each, the others 2 bits each.
        counts.count(0, 0, &[0, 0, 1, -1]);
        counts.count(0, 1, &[7, 7, 7]);
        assert_eq!(counts.bits(), 6.0);
        assert_eq!(counts.bits_of_subbands(), [6.0]);
        let mut other = OrderZero::new(1, 2);
        other.count(0, 1, &[100_000, i32::MIN, -1_000_000]);
        counts.merge(&other);
        // Three of six are 7: 1 bit each; three more with log2(6) each.
        assert!((counts.bits() - (6.0 + 3.0 + 3.0 * 6f64.log2())).abs() < 1e-9);
    }
}

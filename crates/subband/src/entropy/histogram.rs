//! Counts of tokens in one context.

use super::log2::log2;
use super::symbol::TOKENS;
use crate::kernel::{Isa, count_tokens, tokens_of};

/// How often each token occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Histogram {
    pub counts: [u32; TOKENS],
}

impl Histogram {
    pub const EMPTY: Histogram = Histogram { counts: [0; TOKENS] };

    /// The first tokens' counts, the others 0.
    #[cfg(test)]
    pub fn of(counts: &[u32]) -> Self {
        let mut histogram = Histogram::EMPTY;
        histogram.counts[..counts.len()].copy_from_slice(counts);
        histogram
    }

    pub fn count(&mut self, indices: &[i32]) {
        let isa = Isa::current();
        let mut tokens = [0; 2048];
        for indices in indices.chunks(tokens.len()) {
            let tokens = &mut tokens[..indices.len()];
            tokens_of(isa, indices, tokens);
            self.count_tokens(tokens);
        }
    }

    pub fn count_tokens(&mut self, tokens: &[u8]) {
        // Fewer are counted sooner than a tally is added.
        if tokens.len() < 128 {
            for &token in tokens {
                let count = &mut self.counts[usize::from(token)];
                *count = count.saturating_add(1);
            }
            return;
        }
        // No chunk overflows its counts.
        for tokens in tokens.chunks(1 << 30) {
            let mut counts = [0; TOKENS];
            count_tokens(Isa::current(), tokens, &mut counts);
            self.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(count));
        }
    }

    pub fn add(&mut self, other: &Histogram) {
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a = a.saturating_add(*b);
        }
    }

    /// The counts divided by `1 << shift`; what occurs still does.
    pub fn scaled(&self, shift: u32) -> Histogram {
        Histogram { counts: self.counts.map(|count| if count == 0 { 0 } else { (count >> shift).max(1) }) }
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// One more than the last token that occurs.
    pub fn span(&self) -> usize {
        self.counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1)
    }

    /// Order-0 entropy of all counted tokens together, in units of 2^-16 bits: what an ideal coder
    /// with the exact frequencies would spend, without raw bits.
    pub fn entropy(&self) -> u64 {
        entropy_and_used(self.counts.iter().map(|&count| u64::from(count))).0
    }
}

/// Order-0 entropy of tokens with these counts, in units of 2^-16 bits, and how many of the counts are not 0.
pub(crate) fn entropy_and_used(counts: impl Iterator<Item = u64>) -> (u64, usize) {
    let (mut total, mut own, mut used) = (0, 0, 0);
    for count in counts {
        total += count;
        own += count * log2(count);
        used += usize::from(count > 0);
    }
    ((total * log2(total)).saturating_sub(own), used)
}

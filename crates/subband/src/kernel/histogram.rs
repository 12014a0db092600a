//! Counting tokens.
//!
//! At the rates that the codec is for, nearly all tokens are among the first few. Those are counted by comparing a vector of
//! tokens with each, 2 instructions for 32 or 64 tokens, and only the others one by one. A tally in memory costs a
//! load and a store a token, and waits where one token repeats.

use crate::entropy::TOKENS;
use crate::kernel::multiversion;

multiversion! {
    /// Adds the tokens to `counts`.
    pub(crate) fn count_tokens(tokens: &[u8], counts: &mut [u32; TOKENS]) = plain;
}

/// Tokens counted by comparing.
const COMPARED: usize = 7;
/// Tokens counted together: less than 256, so that bytes can count.
const BLOCK: usize = 128;

#[inline(always)]
fn plain(tokens: &[u8], counts: &mut [u32; TOKENS]) {
    let (blocks, rest) = tokens.as_chunks::<BLOCK>();
    for block in blocks {
        let mut others = BLOCK as u32;
        for (token, total) in counts.iter_mut().enumerate().take(COMPARED) {
            let count = u32::from(block.iter().fold(0u8, |sum, &t| sum + u8::from(t == token as u8)));
            *total += count;
            others -= count;
        }
        if others > 0 {
            for &token in block {
                if usize::from(token) >= COMPARED {
                    counts[usize::from(token)] += 1;
                }
            }
        }
    }
    for &token in rest {
        counts[usize::from(token)] += 1;
    }
}

//! Effort max: binary decisions with probabilities from small integer networks (FORMAT.md, "Mixing model").
//!
//! Read this first. An index is a chain of decisions: is its magnitude above 0, above 1, and so on, then is it negative. The
//! probability of each comes from a network with one hidden layer whose inputs are logarithms of what is decoded already:
//! neighbours in the subband, parents, the other subbands of the level, the approximation that the coarser subbands make,
//! and, through sums that every channel adds to, the other channels at the place. A sum over channels costs each of them
//! one row of weights to add itself and one to look at it, where a weight for each pair of channels would cost 64 times
//! that. Networks are trained in floats (`training`) and rounded to small integers; coding is integers alone, so that every
//! machine finds the same probabilities. On the indices of a retrained ResNet-20 a chunk takes a quarter less than with an
//! activity model.

mod context;
mod fit;
mod model;
mod network;
mod probability;
mod range_coder;
mod training;
mod walk;

pub(crate) use fit::{KeptMap, fit};
pub(crate) use model::MixingModel;
pub(crate) use probability::EVEN;
pub(crate) use range_coder::{RangeDecoder, RangeEncoder};
pub(crate) use walk::{At, Chain, Decide, MixingScratch, MixingWalk, Sign};

use crate::wavelet::Operations;

/// Work on an index of a subband that is 0: one decision, with all sums over channels.
pub(crate) fn work_of_a_zero(subband: usize) -> Operations {
    let (inputs, _) = context::input_counts(subband);
    // Rows of weights times a number: inputs, sums over channels, what the sum counts for, and the decision's head.
    let rows = (inputs + context::SUMS + 2) * network::HIDDEN;
    // Besides, the bias of the channel, and the range coder's product and two sums.
    Operations {
        adds: (rows + network::HIDDEN + 2) as u64,
        multiplies: (rows + 1) as u64,
        accesses: (rows + inputs + network::HIDDEN) as u64,
    }
}

/// Bits of what is left of a magnitude that all decisions of its chain say it is above: EG(0), plain.
pub(crate) fn rest_bits(rest: u32) -> u32 {
    2 * (rest + 1).ilog2() + 1
}

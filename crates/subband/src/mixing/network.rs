//! Networks in integers: 16 hidden units, each a sum of inputs times weights, cut off below 0 and above.
//!
//! Sums are of 16 bits and saturate, so that a row of units is two vectors of the smallest instruction set and nothing can
//! overflow, whatever the weights. Saturation makes the order of additions part of the format.

use super::context::{Inputs, SUMS};
use super::probability::{decision_cost, probability};

/// Units of the hidden layer. 24 take 0.7% fewer bytes on a ResNet-20, and half as much again in time and in the profile.
pub(super) const HIDDEN: usize = 16;
/// One number of each hidden unit.
pub(super) type Row = [i16; HIDDEN];

/// Rows by channel that the networks of an orientation share over its levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Links {
    pub bias: Vec<Row>,
    /// What the sum over channels counts for in a channel, in units of 2^-16.
    pub gain: Vec<Row>,
    /// What a channel adds to the sum: to that of the channels before it, then to those over all channels.
    pub sources: [Vec<Row>; 1 + SUMS],
}

/// The network of a subband.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Network {
    pub base: Row,
    /// By input.
    pub weights: Vec<Row>,
    /// By decision.
    pub heads: Vec<Row>,
    pub biases: Vec<i16>,
}

/// The networks of an orientation for one kind of decisions, coarsest level first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NetworkSet {
    pub links: Links,
    pub networks: Vec<Network>,
}

impl Links {
    /// The sum that the first channel starts from; `first` is the channel of slot 0.
    #[inline]
    pub fn start(&self, rows: &[i16], inputs: &Inputs, first: usize, channels: usize) -> Row {
        let mut sum = [0; HIDDEN];
        for (source, &[a, b, c]) in self.sources[1..].iter().zip(&inputs.sums) {
            let of_slots = rows[a..a + channels].iter().zip(&rows[b..b + channels]).zip(&rows[c..c + channels]);
            for (row, ((a, b), c)) in source[first..first + channels].iter().zip(of_slots) {
                let x = a + b + c;
                if x != 0 {
                    add(&mut sum, row, x);
                }
            }
        }
        sum
    }

    /// What is left to do for a channel once its inputs are summed up: its part of the sum over channels, and the cut.
    #[inline]
    pub fn activate(&self, channel: usize, sum: &Row, mut accumulated: Row) -> Row {
        let gain = &self.gain[channel];
        for h in 0..HIDDEN {
            let linked = (i32::from(sum[h]) * i32::from(gain[h])) >> 16;
            accumulated[h] = accumulated[h].saturating_add(linked as i16);
            accumulated[h] = (accumulated[h] >> 3).clamp(0, 255);
        }
        accumulated
    }
}

impl Network {
    /// Base, bias of the channel, and inputs times weights.
    #[inline]
    pub fn accumulate(&self, links: &Links, channel: usize, rows: &[i16], inputs: &Inputs, slot: usize) -> Row {
        let mut accumulated = self.base;
        let bias = &links.bias[channel];
        for h in 0..HIDDEN {
            accumulated[h] = accumulated[h].saturating_add(bias[h]);
        }
        for (weights, start) in self.weights.iter().zip(inputs.rows()) {
            add(&mut accumulated, weights, rows[start + slot]);
        }
        accumulated
    }

    #[inline]
    fn logit(&self, decision: usize, hidden: &Row) -> i32 {
        let head = &self.heads[decision];
        let products: i32 = (0..HIDDEN).map(|h| i32::from(hidden[h]) * i32::from(head[h])).sum();
        products + i32::from(self.biases[decision])
    }

    /// Probability that a decision is true, in units of 2^-16.
    #[inline]
    pub fn probability(&self, decision: usize, hidden: &Row) -> u16 {
        probability(self.logit(decision, hidden))
    }

    /// What the outcome of a decision costs, in units of 2^-16 bits.
    #[inline]
    pub fn cost(&self, decision: usize, hidden: &Row, outcome: bool) -> u64 {
        decision_cost(self.logit(decision, hidden), outcome).into()
    }
}

/// Adds weights times an input, which is at most three levels: 189 times 127 fits.
#[inline]
pub(super) fn add(sum: &mut Row, weights: &Row, x: i16) {
    for h in 0..HIDDEN {
        sum[h] = sum[h].saturating_add(x.wrapping_mul(weights[h]));
    }
}

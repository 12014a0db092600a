//! The walk over the decisions of a chunk: coders, costs and trades say what becomes of each.

use super::context::{Context, Inputs};
use super::model::{MixingModel, orientation_of};
use super::network::{Network, NetworkSet, Row, add};
use super::probability::{EVEN, PROBABILITY_BITS};
use crate::entropy::{COST_BITS, log2};
use crate::plane::PlaneQuantizer;

/// Working memory for chunks; one for each thread.
#[derive(Debug, Default)]
pub(crate) struct MixingScratch {
    context: Context,
    magnitudes: Inputs,
    signs: Inputs,
    accumulated: Vec<Row>,
    kept: Vec<usize>,
    /// A copy of a chunk's indices, for walks that only read them.
    pub values: Vec<i32>,
}

/// Where an index is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub subband: usize,
    /// In the indices of the chunk.
    pub offset: usize,
    /// The index that is there before the walk comes to it.
    pub given: i32,
}

/// The decisions about a magnitude.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain<'a> {
    network: &'a Network,
    hidden: &'a Row,
}

impl Chain<'_> {
    /// Number of decisions with a probability; decision d is whether the magnitude is above d.
    pub fn len(&self) -> usize {
        self.network.biases.len()
    }

    /// Probability of a true decision in units of 2^-16.
    #[inline]
    pub fn probability(&self, decision: usize) -> u16 {
        self.network.probability(decision, self.hidden)
    }

    /// What a magnitude costs, in units of 2^-16 bits.
    pub fn cost(&self, magnitude: u32) -> u64 {
        let decisions = (magnitude as usize + 1).min(self.len());
        let coded = |d: usize| self.network.cost(d, self.hidden, (d as u32) < magnitude);
        let rest = (magnitude as usize).checked_sub(self.len()).map_or(0, |rest| super::rest_bits(rest as u32));
        (0..decisions).map(coded).sum::<u64>() + (u64::from(rest) << COST_BITS)
    }
}

/// The decision about a sign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sign {
    /// Probability of a negative index in units of 2^-16.
    pub negative: u16,
}

impl Sign {
    /// What the sign costs, in units of 2^-16 bits.
    pub fn cost(self, negative: bool) -> u64 {
        let frequency = u64::from(self.negative);
        let frequency = if negative { frequency } else { (1 << PROBABILITY_BITS) - frequency };
        (u64::from(PROBABILITY_BITS) << COST_BITS) - log2(frequency)
    }
}

/// What becomes of the decisions of a walk.
pub(crate) trait Decide {
    type Error;

    /// The magnitude of an index.
    fn magnitude(&mut self, at: At, chain: Chain) -> Result<u32, Self::Error>;

    /// Whether an index that is not 0 is negative.
    fn sign(&mut self, at: At, sign: Sign) -> Result<bool, Self::Error>;
}

/// A chunk of a map from `first_channel` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MixingWalk<'a> {
    pub model: &'a MixingModel,
    pub quantizer: &'a PlaneQuantizer,
    pub first_channel: usize,
    /// Whether indices of LL have signs.
    pub signed: bool,
}

impl MixingWalk<'_> {
    /// Visits all kept indices of the chunk's `values` and puts there what `decide` says.
    pub fn run<D: Decide>(
        self,
        values: &mut [i32],
        scratch: &mut MixingScratch,
        decide: &mut D,
    ) -> Result<(), D::Error> {
        let MixingWalk { model, quantizer, first_channel, .. } = self;
        let layout = &quantizer.layout;
        let channels = values.len() / layout.plane().max(1);
        scratch.context.reset(layout, channels);
        scratch.accumulated.resize(channels, Row::default());
        for (subband, block) in layout.blocks.iter().enumerate() {
            // Also of subbands without indices: it makes the approximation that finer levels go on with.
            scratch.context.begin_subband(quantizer, &model.scales, values, subband);
            scratch.kept.clear();
            scratch.kept.extend((0..channels).filter(|slot| quantizer.coding.keeps(first_channel + slot, subband)));
            if scratch.kept.is_empty() {
                continue;
            }
            for y in 0..block.height {
                for x in 0..block.width {
                    scratch.context.inputs(layout, subband, y, x, &mut scratch.magnitudes, &mut scratch.signs);
                    let first = block.offset * channels + y * block.width + x;
                    self.position(subband, first, block.len(), values, scratch, decide)?;
                }
            }
        }
        Ok(())
    }

    /// The channels at one position; the index of slot 0 is at `first`, and slots are `stride` apart.
    #[inline]
    fn position<D: Decide>(
        self,
        subband: usize,
        first: usize,
        stride: usize,
        values: &mut [i32],
        scratch: &mut MixingScratch,
        decide: &mut D,
    ) -> Result<(), D::Error> {
        let MixingScratch { context, magnitudes, signs, accumulated, kept, .. } = scratch;
        let (channels, first_channel) = (accumulated.len(), self.first_channel);
        let (orientation, level) = orientation_of(subband);
        let orientation = &self.model.orientations[orientation];
        let NetworkSet { links, networks } = &orientation.magnitudes;
        let network = &networks[level];
        let sign_set = orientation.signs.as_ref().map(|set| (&set.links, &set.networks[level]));

        for &slot in kept.iter() {
            accumulated[slot] = network.accumulate(links, first_channel + slot, &context.rows, magnitudes, slot);
        }
        let mut sum = links.start(&context.rows, magnitudes, first_channel, channels);
        // Made where it is first asked for: most positions of fine subbands are zero in all channels.
        let mut sign_sum: Option<Row> = None;
        for &slot in kept.iter() {
            let channel = first_channel + slot;
            let offset = first + slot * stride;
            let at = At { subband, offset, given: values[offset] };
            let hidden = links.activate(channel, &sum, accumulated[slot]);
            let magnitude = decide.magnitude(at, Chain { network, hidden: &hidden })?;
            if magnitude == 0 {
                values[offset] = 0;
                continue;
            }
            let level = context.set_magnitude(magnitudes, slot, magnitude);
            add(&mut sum, &links.sources[0][channel], level);
            let negative = match sign_set {
                Some((links, network)) => {
                    let rows = &context.rows;
                    let sum = sign_sum.get_or_insert_with(|| links.start(rows, signs, first_channel, channels));
                    let accumulated = network.accumulate(links, channel, rows, signs, slot);
                    let hidden = links.activate(channel, sum, accumulated);
                    let negative = decide.sign(at, Sign { negative: network.probability(0, &hidden) })?;
                    add(sum, &links.sources[0][channel], if negative { -level } else { level });
                    negative
                }
                None => self.signed && decide.sign(at, Sign { negative: EVEN })?,
            };
            context.set_sign(signs, slot, if negative { -level } else { level });
            values[offset] = if negative { -(magnitude as i32) } else { magnitude as i32 };
        }
        Ok(())
    }
}

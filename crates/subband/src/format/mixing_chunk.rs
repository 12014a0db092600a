//! The payload of a chunk coded with a mixing model (FORMAT.md, "Mixing payload").

use std::convert::Infallible;

use crate::entropy::{COST_BITS, MAX_MAGNITUDE, checked_magnitude};
use crate::error::{Error, Result};
use crate::mixing::{
    At, Chain, Decide, EVEN, MixingModel, MixingScratch, MixingWalk, RangeDecoder, RangeEncoder, Sign,
};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::rate::Trade;

/// First byte of a payload: indices of the approximation have signs.
const SIGNED_APPROXIMATION: u8 = 1;
/// Most ones at the beginning of the code of a rest: no magnitude has more.
const MAX_PREFIX: u32 = 24;

/// What cannot fail.
type Sure<T> = std::result::Result<T, Infallible>;

struct Encoder<'a> {
    range: RangeEncoder<'a>,
}

impl Decide for Encoder<'_> {
    type Error = Infallible;

    #[inline]
    fn magnitude(&mut self, at: At, chain: Chain) -> Sure<u32> {
        let magnitude = at.given.unsigned_abs();
        let decisions = chain.len();
        for decision in 0..decisions {
            let above = magnitude as usize > decision;
            self.range.encode(above, chain.probability(decision));
            if !above {
                return Ok(magnitude);
            }
        }
        let rest = magnitude - decisions as u32 + 1;
        let prefix = rest.ilog2();
        (0..prefix).for_each(|_| self.range.encode(true, EVEN));
        self.range.encode(false, EVEN);
        (0..prefix).for_each(|bit| self.range.encode(rest >> bit & 1 == 1, EVEN));
        Ok(magnitude)
    }

    #[inline]
    fn sign(&mut self, at: At, sign: Sign) -> Sure<bool> {
        self.range.encode(at.given < 0, sign.negative);
        Ok(at.given < 0)
    }
}

struct Decoder<'a> {
    range: RangeDecoder<'a>,
}

impl Decide for Decoder<'_> {
    type Error = Error;

    #[inline]
    fn magnitude(&mut self, _: At, chain: Chain) -> Result<u32> {
        let decisions = chain.len();
        for decision in 0..decisions {
            if !self.range.decode(chain.probability(decision)) {
                return Ok(decision as u32);
            }
        }
        let mut prefix = 0;
        while self.range.decode(EVEN) {
            prefix += 1;
            if prefix > MAX_PREFIX {
                return Err(Error::corrupt(format!("a magnitude is beyond {MAX_MAGNITUDE}")));
            }
        }
        let rest = (0..prefix).fold(1 << prefix, |rest, bit| rest | u32::from(self.range.decode(EVEN)) << bit);
        checked_magnitude(decisions as u32 + rest - 1)
    }

    #[inline]
    fn sign(&mut self, _: At, sign: Sign) -> Result<bool> {
        Ok(self.range.decode(sign.negative))
    }
}

/// Sums by subband.
struct Costs(Vec<u64>);

impl Decide for Costs {
    type Error = Infallible;

    fn magnitude(&mut self, at: At, chain: Chain) -> Sure<u32> {
        self.0[at.subband] += chain.cost(at.given.unsigned_abs());
        Ok(at.given.unsigned_abs())
    }

    fn sign(&mut self, at: At, sign: Sign) -> Sure<bool> {
        self.0[at.subband] += sign.cost(at.given < 0);
        Ok(at.given < 0)
    }
}

/// Signs are taken to cost a bit: what they do cost shows only once the magnitude is chosen.
struct Trader<'a> {
    trade: &'a Trade,
    scaled: &'a [f32],
    signed: bool,
}

impl Decide for Trader<'_> {
    type Error = Infallible;

    fn magnitude(&mut self, at: At, chain: Chain) -> Sure<u32> {
        let has_sign = self.signed || at.subband > 0;
        let cost = |magnitude| chain.cost(magnitude) + (u64::from(has_sign && magnitude > 0) << COST_BITS);
        Ok(self.trade.choose(self.scaled[at.offset], at.given.unsigned_abs(), cost))
    }

    fn sign(&mut self, at: At, _: Sign) -> Sure<bool> {
        Ok(at.given < 0)
    }
}

/// A walk over a copy of indices, with decisions that cannot fail.
fn read_all(
    walk: MixingWalk,
    indices: &IndexBlocks,
    scratch: &mut MixingScratch,
    decide: &mut impl Decide<Error = Infallible>,
) {
    let mut values = std::mem::take(&mut scratch.values);
    values.clear();
    values.extend_from_slice(indices.values());
    let Ok(()) = walk.run(&mut values, scratch, decide);
    scratch.values = values;
}

/// Appends the payload for `indices`, whose first channel is `first_channel` of the map.
pub(crate) fn encode_mixing_chunk(
    quantizer: &PlaneQuantizer,
    model: &MixingModel,
    first_channel: usize,
    indices: &IndexBlocks,
    scratch: &mut MixingScratch,
    out: &mut Vec<u8>,
) {
    let signed = indices.has_negative_approximation(&quantizer.layout);
    out.push(if signed { SIGNED_APPROXIMATION } else { 0 });
    let mut encoder = Encoder { range: RangeEncoder::new(out) };
    read_all(MixingWalk { model, quantizer, first_channel, signed }, indices, scratch, &mut encoder);
    encoder.range.finish();
}

/// Decodes a payload into the blocks of `indices`, which has been reset to the chunk's channels.
pub(crate) fn decode_mixing_chunk(
    payload: &[u8],
    quantizer: &PlaneQuantizer,
    model: &MixingModel,
    first_channel: usize,
    scratch: &mut MixingScratch,
    indices: &mut IndexBlocks,
) -> Result<()> {
    let (&mode, code) = payload.split_first().ok_or_else(|| Error::truncated("chunk payload"))?;
    if mode & !SIGNED_APPROXIMATION != 0 {
        return Err(Error::corrupt(format!("unknown coding mode {mode:#x} of a chunk")));
    }
    if code.last() == Some(&0) {
        return Err(Error::corrupt("the code of a chunk ends with a zero, which is never written"));
    }
    let values = indices.values_mut();
    // What is dropped is not visited.
    values.fill(0);
    let mut decoder = Decoder { range: RangeDecoder::new(code) };
    let signed = mode & SIGNED_APPROXIMATION != 0;
    MixingWalk { model, quantizer, first_channel, signed }.run(values, scratch, &mut decoder)?;
    decoder.range.finish()
}

/// What the indices of each subband cost, in units of 2^-16 bits.
pub(crate) fn mixing_costs(
    quantizer: &PlaneQuantizer,
    model: &MixingModel,
    first_channel: usize,
    indices: &IndexBlocks,
    scratch: &mut MixingScratch,
) -> Vec<u64> {
    let mut costs = Costs(vec![0; quantizer.layout.blocks.len()]);
    let signed = indices.has_negative_approximation(&quantizer.layout);
    read_all(MixingWalk { model, quantizer, first_channel, signed }, indices, scratch, &mut costs);
    costs.0
}

/// Chooses indices anew, each by the probabilities that the choices before lead to.
pub(crate) fn trade_mixing(
    trade: &Trade,
    quantizer: &PlaneQuantizer,
    model: &MixingModel,
    first_channel: usize,
    scaled: &[f32],
    indices: &mut IndexBlocks,
    scratch: &mut MixingScratch,
) {
    let signed = indices.has_negative_approximation(&quantizer.layout);
    let mut trader = Trader { trade, scaled, signed };
    let Ok(()) = MixingWalk { model, quantizer, first_channel, signed }.run(indices.values_mut(), scratch, &mut trader);
}

//! What coding the map of a tap takes, for estimates of hardware and energy.

use crate::effort::Effort;
use crate::entropy::{BINS, BitWriter, CLASSES, NEIGHBOURS, TOKENS};
use crate::mixing::work_of_a_zero;
use crate::profile::TapProfile;
use crate::spread::{self, INPUTS, SIGN_BINS, SpreadModel};
use crate::wavelet::{Operations, SubbandLayout};

/// `|x| * inverse + rounding` (`kernel/quantize.rs`).
const QUANTIZE: Operations = Operations { adds: 1, multiplies: 1, accesses: 2 };
/// On top, `half * (left + above)` added, and `wanted - index`; the row above is read and written (`quantize/diffusion.rs`).
const DIFFUSE: Operations = Operations { adds: 3, multiplies: 1, accesses: 2 };
/// `(|k| - shift) * step`.
const DEQUANTIZE: Operations = Operations { adds: 1, multiplies: 1, accesses: 2 };
/// `q = x * inverse; q << 12 + x - q * frequency + cumulative`, and the look-up (`entropy/rans.rs`).
const RANS_ENCODE: Operations = Operations { adds: 3, multiplies: 2, accesses: 1 };
/// `frequency * (x >> 12) + slot - cumulative`, and the look-up.
const RANS_DECODE: Operations = Operations { adds: 2, multiplies: 1, accesses: 1 };
/// A product and a sum for each neighbour; what is read are these, the base and the bin's table, and the magnitude is
/// written (`entropy/activity.rs`).
const ESTIMATE: Operations =
    Operations { adds: NEIGHBOURS as u64, multiplies: NEIGHBOURS as u64, accesses: NEIGHBOURS as u64 + 3 };

/// The same for a spread model; approximation, heights and slopes of a level are a third as many as its indices, and not
/// counted (`spread/walk.rs`).
const SPREAD_ESTIMATE: Operations =
    Operations { adds: INPUTS as u64, multiplies: INPUTS as u64, accesses: INPUTS as u64 + 3 };

/// Work and memory for one map at a tap. Raw bits, framing and checksums are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct TapWork {
    /// Values of the map.
    pub values: u64,
    /// Indices that are coded: those of masked subbands are not.
    pub coded: u64,
    /// The transform, or its inverse, in f32.
    pub transform: Operations,
    /// The quantizer in f32, on what is coded.
    pub quantize: Operations,
    /// Its inverse.
    pub dequantize: Operations,
    /// The entropy coder in integers; with [`Effort::Max`] as if every index were 0, the least.
    pub encode: Operations,
    /// The entropy decoder.
    pub decode: Operations,
    /// Values that a streaming transform of one plane holds, [`Wavelet::line_buffer`](crate::Wavelet::line_buffer), or a row of
    /// errors that are passed on.
    pub line_buffer_values: u64,
    /// Bytes for the indices of one plane, since the format has the coarsest subband first and the transform makes it
    /// last.
    pub plane_bytes: u64,
    /// Bytes of weights and tables in the form that coding looks up.
    pub table_bytes: u64,
}

impl TapWork {
    /// Bytes of the line buffer, of f32.
    pub fn line_buffer_bytes(&self) -> u64 {
        4 * self.line_buffer_values
    }
}

impl TapProfile {
    /// What coding a map takes with an effort, or the best that the tap has for it.
    pub fn work(&self, effort: Effort) -> TapWork {
        let [channels, height, width] = self.shape();
        let coding = self.coding();
        let layout = SubbandLayout::new(height, width, coding.levels);
        let effort = match effort {
            Effort::Max if self.has_mixing_model() => Effort::Max,
            Effort::Default | Effort::Max if self.has_spread_model() || self.has_activity_model() => Effort::Default,
            _ => Effort::Fast,
        };
        let estimate = if self.has_spread_model() { SPREAD_ESTIMATE } else { ESTIMATE };
        let (mut coded, mut encode, mut decode) = (0, Operations::default(), Operations::default());
        for (subband, block) in layout.blocks.iter().enumerate() {
            let kept = (0..channels).filter(|&channel| coding.keeps(channel, subband)).count() * block.len();
            let [to_encode, to_decode] = match effort {
                Effort::Fast => [RANS_ENCODE, RANS_DECODE],
                Effort::Default => [estimate + RANS_ENCODE, estimate + RANS_DECODE],
                Effort::Max => [work_of_a_zero(subband); 2],
            };
            coded += kept;
            encode += to_encode * kept;
            decode += to_decode * kept;
        }
        let diffused = coding.diffusion > 0.0;
        TapWork {
            values: (channels * height * width) as u64,
            coded: coded as u64,
            transform: coding.wavelet.operations(coding.levels, height, width) * channels,
            quantize: if diffused { QUANTIZE + DIFFUSE } else { QUANTIZE } * coded,
            dequantize: DEQUANTIZE * coded,
            encode,
            decode,
            line_buffer_values: if diffused { width } else { coding.wavelet.line_buffer(coding.levels, height, width) }
                as u64,
            plane_bytes: (height * width * usize::from(coding.index_bits)).div_ceil(8) as u64,
            table_bytes: self.table_bytes(effort, layout.blocks.len(), channels) as u64,
        }
    }

    fn table_bytes(&self, effort: Effort, subbands: usize, channels: usize) -> usize {
        // Frequencies and their sums are 16 bits each, or half of them follow from the other.
        let order_zero = || 2 * 2 * TOKENS * self.order_zero_tables() + subbands * channels;
        match effort {
            Effort::Fast => order_zero(),
            Effort::Default => {
                let of_activity = || {
                    self.activity_model().map_or_else(order_zero, |model| {
                        2 * CLASSES * model.tables().len() + subbands * (BINS + NEIGHBOURS + 2 * channels)
                    })
                };
                let of_spread = |model: &SpreadModel| {
                    2 * CLASSES * model.tables().len() + subbands * (spread::BINS + INPUTS + SIGN_BINS + 2 * channels)
                };
                self.spread_model().map_or_else(of_activity, of_spread)
            }
            Effort::Max => self.mixing_model().map_or_else(order_zero, |model| {
                let mut writer = BitWriter::default();
                model.write_to(&mut writer);
                writer.finish().len()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelMask, Coding, Scratch, Steps, TapCalibrator, Wavelet};

    fn tap(coding: Coding) -> TapProfile {
        let map: Vec<f32> = (0..4 * 8 * 8).map(|i| (i * 7919 % 23) as f32 / 5.0).collect();
        let mut calibrator = TapCalibrator::new("x", [4, 8, 8], coding).unwrap();
        calibrator.observe(&map, &mut Scratch::default(), &mut vec![0.0; map.len()]).unwrap();
        calibrator.fit();
        calibrator.observe(&map, &mut Scratch::default(), &mut vec![0.0; map.len()]).unwrap();
        calibrator.finish()
    }

    #[test]
    fn a_map_by_hand() {
        let tap = tap(Coding::new(Wavelet::Haar, 1, Steps::Uniform(0.5)));
        let work = tap.work(Effort::Fast);
        assert_eq!((work.values, work.coded), (256, 256));
        // Along rows and columns an addition and a multiplication for each value.
        assert_eq!((work.transform.adds, work.transform.multiplies), (512, 512));
        assert_eq!((work.quantize.adds, work.quantize.multiplies), (256, 256));
        assert_eq!((work.encode.adds, work.decode.multiplies), (3 * 256, 256));
        assert_eq!(work.line_buffer_values, 8 + 1);
        let better = tap.work(Effort::Default);
        assert_eq!(better.encode.multiplies, (2 + 10) * 256);
        // The profile has no networks: the same as the default.
        assert_eq!(tap.work(Effort::Max), better);
    }

    #[test]
    fn errors_that_are_passed_on() {
        let coding = Coding::new(Wavelet::None, 0, Steps::Uniform(0.5));
        let [plain, diffused] = [0.0, 0.5].map(|share| tap(coding.clone().with_diffusion(share)).work(Effort::Fast));
        assert_eq!((plain.line_buffer_values, diffused.line_buffer_values), (0, 8));
        assert_eq!((plain.quantize.adds, diffused.quantize.adds), (256, 4 * 256));
        assert_eq!(plain.dequantize, diffused.dequantize);
    }

    #[test]
    fn what_is_masked_is_transformed_and_not_coded() {
        let mask = ChannelMask::keep_all(4, 1).unwrap().drop_level(1, 1).drop_level(2, 1);
        let tap = tap(Coding::new(Wavelet::Haar, 1, Steps::Uniform(0.5)).with_mask(mask));
        let work = tap.work(Effort::Default);
        // Two channels of 64 values, and the 16 of LL of the other two.
        assert_eq!((work.values, work.coded), (256, 2 * 64 + 2 * 16));
        assert_eq!(work.quantize.multiplies, work.coded);
        assert_eq!(work.transform.adds, 512);
    }
}

//! The coding of a map: everything the two sides of the codec must agree on, apart from the tables.

use crate::error::{Error, Result};
use crate::mask::ChannelMask;
use crate::quantize::Steps;
use crate::wavelet::Wavelet;

/// How maps are transformed, quantized and masked.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Coding {
    /// The wavelet; `None` has 0 levels.
    pub wavelet: Wavelet,
    /// Decomposition levels, 0 to 8.
    pub levels: u8,
    /// Quantizer steps in nominal units.
    pub steps: Steps,
    /// Rounding offset of the quantizer, 0 to 0.5; 0.5 rounds to nearest, less widens the dead zone.
    /// Encoder only.
    pub rounding: f32,
    /// Share of each rounding error that is added to the values to the right and below, 0 to 1; above 0 only without a
    /// transform. Errors then cancel over a few values, and networks feel less of them. Encoder only.
    pub diffusion: f32,
    /// Shift of the point of reconstruction towards zero, 0 to 0.5 steps.
    pub reconstruction: f32,
    /// Indices are clamped to this many bits in two's complement, 2 to 24. Encoder only.
    pub index_bits: u8,
    /// Kept subbands; `None` keeps all.
    pub mask: Option<ChannelMask>,
    /// Maps are first divided by this scale, rounded and clamped to 0..=255, and steps are on that scale
    /// (the thesis's uint8 pre-scaling).
    pub prescale: Option<f32>,
    /// Values are never negative (a ReLU output): decoded ones are clamped at 0.
    pub nonnegative: bool,
    /// Reversible integer transform with step 1; set by [`Target::Lossless`](crate::Target) alone.
    pub(crate) lossless: bool,
}

impl Coding {
    /// Rounding to nearest, reconstruction at the nominal value, 24-bit indices, nothing masked.
    pub fn new(wavelet: Wavelet, levels: u8, steps: Steps) -> Self {
        Coding {
            wavelet,
            levels,
            steps,
            rounding: 0.5,
            diffusion: 0.0,
            reconstruction: 0.0,
            index_bits: 24,
            mask: None,
            prescale: None,
            nonnegative: false,
            lossless: false,
        }
    }

    pub(crate) fn lossless(wavelet: Wavelet, levels: u8) -> Self {
        Coding { lossless: true, ..Coding::new(wavelet, levels, Steps::Uniform(1.0)) }
    }

    /// With another rounding offset.
    pub fn with_rounding(mut self, rounding: f32) -> Self {
        self.rounding = rounding;
        self
    }

    /// With rounding errors passed on.
    pub fn with_diffusion(mut self, share: f32) -> Self {
        self.diffusion = share;
        self
    }

    /// With another point of reconstruction.
    pub fn with_reconstruction(mut self, shift: f32) -> Self {
        self.reconstruction = shift;
        self
    }

    /// With indices clamped to `bits` bits.
    pub fn with_index_bits(mut self, bits: u8) -> Self {
        self.index_bits = bits;
        self
    }

    /// With a channel mask.
    pub fn with_mask(mut self, mask: ChannelMask) -> Self {
        self.mask = Some(mask);
        self
    }

    /// With the uint8 pre-scaling of the thesis.
    pub fn with_prescale(mut self, scale: f32) -> Self {
        self.prescale = Some(scale);
        self
    }

    /// With decoded values clamped at 0, or not.
    pub fn with_nonnegative(mut self, nonnegative: bool) -> Self {
        self.nonnegative = nonnegative;
        self
    }

    /// Checks every field against its range and the number of channels.
    pub fn validate(&self, channels: usize) -> Result<()> {
        self.wavelet.validate_levels(self.levels)?;
        self.steps.validate(self.levels, channels)?;
        in_half_unit("rounding", self.rounding)?;
        in_half_unit("reconstruction", self.reconstruction)?;
        if !(0.0..=1.0).contains(&self.diffusion) {
            return Err(Error::invalid(format!("diffusion is {}: allowed are 0 to 1", self.diffusion)));
        }
        if self.diffusion > 0.0 && (self.levels > 0 || self.lossless) {
            return Err(Error::invalid(format!(
                "diffusion is {} with {} levels: errors are passed on without a transform and with loss only",
                self.diffusion, self.levels
            )));
        }
        if !(2..=24).contains(&self.index_bits) {
            return Err(Error::invalid(format!("index_bits is {}: allowed are 2 to 24", self.index_bits)));
        }
        if let Some(mask) = &self.mask {
            mask.validate(self.levels, channels)?;
        }
        if let Some(scale) = self.prescale.filter(|scale| !(1e-30..=1e30).contains(scale)) {
            return Err(Error::invalid(format!("prescale is {scale}: allowed are 1e-30 to 1e30")));
        }
        if self.lossless && !self.wavelet.is_reversible() {
            return Err(Error::invalid(format!(
                "wavelet '{}' has no reversible form: lossless coding takes none, haar or legall53",
                self.wavelet
            )));
        }
        Ok(())
    }

    pub(crate) fn keeps(&self, channel: usize, subband: usize) -> bool {
        self.mask.as_ref().is_none_or(|mask| mask.keeps(channel, subband))
    }
}

fn in_half_unit(name: &str, value: f32) -> Result<()> {
    match (0.0..=0.5).contains(&value) {
        true => Ok(()),
        false => Err(Error::invalid(format!("{name} is {value}: allowed are 0 to 0.5"))),
    }
}

//! What a caller asks of [`compress`](crate::compress).

use crate::coding::Coding;
use crate::effort::Effort;
use crate::error::{Error, Result};
use crate::mask::ChannelMask;
use crate::quantize::Steps;
use crate::tensor::{Geometry, TensorView};
use crate::wavelet::Wavelet;

/// The quality or size to reach.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// One nominal quantizer step for all subbands.
    Step(f32),
    /// Steps by subband or channel.
    Steps(Steps),
    /// No decoded value is off by more than this (after rounding to the dtype). The coarsest step found
    /// by bisection that meets it, verified by decoding.
    MaxError(f64),
    /// Peak signal-to-noise ratio in dB, at least. The peak is the range of the dtype for integers and
    /// maximum minus minimum of the tensor for floats.
    Psnr(f64),
    /// Bits per value, at most, everything counted.
    BitsPerValue(f64),
    /// Every value comes back exactly: of floats every bit, those of NaN and -0.0 too. Integers go through
    /// the wavelet; floats are coded as they are, and wavelet, levels and policy for NaN mean nothing to them.
    Lossless,
}

/// What to do with NaN and infinities, which no quantizer can code.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum NonFinite {
    /// An error that names the first one's index.
    #[default]
    Refuse,
    /// Finite values in their place; the report counts them.
    Replace {
        /// For NaN.
        nan: f32,
        /// For positive infinity.
        positive: f32,
        /// For negative infinity.
        negative: f32,
    },
}

/// Settings of [`compress`](crate::compress).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Wavelet. Default Haar. In the stream.
    pub wavelet: Wavelet,
    /// Decomposition levels, 0 to 8; levels beyond a 1x1 approximation do nothing. Default 3. In the stream.
    pub levels: u8,
    /// Quality or size. Default a step of 1. The steps that meet it are in the stream.
    pub target: Target,
    /// Rounding offset of the quantizer, 0 to 0.5; 0.5 rounds to nearest, less widens the dead zone.
    /// Default 0.5. Not in the stream.
    pub rounding: f32,
    /// Shift of the point of reconstruction towards zero, 0 to 0.5 steps. Default 0. In the stream.
    pub reconstruction: f32,
    /// Indices are clamped to this many bits, 2 to 24; the report counts how many were. Default 24.
    /// Not in the stream.
    pub index_bits: u8,
    /// Kept subbands by channel; default all. In the stream.
    pub mask: Option<ChannelMask>,
    /// NaN and infinities. Default refuse. Not in the stream.
    pub non_finite: NonFinite,
    /// Channels of an independently decodable chunk; default as many as give 65,536 values. In the stream.
    pub channels_per_chunk: Option<usize>,
    /// Rate-distortion optimised indices: a bit is worth so many squared steps of error, 0 to 10; 0 is plain rounding.
    /// Default 0. Not in the stream, and not for lossless ones.
    pub rdo: f32,
    /// Work of the entropy coder. Default as its type's. The stream says what became of it.
    pub effort: Effort,
    /// Decode again and report the error; costs about as much as decompressing. Targets of error or PSNR
    /// always do. Default false.
    pub measure_error: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            wavelet: Wavelet::Haar,
            levels: 3,
            target: Target::Step(1.0),
            rounding: 0.5,
            reconstruction: 0.0,
            index_bits: 24,
            mask: None,
            non_finite: NonFinite::Refuse,
            channels_per_chunk: None,
            rdo: 0.0,
            effort: Effort::default(),
            measure_error: false,
        }
    }
}

impl Config {
    /// With another wavelet and number of levels.
    pub fn with_wavelet(mut self, wavelet: Wavelet, levels: u8) -> Self {
        (self.wavelet, self.levels) = (wavelet, levels);
        self
    }

    /// With rate-distortion optimised indices.
    pub fn with_rdo(mut self, lambda: f32) -> Self {
        self.rdo = lambda;
        self
    }

    /// With another effort.
    pub fn with_effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// With another target.
    pub fn with_target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// With another rounding offset.
    pub fn with_rounding(mut self, rounding: f32) -> Self {
        self.rounding = rounding;
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

    /// With another policy for NaN and infinities.
    pub fn with_non_finite(mut self, policy: NonFinite) -> Self {
        self.non_finite = policy;
        self
    }

    /// With chunks of so many channels.
    pub fn with_channels_per_chunk(mut self, channels: usize) -> Self {
        self.channels_per_chunk = Some(channels);
        self
    }

    /// With the error measured, or not.
    pub fn with_measure_error(mut self, measure: bool) -> Self {
        self.measure_error = measure;
        self
    }

    /// Checks every field against its range and against the tensor to be compressed.
    pub fn validate(&self, tensor: &TensorView) -> Result<()> {
        let probe = match &self.target {
            Target::Steps(steps) => steps.clone(),
            Target::Step(step) => Steps::Uniform(*step),
            _ => Steps::Uniform(1.0),
        };
        if self.target != Target::Lossless || tensor.dtype().is_integer() {
            self.coding(probe).validate(tensor.geometry().channels)?;
        }
        match self.target {
            Target::MaxError(bound) => positive("max_error", bound)?,
            Target::BitsPerValue(bits) => positive("bits_per_value", bits)?,
            Target::Psnr(psnr) => positive("psnr", psnr)?,
            Target::Lossless if self.mask.is_some() => {
                return Err(Error::invalid("a channel mask drops coefficients: lossless coding takes none"));
            }
            _ => {}
        }
        validate_rdo(self.rdo)?;
        if let NonFinite::Replace { nan, positive, negative } = self.non_finite
            && ![nan, positive, negative].into_iter().all(f32::is_finite)
        {
            return Err(Error::invalid(format!(
                "replacements of NaN and infinities are {nan}, {positive}, {negative}: they must be finite"
            )));
        }
        match self.channels_per_chunk {
            Some(0) => Err(Error::invalid("channels_per_chunk is 0: allowed are 1 and more")),
            _ => Ok(()),
        }
    }

    /// The coding with the given steps; lossless if that is the target.
    pub(crate) fn coding(&self, steps: Steps) -> Coding {
        if self.target == Target::Lossless {
            return Coding::lossless(self.wavelet, self.levels);
        }
        Coding {
            rounding: self.rounding,
            reconstruction: self.reconstruction,
            index_bits: self.index_bits,
            mask: self.mask.clone(),
            ..Coding::new(self.wavelet, self.levels, steps)
        }
    }

    pub(crate) fn chunk_channels(&self, geometry: &Geometry) -> usize {
        chunk_channels(self.channels_per_chunk, geometry)
    }
}

/// Channels of a chunk: as asked, or as many as give 65,536 values.
pub(crate) fn chunk_channels(asked: Option<usize>, geometry: &Geometry) -> usize {
    let automatic = (1usize << 16).div_ceil(geometry.plane().max(1));
    asked.unwrap_or(automatic).clamp(1, geometry.channels.max(1))
}

fn positive(name: &str, value: f64) -> Result<()> {
    match value.is_finite() && value > 0.0 {
        true => Ok(()),
        false => Err(Error::invalid(format!("{name} is {value}: it must be positive and finite"))),
    }
}
/// Checks a price of bits for rate-distortion optimised indices.
pub(crate) fn validate_rdo(lambda: f32) -> Result<()> {
    match (0.0..=10.0).contains(&lambda) {
        true => Ok(()),
        false => Err(Error::invalid(format!("rdo is {lambda}: allowed are 0 to 10"))),
    }
}

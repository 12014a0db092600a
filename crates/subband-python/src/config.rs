//! Settings, which Python passes as dictionaries with every key.

use pyo3::prelude::*;
use subband::{ChannelMask, Coding, Config, Effort, NonFinite, ProfileOptions, Steps, Target, Wavelet};

use crate::errors::{exception, invalid};

/// Nominal steps: one, one a subband, or a row of those a channel.
#[derive(FromPyObject)]
pub enum StepsArgument {
    #[pyo3(transparent)]
    Uniform(f32),
    #[pyo3(transparent)]
    PerSubband(Vec<f32>),
    #[pyo3(transparent)]
    PerChannel(Vec<Vec<f32>>),
}

impl From<StepsArgument> for Steps {
    fn from(steps: StepsArgument) -> Self {
        match steps {
            StepsArgument::Uniform(step) => Steps::Uniform(step),
            StepsArgument::PerSubband(steps) => Steps::PerSubband(steps),
            StepsArgument::PerChannel(rows) => Steps::PerChannel(rows),
        }
    }
}

/// Settings of a self-contained stream.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Settings {
    /// `step`, `max_error`, `psnr`, `bits` or `lossless`.
    target: String,
    /// Of the target, but for steps.
    target_value: f64,
    steps: Option<StepsArgument>,
    wavelet: String,
    levels: u8,
    rounding: f32,
    reconstruction: f32,
    index_bits: u8,
    mask: Option<Vec<Vec<bool>>>,
    measure_error: bool,
}

/// Settings of any stream.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct StreamSettings {
    /// For NaN, positive and negative infinity.
    replacements: Option<(f32, f32, f32)>,
    pub channels_per_chunk: Option<usize>,
    rdo: f32,
    effort: String,
}

/// How maps of a tap are coded.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct CodingSettings {
    steps: StepsArgument,
    wavelet: String,
    levels: u8,
    rounding: f32,
    reconstruction: f32,
    index_bits: u8,
    mask: Option<Vec<Vec<bool>>>,
    prescale: Option<f32>,
    nonnegative: bool,
}

pub fn wavelet_named(name: &str) -> PyResult<Wavelet> {
    name.parse().map_err(exception)
}

pub fn effort_named(name: &str) -> PyResult<Effort> {
    name.parse::<Effort>().map_err(invalid)
}

/// By channel, then subband in coding order: whether it is kept.
fn channel_mask(rows: &[Vec<bool>], levels: u8) -> PyResult<ChannelMask> {
    let subbands = 3 * usize::from(levels) + 1;
    let mut mask = ChannelMask::keep_all(rows.len(), levels).map_err(exception)?;
    for (channel, row) in rows.iter().enumerate() {
        if row.len() != subbands {
            let message = format!("mask has {} subbands: a transform of {levels} levels has {subbands}", row.len());
            return Err(invalid(message));
        }
        if !row[0] {
            return Err(invalid(format!("mask drops the approximation of channel {channel}: it is always kept")));
        }
        for (subband, _) in row.iter().enumerate().filter(|(_, kept)| !**kept) {
            mask = mask.drop(channel, subband);
        }
    }
    Ok(mask)
}

impl StreamSettings {
    fn non_finite(&self) -> NonFinite {
        match self.replacements {
            Some((nan, positive, negative)) => NonFinite::Replace { nan, positive, negative },
            None => NonFinite::Refuse,
        }
    }

    pub fn profile_options(&self, measure_error: bool) -> PyResult<ProfileOptions> {
        let mut options = ProfileOptions::default();
        options.non_finite = self.non_finite();
        options.channels_per_chunk = self.channels_per_chunk;
        options.measure_error = measure_error;
        options.rdo = self.rdo;
        options.effort = effort_named(&self.effort)?;
        Ok(options)
    }
}

impl Settings {
    pub fn config(self, stream: &StreamSettings) -> PyResult<Config> {
        let value = self.target_value;
        let target = match (self.target.as_str(), self.steps) {
            ("max_error", _) => Target::MaxError(value),
            ("psnr", _) => Target::Psnr(value),
            ("bits", _) => Target::BitsPerValue(value),
            ("lossless", _) => Target::Lossless,
            (_, Some(StepsArgument::Uniform(step))) => Target::Step(step),
            (_, Some(steps)) => Target::Steps(steps.into()),
            (other, None) => return Err(invalid(format!("unknown target '{other}'"))),
        };
        let mut config = Config::default()
            .with_target(target)
            .with_wavelet(wavelet_named(&self.wavelet)?, self.levels)
            .with_rounding(self.rounding)
            .with_reconstruction(self.reconstruction)
            .with_index_bits(self.index_bits)
            .with_non_finite(stream.non_finite())
            .with_rdo(stream.rdo)
            .with_effort(effort_named(&stream.effort)?)
            .with_measure_error(self.measure_error);
        config.mask = self.mask.map(|rows| channel_mask(&rows, self.levels)).transpose()?;
        config.channels_per_chunk = stream.channels_per_chunk;
        Ok(config)
    }
}

impl CodingSettings {
    pub fn coding(self) -> PyResult<Coding> {
        let mut coding = Coding::new(wavelet_named(&self.wavelet)?, self.levels, self.steps.into())
            .with_rounding(self.rounding)
            .with_reconstruction(self.reconstruction)
            .with_index_bits(self.index_bits)
            .with_nonnegative(self.nonnegative);
        coding.mask = self.mask.map(|rows| channel_mask(&rows, self.levels)).transpose()?;
        coding.prescale = self.prescale;
        Ok(coding)
    }
}

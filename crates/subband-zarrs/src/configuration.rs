//! The codec's configuration as `zarr.json` has it; python/subband/zarr.py has the same.

use serde::{Deserialize, Serialize};
use subband::{Config, NonFinite, Steps, Target, TensorView, Wavelet};

/// Settings of the codec, of which one target is set: `step`, `max_error`, `psnr`, `bits` or `lossless`. What is left out takes
/// the default of [`Config`], and is not written to the metadata.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubbandConfiguration {
    /// Nominal quantizer steps in units of the values, as [`Target::Step`] and [`Target::Steps`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepConfiguration>,
    /// As [`Target::MaxError`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_error: Option<f64>,
    /// In dB, as [`Target::Psnr`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psnr: Option<f64>,
    /// Bits per value, as [`Target::BitsPerValue`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<f64>,
    /// As [`Target::Lossless`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lossless: Option<bool>,
    /// `none`, `haar`, `legall53`, `cdf97` or `db2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wavelet: Option<String>,
    /// 0 to 8; default 3, of wavelet `none` 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<u8>,
    /// As [`Config::rounding`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounding: Option<f64>,
    /// As [`Config::reconstruction`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconstruction: Option<f64>,
    /// As [`Config::rdo`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rdo: Option<f64>,
    /// `fast`, `default` or `max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// As [`Config::channels_per_chunk`]. Fewer channels allow finer partial reads and cost bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels_per_chunk: Option<usize>,
    /// What NaN becomes; set together with `inf`. Without them both are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nan: Option<f64>,
    /// What infinity becomes, and negated what negative infinity does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inf: Option<f64>,
}

/// Nominal steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StepConfiguration {
    /// One for all subbands.
    Uniform(f64),
    /// One a subband, in coding order.
    PerSubband(Vec<f64>),
    /// A row of those for every channel.
    PerChannel(Vec<Vec<f64>>),
}

impl StepConfiguration {
    fn target(&self) -> Target {
        let narrow = |row: &[f64]| row.iter().map(|&step| step as f32).collect();
        match self {
            Self::Uniform(step) => Target::Step(*step as f32),
            Self::PerSubband(steps) => Target::Steps(Steps::PerSubband(narrow(steps))),
            Self::PerChannel(rows) => Target::Steps(Steps::PerChannel(rows.iter().map(|row| narrow(row)).collect())),
        }
    }
}

impl SubbandConfiguration {
    fn target(&self) -> Result<Target, String> {
        let given = [
            ("step", self.step.as_ref().map(StepConfiguration::target)),
            ("max_error", self.max_error.map(Target::MaxError)),
            ("psnr", self.psnr.map(Target::Psnr)),
            ("bits", self.bits.map(Target::BitsPerValue)),
            ("lossless", self.lossless.filter(|&lossless| lossless).map(|_| Target::Lossless)),
        ];
        let names: Vec<_> = given.iter().filter(|(_, target)| target.is_some()).map(|(name, _)| *name).collect();
        let mut targets = given.into_iter().filter_map(|(_, target)| target);
        match (targets.next(), targets.next()) {
            (Some(target), None) => Ok(target),
            _ => {
                let found = if names.is_empty() { "none".to_owned() } else { names.join(" and ") };
                Err(format!("targets given: {found}; give one of step, max_error, psnr, bits, lossless"))
            }
        }
    }

    fn non_finite(&self) -> Result<NonFinite, String> {
        match (self.nan, self.inf) {
            (None, None) => Ok(NonFinite::Refuse),
            (Some(nan), Some(inf)) => {
                Ok(NonFinite::Replace { nan: nan as f32, positive: inf as f32, negative: -inf as f32 })
            }
            _ => Err("nan and inf are given together: what NaN and what infinities become".to_owned()),
        }
    }

    /// The codec's settings, checked as far as they can be before an array is there.
    pub(crate) fn config(&self) -> Result<Config, String> {
        let wavelet = match &self.wavelet {
            Some(name) => name.parse::<Wavelet>().map_err(|error| error.to_string())?,
            None => Wavelet::Haar,
        };
        let levels = self.levels.unwrap_or(if wavelet == Wavelet::None { 0 } else { 3 });
        let mut config = Config::default()
            .with_target(self.target()?)
            .with_wavelet(wavelet, levels)
            .with_non_finite(self.non_finite()?);
        if let Some(name) = &self.effort {
            config.effort = name.parse()?;
        }
        config.rounding = self.rounding.map_or(config.rounding, |value| value as f32);
        config.reconstruction = self.reconstruction.map_or(config.reconstruction, |value| value as f32);
        config.rdo = self.rdo.map_or(config.rdo, |value| value as f32);
        config.channels_per_chunk = self.channels_per_chunk;
        // An empty map; steps by channel fit as many channels.
        let channels = match &config.target {
            Target::Steps(Steps::PerChannel(rows)) => rows.len(),
            _ => 1,
        };
        let probe = TensorView::new(&[0.0f32; 0][..], &[channels, 1, 0]).map_err(|error| error.to_string())?;
        config.validate(&probe).map_err(|error| error.to_string())?;
        Ok(config)
    }
}

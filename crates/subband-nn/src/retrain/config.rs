use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use subband::Wavelet;

use super::selection::SelectionConfig;
use crate::error::{Error, Result};
use crate::ops::QuantizeSettings;
use crate::taps::Taps;
use crate::train::{Schedule, TrainConfig};

/// Everything that decides the outcome of a retraining, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetrainConfig {
    /// The trained network to start from, which is also the teacher: a safetensors file. Must be given.
    pub weights: PathBuf,
    /// The maps that are coded. Default: blocks.
    pub taps: Taps,
    /// Transform, quantizer and their learning.
    pub codec: CodecConfig,
    /// The price of bits.
    pub rate: RateConfig,
    /// Channel selection.
    pub selection: SelectionConfig,
    /// Learning from the uncompressed network.
    pub distillation: DistillationConfig,
    /// What happens once the last epoch is over.
    pub finish: FinishConfig,
    /// The weights' own training. Defaults as for training from scratch, but for 12 epochs at a learning rate of 0.05
    /// that falls by a cosine after half an epoch of warm-up.
    pub training: TrainConfig,
}

/// Transform and quantizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CodecConfig {
    /// Default: haar.
    #[serde(with = "wavelet_name")]
    pub wavelet: Wavelet,
    /// Levels of the transform, 0 to 8, and 0 for no wavelet. Default: 3.
    pub levels: u8,
    /// All steps of a tap start at this times the standard deviation of its maps, above 0. Default: 0.7.
    pub step_scale: f64,
    /// Start at the thesis's steps instead (its list of `c`, times the largest value of the tap's maps). Default: false.
    pub thesis_steps: bool,
    /// How many steps a tap has. Default: one a subband.
    pub steps: StepGranularity,
    /// Whether steps are learned. Default: true.
    pub learn_steps: bool,
    /// Adam's learning rate of the logarithms of the steps, above 0; it follows the schedule. Default: 1e-2.
    pub step_learning_rate: f64,
    /// Rounding offset, 0 to 0.5; less than 0.5 widens the dead zone. Default: 0.5.
    pub rounding: f32,
    /// Shift of the point of reconstruction towards zero, 0 to 0.5 steps. Default: 0.
    pub reconstruction: f32,
    /// Train with uniform noise in place of rounding; validation always rounds. Default: false.
    pub noise: bool,
}

/// How many steps a tap has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepGranularity {
    /// One for each subband, the same for all channels.
    #[default]
    Subband,
    /// One for each channel and subband.
    Channel,
}

/// The price of bits: `lambda` times the estimated bits per value over all taps is added to the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RateConfig {
    /// At least 0. Default: 0.6.
    pub lambda: f64,
    /// Epochs over which it grows from nothing. Grown too slowly, the network scales its maps up meanwhile. Default: 0.25.
    pub ramp_epochs: f64,
}

/// Learning from the uncompressed network: `weight` times `temperature`^2 times the Kullback-Leibler divergence of the
/// softened outputs (Hinton, Vinyals and Dean 2015), and the rest of the weight on the labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DistillationConfig {
    /// 0 to 1; 0 saves the teacher's forward pass. Default: 0.5.
    pub weight: f64,
    /// Above 0. Default: 3.
    pub temperature: f64,
}

/// What happens once the last epoch is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FinishConfig {
    /// Training batches over which the running statistics of BatchNorm are taken anew with the codec in the loop; they are
    /// kept where held-out accuracy does not fall. 0 leaves them. Default: 200.
    pub norm_batches: usize,
    /// Training images that the frequency tables are counted on, at least 1. Default: 5,000.
    pub table_images: usize,
    /// Training images and held-out images for the real bytes after each epoch, at least 1. Default: 500.
    pub epoch_images: usize,
}

impl Default for RetrainConfig {
    fn default() -> Self {
        let training = TrainConfig {
            epochs: 12,
            learning_rate: 0.05,
            schedule: Schedule::Cosine { warmup_epochs: 0.5 },
            ..TrainConfig::default()
        };
        Self {
            weights: PathBuf::new(),
            taps: Taps::Blocks,
            codec: CodecConfig::default(),
            rate: RateConfig::default(),
            selection: SelectionConfig::default(),
            distillation: DistillationConfig::default(),
            finish: FinishConfig::default(),
            training,
        }
    }
}

impl Default for CodecConfig {
    fn default() -> Self {
        Self {
            wavelet: Wavelet::Haar,
            levels: 3,
            step_scale: 0.7,
            thesis_steps: false,
            steps: StepGranularity::Subband,
            learn_steps: true,
            step_learning_rate: 1e-2,
            rounding: 0.5,
            reconstruction: 0.0,
            noise: false,
        }
    }
}

impl CodecConfig {
    /// What a layer is told of it; bits are free until it is told their price.
    pub(crate) fn settings(&self) -> QuantizeSettings {
        QuantizeSettings {
            wavelet: self.wavelet,
            levels: self.levels,
            rounding: self.rounding,
            reconstruction: self.reconstruction,
            nonnegative: true,
            noise: None,
            price_of_a_bit: 0.0,
        }
    }
}

impl Default for RateConfig {
    fn default() -> Self {
        Self { lambda: 0.6, ramp_epochs: 0.25 }
    }
}

impl Default for DistillationConfig {
    fn default() -> Self {
        Self { weight: 0.5, temperature: 3.0 }
    }
}

impl Default for FinishConfig {
    fn default() -> Self {
        Self { norm_batches: 200, table_images: 5_000, epoch_images: 500 }
    }
}

impl RetrainConfig {
    /// The network to start from.
    pub fn with_weights(mut self, weights: impl Into<PathBuf>) -> Self {
        self.weights = weights.into();
        self
    }

    /// Another price of bits.
    pub fn with_lambda(mut self, lambda: f64) -> Self {
        self.rate.lambda = lambda;
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the field, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, field: &str, value: &dyn std::fmt::Display, allowed: &str| {
            if ok { Ok(()) } else { Err(Error::argument(format!("{field} = {value}: must be {allowed}"))) }
        };
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let at_least_0 = |value: f64| value >= 0.0 && value.is_finite();
        if self.weights.as_os_str().is_empty() {
            return Err(Error::argument("weights is missing: the trained network to start from"));
        }
        let CodecConfig { wavelet, levels, step_scale, step_learning_rate, rounding, reconstruction, .. } = &self.codec;
        check(wavelet.validate_levels(*levels).is_ok(), "codec.levels", levels, "0 to 8, and 0 for wavelet none")?;
        check(positive(*step_scale), "codec.step_scale", step_scale, "above 0")?;
        check(positive(*step_learning_rate), "codec.step_learning_rate", step_learning_rate, "above 0")?;
        check((0.0..=0.5).contains(rounding), "codec.rounding", rounding, "0 to 0.5")?;
        check((0.0..=0.5).contains(reconstruction), "codec.reconstruction", reconstruction, "0 to 0.5")?;
        check(at_least_0(self.rate.lambda), "rate.lambda", &self.rate.lambda, "at least 0")?;
        check(at_least_0(self.rate.ramp_epochs), "rate.ramp_epochs", &self.rate.ramp_epochs, "at least 0")?;
        let DistillationConfig { weight, temperature } = &self.distillation;
        check((0.0..=1.0).contains(weight), "distillation.weight", weight, "0 to 1")?;
        check(positive(*temperature), "distillation.temperature", temperature, "above 0")?;
        let FinishConfig { table_images, epoch_images, .. } = &self.finish;
        check(*table_images > 0, "finish.table_images", table_images, "at least 1")?;
        check(*epoch_images > 0, "finish.epoch_images", epoch_images, "at least 1")?;
        self.selection.validate()?;
        self.training.validate()
    }
}

/// A wavelet by its name.
mod wavelet_name {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use subband::Wavelet;

    pub fn serialize<S: Serializer>(wavelet: &Wavelet, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(wavelet.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Wavelet, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_field_is_named_with_its_value() {
        let good = RetrainConfig::default().with_weights("w.safetensors");
        good.validate().unwrap();
        let message = |config: RetrainConfig| config.validate().unwrap_err().to_string();
        assert!(message(RetrainConfig::default()).contains("weights is missing"));
        assert_eq!(message(good.clone().with_lambda(-1.0)), "rate.lambda = -1: must be at least 0");
        let mut config = good.clone();
        config.codec.wavelet = Wavelet::None;
        assert!(message(config).contains("codec.levels = 3"));
        let mut config = good;
        config.selection.retain = 1.5;
        assert!(message(config).contains("selection.retain = 1.5"));
    }
}

use serde::{Deserialize, Serialize};

use super::or_none;
use super::schedule::Schedule;
use crate::error::{Error, Result};
use crate::network::{NetworkKind, Shortcut};

/// Everything that decides the outcome of a training run; the same configuration and data give the same weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainConfig {
    /// The network: ResNet-20, 32 and 56 learn CIFAR-10, ResNet-18 and 34 a folder of photographs. Default: `resnet20`.
    pub network: NetworkKind,
    /// How shape-changing blocks fit their shortcut. Default: `A`.
    pub shortcut: Shortcut,
    /// Seed of the initial weights, the order of the images and their augmentation, 0 to 2^63 - 1. Default: 1.
    pub seed: u64,
    /// Passes over the training images, at least 1. Default: 12.
    pub epochs: usize,
    /// Images a step, at least 2. The last, smaller batch of an epoch is left out. Default: 128.
    pub batch_size: usize,
    /// Devices that share each batch, of the kind that the run is given; on a CPU that many replicas of the network, which
    /// is for tests. At least 1, and `batch_size` must be a multiple of it. Each normalises by the statistics of its own
    /// part of the batch. Default: 1.
    pub devices: usize,
    /// The highest learning rate of the schedule, above 0. Default: 0.2.
    pub learning_rate: f64,
    /// How the learning rate runs over the steps. Default: one cycle, highest after a quarter.
    pub schedule: Schedule,
    /// Momentum of SGD, 0 to below 1. Default: 0.9.
    pub momentum: f64,
    /// Nesterov's form of the momentum. Default: true.
    pub nesterov: bool,
    /// Weight decay on kernels and matrices, at least 0. Default: 5e-4.
    pub weight_decay: f64,
    /// Whether BatchNorm's scales and all biases decay too. Default: false.
    pub decay_vectors: bool,
    /// Longest gradient over all parameters together; longer ones are scaled down. Default: none.
    #[serde(with = "or_none")]
    pub gradient_clip: Option<f64>,
    /// Share of the target probability spread over all classes, 0 to below 1. Default: 0.
    pub label_smoothing: f64,
    /// CIFAR-10: random crops out of the image padded by this many black pixels, 0 to 16. Default: 4.
    pub crop_padding: usize,
    /// Photographs: random parts of at least this share of the area, scaled to the network's input; above 0, at most 1.
    /// Default: 0.08.
    pub smallest_crop: f64,
    /// Random horizontal flips. Default: true.
    pub flip: bool,
    /// Only this many training images, for trials. Default: all.
    #[serde(with = "or_none")]
    pub limit: Option<usize>,
    /// Photographs: every so manieth training image is held out, at least 2. Default: 50.
    pub held_out_every: usize,
    /// Also keep a checkpoint within an epoch, after every so many steps; the outcome does not depend on it. Default: none.
    #[serde(with = "or_none")]
    pub checkpoint_steps: Option<usize>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            network: NetworkKind::ResNet20,
            shortcut: Shortcut::A,
            seed: 1,
            epochs: 12,
            batch_size: 128,
            devices: 1,
            learning_rate: 0.2,
            schedule: Schedule::ONE_CYCLE,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 5e-4,
            decay_vectors: false,
            gradient_clip: None,
            label_smoothing: 0.0,
            crop_padding: 4,
            smallest_crop: 0.08,
            flip: true,
            limit: None,
            held_out_every: 50,
            checkpoint_steps: None,
        }
    }
}

impl TrainConfig {
    /// Another network with its usual shortcut.
    pub fn with_network(mut self, network: NetworkKind) -> Self {
        self.network = network;
        self.shortcut = Shortcut::usual(network);
        self
    }

    /// Another number of epochs.
    pub fn with_epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Another seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the field, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, field: &str, value: &dyn std::fmt::Display, allowed: &str| {
            if ok {
                return Ok(());
            }
            Err(Error::argument(format!("{field} = {value}: must be {allowed}")))
        };
        // The integers of TOML end there.
        check(i64::try_from(self.seed).is_ok(), "seed", &self.seed, "0 to 9223372036854775807")?;
        check(self.epochs >= 1, "epochs", &self.epochs, "at least 1")?;
        check(self.batch_size >= 2, "batch_size", &self.batch_size, "at least 2")?;
        check(self.devices >= 1, "devices", &self.devices, "at least 1")?;
        check(
            self.batch_size.is_multiple_of(self.devices),
            "devices",
            &self.devices,
            &format!("a divisor of batch_size, which is {}", self.batch_size),
        )?;
        check(
            self.learning_rate > 0.0 && self.learning_rate.is_finite(),
            "learning_rate",
            &self.learning_rate,
            "above 0",
        )?;
        check((0.0..1.0).contains(&self.momentum), "momentum", &self.momentum, "from 0 to below 1")?;
        check(
            self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
            "weight_decay",
            &self.weight_decay,
            "at least 0",
        )?;
        check(
            self.gradient_clip.is_none_or(|clip| clip > 0.0),
            "gradient_clip",
            &self.gradient_clip.unwrap_or_default(),
            "above 0",
        )?;
        check(
            (0.0..1.0).contains(&self.label_smoothing),
            "label_smoothing",
            &self.label_smoothing,
            "from 0 to below 1",
        )?;
        check(self.crop_padding <= 16, "crop_padding", &self.crop_padding, "0 to 16")?;
        check(
            self.smallest_crop > 0.0 && self.smallest_crop <= 1.0,
            "smallest_crop",
            &self.smallest_crop,
            "above 0 and at most 1",
        )?;
        check(self.held_out_every >= 2, "held_out_every", &self.held_out_every, "at least 2")?;
        check(self.checkpoint_steps != Some(0), "checkpoint_steps", &0, "at least 1, or none")?;
        check(
            self.limit.is_none_or(|limit| limit >= self.batch_size),
            "limit",
            &self.limit.unwrap_or_default(),
            "at least batch_size",
        )?;
        self.schedule.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_toml_with_every_field_in_it() {
        let clipped = TrainConfig { gradient_clip: Some(5.0), ..TrainConfig::default() };
        for config in [TrainConfig::default().with_epochs(3), clipped.with_seed(i64::MAX as u64)] {
            let text = toml::to_string_pretty(&config).unwrap();
            assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), config);
            for field in ["network", "gradient_clip", "limit", "peak_at"] {
                assert!(text.contains(&format!("{field} = ")), "{text}");
            }
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = toml::from_str::<TrainConfig>("epoch = 3").unwrap_err();
        assert!(error.message().contains("unknown field `epoch`"), "{error}");
        let text = "[schedule]\nkind = \"cosine\"\npeak_at = 0.5";
        let error = toml::from_str::<TrainConfig>(text).unwrap_err();
        assert!(error.message().contains("unknown field `peak_at`, expected `warmup_epochs`"), "{error}");
    }

    #[test]
    fn a_bad_field_is_named_with_its_value() {
        let config = TrainConfig { momentum: 1.5, ..TrainConfig::default() };
        let error = config.validate().unwrap_err().to_string();
        assert_eq!(error, "momentum = 1.5: must be from 0 to below 1");
        let message = |devices| TrainConfig { devices, ..TrainConfig::default() }.validate().unwrap_err().to_string();
        assert_eq!(message(0), "devices = 0: must be at least 1");
        assert_eq!(message(3), "devices = 3: must be a divisor of batch_size, which is 128");
    }
}

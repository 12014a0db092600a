//! Calibration: training images through a network, and out of it the profile its maps are coded with.

mod count;
mod search;
mod statistics;
mod thesis;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use subband::{Coding, Effort, Profile, Steps, Wavelet};

pub use count::{finish, fit};
pub use statistics::TapStatistics;
pub(crate) use statistics::measure;
pub(crate) use thesis::thesis_step;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::progress::Progress;
use crate::taps::{TapSite, Taps};

/// Where the quantizer steps come from. One number k, the step scale, stands for all taps: a tap's step is k times the
/// standard deviation of its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepRule {
    /// This k, above 0.
    Scale(f64),
    /// The thesis's quantizer and transform (METHOD.md): prescaled to uint8, db2 over 3 levels, its step list, 8-bit
    /// indices, no details at the last tap. Block taps of ResNet-20 and ResNet-18 only; wavelet and levels are its own.
    Thesis,
    /// The finest steps whose packets take at most this many bits per value on held-out training images.
    Bits(f64),
    /// The coarsest steps that cost at most this many percentage points of top-1 accuracy on held-out training images.
    TargetDrop(f64),
}

/// What a calibration is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CalibrateConfig {
    /// Which maps are coded. Default: blocks.
    pub taps: Taps,
    /// Default: Haar.
    pub wavelet: Wavelet,
    /// Levels of the transform, 0 to 8. Default: 3.
    pub levels: u8,
    /// Default: step scale 0.5.
    pub rule: StepRule,
    /// Rounding offset of the quantizer, 0 to 0.5; less than 0.5 widens the dead zone. Default: 0.5.
    pub rounding: f32,
    /// Shift of the point of reconstruction towards zero, 0 to 0.5 steps. Default: 0.
    pub reconstruction: f32,
    /// Training images that statistics and tables are taken from, at least 1. Default: 2,000.
    pub images: usize,
    /// Held-out images that a search measures on, at least 1. Default: 5,000.
    pub held_out_images: usize,
    /// The most work the profile is made for: `Max` trains small networks, half a minute of a core a tap. Default: default.
    pub effort: Effort,
}

impl Default for CalibrateConfig {
    fn default() -> Self {
        Self {
            taps: Taps::Blocks,
            wavelet: Wavelet::Haar,
            levels: 3,
            rule: StepRule::Scale(0.5),
            rounding: 0.5,
            reconstruction: 0.0,
            images: 2_000,
            held_out_images: 5_000,
            effort: Effort::Default,
        }
    }
}

impl CalibrateConfig {
    /// Other taps.
    pub fn with_taps(mut self, taps: Taps) -> Self {
        self.taps = taps;
        self
    }

    /// Another transform.
    pub fn with_wavelet(mut self, wavelet: Wavelet, levels: u8) -> Self {
        (self.wavelet, self.levels) = (wavelet, levels);
        self
    }

    /// Another rule for the steps.
    pub fn with_rule(mut self, rule: StepRule) -> Self {
        self.rule = rule;
        self
    }

    /// Another number of training images.
    pub fn with_images(mut self, images: usize) -> Self {
        self.images = images;
        self
    }

    /// Another number of held-out images.
    pub fn with_held_out_images(mut self, images: usize) -> Self {
        self.held_out_images = images;
        self
    }

    /// Another effort.
    pub fn with_effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// Checks what the codec does not check by itself.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the field, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::argument(text));
        match self.rule {
            StepRule::Scale(k) if !(1e-6..=1e6).contains(&k) => {
                refuse(format!("the step scale is {k}: allowed are 1e-6 to 1e6"))
            }
            StepRule::Bits(bits) if !(bits > 0.0 && bits <= 32.0) => {
                refuse(format!("{bits} bits per value: allowed are above 0 to 32"))
            }
            StepRule::TargetDrop(points) if !(0.0..100.0).contains(&points) => {
                refuse(format!("a target drop of {points} points: allowed are 0 to below 100"))
            }
            _ if self.images == 0 || self.held_out_images == 0 => refuse("calibration needs at least 1 image".into()),
            _ => Ok(()),
        }
    }

    /// The coding of a tap at step scale `k`.
    fn coding(&self, statistics: &TapStatistics, k: f64) -> Coding {
        Coding::new(self.wavelet, self.levels, Steps::Uniform(statistics.step(k)).rounded())
            .with_rounding(self.rounding)
            .with_reconstruction(self.reconstruction)
            .with_nonnegative(true)
    }
}

/// A profile, and how it came about.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// What encoder and decoder share.
    pub profile: Profile,
    /// The maps without the codec, tap by tap.
    pub statistics: Vec<TapStatistics>,
    /// The step scale k, where the rule has one.
    pub step_scale: Option<f64>,
    /// What a search measured on the held-out images at the steps it chose.
    pub search: Option<SearchResult>,
    /// Values or indices of the training images that were clamped to their range.
    pub saturated: u64,
}

/// What a search for steps measured at the steps it chose, and how often it measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchResult {
    /// Bits per value (a search for bits), or the drop in top-1 accuracy in points (a search for accuracy).
    pub achieved: f64,
    /// Number of held-out images it was measured on.
    pub images: usize,
    /// Step scales tried.
    pub probes: usize,
}

/// Runs training images through the network and makes a profile.
///
/// A first pass without the codec takes each tap's deviation and maximum; a second one with the codec in the loop
/// (decoded maps fed onward, as the decoder will see them) counts the indices for the frequency tables. Rules that
/// search measure on `held_out`, which must share no image with `train` or with any test set; the other rules never
/// look at it.
///
/// # Errors
/// `InvalidArgument` for a configuration out of range, images of another shape than the network's, an empty data set,
/// a target that no steps reach; `NonFinite` for a map with a NaN or infinity; `Data` from reading the images.
pub fn calibrate(
    network: &Network,
    train: &Dataset,
    held_out: Option<&Dataset>,
    config: &CalibrateConfig,
    progress: &mut dyn Progress,
) -> Result<Calibration> {
    config.validate()?;
    let network = network.valid();
    check_images(&network, train)?;
    let train = train.spread(config.images);
    let sites: Vec<TapSite> = network.sites().iter().filter(|site| config.taps.includes(site)).cloned().collect();
    if config.rule == StepRule::Thesis {
        thesis::check(network.kind(), config.taps)?;
    }
    let statistics = statistics::measure(&network, &train, &sites, progress)?;
    let (codings, step_scale, search) = match config.rule {
        StepRule::Thesis => (thesis::codings(network.kind(), &statistics)?, None, None),
        StepRule::Scale(k) => (at_scale(config, &statistics, k), Some(k), None),
        StepRule::Bits(_) | StepRule::TargetDrop(_) => {
            let held_out = held_out.ok_or_else(|| {
                Error::argument("this rule searches on held-out training images, and none were given")
            })?;
            check_images(&network, held_out)?;
            let held_out = held_out.spread(config.held_out_images);
            let found = search::search(&network, &train, &held_out, config, &statistics, progress)?;
            let codings = at_scale(config, &statistics, found.0);
            (codings, Some(found.0), Some(found.1))
        }
    };
    let counted = count::fit_and_count(&network, &train, &codings, config.effort, progress)?;
    progress.end();
    let saturated = counted.saturated;
    Ok(Calibration { profile: counted.into_profile(&network)?, statistics, step_scale, search, saturated })
}

/// A profile of given codings, with tables counted on `data` with the codec in the loop.
pub(crate) fn profile_for(
    network: &Network,
    data: &Dataset,
    codings: &[TapCoding],
    progress: &mut dyn Progress,
) -> Result<Profile> {
    count::fit_and_count(network, data, codings, Effort::Default, progress)?.into_profile(network)
}

/// A profile with the codings of `profile`, its steps times `step_factor` and rounded ([`Steps::rounded`]), and everything
/// else made anew from `images` training images, for efforts up to `effort`.
///
/// # Errors
/// `Codec` for steps that leave their range; `InvalidArgument` for a profile of another network, images of another shape
/// than the network's, an empty data set; `NonFinite` for a map with a NaN or infinity; `Data` from reading the images.
pub fn recalibrate(
    network: &Network,
    train: &Dataset,
    profile: &Profile,
    step_factor: f32,
    images: usize,
    effort: Effort,
    progress: &mut dyn Progress,
) -> Result<Profile> {
    let network = network.valid();
    check_images(&network, train)?;
    let mut codings = Vec::new();
    for tap in profile.taps() {
        if !network.sites().iter().any(|site| site.name == tap.name() && site.shape == tap.shape()) {
            let (name, shape) = (tap.name(), tap.shape());
            return Err(Error::argument(format!(
                "the profile has a tap {name} of {shape:?}: {} has none",
                network.kind()
            )));
        }
        let mut coding = tap.coding().clone();
        coding.steps = coding.steps.scaled(step_factor).rounded();
        codings.push(TapCoding { name: tap.name().into(), shape: tap.shape(), coding });
    }
    let profile =
        count::fit_and_count(&network, &train.spread(images), &codings, effort, progress)?.into_profile(&network)?;
    progress.end();
    Ok(profile)
}

/// A tap and how its maps are coded.
#[derive(Clone, Debug)]
pub(crate) struct TapCoding {
    pub name: String,
    pub shape: [usize; 3],
    pub coding: Coding,
}

fn at_scale(config: &CalibrateConfig, statistics: &[TapStatistics], k: f64) -> Vec<TapCoding> {
    let coding =
        |tap: &TapStatistics| TapCoding { name: tap.name.clone(), shape: tap.shape, coding: config.coding(tap, k) };
    statistics.iter().map(coding).collect()
}

/// Refuses data that the network cannot take.
pub(crate) fn check_images(network: &Network, data: &Dataset) -> Result<()> {
    let kind = network.kind();
    if data.is_empty() {
        return Err(Error::argument(format!("{} holds no images", data.name())));
    }
    if data.shape() != kind.input_shape() || data.classes() > kind.classes() {
        return Err(Error::argument(format!(
            "{} has images of {:?} in {} classes: {kind} takes {:?} in {}",
            data.name(),
            data.shape(),
            data.classes(),
            kind.input_shape(),
            kind.classes()
        )));
    }
    Ok(())
}

/// Images of `kind` that go through the network together.
pub(crate) fn batch_size(network: &Network) -> usize {
    // Enough to keep the threads busy; the largest ImageNet map takes 3 MB an image.
    if network.kind().is_imagenet() { 10 } else { 100 }
}

/// The same where no map is kept.
pub(crate) fn large_batch_size(network: &Network) -> usize {
    if network.kind().is_imagenet() { batch_size(network) } else { 250 }
}

impl fmt::Display for StepRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale(k) => write!(f, "step scale {k}"),
            Self::Thesis => f.write_str("thesis preset"),
            Self::Bits(bits) => write!(f, "at most {bits} bits per value"),
            Self::TargetDrop(points) => write!(f, "a drop of at most {points} points"),
        }
    }
}

/// The name of a preset: `thesis`.
impl FromStr for StepRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "thesis" => Ok(Self::Thesis),
            _ => Err(Error::argument(format!("preset `{text}` is unknown: there is `thesis`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_out_of_range_are_named() {
        let refuse = |rule| {
            let config = CalibrateConfig::default().with_rule(rule);
            config.validate().unwrap_err().to_string()
        };
        assert!(refuse(StepRule::Scale(0.0)).contains("step scale is 0"));
        assert!(refuse(StepRule::Scale(f64::NAN)).contains("NaN"));
        assert!(refuse(StepRule::Bits(40.0)).contains("40 bits"));
        assert!(refuse(StepRule::TargetDrop(-1.0)).contains("-1 points"));
    }

    #[test]
    fn a_constant_map_still_gets_a_step() {
        let statistics =
            TapStatistics { name: "relu".into(), shape: [1, 2, 2], values: 4, mean: 3.0, std: 0.0, min: 3.0, max: 3.0 };
        let coding = CalibrateConfig::default().coding(&statistics, 0.5);
        assert_eq!(coding.steps, Steps::Uniform(0.5));
    }
}

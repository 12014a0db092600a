//! Running an arm and keeping what it found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use subband::Profile;
use subband_nn::data::{Cifar10, Dataset};
use subband_nn::evaluate::{EvaluateOptions, Evaluation, evaluate};
use subband_nn::retrain::{RetrainConfig, RetrainOutcome, retrain};
use subband_nn::train::{EpochMetrics, TrainConfig, train};
use subband_nn::{Device, Network, Progress};

use super::arms::{Arm, Group};
use crate::commands::read_profile;
use crate::output;

/// An arm's result, in its folder.
const RESULT: &str = "result.json";

/// The uncompressed network that all arms start from.
#[derive(Clone, Debug)]
pub struct Baseline {
    pub weights: PathBuf,
    /// Top-1 accuracy on the test images, per cent.
    pub top1: f64,
    /// Epochs trained, 0 for a network that was given.
    pub epochs: usize,
}

/// What an arm found: `result.json` in its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArmResult {
    pub name: String,
    pub group: Group,
    pub config: RetrainConfig,
    pub epochs: Vec<EpochMetrics>,
    /// On the test images.
    pub test: Evaluation,
    /// For each tap whose channels do not all keep their finest details, those that do.
    pub kept_finest: BTreeMap<String, Vec<usize>>,
}

/// What all arms share.
pub struct Place<'a> {
    pub data: &'a Cifar10,
    /// Test images.
    pub test: &'a Dataset,
    /// Has a run folder for each arm.
    pub folder: &'a Path,
    pub device: Device,
}

/// Trains the baseline in its run folder, or takes the weights given, and measures it on the test images.
pub fn run_baseline(
    config: &TrainConfig,
    given: Option<&Path>,
    place: &Place<'_>,
    progress: &mut dyn Progress,
) -> Result<Baseline> {
    let (weights, epochs) = match given {
        Some(weights) => (weights.to_owned(), 0),
        None => {
            let outcome = train(config, place.data, &place.folder.join("baseline"), &place.device, progress)?;
            (outcome.best_weights, outcome.epochs.len())
        }
    };
    let network = Network::load(config.network, &weights, &place.device)?;
    let nothing = Profile::new(config.network.name(), Vec::new())?;
    let options = EvaluateOptions::default().with_uncompressed(false).with_self_contained(false);
    let top1 = evaluate(&network, place.test, &nothing, &options, progress)?.top1;
    Ok(Baseline { weights, top1, epochs })
}

/// What an earlier run of `arm` found, if there was one of this very configuration.
pub fn finished_arm(arm: &Arm, baseline: &Baseline, place: &Place<'_>) -> Result<Option<ArmResult>> {
    let found = read(&place.folder.join(&arm.name).join(RESULT))?;
    Ok(found.filter(|found| {
        // The folder may have moved: where the baseline lies says nothing about the result.
        let same = found.config.clone().with_weights(&baseline.weights) == config(arm, baseline);
        same && found.test.images == place.test.len()
    }))
}

/// Retrains `arm` in its run folder and measures it on the test images.
pub fn run_arm(arm: &Arm, baseline: &Baseline, place: &Place<'_>, progress: &mut dyn Progress) -> Result<ArmResult> {
    let folder = place.folder.join(&arm.name);
    let config = config(arm, baseline);
    progress.message(&format!("{}: {} epochs", arm.name, config.training.epochs));
    let outcome = retrain(&config, place.data, &folder, &place.device, progress)?;
    // A self-contained stream fits its tables map by map, which would take longer than the arm's training.
    let options = EvaluateOptions::default().with_self_contained(false);
    let (profile, test) = measure(&config, &outcome, options, place.test, &place.device, progress)?;
    progress.message(&format!("{}: {:.3} bits, {:.2}%", arm.name, test.rates.bits_per_value, test.top1));
    let found = ArmResult {
        name: arm.name.clone(),
        group: arm.group,
        config,
        epochs: outcome.epochs,
        test,
        kept_finest: kept_finest(&profile),
    };
    output::replace(&folder.join(RESULT), &serde_json::to_vec_pretty(&found)?)?;
    Ok(found)
}

/// The profile of a retrained network, and what the two do on `images`.
pub fn measure(
    config: &RetrainConfig,
    outcome: &RetrainOutcome,
    options: EvaluateOptions,
    images: &Dataset,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<(Profile, Evaluation)> {
    let network = Network::load(config.training.network, &outcome.weights, device)?;
    let profile = read_profile(&outcome.profile)?;
    let options = options.with_weights(outcome.weights.display().to_string());
    let found = evaluate(&network, images, &profile, &options, progress)?;
    Ok((profile, found))
}

fn config(arm: &Arm, baseline: &Baseline) -> RetrainConfig {
    arm.config.clone().with_weights(&baseline.weights)
}

fn kept_finest(profile: &Profile) -> BTreeMap<String, Vec<usize>> {
    let masked = profile.taps().iter().filter_map(|tap| Some((tap, tap.coding().mask.as_ref()?)));
    masked
        .map(|(tap, mask)| {
            let finest = 3 * usize::from(mask.levels());
            (tap.name().to_owned(), (0..mask.channels()).filter(|&channel| mask.keeps(channel, finest)).collect())
        })
        .collect()
}

fn read(file: &Path) -> Result<Option<ArmResult>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(
            serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is not a result of this program", file.display()))?,
        )),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", file.display())),
    }
}

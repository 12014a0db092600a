use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::codec_in_loop::CodecInLoop;
use super::config::RetrainConfig;
use super::unfold::with_statistics;
use crate::data::{Cifar10, Dataset};
use crate::device::devices_like;
use crate::error::{Error, Result};
use crate::evaluate::{EvaluateOptions, Evaluation, evaluate};
use crate::files::write_atomically;
use crate::network::Network;
use crate::progress::Progress;
use crate::train::{
    EpochMetrics, RunFolder, Sgd, State, TrainConfig, check_images, run, shuffled_batches, split, validate,
};

/// What a finished retraining leaves.
#[derive(Clone, Debug)]
pub struct RetrainOutcome {
    /// One entry an epoch, resumed ones included.
    pub epochs: Vec<EpochMetrics>,
    /// The retrained network: `weights.safetensors` in the run folder.
    pub weights: PathBuf,
    /// Steps, masks and tables: `profile.sbp` in the run folder.
    pub profile: PathBuf,
    /// Accuracy and real bytes on the held-out images, as in `held_out.json`.
    pub held_out: Evaluation,
    /// Whether BatchNorm's statistics are those taken anew.
    pub renormalised: bool,
}

/// Retrains a network with the codec in the loop, on `device`, in `run_dir`; a run found there is resumed from its last epoch.
/// Where the configuration wants several devices, these are the first ones of the kind of `device`.
///
/// Training images decide weights, steps and tables, held-out training images what is kept; no test image is seen.
///
/// # Errors
/// As [`train`](crate::train::train), and `Io` or `Weights` for the network to start from.
pub fn retrain(
    config: &RetrainConfig,
    data: &Cifar10,
    run_dir: &Path,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<RetrainOutcome> {
    config.validate()?;
    let (train_set, held_out) = split(&config.training, data)?;
    retrain_on(config, &train_set, &held_out, run_dir, device, progress)
}

/// [`retrain`] on any two data sets of images that the network takes; `config.training.limit` is the caller's business.
pub fn retrain_on(
    config: &RetrainConfig,
    train_set: &Dataset,
    held_out: &Dataset,
    run_dir: &Path,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<RetrainOutcome> {
    let devices = devices_like(&device.clone().autodiff(), config.training.devices)?;
    check_images(&config.training, [train_set, held_out])?;
    let network = Network::load(config.training.network, &config.weights, &devices[0])?;
    if network.shortcut() != config.training.shortcut {
        return Err(Error::argument(format!(
            "training.shortcut = {:?}: {} has shortcut {:?}",
            config.training.shortcut,
            config.weights.display(),
            network.shortcut()
        )));
    }
    let folder = RunFolder::open(run_dir, config)?;
    let network = with_statistics(network, train_set, progress)?;
    let codec = CodecInLoop::new(config, &network, train_set, progress)?;
    let fresh =
        State { network, optimizer: Sgd::new(&config.training), codec: Some(codec), epochs: Vec::new(), partial: None };
    let state = run(&config.training, &folder, fresh, &devices, train_set, held_out, progress)?;
    let State { network, codec: Some(codec), epochs, .. } = state else {
        return Err(Error::checkpoint("a retraining without a codec"));
    };
    finish(config, &folder, network, codec, epochs, train_set, held_out, progress)
}

#[expect(clippy::too_many_arguments, reason = "the parts of a run, taken apart once")]
fn finish(
    config: &RetrainConfig,
    folder: &RunFolder,
    network: Network,
    codec: CodecInLoop,
    epochs: Vec<EpochMetrics>,
    train_set: &Dataset,
    held_out: &Dataset,
    progress: &mut dyn Progress,
) -> Result<RetrainOutcome> {
    let mut chosen = network.valid();
    let mut renormalised = false;
    if config.finish.norm_batches > 0 {
        let before = validate(&chosen, held_out, Some(&codec))?;
        let candidate = renormalise(chosen.clone(), &codec, config, train_set, progress)?;
        let after = validate(&candidate, held_out, Some(&codec))?;
        let [before, after] = [before, after].map(|m| 100.0 * m.accuracy);
        progress.message(&format!("BatchNorm statistics taken anew: held-out {after:.2}%, {before:.2}% before"));
        if after >= before {
            (chosen, renormalised) = (candidate, true);
        }
    }
    let profile = codec.profile(&chosen, &train_set.spread(config.finish.table_images), progress)?;
    let (weights, profile_file) = (folder.file("weights.safetensors"), folder.file("profile.sbp"));
    let options = EvaluateOptions::default()
        .with_weights(weights.display().to_string())
        .with_uncompressed(false)
        .with_self_contained(false);
    let report = evaluate(&chosen, held_out, &profile, &options, progress)?;
    let json = serde_json::to_string_pretty(&report).map_err(|e| Error::argument(format!("report: {e}")))?;
    chosen.save(&weights)?;
    write_atomically(&profile_file, &profile.to_bytes())?;
    write_atomically(&folder.file("held_out.json"), (json + "\n").as_bytes())?;
    progress.end();
    Ok(RetrainOutcome { epochs, weights, profile: profile_file, held_out: report, renormalised })
}

/// The network with the running statistics of all normalisations averaged anew over training batches, with the codec in
/// the loop. In training they follow weights that still move.
fn renormalise(
    network: Network,
    codec: &CodecInLoop,
    config: &RetrainConfig,
    train_set: &Dataset,
    progress: &mut dyn Progress,
) -> Result<Network> {
    let training: &TrainConfig = &config.training;
    // Running statistics are shared between clones; `valid` gives them a copy of their own.
    let mut network = network.valid();
    let batches = shuffled_batches(training, train_set, training.epochs, 0);
    progress.begin("taking BatchNorm statistics", config.finish.norm_batches as u64);
    for (index, batch) in batches.take(config.finish.norm_batches).enumerate() {
        // The mean over all batches so far.
        network.model.set_norm_momentum(1.0 / (index + 1) as f64);
        let batch = batch?;
        if !batch.is_empty() {
            network.measure_norms(network.input(&batch), &mut codec.decoded_maps())?;
        }
        progress.advance(index as u64 + 1, "");
    }
    Ok(network.valid())
}

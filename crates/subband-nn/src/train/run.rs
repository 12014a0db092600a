use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use subband::Profile;

use super::augment::augment;
use super::checkpoint::{RunFolder, State};
use super::config::TrainConfig;
use super::metrics::{EpochMetrics, RateMetrics};
use super::optimizer::Sgd;
use super::pass::{Pass, pass};
use super::replicas::Replicas;
use super::validate::validate;
use crate::data::{Batch, Cifar10, Dataset, Prefetch};
use crate::device::devices_like;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::progress::Progress;
use crate::retrain::Position;
use crate::rng::Rng;

/// What a finished run leaves.
#[derive(Clone, Debug)]
pub struct TrainOutcome {
    /// One entry an epoch, resumed ones included.
    pub epochs: Vec<EpochMetrics>,
    /// Best held-out accuracy, 0 to 1.
    pub best_held_out_accuracy: f64,
    /// The parameters of that epoch, loadable as a network.
    pub best_weights: PathBuf,
}

/// Streams of random numbers under a run's seed.
const ORDER: u64 = 1;
const AUGMENT: u64 = 2;
const CROP: u64 = 3;

/// Trains a network on the CIFAR-10 training images, on `device`, in `run_dir`; a run found there is resumed from its last epoch.
/// Where the configuration wants several devices, these are the first ones of the kind of `device`.
///
/// # Errors
/// `InvalidArgument` for a configuration that is out of range; `Checkpoint` for a folder of another run; `NonFinite` with
/// the step where the loss stops being a number, and `Device` where one of several devices fails, the last good checkpoint
/// being kept.
pub fn train(
    config: &TrainConfig,
    data: &Cifar10,
    run_dir: &Path,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<TrainOutcome> {
    config.validate()?;
    let (train_set, held_out) = split(config, data)?;
    train_on(config, &train_set, &held_out, run_dir, device, progress)
}

/// The training images, as many as the configuration wants, and the held-out ones.
pub(crate) fn split(config: &TrainConfig, data: &Cifar10) -> Result<(Dataset, Dataset)> {
    let (train_set, held_out) = data.both()?;
    Ok((config.limit.map_or_else(|| train_set.clone(), |limit| train_set.limit(limit)), held_out))
}

/// [`train`] on any two data sets of images that the network takes; `config.limit` is the caller's business.
///
/// # Errors
/// Those of [`train`], and `InvalidArgument` for images of another size or more classes than the network has.
pub fn train_on(
    config: &TrainConfig,
    train_set: &Dataset,
    held_out: &Dataset,
    run_dir: &Path,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<TrainOutcome> {
    let devices = devices_like(&device.clone().autodiff(), config.devices)?;
    check_images(config, [train_set, held_out])?;
    let folder = RunFolder::open(run_dir, config)?;
    let fresh = State {
        network: Network::init(config.network, config.shortcut, config.seed, &devices[0]),
        optimizer: Sgd::new(config),
        codec: None,
        epochs: Vec::new(),
        partial: None,
    };
    let state = run(config, &folder, fresh, &devices, train_set, held_out, progress)?;
    progress.end();
    let best = state.epochs.iter().map(|m| m.held_out_accuracy);
    Ok(TrainOutcome {
        best_held_out_accuracy: best.fold(0.0, f64::max),
        best_weights: folder.best_file(),
        epochs: state.epochs,
    })
}

/// Refuses data sets that the network cannot learn.
pub(crate) fn check_images(config: &TrainConfig, sets: [&Dataset; 2]) -> Result<()> {
    let network = config.network;
    for data in sets {
        let (shape, wanted) = (data.shape(), network.input_shape());
        if shape != wanted {
            return Err(Error::argument(format!(
                "{} has images of {shape:?}: {network} takes {wanted:?}",
                data.name()
            )));
        }
        if data.classes() > network.classes() {
            let (has, classes) = (data.classes(), network.classes());
            return Err(Error::argument(format!("{} has {has} classes: {network} has {classes}", data.name())));
        }
    }
    if sets[0].len() < config.batch_size {
        return Err(Error::argument(format!(
            "batch_size = {}: {} has {} training images, allowed is no more",
            config.batch_size,
            sets[0].name(),
            sets[0].len()
        )));
    }
    Ok(())
}

/// Epochs from where the folder's checkpoint stands, or from `fresh`, to the last; the network is on the first of `devices`.
pub(crate) fn run(
    config: &TrainConfig,
    folder: &RunFolder,
    fresh: State,
    devices: &[Device],
    train_set: &Dataset,
    held_out: &Dataset,
    progress: &mut dyn Progress,
) -> Result<State> {
    let mut state = fresh;
    if folder.load(config, &mut state)? {
        let within = state.partial.as_ref().map_or(String::new(), |partial| format!(" and {} steps", partial.steps));
        progress.message(&format!("resumed after epoch {}{within}", state.epochs.len()));
    }
    let replicas = Replicas::new(devices, config.label_smoothing)?;
    if let Some(codec) = &mut state.codec {
        codec.teach_on(devices);
    }
    while state.epochs.len() < config.epochs {
        let (metrics, profile) = epoch(config, folder, &mut state, replicas.as_ref(), train_set, held_out, progress)?;
        state.epochs.push(metrics);
        folder.save(&state, profile.as_ref())?;
        if let Some(metrics) = state.epochs.last() {
            progress.epoch(metrics);
        }
    }
    Ok(state)
}

/// One epoch; with a codec in the loop, the profile that held-out images were coded with as well.
fn epoch(
    config: &TrainConfig,
    folder: &RunFolder,
    state: &mut State,
    replicas: Option<&Replicas>,
    train_set: &Dataset,
    held_out: &Dataset,
    progress: &mut dyn Progress,
) -> Result<(EpochMetrics, Option<Profile>)> {
    let begun = Instant::now();
    let number = state.epochs.len();
    let Partial { steps: done, mut sums } = state.partial.take().unwrap_or_default();
    let batches = shuffled_batches(config, train_set, number, done);
    let steps_per_epoch = train_set.len() / config.batch_size;
    let steps = config.epochs * steps_per_epoch;
    let stage = format!("epoch {}/{}", number + 1, config.epochs);
    progress.begin(&stage, (steps_per_epoch * config.batch_size) as u64);
    let (before, mut saved) = (sums.seconds, done);
    let mut learning_rate = 0.0;
    for (in_epoch, batch) in (done..).zip(batches) {
        let batch = batch?;
        // Every epoch meets the same files.
        for skipped in batch.skipped.iter().filter(|_| number == 0) {
            progress.message(&format!("left out {}: {}", skipped.path.display(), skipped.reason));
        }
        if batch.is_empty() {
            continue;
        }
        if config.checkpoint_steps.is_some_and(|steps| in_epoch >= saved + steps) {
            sums.seconds = before + begun.elapsed().as_secs_f64();
            folder.save_within(state, &Partial { steps: in_epoch, sums })?;
            saved = in_epoch;
        }
        let step = number * steps_per_epoch + in_epoch;
        let at = Position {
            step,
            epoch: step as f64 / steps_per_epoch as f64,
            factor: config.schedule.factor(step, steps, steps_per_epoch),
            shard: 0,
        };
        let found = match replicas {
            None => pass(&state.network, state.codec.as_ref(), &batch, config.label_smoothing, at)?,
            Some(replicas) => replicas.pass(&mut state.network, state.codec.as_ref(), &batch, at)?,
        };
        sums.add(&found);
        learning_rate = config.learning_rate * at.factor;
        let model = state.network.model.clone();
        state.network.model = state.optimizer.step(model, found.gradients, learning_rate);
        if let Some(codec) = &mut state.codec {
            codec.step(&found.codec, at);
        }
        sums.seconds = before + begun.elapsed().as_secs_f64();
        progress.advance(sums.seen as u64, &sums.note(state.codec.is_some()));
    }
    let network = state.network.valid();
    let held_out_measures = validate(&network, held_out, state.codec.as_ref())?;
    let (mut rate, mut profile) = (None, None);
    if let Some(codec) = &state.codec {
        let (tables, held_out_bits_per_value) = codec.real_bits(&network, train_set, held_out, progress)?;
        profile = Some(tables);
        rate = Some(RateMetrics {
            estimated_bits_per_value: sums.bits / sums.seen.max(1) as f64,
            held_out_bits_per_value,
            lambda: codec.lambda((number + 1) as f64),
        });
    }
    let metrics = EpochMetrics {
        epoch: number + 1,
        learning_rate,
        train_loss: sums.loss / sums.seen.max(1) as f64,
        train_accuracy: sums.right as f64 / sums.seen.max(1) as f64,
        held_out_loss: held_out_measures.loss,
        held_out_accuracy: held_out_measures.accuracy,
        rate,
        images_per_second: sums.seen as f64 / sums.seconds.max(1e-9),
        seconds: before + begun.elapsed().as_secs_f64(),
    };
    Ok((metrics, profile))
}

/// How far an epoch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Partial {
    /// Steps behind.
    pub steps: usize,
    sums: Sums,
}

/// Running sums of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    seen: usize,
    loss: f64,
    right: usize,
    bits: f64,
    /// Wall time, of all processes that had a part in the epoch.
    seconds: f64,
}

impl Sums {
    fn add(&mut self, pass: &Pass) {
        self.seen += pass.images;
        self.loss += pass.loss * pass.images as f64;
        self.right += pass.right;
        self.bits += pass.bits_per_value * pass.images as f64;
    }

    /// What a progress bar says.
    fn note(&self, has_codec: bool) -> String {
        let seen = self.seen.max(1) as f64;
        let rate = if has_codec { format!(", {:.3} bits", self.bits / seen) } else { String::new() };
        let (accuracy, speed) = (100.0 * self.right as f64 / seen, seen / self.seconds.max(1e-9));
        format!("loss {:.3}, {accuracy:.1}%{rate}, {speed:.0} images/s", self.loss / seen)
    }
}

/// The training images of one epoch from batch `first` on: in a random order, augmented, whole batches only.
pub(crate) fn shuffled_batches(config: &TrainConfig, data: &Dataset, epoch: usize, first: usize) -> Prefetch<Batch> {
    let epoch = epoch as u64;
    let mut order: Vec<usize> = (0..data.len()).collect();
    Rng::for_stream(config.seed, &[ORDER, epoch]).shuffle(&mut order);
    let (data, size) = (data.clone(), config.batch_size);
    let (padding, flip, smallest) = (config.crop_padding, config.flip, config.smallest_crop);
    let seed = Rng::for_stream(config.seed, &[AUGMENT]).next_u64();
    let crops = Rng::for_stream(config.seed, &[CROP]).next_u64();
    Prefetch::new((data.len() / size).saturating_sub(first), move |index| {
        let index = first + index;
        let positions = &order[index * size..(index + 1) * size];
        let of_image = |place: usize| Rng::for_stream(crops, &[epoch, index as u64, place as u64]);
        let mut batch = data.random_parts(positions, smallest, of_image)?;
        let padding = if data.is_photographs() { 0 } else { padding };
        augment(&mut batch, padding, flip, seed, [epoch, index as u64]);
        Ok(batch)
    })
}

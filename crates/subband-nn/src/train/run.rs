use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use subband::Profile;

use super::augment::augment;
use super::checkpoint::{RunFolder, State};
use super::config::TrainConfig;
use super::metrics::{EpochMetrics, RateMetrics};
use super::optimizer::Sgd;
use crate::calibrate::large_batch_size;
use crate::data::{Batch, Cifar10, Dataset, Prefetch};
use crate::error::{Error, ErrorKind, Result};
use crate::network::Network;
use crate::progress::Progress;
use crate::rank::hits;
use crate::retrain::{CodecInLoop, Position};
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
///
/// # Errors
/// `InvalidArgument` for a configuration that is out of range; `Checkpoint` for a folder of another run; `NonFinite` with
/// the step where the loss stops being a number, the last good checkpoint being kept.
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
    let device = device.clone().autodiff();
    check_images(config, [train_set, held_out])?;
    let folder = RunFolder::open(run_dir, config)?;
    let fresh = State {
        network: Network::init(config.network, config.shortcut, config.seed, &device),
        optimizer: Sgd::new(config),
        codec: None,
        epochs: Vec::new(),
        partial: None,
    };
    let state = run(config, &folder, fresh, train_set, held_out, progress)?;
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

/// Epochs from where the folder's checkpoint stands, or from `fresh`, to the last.
pub(crate) fn run(
    config: &TrainConfig,
    folder: &RunFolder,
    fresh: State,
    train_set: &Dataset,
    held_out: &Dataset,
    progress: &mut dyn Progress,
) -> Result<State> {
    let mut state = fresh;
    if folder.load(config, &mut state)? {
        let within = state.partial.as_ref().map_or(String::new(), |partial| format!(" and {} steps", partial.steps));
        progress.message(&format!("resumed after epoch {}{within}", state.epochs.len()));
    }
    while state.epochs.len() < config.epochs {
        let (metrics, profile) = epoch(config, folder, &mut state, train_set, held_out, progress)?;
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
    train_set: &Dataset,
    held_out: &Dataset,
    progress: &mut dyn Progress,
) -> Result<(EpochMetrics, Option<Profile>)> {
    let begun = Instant::now();
    let device = &state.network.device().clone();
    let number = state.epochs.len();
    let Partial { steps: done, mut sums } = state.partial.take().unwrap_or_default();
    let batches = shuffled_batches(config, train_set, number, done);
    let steps_per_epoch = train_set.len() / config.batch_size;
    let steps = config.epochs * steps_per_epoch;
    let smoothing = (config.label_smoothing > 0.0).then_some(config.label_smoothing as f32);
    let loss_of = CrossEntropyLossConfig::new().with_smoothing(smoothing).init(device);
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
        };
        let images = state.network.input(&batch);
        let (loss, scores, price) = match &mut state.codec {
            None => {
                let scores = state.network.forward(images)?;
                (loss_of.forward(scores.clone(), targets(&batch.labels, device)), scores, 0.0)
            }
            Some(codec) => {
                let pass = codec.forward(&state.network, images.clone(), at)?;
                let labels_loss = loss_of.forward(pass.scores.clone(), targets(&batch.labels, device));
                sums.bits += pass.bits_per_value * batch.len() as f64;
                (codec.loss(&pass, images, labels_loss)?, pass.scores, pass.price)
            }
        };
        sums.right += hits(scores.without_autodiff(), &batch.labels)?.top1;
        let value = f64::from(loss.clone().into_scalar::<f32>()) + price;
        if !value.is_finite() {
            return Err(Error::new(
                ErrorKind::NonFinite,
                format!(
                    "the loss is {value} at step {step} (epoch {}); the checkpoint of epoch {number} is kept; try a \
                     smaller learning_rate",
                    number + 1
                ),
            ));
        }
        let mut gradients = loss.backward();
        learning_rate = config.learning_rate * at.factor;
        let model = state.network.model.clone();
        state.network.model = state.optimizer.step(model, &mut gradients, learning_rate);
        if let Some(codec) = &mut state.codec {
            codec.step(&mut gradients, at);
        }
        sums.seen += batch.len();
        sums.loss += value * batch.len() as f64;
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

/// What held-out images say.
pub(crate) struct HeldOut {
    /// Mean cross entropy.
    pub loss: f64,
    /// Share classified right, 0 to 1.
    pub accuracy: f64,
}

/// Measures a network for inference, with `codec` in the loop if there is one.
pub(crate) fn validate(network: &Network, data: &Dataset, codec: Option<&CodecInLoop>) -> Result<HeldOut> {
    let device = network.device();
    let loss_of = CrossEntropyLossConfig::new().init(device);
    let (mut right, mut seen, mut loss) = (0, 0, 0.0);
    for batch in data.batches(large_batch_size(network)) {
        let batch = batch?;
        if batch.is_empty() {
            continue;
        }
        let images = network.input(&batch);
        let scores = match codec {
            Some(codec) => codec.infer(network, images)?,
            None => network.forward(images)?,
        };
        let mean = loss_of.forward(scores.clone(), targets(&batch.labels, device));
        loss += f64::from(mean.into_scalar::<f32>()) * batch.len() as f64;
        right += hits(scores, &batch.labels)?.top1;
        seen += batch.len();
    }
    let seen = seen.max(1) as f64;
    Ok(HeldOut { loss: loss / seen, accuracy: right as f64 / seen })
}

fn targets(labels: &[u32], device: &Device) -> Tensor<1, Int> {
    let labels: Vec<i64> = labels.iter().map(|&l| i64::from(l)).collect();
    let count = labels.len();
    Tensor::from_data(TensorData::new(labels, [count]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_map::TensorMap;
    use std::fs;

    fn images(count: usize) -> Dataset {
        let pixels = (0..count * 3072).map(|at| (at * 7919 % 251) as u8).collect();
        let labels = (0..count as u32).map(|i| i % 10).collect();
        Dataset::from_pixels("made-up", [3, 32, 32], 10, pixels, labels).unwrap()
    }

    fn config() -> TrainConfig {
        TrainConfig {
            batch_size: 4,
            epochs: 2,
            gradient_clip: Some(1.0),
            label_smoothing: 0.1,
            ..TrainConfig::default()
        }
    }

    /// Copies the run folder after its first epoch, as if the process had been killed there.
    struct KilledAfterOne<'a>(&'a Path, &'a Path);

    impl Progress for KilledAfterOne<'_> {
        fn epoch(&mut self, metrics: &EpochMetrics) {
            if metrics.epoch == 1 {
                for entry in fs::read_dir(self.0).unwrap() {
                    let path = entry.unwrap().path();
                    fs::copy(&path, self.1.join(path.file_name().unwrap())).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_resumed_run_ends_as_the_unbroken_one() {
        let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (data, held_out) = (images(10), images(6));
        let mut copy = KilledAfterOne(whole.path(), broken.path());
        train_on(&config(), &data, &held_out, whole.path(), &Device::default(), &mut copy).unwrap();
        let outcome = train_on(&config(), &data, &held_out, broken.path(), &Device::default(), &mut ()).unwrap();
        assert_eq!(outcome.epochs.len(), 2);
        let arrays = |folder: &tempfile::TempDir| {
            let map = TensorMap::read(&folder.path().join("last.safetensors")).unwrap();
            map.iter().map(|(n, a)| (n.to_string(), a.clone())).collect::<Vec<_>>()
        };
        for ((name, a), (_, b)) in arrays(&whole).iter().zip(&arrays(&broken)) {
            assert!(a == b, "{name} differs");
        }
        let losses = |folder: &tempfile::TempDir| -> Vec<String> {
            let text = fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
            text.lines().map(|l| l.rsplitn(3, ',').last().unwrap().to_string()).collect()
        };
        assert_eq!(losses(&whole), losses(&broken));
        assert_eq!(losses(&whole).len(), 3);
        let best = whole.path().join("best.safetensors");
        Network::load(config().network, &best, &Device::default()).unwrap();
    }

    #[test]
    fn a_folder_of_another_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = config().with_epochs(1);
        train_on(&config, &images(4), &images(4), folder.path(), &Device::default(), &mut ()).unwrap();
        let other = config.with_seed(2);
        let error = train_on(&other, &images(4), &images(4), folder.path(), &Device::default(), &mut ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        assert!(error.to_string().contains("seed is 1 there and 2 here"), "{error}");
    }

    #[test]
    fn a_loss_that_is_no_number_stops_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { learning_rate: 1e30, gradient_clip: None, ..config() };
        let error = train_on(&config, &images(16), &images(4), folder.path(), &Device::default(), &mut ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite);
        assert!(error.to_string().contains("at step"), "{error}");
    }

    #[test]
    fn training_learns_by_heart() {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig {
            epochs: 12,
            flip: false,
            crop_padding: 0,
            learning_rate: 0.05,
            label_smoothing: 0.0,
            ..config()
        };
        let data = images(8);
        let outcome = train_on(&config, &data, &data, folder.path(), &Device::default(), &mut ()).unwrap();
        let (first, last) = (&outcome.epochs[0], &outcome.epochs[11]);
        assert!(last.train_loss < 0.5 * first.train_loss, "{first}\n{last}");
    }
}

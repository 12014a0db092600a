//! Images a second of a training step of ResNet-20 at batch 128, plain and with the codec in the loop, on made-up images:
//! what `bench/pytorch/train_step.py` measures of PyTorch.
//!
//! ```text
//! cargo bench -p subband-nn --bench train_step                    # all cores
//! RAYON_NUM_THREADS=2 cargo bench -p subband-nn --bench train_step
//! ```
//! Loading, augmentation, the loss and the optimizer are in the time; held-out images are not.

use std::path::Path;

use subband_nn::data::Dataset;
use subband_nn::retrain::{RetrainConfig, retrain_on};
use subband_nn::train::{EpochMetrics, TrainConfig, train_on};
use subband_nn::{Device, Error, Network, NetworkKind, Shortcut};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 128;
/// Steps an epoch, and epochs: the median is over these.
const STEPS: usize = 8;
const EPOCHS: usize = 7;

fn main() -> Result<(), Error> {
    // Cargo passes --bench; a filter would be the only other argument, and there is nothing to filter.
    let images = made_up(BATCH * STEPS)?;
    let few = made_up(BATCH)?;
    let folder = tempfile::tempdir().map_err(|e| Error::new(subband_nn::ErrorKind::Io, e.to_string()))?;
    let threads = rayon::current_num_threads();
    println!("ResNet-20, batch {BATCH}, {threads} threads, median of {EPOCHS} times {STEPS} steps");

    let training = TrainConfig::default().with_epochs(EPOCHS);
    let plain = train_on(&training, &images, &few, &folder.path().join("plain"), &Device::default(), &mut ())?;
    println!("plain step                {:6.0} images/s", median(&plain.epochs));

    let weights = folder.path().join("weights.safetensors");
    Network::init(NetworkKind::ResNet20, Shortcut::A, 1, &Device::default()).save(&weights)?;
    for (name, teacher) in [("retraining step", 0.0), ("retraining step, teacher", 0.5)] {
        println!("{name:26}{:6.0} images/s", median(&retrained(&weights, teacher, &images, &few, folder.path())?));
    }
    Ok(())
}

/// Haar over 3 levels, learned steps, rate term, block taps.
fn retrained(
    weights: &Path,
    teacher: f64,
    images: &Dataset,
    few: &Dataset,
    folder: &Path,
) -> Result<Vec<EpochMetrics>, Error> {
    let mut config = RetrainConfig::default().with_weights(weights);
    config.training.epochs = EPOCHS;
    config.distillation.weight = teacher;
    config.finish.epoch_images = 1;
    config.finish.norm_batches = 0;
    config.finish.table_images = 1;
    Ok(retrain_on(&config, images, few, &folder.join(format!("teacher-{teacher}")), &Device::default(), &mut ())?
        .epochs)
}

fn median(epochs: &[EpochMetrics]) -> f64 {
    let mut speeds: Vec<f64> = epochs.iter().map(|epoch| epoch.images_per_second).collect();
    speeds.sort_by(f64::total_cmp);
    speeds[speeds.len() / 2]
}

fn made_up(count: usize) -> Result<Dataset, Error> {
    let pixels = (0..count * 3072).map(|at| (at * 7919 % 251) as u8).collect();
    let labels = (0..count as u32).map(|i| i % 10).collect();
    Dataset::from_pixels("made-up", [3, 32, 32], 10, pixels, labels)
}

//! Trains a ResNet-20 on CIFAR-10: `train_resnet20 <cifar folder> <run folder> [epochs] [threads] [limit]`.
//! Started again with the same arguments it goes on where it stopped.

mod common;

use std::path::Path;
use std::process::ExitCode;

use subband_nn::data::Cifar10;
use subband_nn::train::{TrainConfig, train};
use subband_nn::{Device, Error, LogProgress};

// The system's allocator hands large blocks back after every step and faults them in again at the next.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    common::main(run)
}

fn run(arguments: &[String]) -> Result<(), Error> {
    let [data, run_dir, numbers @ ..] = arguments else {
        common::usage("train_resnet20 <cifar folder> <run folder> [epochs] [threads] [limit]");
    };
    let number = |index: usize| numbers.get(index).and_then(|text| text.parse().ok());
    if let Some(threads) = number(1) {
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    let mut config = TrainConfig::default().with_epochs(number(0).unwrap_or(12));
    config.limit = number(2);
    let outcome =
        train(&config, &Cifar10::open(Path::new(data))?, Path::new(run_dir), &Device::default(), &mut LogProgress)?;
    eprintln!(
        "best held-out accuracy {:.2}%: {}",
        100.0 * outcome.best_held_out_accuracy,
        outcome.best_weights.display()
    );
    Ok(())
}

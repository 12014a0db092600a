//! `subband train`: a network from scratch.

use std::path::PathBuf;

use anyhow::Result;
use subband_nn::NetworkKind;
use subband_nn::data::Cifar10;
use subband_nn::train::{TrainConfig, train};

use crate::args::{self, Threads};
use crate::progress::Bars;
use crate::{Ui, output};

/// Train a network from scratch on CIFAR-10
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Trains on 45,000 images and keeps 5,000 held out to choose the best epoch. Everything goes into the run folder: the \
configuration, metrics.csv, last.safetensors, and best.safetensors, which eval and calibrate take as --weights. A run \
that was interrupted at any moment goes on from its last epoch when the same command is given again, and ends as the \
unbroken run would have.

Examples:
  subband train --network resnet20 --run runs/first
  subband train --network resnet20 --run runs/long --epochs 60 --learning-rate 0.3 --seed 2
  subband train --network resnet20 --run runs/trial --epochs 1 --limit 2000"
)]
pub struct Args {
    /// Network: resnet20, resnet32 or resnet56
    #[arg(long, value_name = "NETWORK")]
    network: NetworkKind,

    /// CIFAR-10 folder [default: where `subband data cifar10` puts it]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Run folder, made where it is missing
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// Passes over the training images
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,

    /// Images a step
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,

    /// Highest learning rate of the one-cycle schedule
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,

    /// Weight decay on kernels and matrices
    #[arg(long, value_name = "DECAY")]
    weight_decay: Option<f64>,

    /// Share of the target probability spread over all classes
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<f64>,

    /// Seed of weights, order and augmentation
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    /// Only this many training images, for trials
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let mut config = TrainConfig::default().with_network(args.network);
    config.epochs = args.epochs.unwrap_or(config.epochs);
    config.batch_size = args.batch_size.unwrap_or(config.batch_size);
    config.learning_rate = args.learning_rate.unwrap_or(config.learning_rate);
    config.weight_decay = args.weight_decay.unwrap_or(config.weight_decay);
    config.label_smoothing = args.label_smoothing.unwrap_or(config.label_smoothing);
    config.seed = args.seed.unwrap_or(config.seed);
    config.limit = args.limit;
    config.validate().map_err(|e| args::usage(e.to_string()))?;

    let data = Cifar10::open(&args.data.map_or_else(args::default_data_dir, Ok)?)?;
    let mut bars = Bars::new(ui.quiet);
    let outcome = args.threads.run(|| Ok(train(&config, &data, &args.run, &mut bars)?))?;
    if ui.quiet {
        return Ok(());
    }
    let report = format!(
        "best held-out accuracy {:.2}%: {}\n",
        100.0 * outcome.best_held_out_accuracy,
        outcome.best_weights.display()
    );
    output::print(&report, false)
}

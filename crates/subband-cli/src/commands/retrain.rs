//! `subband retrain`: a trained network with the codec in the loop.

use std::path::PathBuf;

use anyhow::Result;
use subband::Wavelet;
use subband_nn::NetworkKind;
use subband_nn::Taps;
use subband_nn::evaluate::EvaluateOptions;
use subband_nn::retrain::{RetrainConfig, SelectionMethod, retrain_on};

use crate::args::{self, DeviceArg, Threads};
use crate::config_file::{ConfigArgs, Overrides};
use crate::network::TrainingArgs;
use crate::output::Output;
use crate::progress::Bars;
use crate::reproduce::measure;
use crate::{Ui, curves, evaluation_report, output};

/// Retrain a network with the codec in the loop
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Starts from a trained network. Every tapped map goes through transform, quantizer and inverse transform in \
training; the network learns to live with it, and the codec learns its steps and channel selection. The loss pays lambda \
for each estimated bit per value: more lambda, fewer bytes. Weights, steps and tables come from 45,000 training images, \
what is kept is decided on 5,000 held out; then the test images are measured once, with real bytes. ResNet-18 and 34 \
train on a folder of photographs, of which every 50th is held out and `val`, if it has one, is measured.

The run folder gets config.toml, metrics.csv, curves.svg, checkpoints, and at the end weights.safetensors and profile.sbp \
(for eval and compress), held_out.json and test.json. An interrupted run goes on when the command is given again.

Examples:
  subband retrain --weights w.safetensors --run runs/half --lambda 0.5
  subband retrain --weights w.safetensors --run runs/relu --taps relu --lambda 0.3 --epochs 20
  subband retrain --weights w.safetensors --run runs/thesis --lambda 0 --selection thesis --retain 0.5 \\
      --set codec.thesis_steps=true --set codec.learn_steps=false
  subband retrain --run runs/again --config runs/half/config.toml --set training.seed=2
  subband retrain --run runs/r18 --config configs/imagenet-retrain.toml --weights r18.safetensors --data imagenet"
)]
pub struct Args {
    /// Run folder, made where it is missing
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    #[command(flatten)]
    data: TrainingArgs,

    /// Leave the test images alone
    #[arg(long)]
    no_test: bool,

    #[command(flatten)]
    device: DeviceArg,

    #[command(flatten)]
    threads: Threads,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    fields: Fields,
}

/// Flags for the fields that most runs set; `--set` reaches the others.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fields of the configuration")]
struct Fields {
    /// Trained network to start from [default: the bundled ResNet-20]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// Network: resnet20, resnet32, resnet56 (CIFAR-10), resnet18 or resnet34 (photographs) (training.network)
    /// [default: resnet20]
    #[arg(long, value_name = "NETWORK")]
    network: Option<NetworkKind>,

    /// Maps to code: blocks or relu [default: blocks]
    #[arg(long, value_name = "TAPS")]
    taps: Option<Taps>,

    /// What a bit per value costs, in units of the loss (rate.lambda) [default: 0.6]
    #[arg(long, value_name = "LAMBDA")]
    lambda: Option<f64>,

    /// Wavelet: none, haar, legall53, cdf97 or db2 (codec.wavelet) [default: haar]
    #[arg(long, value_name = "WAVELET")]
    wavelet: Option<Wavelet>,

    /// Levels of the transform, 0 to 8 (codec.levels) [default: 3, and 0 for none]
    #[arg(long, value_name = "N")]
    levels: Option<u8>,

    /// Channel selection: none, thesis, gates, random, first or energy (selection.method) [default: none]
    #[arg(long, value_name = "METHOD", value_parser = selection_method)]
    selection: Option<SelectionMethod>,

    /// Share of the channels that keep their finest details (selection.retain) [default: 1]
    #[arg(long, value_name = "SHARE")]
    retain: Option<f64>,

    /// Passes over the training images (training.epochs) [default: 12]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,

    /// Images a step (training.batch_size) [default: 128]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,

    /// Devices that share each batch: the first of the kind of --device, or for a trial so many replicas on one CPU
    /// (training.devices) [default: 1]
    #[arg(long, value_name = "N")]
    devices: Option<usize>,

    /// Highest learning rate of the weights (training.learning_rate) [default: 0.05]
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,

    /// Seed of order, augmentation and noise (training.seed) [default: 1]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    /// Only this many training images, for trials (training.limit)
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Fields {
    fn overrides(&self) -> Result<Overrides> {
        let mut flags = Overrides::default();
        flags.set("weights", self.weights.as_ref())?;
        flags.set("training.network", self.network)?;
        let usual = self.network.filter(|network| network.is_imagenet()).map(|_| "B");
        flags.set("training.shortcut", usual)?;
        flags.set("taps", self.taps)?;
        flags.set("rate.lambda", self.lambda)?;
        flags.set("codec.wavelet", self.wavelet.map(Wavelet::name))?;
        let levels = self.wavelet.filter(|&wavelet| wavelet == Wavelet::None).map(|_| 0);
        flags.set("codec.levels", self.levels.or(levels))?;
        flags.set("selection.method", self.selection)?;
        flags.set("selection.retain", self.retain)?;
        flags.set("training.epochs", self.epochs)?;
        flags.set("training.batch_size", self.batch_size)?;
        flags.set("training.devices", self.devices)?;
        flags.set("training.learning_rate", self.learning_rate)?;
        flags.set("training.seed", self.seed)?;
        flags.set("training.limit", self.limit)?;
        Ok(flags)
    }
}

fn selection_method(text: &str) -> Result<SelectionMethod, String> {
    serde_json::from_value(text.into()).map_err(|e| e.to_string())
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let mut config: RetrainConfig = args.config.resolve(args.fields.overrides()?)?;
    if config.weights.as_os_str().is_empty() && config.training.network == NetworkKind::ResNet20 {
        config.weights = crate::models::baseline_weights()?;
    }
    config.validate().map_err(|e| args::usage(e.to_string()))?;
    let data = args.data.open(&config.training)?;
    let device = args.device.device();
    let mut bars = Bars::new(ui.quiet);
    let found = args.threads.run(|| {
        let outcome = retrain_on(&config, &data.train, &data.held_out, &args.run, &device, &mut bars)?;
        let title = format!("{} retrained, lambda {}", config.training.network, config.rate.lambda);
        curves::of(&title, &outcome.epochs).write(&args.run.join("curves.svg"))?;
        let Some(test) = data.test.filter(|_| !args.no_test) else { return Ok(outcome.held_out) };
        let (_, found) = measure(&config, &outcome, EvaluateOptions::default(), &test, &device, &mut bars)?;
        let mut json = Output::create(&args.run.join("test.json"), true)?;
        evaluation_report::write_json(&found, &mut json)?;
        json.commit()?;
        Ok(found)
    })?;
    drop(bars);
    if ui.quiet { Ok(()) } else { output::print(&evaluation_report::text(&found), false) }
}

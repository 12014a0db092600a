//! `subband train`: a network from scratch.

use std::path::PathBuf;

use anyhow::Result;
use subband_nn::NetworkKind;
use subband_nn::train::{TrainConfig, train_on};
use toml::Value;

use crate::args::{self, DeviceArg, Threads};
use crate::config_file::{ConfigArgs, Overrides};
use crate::network::TrainingArgs;
use crate::progress::Bars;
use crate::{Ui, curves, output};

/// Train a network from scratch on CIFAR-10 or a folder of photographs
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Trains on 45,000 images of CIFAR-10 and keeps 5,000 held out to choose the best epoch; ResNet-18 and 34 learn a folder of \
photographs, of which every 50th is held out. Everything goes into the run folder: \
config.toml with every field of the configuration, metrics.csv, curves.svg at the end, last.safetensors, and best.safetensors, which eval and \
calibrate take as --weights. A run that was interrupted at any moment goes on from its last epoch when the same command \
is given again, and ends as the unbroken run would have.

The configuration comes from the defaults, over them the file of --config, over that the flags.

Examples:
  subband train --run runs/first
  subband train --run runs/long --epochs 60 --learning-rate 0.3 --seed 2
  subband train --run runs/longer --epochs 100 --cycles 2
  subband train --run runs/again --config runs/long/config.toml --seed 3
  subband train --run runs/steps --schedule step --milestones 30,45 --warmup-epochs 1 --epochs 60
  subband train --run runs/trial --epochs 1 --limit 2000
  subband train --run runs/imagenet --config configs/imagenet-train.toml --data imagenet"
)]
pub struct Args {
    /// Run folder, made where it is missing
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    #[command(flatten)]
    data: TrainingArgs,

    #[command(flatten)]
    device: DeviceArg,

    #[command(flatten)]
    threads: Threads,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    fields: Fields,
}

/// A flag for each field of [`TrainConfig`].
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fields of the configuration")]
struct Fields {
    /// Network: resnet20, resnet32, resnet56 (CIFAR-10), resnet18 or resnet34 (photographs) [default: resnet20]
    #[arg(long, value_name = "NETWORK")]
    network: Option<NetworkKind>,

    /// Shortcut of a block that changes the shape: A pads with zeros, B is a convolution, what resnet18 and 34 have [default: A]
    #[arg(long, value_name = "A|B", value_parser = ["A", "B"], hide_possible_values = true)]
    shortcut: Option<String>,

    /// Seed of weights, order and augmentation [default: 1]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    /// Passes over the training images [default: 12]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,

    /// Images a step [default: 128]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,

    /// Devices that share each batch: the first of the kind of --device, or for a trial so many replicas on one CPU
    /// [default: 1]
    #[arg(long, value_name = "N")]
    devices: Option<usize>,

    /// Highest learning rate of the schedule [default: 0.2]
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,

    /// How the learning rate runs: one-cycle, cosine or step [default: one-cycle]
    #[arg(long, value_name = "KIND", value_parser = ["one-cycle", "cosine", "step"], hide_possible_values = true)]
    schedule: Option<String>,

    /// one-cycle: where the peak lies, as a share of a cycle's steps [default: 0.25]
    #[arg(long, value_name = "SHARE")]
    peak_at: Option<f64>,

    /// one-cycle: cycles of equal length [default: 1]
    #[arg(long, value_name = "N")]
    cycles: Option<u32>,

    /// one-cycle: each cycle's peak as a share of the one before [default: 0.5]
    #[arg(long, value_name = "SHARE")]
    decay: Option<f64>,

    /// cosine and step: epochs of linear warm-up [default: 0]
    #[arg(long, value_name = "EPOCHS")]
    warmup_epochs: Option<f64>,

    /// step: epochs at whose start the rate falls, as 30,45
    #[arg(long, value_name = "EPOCHS", value_delimiter = ',')]
    milestones: Option<Vec<usize>>,

    /// step: what the rate is multiplied by at a milestone [default: 0.1]
    #[arg(long, value_name = "FACTOR")]
    factor: Option<f64>,

    /// Momentum of SGD [default: 0.9]
    #[arg(long, value_name = "SHARE")]
    momentum: Option<f64>,

    /// Nesterov's form of the momentum [default: true]
    #[arg(long, value_name = "BOOL")]
    nesterov: Option<bool>,

    /// Weight decay on kernels and matrices [default: 0.0005]
    #[arg(long, value_name = "DECAY")]
    weight_decay: Option<f64>,

    /// Whether BatchNorm's scales and all biases decay too [default: false]
    #[arg(long, value_name = "BOOL")]
    decay_vectors: Option<bool>,

    /// Longest gradient over all parameters, or none [default: none]
    #[arg(long, value_name = "LENGTH", value_parser = args::toml_number_or_none)]
    gradient_clip: Option<Value>,

    /// Share of the target probability spread over all classes [default: 0.0]
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<f64>,

    /// CIFAR-10: random crops out of the image padded by this many pixels [default: 4]
    #[arg(long, value_name = "PIXELS")]
    crop_padding: Option<usize>,

    /// Photographs: random parts of at least this share of the area [default: 0.08]
    #[arg(long, value_name = "SHARE")]
    smallest_crop: Option<f64>,

    /// Random horizontal flips [default: true]
    #[arg(long, value_name = "BOOL")]
    flip: Option<bool>,

    /// Only this many training images, for trials, or none for all [default: none]
    #[arg(long, value_name = "N", value_parser = args::toml_number_or_none)]
    limit: Option<Value>,

    /// Photographs: every so manieth training image is held out [default: 50]
    #[arg(long, value_name = "N")]
    held_out_every: Option<usize>,

    /// Keep a checkpoint after every so many steps within an epoch too, or none [default: none]
    #[arg(long, value_name = "N", value_parser = args::toml_number_or_none)]
    checkpoint_steps: Option<Value>,
}

impl Fields {
    fn overrides(self) -> Result<Overrides> {
        let mut set = Overrides::default();
        set.set("network", self.network)?;
        let usual = self.network.filter(|network| network.is_imagenet()).map(|_| "B".to_owned());
        set.set("shortcut", self.shortcut.or(usual))?;
        set.set("seed", self.seed)?;
        set.set("epochs", self.epochs)?;
        set.set("batch_size", self.batch_size)?;
        set.set("devices", self.devices)?;
        set.set("learning_rate", self.learning_rate)?;
        set.set("schedule.kind", self.schedule)?;
        set.set("schedule.peak_at", self.peak_at)?;
        set.set("schedule.cycles", self.cycles)?;
        set.set("schedule.decay", self.decay)?;
        set.set("schedule.warmup_epochs", self.warmup_epochs)?;
        set.set("schedule.milestones", self.milestones)?;
        set.set("schedule.factor", self.factor)?;
        set.set("momentum", self.momentum)?;
        set.set("nesterov", self.nesterov)?;
        set.set("weight_decay", self.weight_decay)?;
        set.set("decay_vectors", self.decay_vectors)?;
        set.set("gradient_clip", self.gradient_clip)?;
        set.set("label_smoothing", self.label_smoothing)?;
        set.set("crop_padding", self.crop_padding)?;
        set.set("smallest_crop", self.smallest_crop)?;
        set.set("flip", self.flip)?;
        set.set("limit", self.limit)?;
        set.set("held_out_every", self.held_out_every)?;
        set.set("checkpoint_steps", self.checkpoint_steps)?;
        Ok(set)
    }
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let config: TrainConfig = args.config.resolve(args.fields.overrides()?)?;
    config.validate().map_err(|e| args::usage(e.to_string()))?;

    let data = args.data.open(&config)?;
    let mut bars = Bars::new(ui.quiet);
    let device = args.device.device();
    let outcome =
        args.threads.run(|| Ok(train_on(&config, &data.train, &data.held_out, &args.run, &device, &mut bars)?))?;
    let title = format!("{} from scratch, seed {}", config.network, config.seed);
    curves::of(&title, &outcome.epochs).write(&args.run.join("curves.svg"))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches};
    use subband_nn::train::Schedule;

    fn fields(flags: &[&str]) -> Fields {
        let command = Fields::augment_args(clap::Command::new("train").no_binary_name(true));
        Fields::from_arg_matches(&command.get_matches_from(flags)).unwrap()
    }

    fn resolve(flags: &[&str]) -> TrainConfig {
        crate::config_file::layered(None, fields(flags).overrides().unwrap().table()).unwrap()
    }

    /// The values of a table by the last part of their keys; the kind of a schedule is the schedule.
    fn leaves(name: &str, value: &Value, into: &mut Vec<(String, String)>) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    leaves(if key == "kind" { name } else { key }, value, into);
                }
            }
            Value::String(text) => into.push((name.into(), text.clone())),
            value => into.push((name.into(), value.to_string())),
        }
    }

    #[test]
    fn every_field_has_a_flag_whose_help_gives_its_default() {
        let command = Fields::augment_args(clap::Command::new("train"));
        let mut fields = Vec::new();
        leaves("", &Value::try_from(TrainConfig::default()).unwrap(), &mut fields);
        for (name, default) in fields {
            let flag = command.get_arguments().find(|flag| flag.get_id().as_str() == name);
            let help = flag.unwrap_or_else(|| panic!("{name} has no flag")).get_help().unwrap().to_string();
            assert!(help.ends_with(&format!("[default: {default}]")), "{name}: {help}");
        }
    }

    #[test]
    fn flags_reach_their_fields() {
        assert_eq!(resolve(&[]), TrainConfig::default());
        let config = resolve(
            &"--network resnet32 --shortcut B --seed 2 --epochs 3 --batch-size 4 --devices 2 --learning-rate 0.5 --schedule step \
              --milestones 1,2 --factor 0.2 --warmup-epochs 0.5 --momentum 0.6 --nesterov false --weight-decay 0.7 \
              --decay-vectors true --gradient-clip 5 --label-smoothing 0.1 --crop-padding 2 --smallest-crop 0.5 --flip false \
              --limit 9 --held-out-every 10 --checkpoint-steps 100"
                .split_whitespace()
                .collect::<Vec<_>>(),
        );
        let mut expected = TrainConfig::default().with_network(NetworkKind::ResNet32).with_seed(2).with_epochs(3);
        expected.shortcut = subband_nn::Shortcut::B;
        expected.batch_size = 4;
        expected.devices = 2;
        expected.learning_rate = 0.5;
        expected.schedule = Schedule::Step { warmup_epochs: 0.5, milestones: vec![1, 2], factor: 0.2 };
        expected.momentum = 0.6;
        expected.nesterov = false;
        expected.weight_decay = 0.7;
        expected.decay_vectors = true;
        expected.gradient_clip = Some(5.0);
        expected.label_smoothing = 0.1;
        expected.crop_padding = 2;
        expected.smallest_crop = 0.5;
        expected.flip = false;
        expected.limit = Some(9);
        expected.held_out_every = 10;
        expected.checkpoint_steps = Some(100);
        assert_eq!(config, expected);
        let cycles = Schedule::OneCycle { peak_at: 0.5, cycles: 2, decay: 0.7 };
        assert_eq!(resolve(&["--peak-at", "0.5", "--cycles", "2", "--decay", "0.7"]).schedule, cycles);
        assert_eq!(resolve(&["--schedule", "cosine"]).schedule, Schedule::Cosine { warmup_epochs: 0.0 });
        assert_eq!(resolve(&["--limit", "none"]).limit, None);
        assert_eq!(resolve(&["--network", "resnet18"]).shortcut, subband_nn::Shortcut::B);
    }

    #[test]
    fn the_files_of_the_repository_are_sound() {
        let file = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs").join(name);
        let config: TrainConfig =
            crate::config_file::layered(Some(&file("imagenet-train.toml")), &toml::Table::new()).unwrap();
        config.validate().unwrap();
        let config: subband_nn::retrain::RetrainConfig =
            crate::config_file::layered(Some(&file("imagenet-retrain.toml")), &toml::Table::new()).unwrap();
        config.with_weights("w.safetensors").validate().unwrap();
    }
}

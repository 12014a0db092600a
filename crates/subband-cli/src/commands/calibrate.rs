//! `subband calibrate`: training images through a network, and the profile its maps are coded with.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use subband::{Profile, Wavelet};
use subband_nn::calibrate::{CalibrateConfig, Calibration, StepRule, calibrate};
use subband_nn::data::{Dataset, image_folder};
use subband_nn::{NetworkKind, Taps};

use crate::args::{self, Threads};
use crate::network::{NetworkArgs, Part};
use crate::output::{self, Output};
use crate::progress::Bars;
use crate::{Ui, models, table};

/// Make a profile from training images
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Runs training images through the network and writes what encoder and decoder of its maps share: wavelet, quantizer \
steps and frequency tables of each tap. Searches measure on held-out training images (CIFAR-10: the last 5,000); test \
images are never looked at.

Examples:
  subband calibrate --network resnet20 --weights w.safetensors --step-scale 0.5 -o resnet20.sbp
  subband calibrate --network resnet20 --weights w.safetensors --bits 1.5 --wavelet haar --levels 3 -o r.sbp
  subband calibrate --network resnet20 --weights w.safetensors --target-drop 0.5 --taps relu -o r.sbp
  subband calibrate --network resnet20 --weights w.safetensors --preset thesis -o thesis.sbp
  subband calibrate --network resnet18 --weights r18.safetensors --data imagenet/train --step-scale 0.5 -o r18.sbp"
)]
pub struct Args {
    #[command(flatten)]
    network: NetworkArgs,

    /// Profile to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Maps to code: blocks (residual block outputs) or relu (every ReLU output)
    #[arg(long, value_name = "TAPS", default_value = "blocks")]
    taps: Taps,

    /// Wavelet: none, haar, legall53, cdf97 or db2 [default: haar]
    #[arg(long, value_name = "WAVELET", conflicts_with = "preset")]
    wavelet: Option<Wavelet>,

    /// Levels of the transform, 0 to 8 [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=8), conflicts_with = "preset")]
    levels: Option<u8>,

    #[command(flatten)]
    rule: RuleArgs,

    /// Rounding offset of the quantizer, 0 to 0.5: 0.5 rounds to nearest, less widens the dead zone
    #[arg(long, value_name = "R", value_parser = args::half_unit, conflicts_with = "preset")]
    rounding: Option<f32>,

    /// Shift of the point of reconstruction towards zero, 0 to 0.5 steps
    #[arg(long, value_name = "SHIFT", value_parser = args::half_unit, conflicts_with = "preset")]
    reconstruction: Option<f32>,

    /// Training images to take statistics and tables from [default: 2000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,

    /// Held-out images that a search measures on [default: 5000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    held_out_images: Option<u32>,

    /// Held-out photographs that a search measures on; CIFAR-10 has its own
    #[arg(long, value_name = "DIR")]
    held_out: Option<PathBuf>,

    #[command(flatten)]
    threads: Threads,

    /// Overwrite an existing profile: streams coded against it become unreadable
    #[arg(long)]
    force: bool,
}

/// Where the steps come from: one of these.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct RuleArgs {
    /// Step of a tap, in standard deviations of its values [default: 0.5]
    #[arg(long, value_name = "K", value_parser = args::positive::<f64>)]
    step_scale: Option<f64>,

    /// Steps and transform of a published codec: thesis
    #[arg(long, value_name = "PRESET")]
    preset: Option<StepRule>,

    /// Search the finest steps that take at most this many bits per value
    #[arg(long, value_name = "BITS", value_parser = args::positive::<f64>)]
    bits: Option<f64>,

    /// Search the coarsest steps that cost at most this many points of top-1 accuracy
    #[arg(long, value_name = "POINTS")]
    target_drop: Option<f64>,
}

impl RuleArgs {
    fn rule(&self) -> StepRule {
        match *self {
            Self { preset: Some(rule), .. } => rule,
            Self { bits: Some(bits), .. } => StepRule::Bits(bits),
            Self { target_drop: Some(points), .. } => StepRule::TargetDrop(points),
            Self { step_scale, .. } => StepRule::Scale(step_scale.unwrap_or(0.5)),
        }
    }
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let mut config = CalibrateConfig::default().with_taps(args.taps).with_rule(args.rule.rule());
    let wavelet = args.wavelet.unwrap_or(config.wavelet);
    config = config.with_wavelet(wavelet, super::levels_of(wavelet, args.levels, 3));
    config.rounding = args.rounding.unwrap_or(config.rounding);
    config.reconstruction = args.reconstruction.unwrap_or(config.reconstruction);
    config.images = args.images.map_or(config.images, |n| n as usize);
    config.held_out_images = args.held_out_images.map_or(config.held_out_images, |n| n as usize);
    config.validate().map_err(|e| args::usage(e.to_string()))?;

    let mut output = Output::create(&args.output, args.force)?;
    let source = args.network.source(models::BASELINE)?;
    let network = source.load()?;
    let train = args.network.images(source.kind, Part::Train)?;
    let held_out = held_out(&args, source.kind, config.rule)?;
    let mut bars = Bars::new(ui.quiet);
    let found = args.threads.run(|| Ok(calibrate(&network, &train, held_out.as_ref(), &config, &mut bars)?))?;
    drop(bars);

    let bytes = found.profile.to_bytes();
    output.write_all(&bytes).with_context(|| format!("cannot write {}", args.output.display()))?;
    let to_stderr = output.is_stdout();
    output.commit()?;
    if found.saturated > 0 && !ui.quiet {
        output::warn(&format!("{} values or indices were clamped to their range", found.saturated));
    }
    if ui.quiet { Ok(()) } else { output::print(&summary(&found, &config, bytes.len()), to_stderr) }
}

/// The images for a rule that searches.
fn held_out(args: &Args, kind: NetworkKind, rule: StepRule) -> Result<Option<Dataset>> {
    if !matches!(rule, StepRule::Bits(_) | StepRule::TargetDrop(_)) {
        return Ok(None);
    }
    if !kind.is_imagenet() {
        return args.network.images(kind, Part::HeldOut).map(Some);
    }
    match &args.held_out {
        Some(folder) => Ok(Some(image_folder(folder, None)?)),
        None => Err(args::usage("this search needs --held-out: photographs that are not those of --data")),
    }
}

fn summary(found: &Calibration, config: &CalibrateConfig, bytes: usize) -> String {
    let mut rows = table::new(&["tap", "shape", "std", "max", "step", "tables"]);
    for (tap, statistics) in found.profile.taps().iter().zip(&found.statistics) {
        rows.add_row([
            tap.name().to_owned(),
            table::shape(&tap.shape()),
            table::figure(statistics.std),
            table::figure(statistics.max.into()),
            table::steps(&tap.coding().steps),
            tap.table_count().to_string(),
        ]);
    }
    let mut text = table::render(&rows);
    text += &format!("\n{}, {} taps: {}", found.profile.network(), found.profile.taps().len(), config.rule);
    if let (Some(scale), false) = (found.step_scale, matches!(config.rule, StepRule::Scale(_))) {
        text += &format!(", found at step scale {}", table::figure(scale));
    }
    if let Some(search) = &found.search {
        let unit = if matches!(config.rule, StepRule::Bits(_)) { "bits per value" } else { "points lost" };
        let achieved = table::figure(search.achieved);
        text += &format!(": {achieved} {unit} on {} held-out images", table::count(search.images as u64));
    }
    text + &format!("\nprofile {} ({} bytes)\n", hash(&found.profile), table::count(bytes as u64))
}

fn hash(profile: &Profile) -> String {
    profile.hash().to_string()[..16].to_owned()
}

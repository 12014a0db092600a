//! `subband calibrate`: training images through a network, and the profile its maps are coded with.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use subband::{Effort, Profile, Wavelet};
use subband_nn::calibrate::{CalibrateConfig, Calibration, StepRule, calibrate, recalibrate};
use subband_nn::data::{Dataset, image_folder};
use subband_nn::{NetworkKind, Taps};
use subband_onnx::TapChoice;

use crate::args::{self, Threads};
use crate::network::{NetworkArgs, Part};
use crate::onnx::{self, OnnxArgs};
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
  subband calibrate --network resnet18 --weights r18.safetensors --data imagenet/train --step-scale 0.5 -o r18.sbp
  subband calibrate --network resnet20 --weights w.safetensors --from-profile r.sbp --effort max -o max.sbp
  subband calibrate --round-steps r.sbp -o rounded.sbp
  subband calibrate --model net.onnx --data photographs --taps relu --step-scale 0.3 -o net.sbp
  subband calibrate --model net.onnx --data photographs --from-profile tuned.sbp --step-scale 0.8 -o finer.sbp"
)]
pub struct Args {
    #[command(flatten)]
    network: NetworkArgs,

    /// Profile to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// An ONNX file in place of --network and --weights: one step scale for all taps
    #[arg(long, value_name = "FILE.onnx", conflicts_with_all = ["network", "weights", "preset", "bits", "target_drop", "held_out"])]
    model: Option<PathBuf>,

    /// Maps to code: blocks (residual block outputs) or relu (every ReLU output); of an ONNX model also activations, conv,
    /// all, a kind of `subband taps`, a pattern of names or @FILE
    #[arg(long, value_name = "TAPS", default_value = "blocks")]
    taps: String,

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

    /// Keep taps, transforms, steps and masks of this profile, such as a retrained network's or a tuned one, and make the rest anew
    #[arg(long, value_name = "FILE", conflicts_with_all = ["taps", "wavelet", "levels", "preset", "bits",
         "target_drop", "rounding", "reconstruction", "held_out", "held_out_images"])]
    from_profile: Option<PathBuf>,

    /// Round the steps of this profile and keep all else of it: no network is run. Maps as self-contained streams then take some
    /// 16 bytes less. Profiles that `calibrate` and `tune` make have rounded steps
    #[arg(long, value_name = "FILE", conflicts_with_all = ["network", "weights", "data", "model", "taps", "wavelet", "levels",
        "step_scale", "preset", "bits", "target_drop", "rounding", "reconstruction", "images", "held_out", "held_out_images",
        "from_profile", "effort"])]
    round_steps: Option<PathBuf>,

    /// The most work of the entropy coder that the profile is made for: default, or max, which trains small networks, half
    /// a minute of a core a tap
    #[arg(long, value_name = "EFFORT", default_value_t)]
    effort: Effort,

    #[command(flatten)]
    onnx: OnnxArgs,

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
    /// Step of a tap, in standard deviations of its values [default: 0.5]; with --from-profile, in steps of that profile
    /// [default: 1]
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
    if let Some(given) = &args.round_steps {
        return run_round_steps(given, &args, ui);
    }
    if let Some(given) = &args.from_profile {
        return run_from_profile(given, &args, ui);
    }
    if let Some(model) = &args.model {
        return run_onnx(model, &args, ui);
    }
    let taps: Taps = args.taps.parse().map_err(|e: subband_nn::Error| args::usage(e.to_string()))?;
    let mut config = CalibrateConfig::default().with_taps(taps).with_rule(args.rule.rule());
    let wavelet = args.wavelet.unwrap_or(config.wavelet);
    config = config.with_wavelet(wavelet, super::levels_of(wavelet, args.levels, 3));
    config.rounding = args.rounding.unwrap_or(config.rounding);
    config.reconstruction = args.reconstruction.unwrap_or(config.reconstruction);
    config.effort = args.effort;
    config.images = args.images.map_or(config.images, |n| n as usize);
    config.held_out_images = args.held_out_images.map_or(config.held_out_images, |n| n as usize);
    config.validate().map_err(|e| args::usage(e.to_string()))?;

    let output = Output::create(&args.output, args.force)?;
    let source = args.network.source(models::BASELINE)?;
    let network = source.load()?;
    let train = args.network.images(source.kind, Part::Train)?;
    let held_out = held_out(&args, source.kind, config.rule)?;
    let mut bars = Bars::new(ui.quiet);
    let found = args.threads.run(|| Ok(calibrate(&network, &train, held_out.as_ref(), &config, &mut bars)?))?;
    drop(bars);

    let (bytes, to_stderr) = write(&found.profile, output, &args)?;
    if found.saturated > 0 && !ui.quiet {
        output::warn(&format!("{} values or indices were clamped to their range", found.saturated));
    }
    if ui.quiet { Ok(()) } else { output::print(&summary(&found, &config, bytes), to_stderr) }
}

fn run_from_profile(given: &Path, args: &Args, ui: Ui) -> Result<()> {
    let profile = super::read_profile(given)?;
    let output = Output::create(&args.output, args.force)?;
    let images = args.images.map_or(CalibrateConfig::default().images, |n| n as usize);
    let factor = args.rule.step_scale.unwrap_or(1.0) as f32;
    let mut bars = Bars::new(ui.quiet);
    let made = match &args.model {
        Some(model) => args.threads.run(|| {
            let opened = args.onnx.open(model)?;
            let inputs = opened.inputs(onnx_data(args)?, args.network.classes())?.spread(images);
            let (network, layout) = (opened.network(), opened.layout);
            Ok(subband_onnx::recalibrate(&network, &profile, factor, &inputs, layout, args.effort, &mut bars)?)
        })?,
        None => {
            let source = args.network.source(models::BASELINE)?;
            let network = source.load()?;
            let train = args.network.images(source.kind, Part::Train)?;
            args.threads.run(|| Ok(recalibrate(&network, &train, &profile, factor, images, args.effort, &mut bars)?))?
        }
    };
    drop(bars);
    let (bytes, to_stderr) = write(&made, output, args)?;
    let steps = if factor == 1.0 { String::new() } else { format!(", steps times {factor}") };
    let text = format!(
        "{}, {} taps of {}{steps}, for efforts up to {}{}",
        onnx::printable(made.network()),
        made.taps().len(),
        given.display(),
        args.effort,
        last_line(&made, bytes)
    );
    if ui.quiet { Ok(()) } else { output::print(&text, to_stderr) }
}

/// The photographs or arrays of an ONNX model.
fn onnx_data(args: &Args) -> Result<&Path> {
    args.network.data().ok_or_else(|| args::usage("an ONNX model needs --data: photographs or arrays"))
}

fn run_round_steps(given: &Path, args: &Args, ui: Ui) -> Result<()> {
    let made = super::read_profile(given)?.with_rounded_steps();
    let (bytes, to_stderr) = write(&made, Output::create(&args.output, args.force)?, args)?;
    let (network, taps) = (onnx::printable(made.network()), made.taps().len());
    let text = format!("{network}, {taps} taps of {}, steps rounded{}", given.display(), last_line(&made, bytes));
    if ui.quiet { Ok(()) } else { output::print(&text, to_stderr) }
}

fn run_onnx(path: &Path, args: &Args, ui: Ui) -> Result<()> {
    let choice: TapChoice = args.taps.parse().map_err(|e: subband_onnx::Error| args::usage(e.to_string()))?;
    let mut config = subband_onnx::CalibrateConfig::default();
    config.wavelet = args.wavelet.unwrap_or(config.wavelet);
    config.levels = super::levels_of(config.wavelet, args.levels, config.levels);
    config.step_scale = args.rule.step_scale.unwrap_or(config.step_scale);
    config.rounding = args.rounding.unwrap_or(config.rounding);
    config.reconstruction = args.reconstruction.unwrap_or(config.reconstruction);
    config.effort = args.effort;
    let data = onnx_data(args)?;
    let output = Output::create(&args.output, args.force)?;
    let mut bars = Bars::new(ui.quiet);
    let found = args.threads.run(|| {
        let opened = args.onnx.open(path)?;
        config.layout = opened.layout;
        let inputs = opened.inputs(data, args.network.classes())?.spread(args.images.unwrap_or(2000) as usize);
        let taps = choice.choose(&opened.candidates)?;
        Ok(subband_onnx::calibrate(&opened.network(), &taps, &inputs, &config, &mut bars)?)
    })?;
    drop(bars);
    let (bytes, to_stderr) = write(&found.profile, output, args)?;
    let measured = found.statistics.iter().map(|tap| (tap.std, tap.max));
    let mut text = tap_table(&found.profile, measured);
    text += &format!(
        "\n{}, {} taps: step scale {}",
        onnx::printable(found.profile.network()),
        found.profile.taps().len(),
        config.step_scale
    );
    text += &last_line(&found.profile, bytes);
    if ui.quiet { Ok(()) } else { output::print(&text, to_stderr) }
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

/// A row a tap; `measured` are deviation and maximum.
fn tap_table(profile: &Profile, measured: impl Iterator<Item = (f64, f32)>) -> String {
    let mut rows = table::new(&["tap", "shape", "std", "max", "step", "tables"]);
    for (tap, (std, max)) in profile.taps().iter().zip(measured) {
        rows.add_row([
            onnx::printable(tap.name()),
            table::shape(&tap.shape()),
            table::figure(std),
            table::figure(max.into()),
            table::steps(&tap.coding().steps),
            tap.table_count().to_string(),
        ]);
    }
    table::render(&rows)
}

fn summary(found: &Calibration, config: &CalibrateConfig, bytes: usize) -> String {
    let mut text = tap_table(&found.profile, found.statistics.iter().map(|tap| (tap.std, tap.max)));
    text += &format!("\n{}, {} taps: {}", found.profile.network(), found.profile.taps().len(), config.rule);
    if let (Some(scale), false) = (found.step_scale, matches!(config.rule, StepRule::Scale(_))) {
        text += &format!(", found at step scale {}", table::figure(scale));
    }
    if let Some(search) = &found.search {
        let unit = if matches!(config.rule, StepRule::Bits(_)) { "bits per value" } else { "points lost" };
        let achieved = table::figure(search.achieved);
        text += &format!(": {achieved} {unit} on {} held-out images", table::count(search.images as u64));
    }
    text + &last_line(&found.profile, bytes)
}

/// Ends the line before, and says which profile it is and how large.
fn last_line(profile: &Profile, bytes: usize) -> String {
    let hash = profile.hash().to_string();
    format!("\nprofile {} ({} bytes)\n", &hash[..16], table::count(bytes as u64))
}

/// Writes the profile; returns its size, and whether it went to standard output, where a report has to stay out.
fn write(profile: &Profile, mut output: Output, args: &Args) -> Result<(usize, bool)> {
    let bytes = profile.to_bytes();
    output.write_all(&bytes).with_context(|| format!("cannot write {}", args.output.display()))?;
    let is_stdout = output.is_stdout();
    output.commit()?;
    Ok((bytes.len(), is_stdout))
}

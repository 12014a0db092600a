//! `subband eval`: accuracy and bytes with every map compressed and decompressed on the way.

use std::path::{Path, PathBuf};

use anyhow::Result;
use subband::Effort;
use subband_nn::data::Skipped;
use subband_nn::evaluate::{EvaluateOptions, evaluate};

use crate::args::{self, Threads};
use crate::network::{NetworkArgs, Part};
use crate::onnx::OnnxArgs;
use crate::progress::Bars;
use crate::{Ui, evaluation_report, models, onnx, output};

/// Measure accuracy and rate with a profile in the network
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every image goes through the network on its own, and every map at a tap of the profile is really compressed to bytes \
and decompressed; the network goes on with the decoded map. CIFAR-10 networks are measured on the test images.

An ONNX model is measured on the photographs or arrays of --data; without labels, by how close its outputs stay to \
those without the codec.

Without a network, a bundled model is measured: `subband models` lists them.

Examples:
  subband eval
  subband eval --model resnet20-cifar10 --limit 1000
  subband eval --network resnet20 --weights w.safetensors --profile resnet20.sbp
  subband eval --network resnet20 --weights w.safetensors --profile resnet20.sbp --limit 1000 --json out.json
  subband eval --network resnet18 --weights r18.safetensors --profile r18.sbp --data imagenet/val
  subband eval --model net.onnx --profile net.sbp --data photographs --json -")]
pub struct Args {
    #[command(flatten)]
    network: NetworkArgs,

    #[arg(long, value_name = "NAME|FILE.onnx", help = format!("An ONNX file, or a bundled model: network, weights and profile [default: {}]", models::DEFAULT), conflicts_with_all = ["network", "weights"])]
    model: Option<String>,

    /// Profile the maps are coded with; it says which taps [default: that of the bundled model]
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,

    /// Write the figures as JSON to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Work of the entropy coder: fast or default; default takes fewer bytes
    #[arg(long, value_name = "EFFORT", default_value_t)]
    effort: Effort,

    /// Rate-distortion optimised indices: a bit is worth so many squared steps of error, 0 to 10; 0 is plain rounding
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0, value_parser = args::rdo)]
    rdo: f32,

    /// Only the first N images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    #[command(flatten)]
    onnx: OnnxArgs,

    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    if let Some(model) = args.model.as_deref().filter(|model| onnx::is_file(model)) {
        return run_onnx(Path::new(model), &args, ui);
    }
    // A report can be made again: unlike compressed files and profiles it may be overwritten.
    let json = args.json.as_deref().map(|path| output::Output::create(path, true)).transpose()?;
    let source = args.network.source(args.model.as_deref().unwrap_or(models::DEFAULT))?;
    let profile = args.profile.as_ref().or(source.profile.as_ref());
    let profile = profile.ok_or_else(|| args::usage("--weights needs --profile: what their maps are coded with"))?;
    let profile = super::read_profile(profile)?;
    let network = source.load()?;
    let mut images = args.network.images(source.kind, Part::Test)?;
    if let Some(limit) = args.limit {
        images = images.limit(limit as usize);
    }
    let options = EvaluateOptions::default()
        .with_weights(source.weights.display().to_string())
        .with_effort(args.effort)
        .with_rdo(args.rdo);
    let mut bars = Bars::new(ui.quiet);
    let found = args.threads.run(|| Ok(evaluate(&network, &images, &profile, &options, &mut bars)?))?;
    drop(bars);

    show(&found, &found.skipped, &evaluation_report::text(&found), json, ui)
}

fn run_onnx(path: &Path, args: &Args, ui: Ui) -> Result<()> {
    let json = args.json.as_deref().map(|path| output::Output::create(path, true)).transpose()?;
    let profile = args.profile.as_ref().ok_or_else(|| args::usage("an ONNX model needs --profile"))?;
    let profile = super::read_profile(profile)?;
    let data = args.network.data().ok_or_else(|| args::usage("an ONNX model needs --data: photographs or arrays"))?;
    let mut bars = Bars::new(ui.quiet);
    let found = args.threads.run(|| {
        let opened = args.onnx.open(path)?;
        let mut inputs = opened.inputs(data, args.network.classes())?;
        if let Some(limit) = args.limit {
            inputs = inputs.limit(limit as usize);
        }
        let options = EvaluateOptions::default()
            .with_weights(path.display().to_string())
            .with_effort(args.effort)
            .with_rdo(args.rdo);
        Ok(subband_onnx::evaluate(&opened.network(), &inputs, &profile, opened.layout, &options, &mut bars)?)
    })?;
    drop(bars);
    show(&found, &found.skipped, &evaluation_report::model_text(&found), json, ui)
}

/// Names what was left out, writes the JSON and prints the table.
fn show(
    found: &impl serde::Serialize,
    skipped: &[Skipped],
    text: &str,
    json: Option<output::Output>,
    ui: Ui,
) -> Result<()> {
    for skipped in skipped {
        output::warn(&format!("left out {}: {}", skipped.path.display(), skipped.reason));
    }
    let mut to_stderr = false;
    if let Some(mut json) = json {
        to_stderr = json.is_stdout();
        evaluation_report::write_json(found, &mut json)?;
        json.commit()?;
    }
    if ui.quiet { Ok(()) } else { output::print(text, to_stderr) }
}

//! `subband eval`: accuracy and bytes with every map compressed and decompressed on the way.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use subband::{Effort, Profile, TapProfile};
use subband_nn::Network;
use subband_nn::data::{Dataset, Skipped};
use subband_nn::evaluate::{EvaluateOptions, evaluate};
use subband_onnx::{Inputs, Outcome};

use crate::args::{self, Threads};
use crate::html::{Page, TapPicture};
use crate::network::{NetworkArgs, Part};
use crate::onnx::{OnnxArgs, Opened};
use crate::output::Output;
use crate::progress::Bars;
use crate::{Ui, evaluation_report, html, map_picture, models, onnx, output};

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
  subband eval --limit 1000 --report eval.html --pictures layer1.0,layer3.1
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

    /// Write a line for each labelled input of an ONNX model to this CSV file: its class, and its margin (the logarithm of how
    /// much likelier its class is than any other) without the codec and with it
    #[arg(long, value_name = "FILE")]
    outcomes: Option<PathBuf>,

    /// Write a page with tables, charts and pictures to this HTML file; it needs no network to be read
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Write the charts of --report as SVG files and its pictures as PNG files to this folder too
    #[arg(long, value_name = "DIR", requires = "report")]
    plots: Option<PathBuf>,

    /// Taps whose maps the page shows, separated by commas, or `all` [default: the first, the middle and the last]
    #[arg(long, value_name = "TAPS", value_delimiter = ',', requires = "report")]
    pictures: Vec<String>,

    /// Image whose maps the page shows, from 0
    #[arg(long, value_name = "N", default_value_t = 0, requires = "report")]
    picture_image: u32,

    /// Work of the entropy coder: fast, default or max; more work takes fewer bytes, and max needs a profile made for it
    #[arg(long, value_name = "EFFORT", default_value_t)]
    effort: Effort,

    /// Rate-distortion optimised indices: a bit is worth so many squared steps of error, 0 to 10; 0 is plain rounding
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0, value_parser = args::rdo)]
    rdo: f32,

    /// Leave out the self-contained rate: every map coded a second time with its tables in the stream
    #[arg(long)]
    no_self_contained: bool,

    /// Only the first N images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    #[command(flatten)]
    onnx: OnnxArgs,

    #[command(flatten)]
    threads: Threads,
}

impl Args {
    fn options(&self, weights: &str) -> EvaluateOptions {
        EvaluateOptions::default()
            .with_weights(weights)
            .with_effort(self.effort)
            .with_rdo(self.rdo)
            .with_self_contained(!self.no_self_contained)
    }
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    if let Some(model) = args.model.as_deref().filter(|model| onnx::is_file(model)) {
        return run_onnx(Path::new(model), &args, ui);
    }
    if args.outcomes.is_some() {
        return Err(args::usage("--outcomes is for ONNX models"));
    }
    let outputs = Outputs::open(&args)?;
    let source = args.network.source(args.model.as_deref().unwrap_or(models::DEFAULT))?;
    let profile = args.profile.as_ref().or(source.profile.as_ref());
    let profile = profile.ok_or_else(|| args::usage("--weights needs --profile: what their maps are coded with"))?;
    let profile = super::read_profile(profile)?;
    let network = source.load()?;
    let mut images = args.network.images(source.kind, Part::Test)?;
    if let Some(limit) = args.limit {
        images = images.limit(limit as usize);
    }
    let pictured = pictured(&args.pictures, &profile)?;
    check_picture(&args, images.len())?;
    let weights = source.weights.display().to_string();
    let options = args.options(&weights);
    let mut bars = Bars::new(ui.quiet);
    let found = args.threads.run(|| Ok(evaluate(&network, &images, &profile, &options, &mut bars)?))?;
    drop(bars);

    let page = || {
        let pictures = pictures(&network, &images, args.picture_image as usize, &pictured)?;
        let mut page = html::of_evaluation(&found, &profile, pictures)?;
        page.provenance = provenance(&weights, &source.weights, &profile, found.seconds)?;
        Ok(page)
    };
    outputs.write(&found, &found.skipped, &evaluation_report::text(&found), page, ui)
}

fn run_onnx(path: &Path, args: &Args, ui: Ui) -> Result<()> {
    let outputs = Outputs::open(args)?;
    let profile = args.profile.as_ref().ok_or_else(|| args::usage("an ONNX model needs --profile"))?;
    let profile = super::read_profile(profile)?;
    let pictured = pictured(&args.pictures, &profile)?;
    let data = args.network.data().ok_or_else(|| args::usage("an ONNX model needs --data: photographs or arrays"))?;
    let name = path.display().to_string();
    let mut bars = Bars::new(ui.quiet);
    let (found, pictures) = args.threads.run(|| {
        let opened = args.onnx.open(path)?;
        let mut inputs = opened.inputs(data, args.network.classes())?;
        if let Some(limit) = args.limit {
            inputs = inputs.limit(limit as usize);
        }
        let options = args.options(&name);
        check_picture(args, inputs.len())?;
        let found = subband_onnx::evaluate(&opened.network(), &inputs, &profile, opened.layout, &options, &mut bars)?;
        let pictures =
            if args.report.is_some() { onnx_pictures(&opened, &inputs, args, &pictured)? } else { Vec::new() };
        Ok((found, pictures))
    })?;
    drop(bars);
    if let Some(path) = &args.outcomes {
        write_outcomes(path, &found.outcomes)?;
    }
    let page = || {
        let mut page = html::of_model_evaluation(&found, &profile, pictures)?;
        page.provenance = provenance(&name, path, &profile, found.seconds)?;
        Ok(page)
    };
    outputs.write(&found, &found.skipped, &evaluation_report::model_text(&found), page, ui)
}

/// A line an input under a head.
fn write_outcomes(path: &Path, outcomes: &[Outcome]) -> Result<()> {
    let mut text = "class,margin_uncompressed,margin\n".to_owned();
    for outcome in outcomes {
        text += &format!("{},{},{}\n", outcome.class, outcome.margin_uncompressed, outcome.margin);
    }
    let mut output = Output::create(path, true)?;
    output.write_all(text.as_bytes())?;
    output.commit()
}

fn check_picture(args: &Args, images: usize) -> Result<()> {
    ensure!(
        args.report.is_none() || (args.picture_image as usize) < images,
        "--picture-image {}: there are {images} images, the first is 0",
        args.picture_image
    );
    Ok(())
}

/// The files that a run was asked for.
struct Outputs {
    json: Option<Output>,
    report: Option<Output>,
    plots: Option<PathBuf>,
}

impl Outputs {
    fn open(args: &Args) -> Result<Self> {
        // They can be made again: unlike compressed files and profiles they may be overwritten.
        let open = |path: &Option<PathBuf>| path.as_deref().map(|path| Output::create(path, true)).transpose();
        let all = Self { json: open(&args.json)?, report: open(&args.report)?, plots: args.plots.clone() };
        ensure!(
            ![&all.json, &all.report].iter().all(|output| output.as_ref().is_some_and(Output::is_stdout)),
            "--json and --report are both standard output: allowed is one"
        );
        Ok(all)
    }

    /// Names what was left out, writes the files and prints the table.
    fn write(
        self,
        found: &impl serde::Serialize,
        skipped: &[Skipped],
        text: &str,
        page: impl FnOnce() -> Result<Page>,
        ui: Ui,
    ) -> Result<()> {
        for skipped in skipped {
            output::warn(&format!("left out {}: {}", skipped.path.display(), skipped.reason));
        }
        let mut to_stderr = false;
        if let Some(mut json) = self.json {
            to_stderr = json.is_stdout();
            evaluation_report::write_json(found, &mut json)?;
            json.commit()?;
        }
        if let Some(mut report) = self.report {
            to_stderr |= report.is_stdout();
            let page = page()?;
            page.write(&mut report)?;
            report.commit()?;
            page.write_plots(self.plots.as_deref())?;
        }
        if ui.quiet { Ok(()) } else { output::print(text, to_stderr) }
    }
}

/// The taps of `profile` that are asked for by name.
fn pictured<'a>(names: &[String], profile: &'a Profile) -> Result<Vec<&'a TapProfile>> {
    let taps = profile.taps();
    match names {
        [] => {
            let mut chosen = vec![0, taps.len() / 2, taps.len().saturating_sub(1)];
            chosen.dedup();
            Ok(chosen.into_iter().filter_map(|index| taps.get(index)).collect())
        }
        [all] if all == "all" => Ok(taps.iter().collect()),
        names => names.iter().map(|name| Ok(profile.tap(name)?)).collect(),
    }
}

fn pictures(network: &Network, images: &Dataset, image: usize, taps: &[&TapProfile]) -> Result<Vec<TapPicture>> {
    let batch = images.batch(&[image])?;
    if batch.is_empty() {
        // It did not decode; the page lists it.
        return Ok(Vec::new());
    }
    let what = format!("{}, image {image}", network.kind());
    let picture = |tap: &&TapProfile| {
        let drawn = map_picture::draw(&what, &network.maps(&batch, tap.name())?, tap)?;
        Ok(TapPicture { png: drawn.to_png()?, caption: drawn.caption })
    };
    taps.iter().map(picture).collect()
}

fn onnx_pictures(opened: &Opened, inputs: &Inputs, args: &Args, taps: &[&TapProfile]) -> Result<Vec<TapPicture>> {
    let names: Vec<String> = taps.iter().map(|tap| tap.name().to_owned()).collect();
    let image = args.picture_image as usize;
    // An input that cannot be read is listed on the page.
    let maps = subband_onnx::maps(&opened.network(), inputs, image, &names, opened.layout)?.unwrap_or_default();
    let what = format!("{}, input {image}", opened.model.name());
    let picture = |(map, tap): (&Vec<f32>, &&TapProfile)| {
        let drawn = map_picture::draw(&what, map, tap)?;
        Ok(TapPicture { png: drawn.to_png()?, caption: drawn.caption })
    };
    maps.iter().zip(taps).map(picture).collect()
}

/// `name` is what the user calls the file with the weights.
fn provenance(name: &str, weights: &Path, profile: &Profile, seconds: f64) -> Result<Vec<(String, String)>> {
    Ok(html::provenance([
        ("weights", format!("{name}, SHA-256 {}", html::file_hash(weights)?)),
        ("profile", format!("hash {}", profile.hash())),
        ("time", format!("{seconds:.1} s")),
    ]))
}

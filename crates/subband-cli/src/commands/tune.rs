//! `subband tune`: the profile of fewest bytes for an ONNX model that keeps a budget.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use subband::{Effort, Wavelet};
use subband_onnx::{Budget, RunFolder, TapChoice, TuneConfig, tune};

use crate::args::{self, MissedBudget, Threads};
use crate::onnx::OnnxArgs;
use crate::output::{self, Output};
use crate::progress::Bars;
use crate::{Ui, evaluation_report, html, tune_report};

/// Find the profile of fewest bytes for an ONNX model under a budget
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Nothing is trained. Every tap is coded alone in several ways, to see what bits buy there; then all taps are set so that a \
bit buys the same everywhere, and the setting is verified with all taps coded at once, on inputs that were used for nothing \
else, until the budget is just kept. Without --held-out the inputs of --data are split by --seed.

Measure the result with `subband eval` on inputs that are not among these.

A budget in points goes by the expected drop: every input counts as right by degree, with an edge as wide as its answers move, \
and drop and divergence grow together: settings strong enough for a drop that stands out from chance tell what a nat of \
divergence costs, and the divergence of a mild one tells its drop. The balance of answers that really flipped is printed too; \
over 150 inputs it is off by a point or two.

Where the budget cannot be kept, the closest profile is written all the same, and the exit status is 3.

Examples:
  subband tune net.onnx --data photographs --taps relu --min-agreement 95 -o net.sbp
  subband tune net.onnx --data train --held-out val --max-drop 0.5 -o net.sbp --json net.json --run runs/net
  subband tune detector.onnx --data inputs.npy --taps conv --min-psnr 40 -o detector.sbp
  subband tune net.onnx --data photographs --min-agreement 95 --rule --wavelet none -o rule.sbp"
)]
pub struct Args {
    /// ONNX file
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,

    /// Photographs (a folder, with a subfolder a class or without), or arrays (.npy, .npz)
    #[arg(long, value_name = "DATA")]
    data: PathBuf,

    /// Other inputs to verify on; all of --data are then calibrated on
    #[arg(long, value_name = "DATA")]
    held_out: Option<PathBuf>,

    /// Text file with a line `id name` a class, in class order, for photographs in folders named by id
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,

    #[command(flatten)]
    budget: BudgetArgs,

    /// Maps to code: blocks, relu, activations, conv, all, a kind of `subband taps`, a pattern of names or @FILE
    #[arg(long, value_name = "TAPS", default_value = "blocks")]
    taps: String,

    /// Profile to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Write the figures as JSON to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a page with what was tried and chosen to this HTML file; it needs no network to be read
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Write the charts of --report as SVG files and its pictures as PNG files to this folder too
    #[arg(long, value_name = "DIR", requires = "report")]
    plots: Option<PathBuf>,

    /// Folder that keeps what was measured: the same command goes on there after an interruption, and another budget needs
    /// little more
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,

    /// One step scale for all taps in place of the search: what there is to compare with
    #[arg(long)]
    rule: bool,

    /// Transform of the one rule: none, haar, legall53, cdf97 or db2 [default: haar]
    #[arg(long, value_name = "WAVELET", requires = "rule")]
    wavelet: Option<Wavelet>,

    /// Its levels [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=8), requires = "rule")]
    levels: Option<u8>,

    /// At most so many inputs of --data (and of --held-out), spread over the whole
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    images: Option<u32>,

    /// Inputs that taps are coded on one by one
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    search_images: u32,

    /// Share of --data that is held out, where there is no --held-out
    #[arg(long, value_name = "SHARE", default_value_t = 0.6, value_parser = share)]
    held_out_share: f64,

    /// Chooses which are held out
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// The most work of the entropy coder that the profile is made for: default, or max, which trains small networks
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

/// What the codec may cost: one of these.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct BudgetArgs {
    /// At most so many points of top-1 accuracy, as they are to be expected by how far answers move; needs labels, and a few
    /// hundred inputs tell about half a point
    #[arg(long, value_name = "POINTS")]
    max_drop: Option<f64>,

    /// The largest output stays the same for at least so many per cent of the inputs
    #[arg(long, value_name = "PERCENT")]
    min_agreement: Option<f64>,

    /// Outputs keep at least this PSNR, the peak being their range
    #[arg(long, value_name = "DB")]
    min_psnr: Option<f64>,

    /// The softmax of the outputs diverges by at most so many nats
    #[arg(long, value_name = "NATS")]
    max_kl: Option<f64>,
}

impl BudgetArgs {
    fn budget(self) -> Result<Budget> {
        let budget = match self {
            Self { max_drop: Some(points), .. } => Budget::MaxDrop(points),
            Self { min_agreement: Some(percent), .. } => Budget::MinAgreement(percent),
            Self { min_psnr: Some(db), .. } => Budget::MinPsnr(db),
            Self { max_kl, .. } => Budget::MaxKl(max_kl.unwrap_or_default()),
        };
        budget.validate().map_err(|e| args::usage(e.to_string()))?;
        Ok(budget)
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("allowed is a number between 0 and 1".to_owned()),
    }
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let choice: TapChoice = args.taps.parse().map_err(|e: subband_onnx::Error| args::usage(e.to_string()))?;
    let mut config = TuneConfig::new(args.budget.budget()?);
    if args.rule {
        let wavelet = args.wavelet.unwrap_or(Wavelet::Haar);
        config.rule = Some((wavelet, super::levels_of(wavelet, args.levels, 3)));
    }
    config.search_inputs = args.search_images as usize;
    config.effort = args.effort;
    config.seed = args.seed;
    let mut output = Output::create(&args.output, args.force)?;
    // Unlike profiles these can be made again, and may be overwritten.
    let open = |path: &Option<PathBuf>| path.as_deref().map(|path| Output::create(path, true)).transpose();
    let (json, report) = (open(&args.json)?, open(&args.report)?);
    let to_stdout = [Some(&output), json.as_ref(), report.as_ref()];
    let to_stdout = to_stdout.into_iter().flatten().filter(|output| output.is_stdout()).count();
    ensure!(to_stdout <= 1, "{to_stdout} files are standard output: allowed is one");
    let mut bars = Bars::new(ui.quiet);
    let found = args.threads.run(|| {
        let opened = args.onnx.open(&args.model)?;
        config.layout = opened.layout;
        let classes = args.classes.as_deref();
        let limit = args.images.map_or(usize::MAX, |images| images as usize);
        let inputs = opened.inputs(&args.data, classes)?.spread(limit);
        let (calibration, held_out) = match &args.held_out {
            Some(data) => (inputs, opened.inputs(data, classes)?.spread(limit)),
            None => inputs.split(1.0 - args.held_out_share, args.seed),
        };
        let taps = choice.choose(&opened.candidates)?;
        let identity = format!(
            "model {}, inputs {:?} and {:?} of classes {classes:?}, at most {limit}, share {}, {}",
            html::file_hash(&args.model)?,
            args.data,
            args.held_out,
            args.held_out_share,
            opened.settings()
        );
        let run = args.run.as_deref().map(|folder| RunFolder { folder, identity: &identity });
        Ok(tune(&opened.network(), &taps, &calibration, &held_out, &config, run, &mut bars)?)
    })?;
    drop(bars);

    for skipped in &found.report.held_out.skipped {
        output::warn(&format!("left out {}: {}", skipped.path.display(), skipped.reason));
    }
    let bytes = found.profile.to_bytes();
    output.write_all(&bytes).with_context(|| format!("cannot write {}", args.output.display()))?;
    output.commit()?;
    if let Some(mut json) = json {
        evaluation_report::write_json(&found.report, &mut json)?;
        json.commit()?;
    }
    if let Some(mut report) = report {
        let mut page = html::of_tuning(&found.report, &found.profile)?;
        page.provenance = html::provenance([
            ("model", format!("{}, SHA-256 {}", args.model.display(), html::file_hash(&args.model)?)),
            ("data", args.data.display().to_string()),
            ("profile", format!("hash {}", found.profile.hash())),
            ("engine", found.report.held_out.engine.clone()),
            ("time", format!("{:.1} s", found.report.seconds)),
        ]);
        page.write(&mut report)?;
        report.commit()?;
        page.write_plots(args.plots.as_deref())?;
    }
    if !ui.quiet {
        output::print(&tune_report::text(&found.report), to_stdout > 0)?;
    }
    if found.report.met {
        return Ok(());
    }
    Err(MissedBudget(format!(
        "the budget of {} cannot be kept: the closest profile is in {}",
        config.budget,
        args.output.display()
    ))
    .into())
}

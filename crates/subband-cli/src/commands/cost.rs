//! `subband cost`: what a network costs an accelerator, without the codec and with it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use subband::{Effort, Profile};
use subband_nn::evaluate::{EvaluateOptions, evaluate};
use subband_nn::{Device, Layers, Network, NetworkKind, Shortcut};

use crate::args::{self, Threads};
use crate::cost::{Accelerator, Cost, Energy, MeasuredRates, PRESETS, TapCost, estimate, text};
use crate::network::{Part, images};
use crate::onnx::{OnnxArgs, printable};
use crate::output::Output;
use crate::progress::Bars;
use crate::{Ui, html, models, onnx, output};

/// Price a network in multiplications, memory traffic, time and energy
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Layer by layer, for one image: multiply-accumulates, weights, and what passes through DRAM. With a profile, what its transform, \
quantizer and coder do for each value and the buffers they need. With measured rates, what is left of traffic, time and energy. \
Rates are bytes that were written: those of an evaluation (--eval), or of one that is made here (--profile with --data; bundled \
models have images of their own). \
Assumptions are printed below the tables.

An accelerator in TOML: name, source, macs_per_second, dram_bytes_per_second, buffer_bytes, arithmetic (int8, fp16, fp32), keeps_maps. \
An energy table in TOML: any of dram_32, sram_32, int8_multiply, int32_add, int32_multiply, fp16_add, fp16_multiply, fp32_add, \
fp32_multiply, in pJ.

Examples:
  subband cost --network resnet18
  subband cost resnet20-cifar10-blocks-37x --accelerator eyeriss
  subband cost net.onnx --profile net.sbp --eval eval.json --accelerator nvdla
  subband cost net.onnx --profile net.sbp --data photographs --limit 50 --accelerator mine.toml --report cost.html
  subband cost --network resnet18 --bits 8 --energy 7nm.toml --json")]
pub struct Args {
    /// An ONNX file, or a bundled model: network, weights and profile
    #[arg(value_name = "MODEL.onnx|NAME", required_unless_present = "network")]
    model: Option<String>,

    /// Network: resnet20, resnet32, resnet56 (CIFAR-10), resnet18 or resnet34 (ImageNet)
    #[arg(long, value_name = "NETWORK", conflicts_with = "model")]
    network: Option<NetworkKind>,

    /// Shortcut of a --network without --weights: A pads with zeros, B is a convolution [default: the usual one]
    #[arg(long, value_name = "A|B", value_parser = shortcut, requires = "network", conflicts_with = "weights")]
    shortcut: Option<Shortcut>,

    /// Weights of --network, to measure rates with
    #[arg(long, value_name = "FILE", requires = "network")]
    weights: Option<PathBuf>,

    /// Profile whose transform, quantizer and tables are priced [default: that of the bundled model]
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,

    /// Rates from the JSON file of an evaluation
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    eval: Option<PathBuf>,

    /// Images or arrays to measure rates on, as for eval
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Text file with a line `id name` a class, in class order, for photographs in folders named by id
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,

    /// Measure rates on the first N images
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Effort of the entropy coder that is priced, and that rates are measured with: fast, default or max
    #[arg(long, value_name = "EFFORT", default_value_t)]
    effort: Effort,

    #[arg(long, value_name = "PRESET|FILE.toml", value_delimiter = ',', help = format!("Accelerators to show layer by layer: {}, or TOML files [default: totals of all presets]", PRESETS.join(", ")))]
    accelerator: Vec<String>,

    /// Width of values and weights in the traffic tables, without an accelerator: 8, 16 or 32 bits
    #[arg(long, value_name = "BITS", default_value_t = 32, value_parser = bits)]
    bits: u32,

    /// Energy table in TOML [default: Horowitz, ISSCC 2014, 45 nm]
    #[arg(long, value_name = "FILE.toml")]
    energy: Option<PathBuf>,

    /// Write the figures as JSON to this file; `-` is standard output
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,

    /// Write a page with tables and charts to this HTML file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Write the charts of --report as SVG files and its pictures as PNG files to this folder too
    #[arg(long, value_name = "DIR", requires = "report")]
    plots: Option<PathBuf>,

    #[command(flatten)]
    onnx: OnnxArgs,

    #[command(flatten)]
    threads: Threads,
}

fn bits(text: &str) -> Result<u32, String> {
    match text {
        "8" | "16" | "32" => Ok(text.parse().unwrap_or(32)),
        _ => Err("allowed are 8, 16 and 32".into()),
    }
}

fn shortcut(text: &str) -> Result<Shortcut, String> {
    match text {
        "A" => Ok(Shortcut::A),
        "B" => Ok(Shortcut::B),
        _ => Err("allowed are A and B".into()),
    }
}

/// A network with what is known of its maps.
struct Priced {
    name: String,
    layers: Layers,
    profile: Option<Profile>,
    rates: Option<MeasuredRates>,
    /// The file with the weights or the model, for provenance.
    file: Option<PathBuf>,
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let energy = args.energy.as_deref().map(Energy::read).transpose()?.unwrap_or_default();
    let names: Vec<&str> = if args.accelerator.is_empty() {
        PRESETS.into()
    } else {
        args.accelerator.iter().map(String::as_str).collect()
    };
    let accelerators = names.into_iter().map(Accelerator::named).collect::<Result<Vec<_>>>()?;
    let open = |path: &Option<PathBuf>| path.as_deref().map(|path| Output::create(path, true)).transpose();
    let (json, report) = (open(&args.json)?, open(&args.report)?);
    ensure!(
        ![&json, &report].iter().all(|output| output.as_ref().is_some_and(Output::is_stdout)),
        "--json and --report are both standard output: allowed is one"
    );
    let given = args.eval.as_deref().map(MeasuredRates::read).transpose()?;
    let profile = args.profile.as_deref().map(super::read_profile).transpose()?;

    let mut bars = Bars::new(ui.quiet);
    let priced = args.threads.run(|| match args.model.as_deref() {
        Some(model) if onnx::is_file(model) => of_onnx(Path::new(model), &args, profile, given, &mut bars),
        model => built_in(model, &args, profile, given, &mut bars),
    })?;
    drop(bars);
    let cost = cost(&priced, energy, &accelerators, &args)?;

    let mut to_stderr = false;
    if let Some(mut json) = json {
        to_stderr = json.is_stdout();
        writeln!(json, "{}", serde_json::to_string_pretty(&cost)?).context("cannot write the JSON report")?;
        json.commit()?;
    }
    if let Some(mut report) = report {
        to_stderr |= report.is_stdout();
        let mut page = html::of_cost(&cost)?;
        let mut facts = Vec::new();
        if let Some(file) = &priced.file {
            facts.push(("network", format!("{}, SHA-256 {}", file.display(), html::file_hash(file)?)));
        }
        if let Some(hash) = &cost.profile_hash {
            facts.push(("profile", format!("hash {hash}")));
        }
        page.provenance = html::provenance(facts);
        page.write(&mut report)?;
        report.commit()?;
        page.write_plots(args.plots.as_deref())?;
    }
    if ui.quiet { Ok(()) } else { output::print(&text(&cost, !args.accelerator.is_empty()), to_stderr) }
}

fn of_onnx(
    path: &Path,
    args: &Args,
    profile: Option<Profile>,
    given: Option<MeasuredRates>,
    bars: &mut Bars,
) -> Result<Priced> {
    let opened = args.onnx.open(path)?;
    let layers = opened.layers().with_context(|| path.display().to_string())?;
    let rates = match (&args.data, &profile) {
        (Some(data), Some(profile)) => {
            let inputs = opened.inputs(data, args.classes.as_deref())?.limit(args.limit as usize);
            let found =
                subband_onnx::evaluate(&opened.network(), &inputs, profile, opened.layout, &options(args), bars)?;
            Some(MeasuredRates::of(&found)?)
        }
        (Some(_), None) => return Err(args::usage("--data measures what --profile makes of it: give a profile")),
        (None, _) => given,
    };
    Ok(Priced { name: opened.model.name().to_owned(), layers, profile, rates, file: Some(path.to_owned()) })
}

fn built_in(
    model: Option<&str>,
    args: &Args,
    mut profile: Option<Profile>,
    given: Option<MeasuredRates>,
    bars: &mut Bars,
) -> Result<Priced> {
    let (kind, weights) = match model {
        Some(name) => {
            let model = models::find(name)?;
            if profile.is_none() {
                profile = Some(super::read_profile(&model.profile)?);
            }
            (model.card.network.parse()?, Some(model.weights))
        }
        None => (args.network.context("no network was named")?, args.weights.clone()),
    };
    let network = weights.as_deref().map(|weights| Network::load(kind, weights, &Device::flex())).transpose()?;
    let shortcut =
        args.shortcut.unwrap_or_else(|| network.as_ref().map_or_else(|| Shortcut::usual(kind), Network::shortcut));
    let rates = match (&args.data, &profile, &network) {
        (Some(data), Some(profile), Some(network)) => {
            let images = images(kind, Part::Test, Some(data), args.classes.as_deref())?.limit(args.limit as usize);
            Some(MeasuredRates::of(&evaluate(network, &images, profile, &options(args), bars)?)?)
        }
        (Some(_), _, _) => {
            return Err(args::usage("--data measures what --profile makes of it: give a profile and --weights"));
        }
        // A bundled model brings images of its own.
        (None, Some(profile), Some(network)) if model.is_some() && given.is_none() => {
            let images = super::demo::sample()?.limit(args.limit as usize);
            Some(MeasuredRates::of(&evaluate(network, &images, profile, &options(args), bars)?)?)
        }
        (None, _, _) => given,
    };
    Ok(Priced { name: kind.name().into(), layers: kind.layers(shortcut), profile, rates, file: weights })
}

/// Bytes are all that is asked for.
fn options(args: &Args) -> EvaluateOptions {
    EvaluateOptions::default().with_effort(args.effort).with_uncompressed(false).with_self_contained(false)
}

fn cost(priced: &Priced, energy: Energy, accelerators: &[Accelerator], args: &Args) -> Result<Cost> {
    let Priced { name, layers, profile, rates, .. } = priced;
    if let Some(profile) = profile {
        ensure!(
            profile.network() == name,
            "the profile is for {}: the network is {}",
            printable(profile.network()),
            printable(name)
        );
    }
    let profile_hash = profile.as_ref().map(|profile| profile.hash().to_string());
    if let Some(rates) = rates {
        ensure!(
            rates.network == *name,
            "the evaluation is of {}: the network is {}",
            printable(&rates.network),
            printable(name)
        );
        ensure!(
            profile_hash.as_ref().is_none_or(|hash| *hash == rates.profile_hash),
            "the evaluation was made with the profile {}: --profile is {}",
            printable(&rates.profile_hash),
            profile_hash.as_deref().unwrap_or_default()
        );
    }
    let taps = taps(layers, profile.as_ref(), rates.as_ref(), args.effort)?;
    let arithmetic = match args.bits {
        8 => crate::cost::Arithmetic::Int8,
        16 => crate::cost::Arithmetic::Fp16,
        _ => crate::cost::Arithmetic::Fp32,
    };
    Ok(Cost {
        network: name.clone(),
        macs: layers.macs(),
        weights: layers.weights(),
        memory: estimate(layers, &taps, &energy, None, arithmetic),
        accelerators: accelerators.iter().map(|a| estimate(layers, &taps, &energy, Some(a), a.arithmetic)).collect(),
        layers: layers.clone(),
        taps,
        rates: rates.clone(),
        profile_hash,
        effort: args.effort.name(),
        energy,
    })
}

/// Taps of the profile, or of the evaluation where there is no profile.
fn taps(
    layers: &Layers,
    profile: Option<&Profile>,
    rates: Option<&MeasuredRates>,
    effort: Effort,
) -> Result<Vec<TapCost>> {
    let bytes = rates.map(MeasuredRates::bytes).unwrap_or_default();
    let known: Vec<(&str, [usize; 3])> = match (profile, rates) {
        (Some(profile), _) => profile.taps().iter().map(|tap| (tap.name(), tap.shape())).collect(),
        (None, Some(rates)) => rates.taps().collect(),
        (None, None) => Vec::new(),
    };
    let cost = |(name, shape): (&str, [usize; 3])| {
        let stored = layers.maps.contains_key(name);
        let values = shape.iter().product::<usize>() as u64;
        ensure!(
            !stored || layers.values(name) == values,
            "tap {:?} has maps of {shape:?}: those of the network have {} values",
            printable(name),
            layers.values(name)
        );
        let tap = profile.map(|profile| profile.tap(name)).transpose()?;
        let reads = layers.layers.iter().filter(|layer| layer.reads.iter().any(|map| map == name)).count();
        Ok(TapCost {
            name: name.to_owned(),
            shape,
            transform: tap.map(|tap| format!("{} {}", tap.coding().wavelet, tap.coding().levels)),
            stored,
            reads,
            work: tap.map(|tap| tap.work(effort)),
            measured_bytes: bytes.get(name).copied(),
        })
    };
    known.into_iter().map(cost).collect()
}

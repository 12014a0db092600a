//! `subband compare`: every coder on the very same tensors.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::ArgGroup;
use clap::builder::PossibleValuesParser;
use subband::{Profile, Tensor, Wavelet};
use subband_baselines::Width;
use subband_nn::data::Dataset;
use subband_nn::{Network, Progress, Taps};

use crate::args::{self, Threads};
use crate::compare::{self, PeakArgs, Quantization, Repeats, Row, Sample, StepRule};
use crate::network::{NetworkArgs, Part};
use crate::output::{self, Output, Unfinished};
use crate::progress::Bars;
use crate::tensor_file::TensorFile;
use crate::{Ui, html, models};

/// Measure this codec and others on the same tensors
#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("source").required(true).multiple(false).args(["files", "synthetic", "network", "model"])),
    after_help = "\
Runs this codec, the codes that the literature on accelerators proposes (ZVC, zero run-length, BPC, EBPC, signed sparse \
exp-Golomb, Huffman, CSC) and what one would pick instead (zstd, lz4, pco, a uniform quantizer and zstd) on the same \
tensors. Lossless coders get the values and the indices of the quantizer, with and without the transform. Every decoded \
tensor is checked. The table sums up all tensors; the files have a row for each tensor and coder.

Examples:
  subband compare --synthetic
  subband compare maps.npy --step 0.1 --wavelet haar --levels 2
  subband compare maps.safetensors --step-scale 0.5 --json out.json --csv out.csv --plot out.svg
  subband compare --model resnet20-cifar10 --images 16
  subband compare --network resnet18 --weights r18.safetensors --data imagenet/val --taps relu --images 2
  subband compare maps.npy --only memcpy,subband,u8+zstd,zstd --repeats 9"
)]
pub struct Args {
    /// Tensor files: .npy, .npz, .safetensors
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Maps made up by this program, the same on every machine
    #[arg(long, conflicts_with = "profile")]
    synthetic: bool,

    #[command(flatten)]
    network: NetworkArgs,

    /// Bundled model: its network's maps, with its profile unless a step is given
    #[arg(long, value_name = "NAME", conflicts_with_all = ["network", "weights"])]
    model: Option<String>,

    /// Maps of the network: blocks (residual block outputs) or relu (every ReLU output); with a profile, those it has
    #[arg(long, value_name = "TAPS", default_value = "blocks", conflicts_with_all = ["files", "synthetic"])]
    taps: Taps,

    /// Images that go through the network
    #[arg(long, value_name = "N", default_value_t = 8, conflicts_with_all = ["files", "synthetic"],
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    images: u32,

    /// Profile that sets wavelet and steps; tensors bear the names of its taps, a .npy file that of its tap
    #[arg(long, value_name = "FILE", conflicts_with_all = ["step", "step_scale", "wavelet", "levels"])]
    profile: Option<PathBuf>,

    /// Wavelet: none, haar, legall53, cdf97 or db2 [default: haar]
    #[arg(long, value_name = "WAVELET")]
    wavelet: Option<Wavelet>,

    /// Levels of the transform, 0 to 8 [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=8))]
    levels: Option<u8>,

    /// Quantizer step, in units of the values
    #[arg(long, value_name = "STEP", value_parser = args::positive::<f32>, conflicts_with = "step_scale")]
    step: Option<f32>,

    /// Quantizer step, in standard deviations of each tensor [default: 0.5]
    #[arg(long, value_name = "K", value_parser = args::positive::<f64>)]
    step_scale: Option<f64>,

    /// Bits of the indices that codes are given, 8 or 16 [default: the narrowest that holds a tensor's]
    #[arg(long, value_name = "BITS", value_parser = index_bits)]
    index_bits: Option<Width>,

    /// Only these coders, separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = PossibleValuesParser::new(compare::names()))]
    only: Vec<String>,

    /// Timed repeats, of which the median counts; a coder that takes seconds has fewer
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeats: u16,

    /// Leave out peak memory, which takes a process for each row
    #[arg(long)]
    no_peak: bool,

    /// Write the rows as JSON to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the rows as CSV to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Draw ratio against speed to this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,

    /// Write a page with tables and the chart to this HTML file; it needs no network to be read
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    #[command(flatten)]
    threads: Threads,
}

fn index_bits(text: &str) -> Result<Width, String> {
    match text {
        "8" => Ok(Width::Eight),
        "16" => Ok(Width::Sixteen),
        _ => Err("allowed are 8 and 16".to_owned()),
    }
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    // A report can be made again: it may be overwritten.
    let open = |path: &Option<PathBuf>| path.as_deref().map(|path| Output::create(path, true)).transpose();
    let (json, csv, plot, report) = (open(&args.json)?, open(&args.csv)?, open(&args.plot)?, open(&args.report)?);
    let outputs = [&json, &csv, &plot, &report].into_iter().flatten().filter(|output| output.is_stdout()).count();
    ensure!(outputs <= 1, "{outputs} files are standard output: allowed is one");

    let mut bars = Bars::new(ui.quiet);
    let (tensors, profile) = tensors(&args)?;
    let rows = args.threads.run(|| compare(&args, &tensors, profile.as_ref(), &mut bars))?;
    drop(bars);
    let count = tensors.len();

    if let Some(mut json) = json {
        compare::write_json(&rows, &mut json)?;
        json.commit()?;
    }
    if let Some(mut csv) = csv {
        compare::write_csv(&rows, &mut csv)?;
        csv.commit()?;
    }
    if let Some(mut plot) = plot {
        let svg = compare::plot(&rows).to_svg()?;
        plot.write_all(svg.as_bytes()).context("cannot write the plot")?;
        plot.commit()?;
    }
    if let Some(mut report) = report {
        let mut page = html::of_comparison(&rows, count)?;
        page.provenance = html::provenance(profile.iter().map(|p| ("profile", format!("hash {}", p.hash()))));
        page.write(&mut report)?;
        report.commit()?;
    }
    if !ui.quiet {
        output::print(&compare::summary(&rows, count), outputs > 0)?;
    }
    match rows.iter().filter(|row| !row.verified).collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        wrong @ [first, ..] => bail!(
            "{} of {} rows did not come back right, the first {} {} on {}",
            wrong.len(),
            rows.len(),
            first.codec,
            first.effort,
            first.tensor
        ),
    }
}

/// What the process for peak memory does.
pub fn run_peak(args: PeakArgs) -> Result<()> {
    output::print(&(compare::peak_in_this_process(&args)? + "\n"), false)
}

/// Every row, in the order of the tensors. To be called on as many threads as the coders may take.
fn compare(args: &Args, tensors: &[(String, Tensor)], profile: Option<&Profile>, bars: &mut Bars) -> Result<Vec<Row>> {
    let threads = rayon::current_num_threads();
    let wavelet = args.wavelet.unwrap_or(Wavelet::Haar);
    let how = Quantization {
        wavelet,
        levels: super::levels_of(wavelet, args.levels, 2),
        step: match args.step {
            Some(step) => StepRule::Step(step),
            None => StepRule::Scale(args.step_scale.unwrap_or(0.5)),
        },
        width: args.index_bits,
    };
    let mut rows = Vec::new();
    for (number, (name, tensor)) in tensors.iter().enumerate() {
        let sample = Sample::new(name.clone(), tensor, &how, profile)?;
        let contenders = compare::of_sample(&sample, threads, &args.only)?;
        ensure!(!contenders.is_empty(), "{name}: no coder of --only takes it");
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let _unfinished = Unfinished::new(folder.path());
        if !args.no_peak {
            sample.store(folder.path())?;
        }
        bars.begin(&format!("{}/{} {name}", number + 1, tensors.len()), contenders.len() as u64);
        for (done, contender) in contenders.into_iter().enumerate() {
            bars.advance(done as u64, &format!("{} {}", contender.codec, contender.effort));
            let peak = match args.no_peak {
                true => None,
                false => compare::peak_of(folder.path(), &contender.key(), threads)?,
            };
            rows.push(compare::measure(contender, &sample, Repeats::of(args.repeats.into()), peak)?);
        }
        bars.end();
    }
    Ok(rows)
}

type NamedTensors = Vec<(String, Tensor)>;

/// The tensors by name, and the profile they are coded with.
fn tensors(args: &Args) -> Result<(NamedTensors, Option<Profile>)> {
    let profile = args.profile.as_deref().map(super::read_profile).transpose()?;
    if args.synthetic {
        return Ok((compare::synthetic(), None));
    }
    if !args.files.is_empty() {
        return Ok((of_files(args)?, profile));
    }
    let source = args.network.source(args.model.as_deref().unwrap_or(models::BASELINE))?;
    let steps_given =
        args.step.is_some() || args.step_scale.is_some() || args.wavelet.is_some() || args.levels.is_some();
    let profile = match (profile, &source.profile) {
        (None, Some(bundled)) if !steps_given => Some(super::read_profile(bundled)?),
        (profile, _) => profile,
    };
    let network = source.load()?;
    let images = args.network.images(source.kind, Part::Test)?;
    let images = if source.kind.is_imagenet() {
        // Sorted by class.
        images.spread(args.images as usize)
    } else {
        images.limit(args.images as usize)
    };
    let maps = args.threads.run(|| of_network(&network, &images, args.taps, profile.as_ref()))?;
    Ok((maps, profile))
}

/// The tensors of all files; a name that several files have is put behind the file's.
fn of_files(args: &Args) -> Result<NamedTensors> {
    let mut all = Vec::new();
    for path in &args.files {
        let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let file = TensorFile::read(path)?;
        ensure!(!file.tensors.is_empty(), "{}: holds no tensor", path.display());
        for named in file.tensors {
            let name = if named.name.is_empty() { stem.clone() } else { named.name };
            all.push((stem.clone(), name, named.tensor));
        }
    }
    let names: Vec<String> = all.iter().map(|(_, name, _)| name.clone()).collect();
    let repeated = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let full = |stem, name| if repeated(&name) { format!("{stem}:{name}") } else { name };
    Ok(all.into_iter().map(|(stem, name, tensor)| (full(stem, name), tensor)).collect())
}

/// The maps of all images at each tap, `[N, C, H, W]`.
fn of_network(network: &Network, images: &Dataset, taps: Taps, profile: Option<&Profile>) -> Result<NamedTensors> {
    let positions: Vec<usize> = (0..images.len()).collect();
    let batch = images.batch(&positions)?;
    for skipped in &batch.skipped {
        output::warn(&format!("left out {}: {}", skipped.path.display(), skipped.reason));
    }
    ensure!(!batch.is_empty(), "{}: no image to take maps of", images.name());
    let mut maps = Vec::new();
    network.forward_tapped(network.input(&batch), &mut |site, map| {
        let wanted = match profile {
            Some(profile) => profile.taps().iter().any(|tap| tap.name() == site.name),
            None => taps.includes(site),
        };
        if wanted {
            let values: Vec<f32> = map.to_data().iter().collect();
            let [channels, height, width] = site.shape;
            maps.push((site.name.clone(), values, [batch.len(), channels, height, width]));
        }
        Ok(map)
    })?;
    ensure!(!maps.is_empty(), "{} has none of the profile's taps", network.kind());
    maps.into_iter().map(|(name, values, shape)| Ok((name, Tensor::new(values, &shape)?))).collect()
}

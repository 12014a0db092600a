//! `subband compress`: tensor files to streams and archives.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use subband::{Compressed, Config, Effort, NonFinite, Profile, ProfileOptions, Report, Target, Wavelet};

use crate::archive::{Archive, Entry};
use crate::args::{self, Threads};
use crate::output::{self, Output};
use crate::tensor_file::{Format, NamedTensor, TensorFile};
use crate::{Ui, table};

/// Compress tensors into a file
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Reads .npy, .npz and .safetensors (float32, float16, bfloat16, 8 and 16 bit integers; two axes or more, the last two are the plane). A .npy file becomes a stream, the others an archive that keeps the names.

Examples:
  subband compress maps.npy -o maps.sbd --step 0.1
  subband compress maps.npy -o maps.sbd --bits 2 --wavelet cdf97 --levels 3
  subband compress maps.npz -o maps.sbd --psnr 40
  subband compress pixels.npy -o pixels.sbd --lossless
  subband compress maps.npy -o maps.sbd --max-error 0.01 --nan 0 --inf 65504
  subband compress map.npy -o map.sbd --profile resnet20.sbp --tap layer1.0"
)]
pub struct Args {
    /// Tensor file to compress; `-` is standard input
    input: PathBuf,

    /// Compressed file to write; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    target: TargetArgs,

    /// Tap of the profile that the tensor comes from [default: each tensor's own name]
    #[arg(long, value_name = "NAME")]
    tap: Option<String>,

    /// Wavelet: none, haar, legall53, cdf97 or db2 [default: haar]
    #[arg(long, value_name = "WAVELET", conflicts_with = "profile")]
    wavelet: Option<Wavelet>,

    /// Levels of the transform, 0 to 8 [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=8), conflicts_with = "profile")]
    levels: Option<u8>,

    /// Rounding offset of the quantizer, 0 to 0.5: 0.5 rounds to nearest, less widens the dead zone
    #[arg(long, value_name = "R", value_parser = args::half_unit, conflicts_with = "profile")]
    rounding: Option<f32>,

    /// Compress NaN as this value instead of refusing it
    #[arg(long, value_name = "VALUE", value_parser = args::finite, requires = "inf")]
    nan: Option<f32>,

    /// Compress infinities as this value and its negative instead of refusing them
    #[arg(long, value_name = "VALUE", value_parser = args::finite, requires = "nan")]
    inf: Option<f32>,

    /// Channels that decode together: fewer allow finer partial reads and more threads, and cost bytes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    channels_per_chunk: Option<u32>,

    /// Work of the entropy coder: fast, default or max; more work takes fewer bytes, and max needs a profile made for it
    #[arg(long, value_name = "EFFORT", default_value_t)]
    effort: Effort,

    /// Rate-distortion optimised indices: a bit is worth so many squared steps of error, 0 to 10; 0 is plain rounding
    #[arg(long, value_name = "LAMBDA", default_value_t = 0.0, value_parser = args::rdo, conflicts_with = "lossless")]
    rdo: f32,

    /// Compress only the tensor of this name; may be given several times
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,

    #[command(flatten)]
    threads: Threads,

    /// Overwrite an existing output file
    #[arg(long)]
    force: bool,
}

/// What to aim for: exactly one.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct TargetArgs {
    /// Quantizer step, in units of the values
    #[arg(long, value_name = "STEP", value_parser = args::positive::<f32>)]
    step: Option<f32>,

    /// Largest absolute error of any value
    #[arg(long, value_name = "ERROR", value_parser = args::positive::<f64>)]
    max_error: Option<f64>,

    /// Peak signal-to-noise ratio in dB, the peak being the range of the values
    #[arg(long, value_name = "DB", value_parser = args::positive::<f64>)]
    psnr: Option<f64>,

    /// Bits per value, headers and tables included
    #[arg(long, value_name = "BITS", value_parser = args::positive::<f64>)]
    bits: Option<f64>,

    /// Keep every value exactly: integers through the wavelet, floats bit for bit without one
    #[arg(long)]
    lossless: bool,

    /// Profile that sets wavelet, steps and tables
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    // clap drops `requires` where the required argument conflicts with a given one.
    if args.tap.is_some() && args.target.profile.is_none() {
        return Err(args::usage("--tap names a tap of a profile: it needs --profile"));
    }
    // Refused before the work is done, not after.
    let mut output = Output::create(&args.output, args.force)?;
    let profile = args.target.profile.as_deref().map(super::read_profile).transpose()?;
    let file = TensorFile::read(&args.input)?;
    let chosen = super::choose(&file.tensors, |named| named.name.as_str(), &args.name)?;

    let mut streams = Vec::with_capacity(chosen.len());
    let mut reports = Vec::with_capacity(chosen.len());
    for named in &chosen {
        let compressed = args.threads.run(|| compress(named, profile.as_ref(), &args, !ui.quiet));
        let compressed = compressed.with_context(|| match named.name.as_str() {
            "" => args.input.display().to_string(),
            name => format!("{}: {name:?}", args.input.display()),
        })?;
        streams.push(compressed.bytes);
        reports.push(compressed.report);
    }

    let failed = || format!("cannot write {}", args.output.display());
    if file.format == Format::Npy {
        output.write_all(&streams[0]).with_context(failed)?;
    } else {
        let metadata = file.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let entries = chosen.iter().zip(&streams).map(|(named, stream)| Entry { name: &named.name, stream }).collect();
        Archive { metadata, entries }.write_to(&mut output).with_context(failed)?;
    }
    let to_stderr = output.is_stdout();
    output.commit()?;

    for (named, report) in chosen.iter().zip(&reports) {
        warn(&named.name, report);
    }
    if ui.quiet { Ok(()) } else { output::print(&summary(&chosen, &reports, args.target.lossless), to_stderr) }
}

fn compress(named: &NamedTensor, profile: Option<&Profile>, args: &Args, measure_error: bool) -> Result<Compressed> {
    let view = named.tensor.view();
    let non_finite = match (args.nan, args.inf) {
        (Some(nan), Some(inf)) => NonFinite::Replace { nan, positive: inf, negative: -inf },
        _ => NonFinite::Refuse,
    };
    let channels_per_chunk = args.channels_per_chunk.map(|n| n as usize);
    if let Some(profile) = profile {
        let tap = match (&args.tap, named.name.as_str()) {
            (Some(tap), _) => tap,
            (None, "") => return Err(args::usage("a .npy file has no name: say with --tap which tap it comes from")),
            (None, name) => name,
        };
        let mut options = ProfileOptions::default();
        options.non_finite = non_finite;
        options.channels_per_chunk = channels_per_chunk;
        options.measure_error = measure_error;
        options.effort = args.effort;
        options.rdo = args.rdo;
        return Ok(subband::compress_with_profile(&view, profile, tap, &options)?);
    }
    let mut config = Config::default();
    config.target = args.target.target();
    config.wavelet = args.wavelet.unwrap_or(config.wavelet);
    config.levels = super::levels_of(config.wavelet, args.levels, config.levels);
    config.rounding = args.rounding.unwrap_or(config.rounding);
    config.non_finite = non_finite;
    config.channels_per_chunk = channels_per_chunk;
    config.measure_error = measure_error;
    config.effort = args.effort;
    config.rdo = args.rdo;
    Ok(subband::compress(&view, &config)?)
}

impl TargetArgs {
    fn target(&self) -> Target {
        match *self {
            Self { step: Some(step), .. } => Target::Step(step),
            Self { max_error: Some(error), .. } => Target::MaxError(error),
            Self { psnr: Some(psnr), .. } => Target::Psnr(psnr),
            Self { bits: Some(bits), .. } => Target::BitsPerValue(bits),
            _ => Target::Lossless,
        }
    }
}

/// Says on standard error what the user would not expect of a compressed tensor.
fn warn(name: &str, report: &Report) {
    let name = if name.is_empty() { String::new() } else { format!("{name:?}: ") };
    if report.saturated > 0 {
        output::warn(&format!("{name}{} indices saturated: the error is larger there", report.saturated));
    }
    if report.replaced > 0 {
        output::warn(&format!("{name}{} values were NaN or infinite and replaced", report.replaced));
    }
}

fn summary(tensors: &[&NamedTensor], reports: &[Report], lossless: bool) -> String {
    let header = ["tensor", "dtype", "shape", "bytes", "bits/value", "ratio", "step", "max error", "PSNR dB", "zeros"];
    let mut rows = table::new(&header);
    for (named, report) in tensors.iter().zip(reports) {
        rows.add_row([
            if named.name.is_empty() { "-".to_owned() } else { named.name.clone() },
            named.tensor.dtype().to_string(),
            table::shape(named.tensor.shape()),
            table::count(report.bytes as u64),
            table::figure(report.bits_per_value),
            table::figure(report.ratio),
            report.step.map_or("-".to_owned(), |step| table::figure(step.into())),
            match report.error {
                Some(error) => table::figure(error.max),
                None if lossless => "0".to_owned(),
                None => "-".to_owned(),
            },
            match report.error {
                Some(error) => table::figure(error.psnr),
                None if lossless => "inf".to_owned(),
                None => "-".to_owned(),
            },
            table::percent(report.zeros),
        ]);
    }
    table::render(&rows)
}

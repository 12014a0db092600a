//! `subband inspect`: what a compressed file or a profile holds, down to bits per subband.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use subband::{Coding, DecompressOptions, Limits, Profile, StreamInfo, Subband};

use crate::archive::Archive;
use crate::{output, table, tensor_file};

/// Show what a compressed file or a profile holds
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  subband inspect maps.sbd
  subband inspect all.sbd --name layer1.0
  subband inspect maps.sbd --json | jq '.subbands[] | {name, bits}'
  subband inspect resnet20.sbp
  subband inspect maps.sbd --profile resnet20.sbp")]
pub struct Args {
    /// Stream, archive or profile; `-` is standard input
    input: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Profile the file was compressed with
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,

    /// Show only the tensor of this name; may be given several times
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
}

/// First bytes of a profile (FORMAT.md, "Profiles").
const PROFILE_MAGIC: &[u8] = b"SBP\x1a";

pub fn run(args: Args) -> Result<()> {
    let bytes = tensor_file::read_bytes(&args.input)?;
    let profile = args.profile.as_deref().map(super::read_profile).transpose()?;
    let (text, json) =
        describe(&bytes, profile.as_ref(), &args.name).with_context(|| args.input.display().to_string())?;
    output::print(&if args.json { format!("{json:#}\n") } else { text }, false)
}

/// The content of a file as text and as JSON.
fn describe(bytes: &[u8], profile: Option<&Profile>, names: &[String]) -> Result<(String, Value)> {
    if bytes.starts_with(PROFILE_MAGIC) {
        let profile = Profile::from_bytes(bytes, &Limits::default())?;
        return Ok((profile_text(&profile, bytes.len()), profile_json(&profile, bytes.len())));
    }
    let mut options = DecompressOptions::default();
    options.profile = profile;
    if !Archive::matches(bytes) {
        ensure!(names.is_empty(), "the file holds one tensor without a name: leave out --name");
        let info = subband::inspect(bytes, &options)?;
        let mut json = serde_json::to_value(&info)?;
        json["kind"] = "stream".into();
        return Ok((stream_text(&info), json));
    }
    let archive = Archive::from_bytes(bytes)?;
    let mut infos = Vec::new();
    for entry in super::choose(&archive.entries, |entry| entry.name, names)? {
        let info = subband::inspect(entry.stream, &options).with_context(|| format!("{:?}", entry.name))?;
        infos.push((entry.name, info));
    }
    Ok((archive_text(&archive, &infos, bytes.len()), archive_json(&archive, &infos, bytes.len())?))
}

fn archive_text(archive: &Archive, infos: &[(&str, StreamInfo)], bytes: usize) -> String {
    let mut rows = table::new(&["tensor", "dtype", "shape", "bytes", "bits/value"]);
    for (name, info) in infos {
        rows.add_row([
            (*name).to_owned(),
            info.dtype.to_string(),
            table::shape(&info.shape),
            table::count(info.bytes as u64),
            table::figure(info.bits_per_value),
        ]);
    }
    let mut text = format!("archive of {} tensors, {} bytes\n", archive.entries.len(), table::count(bytes as u64));
    for (key, value) in &archive.metadata {
        text += &format!("{key} = {value}\n");
    }
    text += &table::render(&rows);
    for (name, info) in infos {
        text += &format!("\n{name}: {}", stream_text(info));
    }
    text
}

fn archive_json(archive: &Archive, infos: &[(&str, StreamInfo)], bytes: usize) -> Result<Value> {
    let mut tensors = Vec::new();
    for (name, info) in infos {
        let mut json = serde_json::to_value(info)?;
        json["name"] = (*name).into();
        tensors.push(json);
    }
    let metadata: serde_json::Map<_, _> =
        archive.metadata.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
    Ok(json!({"kind": "archive", "bytes": bytes, "metadata": metadata, "tensors": tensors}))
}

fn stream_text(info: &StreamInfo) -> String {
    let mut text = format!(
        "stream of {} {}, {} bytes ({} before the first chunk), {} bits per value\n",
        info.dtype,
        table::shape(&info.shape),
        table::count(info.bytes as u64),
        table::count(info.header_bytes as u64),
        table::figure(info.bits_per_value)
    );
    let steps = if info.lossless { "lossless".to_owned() } else { format!("step {}", table::steps(&info.steps)) };
    let tables = if info.from_profile { "of the profile" } else { "in the stream" };
    text += &format!(
        "{}, {} levels, {steps}; {} tables {tables}; {} chunks of {} channels\n",
        info.wavelet, info.levels, info.tables, info.chunks, info.channels_per_chunk
    );
    let mut rows = table::new(&["subband", "values", "dropped", "zeros", "largest index", "bits", "bits/value"]);
    for subband in &info.subbands {
        let share = |n: usize| table::percent(n as f64 / subband.values.max(1) as f64);
        rows.add_row([
            subband.name.clone(),
            table::count(subband.values as u64),
            share(subband.dropped),
            share(subband.zeros),
            subband.max_index.to_string(),
            table::count(subband.bits.round() as u64),
            table::figure(subband.bits / subband.values.max(1) as f64),
        ]);
    }
    text + &table::render(&rows)
}

fn profile_text(profile: &Profile, bytes: usize) -> String {
    let mut rows =
        table::new(&["tap", "shape", "wavelet", "levels", "step", "rounding", "diffusion", "kept", "tables"]);
    for tap in profile.taps() {
        let coding = tap.coding();
        rows.add_row([
            tap.name().to_owned(),
            table::shape(&tap.shape()),
            coding.wavelet.to_string(),
            coding.levels.to_string(),
            table::steps(&coding.steps),
            table::figure(coding.rounding.into()),
            table::figure(coding.diffusion.into()),
            table::percent(kept(coding, tap.shape())),
            tap.table_count().to_string(),
        ]);
    }
    let taps = profile.taps().len();
    let head = format!("profile of {}, {taps} taps, {} bytes\n", profile.network(), table::count(bytes as u64));
    format!("{head}hash {}\n{}", profile.hash(), table::render(&rows))
}

fn profile_json(profile: &Profile, bytes: usize) -> Value {
    let taps: Vec<_> = profile
        .taps()
        .iter()
        .map(|tap| {
            json!({
                "name": tap.name(),
                "shape": tap.shape(),
                "coding": tap.coding(),
                "kept": kept(tap.coding(), tap.shape()),
                "tables": tap.table_count(),
            })
        })
        .collect();
    json!({
        "kind": "profile",
        "network": profile.network(),
        "hash": profile.hash().to_string(),
        "bytes": bytes,
        "taps": taps,
    })
}

/// Share of the coefficients that the mask keeps.
fn kept(coding: &Coding, [channels, height, width]: [usize; 3]) -> f64 {
    let Some(mask) = &coding.mask else { return 1.0 };
    let mut kept = 0;
    for subband in 0..=3 * usize::from(coding.levels) {
        let values = subband_values(Subband::at(subband, coding.levels), height, width);
        kept += (0..channels).filter(|&channel| mask.keeps(channel, subband)).count() * values;
    }
    kept as f64 / (channels * height * width) as f64
}

/// Coefficients of one subband of a plane.
fn subband_values(subband: Subband, height: usize, width: usize) -> usize {
    use subband::Orientation::{HH, HL, LH, LL};
    let low = |size: usize, level: u8| (0..level).fold(size, |size, _| size.div_ceil(2));
    let high = |size: usize| low(size, subband.level.saturating_sub(1)) - low(size, subband.level);
    let (low_height, low_width) = (low(height, subband.level), low(width, subband.level));
    match subband.orientation {
        LL => low_height * low_width,
        HL => low_height * high(width),
        LH => high(height) * low_width,
        HH => high(height) * high(width),
    }
}

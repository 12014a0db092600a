//! `subband decompress`: streams and archives to tensor files, whole or in part.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use subband::{DecompressOptions, Profile, Tensor};

use crate::archive::Archive;
use crate::args::{self, IndexRange, Threads};
use crate::output::{self, Output};
use crate::tensor_file::{self, Format, NamedTensor, TensorFile};
use crate::{Ui, table};

/// Decompress a file into tensors
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A file compressed from a .npy file holds one tensor; one compressed from a .npz or .safetensors file holds several, under their names.

Examples:
  subband decompress maps.sbd -o maps.npy
  subband decompress maps.sbd -o part.npy --batch 3..4 --channels 0..16
  subband decompress all.sbd -o all.safetensors
  subband decompress all.sbd -o one.npy --name layer1.0
  subband decompress maps.sbd -o maps.npy --profile resnet20.sbp
  subband decompress - -o - --format npy < maps.sbd > maps.npy")]
pub struct Args {
    /// Compressed file; `-` is standard input
    input: PathBuf,

    /// Tensor file to write, .npy, .npz or .safetensors; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Format to write [default: as the output file's name ends]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Profile the file was compressed with
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,

    /// Decompress only the tensor of this name; may be given several times
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,

    /// Decompress only these batch items, as 0..8
    #[arg(long, value_name = "A..B")]
    batch: Option<IndexRange>,

    /// Decompress only these channels, as 0..16
    #[arg(long, value_name = "A..B")]
    channels: Option<IndexRange>,

    #[command(flatten)]
    threads: Threads,

    /// Overwrite an existing output file
    #[arg(long)]
    force: bool,
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let format = match args.format {
        Some(format) => format,
        None if args.output.as_os_str() == "-" => Format::Npy,
        None => Format::of_path(&args.output).map_err(|e| args::usage(e.to_string()))?,
    };
    // Refused before the work is done, not after.
    let mut output = Output::create(&args.output, args.force)?;
    let bytes = tensor_file::read_bytes(&args.input)?;
    let profile = args.profile.as_deref().map(super::read_profile).transpose()?;
    let file = args.threads.run(|| decompress(&bytes, format, profile.as_ref(), &args))?;
    file.write(&mut output).with_context(|| format!("cannot write {}", args.output.display()))?;
    let to_stderr = output.is_stdout();
    output.commit()?;
    if ui.quiet { Ok(()) } else { output::print(&report(&file, bytes.len()), to_stderr) }
}

fn decompress(bytes: &[u8], format: Format, profile: Option<&Profile>, args: &Args) -> Result<TensorFile> {
    let input = args.input.display();
    let mut file = TensorFile { format, metadata: BTreeMap::new(), tensors: Vec::new() };
    if !Archive::matches(bytes) {
        ensure!(args.name.is_empty(), "{input} holds one tensor without a name: leave out --name");
        let tensor = decode(bytes, profile, args).with_context(|| input.to_string())?;
        // NumPy's own name for a nameless array.
        file.tensors.push(NamedTensor { name: "arr_0".to_owned(), tensor });
        return Ok(file);
    }
    let archive = Archive::from_bytes(bytes).with_context(|| input.to_string())?;
    let chosen = super::choose(&archive.entries, |entry| entry.name, &args.name)?;
    // A .npy file takes one tensor: find out before decoding all of them.
    ensure!(
        format != Format::Npy || chosen.len() == 1,
        "{input} holds {} tensors and a .npy file one: pick one with --name, or write .npz",
        chosen.len()
    );
    file.metadata = archive.metadata.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    for entry in chosen {
        let tensor = decode(entry.stream, profile, args).with_context(|| format!("{input}: {:?}", entry.name))?;
        file.tensors.push(NamedTensor { name: entry.name.to_owned(), tensor });
    }
    Ok(file)
}

/// Decodes one stream, only the parts asked for.
fn decode(stream: &[u8], profile: Option<&Profile>, args: &Args) -> Result<Tensor> {
    let mut options = DecompressOptions::default();
    options.profile = profile;
    if args.batch.is_none() && args.channels.is_none() {
        return Ok(subband::decompress(stream, &options)?);
    }
    let info = subband::inspect(stream, &options)?;
    let (batch, channels) = batch_and_channels(&info.shape);
    let batch = args.batch.unwrap_or_default().resolve(batch, "batch")?;
    let channels = args.channels.unwrap_or_default().resolve(channels, "channel")?;
    Ok(subband::read(stream, batch, channels, &options)?)
}

/// The axes [..., C, H, W] as batch items and channels; a missing axis counts one.
fn batch_and_channels(shape: &[usize]) -> (usize, usize) {
    let (outer, _plane) = shape.split_at(shape.len().saturating_sub(2));
    match outer.split_last() {
        Some((&channels, batch)) => (batch.iter().product(), channels),
        None => (1, 1),
    }
}

fn report(file: &TensorFile, compressed: usize) -> String {
    let mut rows = table::new(&["tensor", "dtype", "shape"]);
    for NamedTensor { name, tensor } in &file.tensors {
        rows.add_row([name.clone(), tensor.dtype().to_string(), table::shape(tensor.shape())]);
    }
    format!("{}from {} bytes\n", table::render(&rows), table::count(compressed as u64))
}

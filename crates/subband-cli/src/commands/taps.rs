//! `subband taps`: the places in an ONNX model whose maps can be coded.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use std::io::Write;
use subband_onnx::{Candidate, TapChoice};

use crate::args::{self, Threads};
use crate::onnx::{OnnxArgs, printable};
use crate::{Ui, output, table};

/// List the places in an ONNX model whose maps can be coded
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Kinds: relu, clip (ReLU6), leakyrelu, silu, hardswish, activation (others), add (the sum of two maps with no activation \
behind it), other (anything else that a convolution reads). A block is a residual block's output. The share is that of \
all values that an accelerator would write to memory layer by layer, with activations and normalisation fused.

Examples:
  subband taps net.onnx
  subband taps net.onnx --taps blocks --json -
  subband taps detector.onnx --input-size 480x640 --taps '*/stage?/*'")]
pub struct Args {
    /// ONNX file
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,

    /// Only these: blocks, activations, conv, all, a kind, a pattern of names with * and ?, or @FILE with a name a line
    #[arg(long, value_name = "TAPS", default_value = "all")]
    taps: String,

    /// Write the list as JSON to this file; `-` is standard output
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,

    #[command(flatten)]
    onnx: OnnxArgs,

    #[command(flatten)]
    threads: Threads,
}

#[derive(Serialize)]
struct Listing<'a> {
    network: &'a str,
    operators: Vec<&'a str>,
    taps: Vec<Candidate>,
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let choice: TapChoice = args.taps.parse().map_err(|e: subband_onnx::Error| args::usage(e.to_string()))?;
    let json = args.json.as_deref().map(|path| output::Output::create(path, true)).transpose()?;
    let opened = args.threads.run(|| args.onnx.open(&args.model))?;
    let taps = choice.choose(&opened.candidates)?;
    let mut to_stderr = false;
    let text = text(&taps);
    if let Some(mut json) = json {
        to_stderr = json.is_stdout();
        let listing = Listing { network: opened.model.name(), operators: opened.model.operators(), taps };
        writeln!(json, "{}", serde_json::to_string_pretty(&listing)?).context("cannot write the JSON list")?;
        json.commit()?;
    }
    if ui.quiet { Ok(()) } else { output::print(&text, to_stderr) }
}

fn text(taps: &[Candidate]) -> String {
    let mut rows = table::new(&["tap", "kind", "block", "conv input", "shape", "values", "share"]);
    let yes = |is: bool| if is { "yes".to_owned() } else { String::new() };
    for tap in taps {
        rows.add_row([
            printable(&tap.name),
            tap.kind.name().to_owned(),
            yes(tap.block),
            yes(tap.conv_input),
            table::shape(&tap.shape),
            table::count(tap.values as u64),
            table::percent(tap.share),
        ]);
    }
    let values: usize = taps.iter().map(|tap| tap.values).sum();
    let share: f64 = taps.iter().map(|tap| tap.share).sum();
    let count = taps.len();
    rows.add_row([
        format!("{count} taps"),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        table::count(values as u64),
        table::percent(share),
    ]);
    table::render(&rows)
}

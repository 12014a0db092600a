//! `subband`: compresses the feature maps of convolutional networks, and measures what that costs in accuracy.

#![forbid(unsafe_code)]

mod archive;
mod args;
mod commands;
mod compare;
mod config_file;
mod cost;
mod curves;
mod evaluation_report;
mod html;
mod map_picture;
mod models;
mod network;
mod onnx;
mod output;
mod picture;
mod plot;
mod progress;
mod reproduce;
mod table;
mod tensor_file;
mod tune_report;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use commands::{
    calibrate, compare as compare_command, completions, compress, cost as cost_command, data, decompress, demo, eval,
    inspect, models as models_command, reproduce as reproduce_command, retrain, taps, train, tune,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    name = "subband",
    version,
    about = "Compresses the feature maps of convolutional networks",
    long_about = "Compresses the feature maps (activations) of convolutional networks: a wavelet transform, a quantizer \
                  and an entropy coder, tensor files in and out, and the accuracy a network keeps when its maps pass \
                  through them.",
    after_help = "\
Exit status: 0 done, 1 failed, 2 wrong usage, 3 a budget that cannot be kept (`tune`).

Examples:
  subband demo
  subband compress maps.npy -o maps.sbd --step 0.1
  subband decompress maps.sbd -o maps.npy
  subband inspect maps.sbd"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Print no reports and no progress, errors only
    #[arg(short, long, global = true, display_order = 900)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compress(compress::Args),
    Decompress(decompress::Args),
    Inspect(inspect::Args),
    Calibrate(calibrate::Args),
    Eval(eval::Args),
    Taps(taps::Args),
    Tune(tune::Args),
    Compare(compare_command::Args),
    Cost(cost_command::Args),
    /// Measure the peak memory of one coder, for `compare`
    #[command(hide = true)]
    ComparePeak(compare::PeakArgs),
    Train(train::Args),
    Retrain(retrain::Args),
    Models(models_command::Args),
    Reproduce(reproduce_command::Args),
    Demo(demo::Args),
    /// Fetch a data set into the cache folder
    Data(data::Args),
    Completions(completions::Args),
}

/// What every command may ask about how to talk to the user.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    pub quiet: bool,
}

fn main() -> ExitCode {
    output::remove_unfinished_on_interrupt();
    let result = match Cli::try_parse() {
        Ok(cli) => run(cli),
        // Help and version come as errors too: they are the only ones meant for standard output.
        Err(e) if !e.use_stderr() => print_help(&e),
        // Nothing asked for: the help says what there is.
        Err(e) if e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = e.print();
            return ExitCode::from(2);
        }
        Err(e) => Err(args::usage_error(&e)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has gone, as in `subband inspect x.sbd | head`. There is nobody to tell; the status is a shell's.
        Err(e) if is_broken_pipe(&e) => ExitCode::from(141),
        Err(e) => {
            let message = format!("{e:#}");
            let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(io::stderr(), "subband: {line}");
            ExitCode::from(match () {
                () if e.is::<args::UsageError>() => 2,
                () if e.is::<args::MissedBudget>() => 3,
                () => 1,
            })
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let ui = Ui { quiet: cli.quiet };
    match cli.command {
        Command::Compress(args) => compress::run(args, ui),
        Command::Decompress(args) => decompress::run(args, ui),
        Command::Inspect(args) => inspect::run(args),
        Command::Calibrate(args) => calibrate::run(args, ui),
        Command::Eval(args) => eval::run(args, ui),
        Command::Taps(args) => taps::run(args, ui),
        Command::Tune(args) => tune::run(args, ui),
        Command::Compare(args) => compare_command::run(args, ui),
        Command::Cost(args) => cost_command::run(args, ui),
        Command::ComparePeak(args) => compare_command::run_peak(args),
        Command::Demo(args) => demo::run(args, ui),
        Command::Train(args) => train::run(args, ui),
        Command::Retrain(args) => retrain::run(args, ui),
        Command::Models(args) => models_command::run(args, ui),
        Command::Reproduce(args) => reproduce_command::run(args, ui),
        Command::Data(args) => data::run(args, ui),
        Command::Completions(args) => completions::run(args),
    }
}

fn print_help(help: &clap::Error) -> Result<()> {
    help.print().and_then(|()| io::stdout().flush()).context("cannot write standard output")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

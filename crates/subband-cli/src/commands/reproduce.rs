//! `subband reproduce`: every table of the CIFAR-10 experiment, remade.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use subband_nn::Progress;

use crate::args::{Cifar10Arg, DeviceArg, Threads};
use crate::progress::Bars;
use crate::reproduce::{self, Arm, Group, Place, Plan, finished_arm, run_arm, run_baseline};
use crate::{Ui, output};

/// Remake the tables of an experiment
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Trains a ResNet-20 from scratch, retrains it with the codec in the loop in every arm of the experiment, measures each on \
the test images with real bytes, and writes results.md, results.json and plots into the folder. What is there already is \
kept: given again, the command goes on where it stopped. The whole takes some 6 hours on two cores; --quick takes under \
half an hour, with one short epoch an arm and a part of the test images, so its figures only show that everything runs.

Examples:
  subband reproduce cifar10 --out reproduction --quick
  subband reproduce cifar10 --out reproduction
  subband reproduce cifar10 --out reproduction --only blocks --only control")]
pub struct Args {
    /// The experiment: cifar10
    #[arg(value_name = "EXPERIMENT")]
    experiment: Experiment,

    /// Folder for run folders and results, made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// A shortened one, in under half an hour
    #[arg(long)]
    quick: bool,

    /// Only these groups of arms: thesis, blocks, relu, control, ablation
    #[arg(long, value_name = "GROUP")]
    only: Vec<Group>,

    /// Seeds of the ablation
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,

    /// Start from this trained ResNet-20 instead of training one; --quick starts from the bundled one
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    #[command(flatten)]
    data: Cifar10Arg,

    #[command(flatten)]
    device: DeviceArg,

    #[command(flatten)]
    threads: Threads,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Experiment {
    Cifar10,
}

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let Experiment::Cifar10 = args.experiment;
    let plan = if args.quick { Plan::quick() } else { Plan::full(args.seeds) }.only(&args.only);
    let data = args.data.open()?;
    let mut test = data.test()?;
    if let Some(images) = plan.test_images {
        test = test.spread(images);
    }
    std::fs::create_dir_all(&args.out)?;
    let given = match (&args.baseline, args.quick) {
        (Some(weights), _) => Some(weights.clone()),
        (None, true) => Some(crate::models::baseline_weights()?),
        (None, false) => None,
    };
    let note = if args.quick {
        "A shortened run (--quick): one epoch over a part of the training images an arm. These figures show that everything \
         runs; they are not results."
    } else {
        "Made by `subband reproduce cifar10`."
    };
    let mut bars = Bars::new(ui.quiet);
    let place = Place { data: &data, test: &test, folder: &args.out, device: args.device.device() };
    let text = args.threads.run(|| {
        let baseline = run_baseline(&plan.baseline, given.as_deref(), &place, &mut bars)?;
        bars.message(&format!("baseline: {:.2}%", baseline.top1));
        let mut results = Vec::new();
        let mut text = String::new();
        // Arms that were there already say nothing about the time that is left.
        let (mut spent, mut trained) = (Duration::ZERO, 0);
        for (index, arm) in plan.arms.iter().enumerate() {
            if let Some(found) = finished_arm(arm, &baseline, &place)? {
                results.push(found);
            } else {
                let started = Instant::now();
                results.push(run_arm(arm, &baseline, &place, &mut bars)?);
                spent += started.elapsed();
                trained += arm.training_images();
                let left: u64 = plan.arms[index + 1..].iter().map(Arm::training_images).sum();
                let hours = spent.as_secs_f64() / trained as f64 * left as f64 / 3600.0;
                bars.message(&format!("{} of {} arms; about {hours:.1} hours left", index + 1, plan.arms.len()));
            }
            text = reproduce::write(&args.out, &baseline, &results, note)?;
        }
        Ok(text)
    })?;
    drop(bars);
    if ui.quiet { Ok(()) } else { output::print(&text, false) }
}

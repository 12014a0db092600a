//! `subband models`: the networks and profiles that this program carries.

use anyhow::Result;

use crate::models;
use crate::{Ui, output, table};

/// List the bundled networks and profiles
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every model is a network trained by this project and the profile its maps are coded with, measured on the whole CIFAR-10 \
test set. Accuracy drops are against the network before retraining, without a codec.

Examples:
  subband models
  subband models --json
  subband eval --model resnet20-cifar10")]
pub struct Args {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, _: Ui) -> Result<()> {
    let models = models::all()?;
    if args.json {
        return output::print(&(serde_json::to_string_pretty(&models)? + "\n"), false);
    }
    let mut rows = table::new(&["model", "network", "taps", "top-1", "uncompressed", "bits/value", "ratio x32"]);
    for models::Model { card, .. } in &models {
        rows.add_row([
            card.name.clone(),
            card.network.clone(),
            card.taps.clone(),
            format!("{:.2}%", card.top1),
            format!("{:.2}%", card.top1_uncompressed),
            format!("{:.3}", card.bits_per_value),
            format!("{:.1}", card.ratio_f32),
        ]);
    }
    let mut text = table::render(&rows) + "\n\n";
    for models::Model { card, weights, .. } in &models {
        text += &format!("{}: {}\n    {}\n", card.name, card.about, weights.parent().unwrap_or(weights).display());
    }
    output::print(&text, false)
}

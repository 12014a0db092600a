//! What an evaluation found, as a table for people and as JSON for programs.

use std::io::Write;

use anyhow::{Context, Result};
use subband_nn::evaluate::Evaluation;

use crate::table;

/// The table per tap, then the totals.
pub fn text(found: &Evaluation) -> String {
    let mut rows = table::new(&["tap", "shape", "bits/value", "ratio x32", "zeros", "RMSE", "order-0 bits"]);
    for tap in &found.rates.per_tap {
        rows.add_row([
            tap.name.clone(),
            table::shape(&tap.shape),
            format!("{:.3}", tap.bits_per_value),
            format!("{:.1}", tap.ratio_f32),
            table::percent(tap.zeros),
            table::figure(tap.mse.sqrt()),
            format!("{:.3}", tap.order0_entropy_bits_per_value),
        ]);
    }
    rows.add_row([
        "all".to_owned(),
        String::new(),
        format!("{:.3}", found.rates.bits_per_value),
        format!("{:.1}", found.rates.ratio_f32),
        table::percent(found.rates.zeros),
        String::new(),
        format!("{:.3}", found.rates.order0_entropy_bits_per_value),
    ]);

    let mut text = table::render(&rows);
    text.push('\n');
    let mut line = |name: &str, value: String| text += &format!("{name:16}{value}\n");
    line("network", format!("{}, {} taps ({})", found.network, found.rates.per_tap.len(), found.taps));
    line("weights", found.weights.clone());
    line("images", format!("{} of {}", table::count(found.images as u64), found.dataset));
    line("top-1", accuracy(found.top1, found.top1_uncompressed));
    if found.network == "resnet18" || found.network == "resnet34" {
        line("top-5", accuracy(found.top5, found.top5_uncompressed));
    }
    line(
        "rate",
        format!(
            "{:.3} bits per value: {:.1}x against 32 bits, {:.1}x against 16, {:.1}x against 8",
            found.rates.bits_per_value, found.rates.ratio_f32, found.rates.ratio_x16, found.rates.ratio_x8
        ),
    );
    let (bytes, values) = (table::count(found.rates.bytes), table::count(found.rates.values));
    line("bytes", format!("{bytes} in streams of one image and tap, for {values} values"));
    line("profile", format!("{} bytes, shared by encoder and decoder", table::count(found.rates.profile_bytes as u64)));
    if let Some(bits) = found.rates.self_contained_bits_per_value {
        line("self-contained", format!("{bits:.3} bits per value, tables in every stream"));
    }
    line(
        "beside it",
        format!(
            "{:.3} bits: sparse exp-Golomb code of order {} (the thesis's) on the same indices",
            found.rates.seg_bits_per_value, found.rates.seg_order
        ),
    );
    line(
        "",
        format!(
            "{:.3} bits: order-0 entropy per tap, subband and channel (an estimate)",
            found.rates.order0_entropy_bits_per_value
        ),
    );
    if found.rates.saturated > 0 {
        line("clamped", format!("{} values or indices", table::count(found.rates.saturated)));
    }
    line("time", format!("{:.1} s", found.seconds));
    text
}

fn accuracy(coded: f64, uncompressed: Option<f64>) -> String {
    match uncompressed {
        Some(plain) => format!("{coded:.2}%, without the codec {plain:.2}% ({:+.2} points)", coded - plain),
        None => format!("{coded:.2}%"),
    }
}

pub fn write_json(found: &Evaluation, output: &mut impl Write) -> Result<()> {
    let json = serde_json::to_string_pretty(found)?;
    writeln!(output, "{json}").context("cannot write the JSON report")
}

//! What an evaluation found, as a table for people and as JSON for programs.

use std::io::Write;

use anyhow::{Context, Result};
use subband::Rates;
use subband_nn::evaluate::Evaluation;
use subband_onnx::{Measured, ModelEvaluation};

use crate::{onnx, table};

/// The table per tap, then the totals.
pub fn text(found: &Evaluation) -> String {
    let mut text = taps(&found.rates);
    let mut line = |name: &str, value: String| text += &format!("{name:16}{value}\n");
    line("network", format!("{}, {} taps ({})", found.network, found.rates.per_tap.len(), found.taps));
    line("weights", found.weights.clone());
    line("images", format!("{} of {}", table::count(found.images as u64), found.dataset));
    line("top-1", accuracy(found.top1, found.top1_uncompressed));
    if found.network == "resnet18" || found.network == "resnet34" {
        line("top-5", accuracy(found.top5, found.top5_uncompressed));
    }
    text += &totals(&found.rates);
    text + &format!("{:16}{:.1} s\n", "time", found.seconds)
}

/// The same for an ONNX model.
pub fn model_text(found: &ModelEvaluation) -> String {
    let mut text = taps(&found.rates);
    let mut line = |name: &str, value: String| text += &format!("{name:16}{value}\n");
    let network = onnx::printable(&found.network);
    line("network", format!("{network}, {} taps ({}), on {}", found.rates.per_tap.len(), found.taps, found.engine));
    line("images", format!("{} of {}", table::count(found.images as u64), found.dataset));
    facts(&found.measured).into_iter().for_each(|(name, value)| line(name, value));
    text += &totals(&found.rates);
    text + &format!("{:16}{:.1} s\n", "time", found.seconds)
}

fn taps(rates: &Rates) -> String {
    let mut rows = table::new(&["tap", "shape", "bits/value", "ratio x32", "zeros", "RMSE", "order-0 bits"]);
    for tap in &rates.per_tap {
        rows.add_row([
            onnx::printable(&tap.name),
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
        format!("{:.3}", rates.bits_per_value),
        format!("{:.1}", rates.ratio_f32),
        table::percent(rates.zeros),
        String::new(),
        format!("{:.3}", rates.order0_entropy_bits_per_value),
    ]);
    table::render(&rows) + "\n"
}

fn totals(rates: &Rates) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text += &format!("{name:16}{value}\n");
    line(
        "rate",
        format!(
            "{:.3} bits per value: {:.1}x against 32 bits, {:.1}x against 16, {:.1}x against 8",
            rates.bits_per_value, rates.ratio_f32, rates.ratio_x16, rates.ratio_x8
        ),
    );
    let (bytes, values) = (table::count(rates.bytes), table::count(rates.values));
    line("bytes", format!("{bytes} in streams of one image and tap, for {values} values"));
    line("profile", format!("{} bytes, shared by encoder and decoder", table::count(rates.profile_bytes as u64)));
    if let Some(bits) = rates.self_contained_bits_per_value {
        line("self-contained", format!("{bits:.3} bits per value, tables in every stream"));
    }
    line(
        "beside it",
        format!(
            "{:.3} bits: sparse exp-Golomb code of order {} (the thesis's) on the same indices",
            rates.seg_bits_per_value, rates.seg_order
        ),
    );
    line(
        "",
        format!(
            "{:.3} bits: order-0 entropy per tap, subband and channel (an estimate)",
            rates.order0_entropy_bits_per_value
        ),
    );
    if rates.saturated > 0 {
        line("clamped", format!("{} values or indices", table::count(rates.saturated)));
    }
    text
}

/// Names and values of what the codec did to the outputs of an ONNX model.
pub fn facts(measured: &Measured) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut fact = |name, value| facts.push((name, value));
    if let (Some(top1), Some(top5)) = (measured.top1, measured.top5) {
        fact("top-1", accuracy(top1, measured.top1_uncompressed));
        fact("top-5", accuracy(top5, measured.top5_uncompressed));
    }
    if let (Some(drop), Some([low, high])) = (measured.top1_drop, measured.top1_drop_interval) {
        fact("drop", format!("{drop:.2} points of top-1, 95% interval {low:.2} to {high:.2} (paired)"));
    }
    if let (Some(drop), Some([low, high])) = (measured.top1_drop_expected, measured.top1_drop_expected_interval) {
        fact("expected drop", format!("{drop:.2} points by how far answers moved, 95% interval {low:.2} to {high:.2}"));
    }
    fact("agreement", format!("{:.2}% of the largest outputs are the same without the codec", measured.top1_agreement));
    let psnr = measured.psnr.map_or("inf".into(), |psnr| format!("{psnr:.1}"));
    fact("outputs", format!("KL {:.4} nats, cosine {:.5}, PSNR {psnr} dB", measured.kl, measured.cosine));
    facts
}

/// An accuracy in per cent beside that without the codec.
pub fn accuracy(coded: f64, uncompressed: Option<f64>) -> String {
    match uncompressed {
        Some(plain) => format!("{coded:.2}%, without the codec {plain:.2}% ({:+.2} points)", coded - plain),
        None => format!("{coded:.2}%"),
    }
}

pub fn write_json(found: &impl serde::Serialize, output: &mut impl Write) -> Result<()> {
    let json = serde_json::to_string_pretty(found)?;
    writeln!(output, "{json}").context("cannot write the JSON report")
}

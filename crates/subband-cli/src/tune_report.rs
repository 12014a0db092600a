//! What a tuning found, for people.

use subband_onnx::{TuneReport, TunedTap};

use crate::{evaluation_report, onnx, table};

/// How each tap is coded, then what that does on the held-out inputs.
pub fn text(found: &TuneReport) -> String {
    let mut rows =
        table::new(&["tap", "transform", "step", "of std", "rounding", "diffusion", "masked", "alone", "bits/value"]);
    for (tap, rate) in found.tuned.iter().zip(&found.held_out.rates.per_tap) {
        rows.add_row([
            onnx::printable(&tap.name),
            transform(tap),
            steps(&tap.steps),
            format!("{:.2}", geometric_mean(&tap.steps) / if tap.std > 0.0 { tap.std } else { 1.0 }),
            tap.rounding.to_string(),
            tap.diffusion.to_string(),
            table::percent(tap.masked),
            tap.predicted.map_or(String::new(), |point| format!("{:.3}", point.bits)),
            format!("{:.3}", rate.bits_per_value),
        ]);
    }
    let mut text = table::render(&rows) + "\n";
    let mut line = |name: &str, value: String| text += &format!("{name:16}{value}\n");
    line("budget", format!("{}: {}", found.budget, if found.met { "kept" } else { "NOT kept" }));
    line(
        "made from",
        format!(
            "{} inputs ({} of them one tap at a time), verified on {} others; {} settings of all taps, seed {}",
            found.calibration_inputs,
            found.search_inputs,
            found.held_out.images,
            found.trials.len(),
            found.seed
        ),
    );
    if found.mode == "rule" {
        line("rule", format!("step scale {} at every tap", table::figure(found.step_scale)));
    }
    let mut text = text + "\nOn the held-out inputs:\n\n" + &evaluation_report::model_text(&found.held_out);
    text += &format!("{:16}{:.0} s in all\n", "", found.seconds);
    text
}

fn transform(tap: &TunedTap) -> String {
    let levels = if tap.levels > 0 { format!(" {}", tap.levels) } else { String::new() };
    format!("{}{levels}{}", tap.wavelet, if tap.steps_by_channel { ", by channel" } else { "" })
}

fn steps(steps: &[f64]) -> String {
    let [low, high] = [steps.iter().copied().fold(f64::INFINITY, f64::min), steps.iter().copied().fold(0.0, f64::max)];
    if low < high { format!("{}..{}", table::figure(low), table::figure(high)) } else { table::figure(high) }
}

fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len().max(1) as f64).exp()
}

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
            format!("{:.2}", mean_step(tap) / if tap.std > 0.0 { tap.std } else { 1.0 }),
            tap.rounding.to_string(),
            tap.diffusion.to_string(),
            table::percent(tap.masked),
            tap.predicted.map_or(String::new(), |point| format!("{:.3}", point.bits)),
            format!("{:.3}", rate.bits_per_value),
        ]);
    }
    let mut text = table::render(&rows) + "\n";
    for (name, value) in facts(found) {
        text += &format!("{name:16}{value}\n");
    }
    text += "\nOn the held-out inputs:\n\n";
    text += &evaluation_report::model_text(&found.held_out);
    text += &format!("{:16}{:.0} s in all\n", "", found.seconds);
    text
}

/// What was asked for, what it was made from, and how it compares.
pub fn facts(found: &TuneReport) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    fact("budget", format!("{}: {}", found.budget, if found.met { "kept" } else { "NOT kept" }));
    if let Some(price) = found.points_per_nat {
        let drop = table::figure(price * found.held_out.measured.kl);
        fact(
            "its drop",
            format!("{drop} points by its divergence, a nat of which costs {} there", table::figure(price)),
        );
    }
    fact(
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
        fact("rule", format!("step scale {} at every tap", table::figure(found.step_scale)));
    }
    if let Some(rule) = &found.one_rule {
        let takes = format!(
            "step scale {} at every tap, no transform, takes {:.3} bits a value",
            table::figure(rule.step_scale),
            rule.bits_per_value
        );
        let less = 100.0 * (1.0 - found.held_out.rates.bytes as f64 / rule.bytes.max(1) as f64);
        fact(
            "one rule",
            match (found.mode.as_str(), rule.met) {
                ("rule", _) => format!("{takes}: the search found nothing better"),
                (_, true) => format!("{takes} under the same budget: this profile {less:.1}% less"),
                (_, false) => format!("{takes} and does not keep the budget"),
            },
        );
    }
    facts
}

/// Wavelet and levels.
pub fn transform(tap: &TunedTap) -> String {
    let levels = if tap.levels > 0 { format!(" {}", tap.levels) } else { String::new() };
    format!("{}{levels}{}", tap.wavelet, if tap.steps_by_channel { ", by channel" } else { "" })
}

/// From the finest to the coarsest.
pub fn steps(steps: &[f64]) -> String {
    let [low, high] = [steps.iter().copied().fold(f64::INFINITY, f64::min), steps.iter().copied().fold(0.0, f64::max)];
    if low < high { format!("{}..{}", table::figure(low), table::figure(high)) } else { table::figure(high) }
}

/// The geometric mean over the subbands.
pub fn mean_step(tap: &TunedTap) -> f64 {
    (tap.steps.iter().map(|step| step.ln()).sum::<f64>() / tap.steps.len().max(1) as f64).exp()
}

//! Results as tables (`results.md`), as JSON (`results.json`) and as plots.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use subband_nn::retrain::SelectionMethod;

use super::arms::Group;
use super::results::{ArmResult, Baseline};
use crate::output;
use crate::plot::{Panel, Plot, Series};

/// The thesis's ratios against f32 for ResNet-20 at r = 0.75, 0.5 and 0.25 (METHOD).
const THESIS_RATIOS: [(f64, f64); 3] = [(0.75, 11.0), (0.5, 13.0), (0.25, 17.0)];

/// Writes everything that can be said of the arms run so far into `folder`.
pub fn write(folder: &Path, baseline: &Baseline, results: &[ArmResult], note: &str) -> Result<String> {
    let text = markdown(baseline, results, note);
    output::replace(&folder.join("results.md"), text.as_bytes())?;
    rate_against_accuracy(baseline, results).write(&folder.join("rate-accuracy.svg"))?;
    output::replace(&folder.join("results.json"), &serde_json::to_vec_pretty(results)?)?;
    Ok(text)
}

fn markdown(baseline: &Baseline, results: &[ArmResult], note: &str) -> String {
    let mut text = String::new();
    let images = results.first().map_or(0, |found| found.test.images);
    let _ = writeln!(text, "{note}\n");
    let _ = writeln!(
        text,
        "Baseline: ResNet-20, {} epochs, {:.2}% on {images} test images without a codec. Bits are bits per value of \
         packets of one image and tap, headers and checksums included; drops are against the baseline, in points.\n",
        baseline.epochs, baseline.top1
    );
    let of = |group: Group| results.iter().filter(move |found| found.group == group).collect::<Vec<_>>();
    let thesis = of(Group::Thesis);
    if !thesis.is_empty() {
        text += "### The thesis's recipe\n\n";
        text += "| r | epochs | top-1 | drop | SEG bits | SEG ratio | our coder, bits | ratio | the thesis's ratio |\n";
        text += "|---|---|---|---|---|---|---|---|---|\n";
        for found in &thesis {
            let retain = found.config.selection.retain;
            let theirs = THESIS_RATIOS.iter().find(|(r, _)| *r == retain).map_or("-".into(), |(_, x)| format!("{x}x"));
            let test = &found.test;
            let _ = writeln!(
                text,
                "| {retain} | {} | {:.2}% | {:+.2} | {:.3} | {:.1}x | {:.3} | {:.1}x | {theirs} |",
                found.epochs.len(),
                test.top1,
                test.top1 - baseline.top1,
                test.rates.seg_bits_per_value,
                32.0 / test.rates.seg_bits_per_value,
                test.rates.bits_per_value,
                test.rates.ratio_f32,
            );
        }
        text.push('\n');
    }
    for (group, title) in [
        (Group::Blocks, "Our curve, block taps"),
        (Group::Relu, "Our curve, every ReLU"),
        (Group::Control, "The control: block taps, no wavelet, otherwise the same"),
    ] {
        let arms = of(group);
        if !arms.is_empty() {
            let _ = writeln!(text, "### {title}\n\n{}", curve(baseline, &arms));
        }
    }
    let ablation: Vec<&ArmResult> = thesis.iter().copied().chain(of(Group::Ablation)).collect();
    if results.iter().any(|found| found.group == Group::Ablation) {
        let _ =
            writeln!(text, "### Learned against fixed channel selection\n\n{}", selection_table(baseline, &ablation));
    }
    if let Some(found) = thesis.iter().find(|found| found.config.selection.retain == 0.5) {
        let _ = writeln!(text, "### Channels that keep their finest details, {}\n", found.name);
        text += "| tap | channels |\n|---|---|\n";
        for (tap, channels) in &found.kept_finest {
            let list: Vec<String> = channels.iter().map(usize::to_string).collect();
            let _ = writeln!(text, "| {tap} | {} |", if list.is_empty() { "none".into() } else { list.join(" ") });
        }
        text.push('\n');
    }
    for found in of(Group::Blocks).into_iter().chain(of(Group::Relu)) {
        let _ = writeln!(text, "### Where the bits go: {}\n\n{}", found.name, per_tap(found));
    }
    text
}

/// Every group's arms as points of a curve.
fn rate_against_accuracy(baseline: &Baseline, results: &[ArmResult]) -> Plot {
    let mut series = Vec::new();
    for group in [Group::Blocks, Group::Relu, Group::Control, Group::Thesis] {
        let mut points: Vec<(f64, f64)> = results
            .iter()
            .filter(|found| found.group == group)
            .map(|found| (found.test.rates.bits_per_value, found.test.top1))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if !points.is_empty() {
            series.push(Series::line(group.name(), points));
        }
    }
    let bits = series.iter().flat_map(|s| &s.points).map(|p| p.0);
    let (least, most) = bits.fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)));
    if least <= most {
        series.push(Series::line("uncompressed", [(least, baseline.top1), (most, baseline.top1)]));
    }
    Plot {
        title: "ResNet-20, CIFAR-10: accuracy with decoded maps".into(),
        x_label: "bits per value, real bytes".into(),
        panels: vec![Panel { y_label: "top-1, %".into(), series }],
    }
}

fn curve(baseline: &Baseline, arms: &[&ArmResult]) -> String {
    let mut text = String::from(
        "| lambda | epochs | top-1 | drop | bits | ratio | order-0 bits | SEG bits | zeros |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let mut arms = arms.to_vec();
    arms.sort_by(|a, b| a.config.rate.lambda.total_cmp(&b.config.rate.lambda));
    for found in arms {
        let test = &found.test;
        let _ = writeln!(
            text,
            "| {} | {} | {:.2}% | {:+.2} | {:.3} | {:.1}x | {:.3} | {:.3} | {:.1}% |",
            found.config.rate.lambda,
            found.epochs.len(),
            test.top1,
            test.top1 - baseline.top1,
            test.rates.bits_per_value,
            test.rates.ratio_f32,
            test.rates.order0_entropy_bits_per_value,
            test.rates.seg_bits_per_value,
            100.0 * test.rates.zeros,
        );
    }
    text
}

/// Mean and spread over the seeds, method by method.
fn selection_table(baseline: &Baseline, arms: &[&ArmResult]) -> String {
    let mut text = String::from(
        "| r | selection | seeds | epochs | top-1, mean | least to most | drop | bits, mean |\n|---|---|---|---|---|---|---|---|\n",
    );
    let mut keys: Vec<(f64, &str)> = Vec::new();
    let key = |found: &ArmResult| {
        let method = found.config.selection.method;
        (found.config.selection.retain, if method == SelectionMethod::Thesis { "learned" } else { method.name() })
    };
    for found in arms {
        if found.config.selection.retain < 1.0 && !keys.contains(&key(found)) {
            keys.push(key(found));
        }
    }
    keys.sort_by(|a, b| b.0.total_cmp(&a.0));
    for wanted in keys {
        let of: Vec<&&ArmResult> = arms.iter().filter(|found| key(found) == wanted).collect();
        let top1: Vec<f64> = of.iter().map(|found| found.test.top1).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let bits: Vec<f64> = of.iter().map(|found| found.test.rates.bits_per_value).collect();
        let (least, most) = top1.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.2}% | {least:.2} to {most:.2} | {:+.2} | {:.3} |",
            wanted.0,
            wanted.1,
            of.len(),
            of[0].epochs.len(),
            mean(&top1),
            mean(&top1) - baseline.top1,
            mean(&bits),
        );
    }
    text
}

fn per_tap(found: &ArmResult) -> String {
    let mut text = String::from(
        "| tap | shape | bits | ratio | zeros | order-0 bits of each subband, LL first |\n|---|---|---|---|---|---|\n",
    );
    for tap in &found.test.rates.per_tap {
        let [c, h, w] = tap.shape;
        let subbands: Vec<String> =
            tap.order0_bits_per_value_of_subbands.iter().map(|bits| format!("{bits:.2}")).collect();
        let _ = writeln!(
            text,
            "| {} | {c}x{h}x{w} | {:.3} | {:.1}x | {:.1}% | {} |",
            tap.name,
            tap.bits_per_value,
            tap.ratio_f32,
            100.0 * tap.zeros,
            subbands.join(" "),
        );
    }
    text
}

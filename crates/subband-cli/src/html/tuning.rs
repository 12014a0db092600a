//! The page of `subband tune`.

use anyhow::Result;
use subband::Profile;
use subband_onnx::{Budget, Trial, TuneReport, TunedTap};

use super::evaluation;
use super::page::{Block, Cell, Page, Section, Table};
use crate::plot::{Panel, Plot, Series};
use crate::{evaluation_report, onnx, table, tune_report};

/// What a tuning found. The caller adds what made the page.
pub fn of_tuning(found: &TuneReport, profile: &Profile) -> Result<Page> {
    let TuneReport { budget, held_out, .. } = found;
    let mut facts = tune_report::facts(found);
    facts
        .extend(evaluation_report::facts(&held_out.measured).into_iter().map(|(name, value)| (name.to_owned(), value)));
    facts.extend(evaluation::totals(&held_out.rates).into_iter().map(|(name, value)| (name.to_owned(), value)));
    let mut sections = vec![
        Section {
            heading: "Rate against the budget".into(),
            note: "Every setting of all taps that was tried, on the held-out inputs. Its bits are those of packets of a few of \
                   these inputs, with tables fitted to the same few; the profile's are of all of them, with its own tables."
                .into(),
            blocks: vec![Block::Chart(tuning_plot(found).to_svg()?), Block::Table(trials(found))],
        },
        Section {
            heading: "How each tap is coded".into(),
            note: "Steps are of subbands, LL first, and beside them their mean in deviations of the tap's values. Bits and harm \
                   alone are what the search foresaw with this tap coded and no other: harm is the divergence of the outputs \
                   and their squared error in proportion to them, or for a PSNR their mean squared error. A click on a head \
                   sorts."
                .into(),
            blocks: vec![Block::Table(choices(found))],
        },
    ];
    let forms = forms(&found.tuned);
    if !forms.rows.is_empty() {
        sections.push(Section {
            heading: "What was tried at each tap".into(),
            note: "Bits that each form of coding takes where it harms the outputs as much as the others at this tap."
                .into(),
            blocks: vec![Block::Table(forms)],
        });
    }
    sections.extend(evaluation::sections(&held_out.rates, profile, Vec::new(), &held_out.skipped)?);
    let name = onnx::printable(&held_out.network);
    Ok(Page { title: format!("{name} tuned to {budget}"), facts, sections, provenance: Vec::new() })
}

/// What a budget bounds, for an axis.
fn bounded(budget: &Budget) -> &'static str {
    match budget {
        Budget::MaxDrop(_) => "expected drop of top-1, points",
        Budget::MinAgreement(_) => "agreement, %",
        Budget::MinPsnr(_) => "PSNR, dB",
        _ => "KL divergence, nats",
    }
}

/// The kinds of settings that were tried: a name, and the settings.
fn tried(found: &TuneReport) -> Vec<(&'static str, &[Trial])> {
    const RULE: &str = "one step scale";
    match &found.one_rule {
        // Where a search ended in the rule, those are its settings.
        Some(rule) if found.mode == "rule" => vec![(RULE, &rule.trials)],
        Some(rule) => vec![("as suits each tap", &found.trials), (RULE, &rule.trials)],
        None => vec![(RULE, &found.trials)],
    }
}

/// Rate against what the budget bounds, of all settings that were tried.
fn tuning_plot(found: &TuneReport) -> Plot {
    let budget = &found.budget;
    let point = |trial: &Trial| Some((trial.bits_per_value?, budget.figure(&trial.measured).0));
    let mut series: Vec<Series> = tried(found)
        .into_iter()
        .map(|(name, trials)| {
            let mut points: Vec<(f64, f64)> = trials.iter().filter_map(point).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series::line(name, points)
        })
        .collect();
    let (figure, bound) = budget.figure(&found.held_out.measured);
    let profile = (found.held_out.rates.bits_per_value, figure);
    let alone = |name: &str, point| Series { joined: false, ..Series::line(name, [point]) };
    series.push(alone("this profile", profile));
    if let Some(rule) = found.one_rule.as_ref().filter(|_| found.mode != "rule") {
        series.push(alone("the rule's profile", (rule.bits_per_value, budget.figure(&rule.measured).0)));
    }
    let bits = || series.iter().flat_map(|series| &series.points).map(|point| point.0);
    let ends = [bits().fold(f64::INFINITY, f64::min), bits().fold(0.0, f64::max)];
    series.push(Series::line("budget", ends.map(|bits| (bits, bound))));
    let panel = Panel { y_label: bounded(budget).into(), series };
    Plot { title: String::new(), x_label: "bits a value".into(), panels: vec![panel] }
}

fn trials(found: &TuneReport) -> Table {
    let head = [
        "setting",
        "strength",
        "bits a value",
        "agreement, %",
        "KL, nats",
        "PSNR, dB",
        "drop, points",
        "expected drop",
    ];
    let cell = |value: Option<f64>, digits: usize| match value {
        Some(value) if value.is_finite() => Cell::number(value, format!("{value:.digits$}")),
        _ => Cell::text(""),
    };
    let row = |name: &str, trial: &Trial| {
        let measured = &trial.measured;
        vec![
            Cell::text(name),
            cell(Some(trial.strength), 3),
            cell(trial.bits_per_value, 3),
            cell(Some(measured.top1_agreement), 2),
            cell(Some(measured.kl), 4),
            cell(measured.psnr, 1),
            cell(measured.top1_drop, 2),
            cell(measured.top1_drop_expected, 2),
        ]
    };
    let tried = tried(found);
    let rows = tried.iter().flat_map(|(name, trials)| trials.iter().map(move |trial| row(name, trial))).collect();
    Table { head: head.map(str::to_owned).into(), rows, foot: None }
}

fn choices(found: &TuneReport) -> Table {
    let head = [
        "tap",
        "shape",
        "transform",
        "steps",
        "of deviation",
        "rounding",
        "diffusion",
        "masked",
        "bits alone",
        "harm alone",
        "bits a value",
        "share of bytes",
    ];
    let all = found.held_out.rates.bytes.max(1) as f64;
    let rows = found.tuned.iter().zip(&found.held_out.rates.per_tap).map(|(tap, rate)| {
        let number = |value: f64| Cell::number(value, table::figure(value));
        let alone =
            |of: fn(subband_onnx::Point) -> f64| tap.predicted.map_or_else(|| Cell::text(""), |p| number(of(p)));
        let share = rate.bytes as f64 / all;
        vec![
            Cell::text(tap.name.clone()),
            Cell::number(tap.shape.iter().product::<usize>() as f64, table::shape(&tap.shape)),
            Cell::text(tune_report::transform(tap)),
            Cell::number(tune_report::mean_step(tap), tune_report::steps(&tap.steps)),
            number(tune_report::mean_step(tap) / if tap.std > 0.0 { tap.std } else { 1.0 }),
            number(tap.rounding.into()),
            number(tap.diffusion.into()),
            Cell::number(tap.masked, table::percent(tap.masked)),
            alone(|point| point.bits),
            alone(|point| point.harm),
            Cell::number(rate.bits_per_value, format!("{:.3}", rate.bits_per_value)),
            Cell::number(share, table::percent(share)),
        ]
    });
    Table { head: head.map(str::to_owned).into(), rows: rows.collect(), foot: None }
}

fn forms(taps: &[TunedTap]) -> Table {
    let head = ["tap", "form", "bits a value"].map(str::to_owned).into();
    let rows = taps.iter().flat_map(|tap| {
        tap.forms.iter().map(|tried| {
            let bits = Cell::number(tried.bits, format!("{:.3}", tried.bits));
            vec![Cell::text(tap.name.clone()), Cell::text(tried.form.clone()), bits]
        })
    });
    Table { head, rows: rows.collect(), foot: None }
}

//! Tuning: the profile of fewest bytes that keeps a budget, for a network as it is.
//!
//! Each tap is studied alone: which transform, how much an error in each group of subbands and of channels harms the output,
//! and for the best forms how bits and harm go with the step. Then one price of harm in bits is turned; at a price every tap
//! takes the form and the step of least cost, so that a bit more buys the same everywhere. With all taps coded at once that
//! price is bisected on inputs that nothing else has seen, until the budget is just kept. The one rule that the search began
//! from is taken to the end too, and the better of both is the result.

mod bisect;
mod budget;
mod curve;
mod divergence_price;
mod family;
mod form;
mod job;
mod probe;
mod report;
mod state;
mod study;
mod together;

use std::path::Path;
use std::time::Instant;

use subband::{Effort, Wavelet};
use subband_nn::Progress;

pub use budget::{Budget, Trial};
pub use curve::Point;
pub use report::{FormBits, OneRule, TuneReport, Tuned, TunedTap};

use crate::calibrate::statistics;
use crate::error::{Error, Result};
use crate::evaluate::{ModelEvaluation, Runnable};
use crate::gains::gains;
use crate::inputs::Inputs;
use crate::layout::Layout;
use crate::network::TappedNetwork;
use crate::taps::Candidate;
use family::{Family, tuned_tap};
use job::Job;
use probe::Site;
use state::State;

/// What a tuning is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TuneConfig {
    /// What the codec may cost.
    pub budget: Budget,
    /// One rule in place of the search: this transform, and one step scale for all taps. Default: none.
    pub rule: Option<(Wavelet, u8)>,
    /// Inputs that taps are coded on one by one, a part of those to calibrate on. Default: 12.
    pub search_inputs: usize,
    /// The most work the profile is made for. Default: default.
    pub effort: Effort,
    /// How maps of few axes are seen as planes. Default: auto.
    pub layout: Layout,
    /// Recorded; the caller has split the inputs. Default: 1.
    pub seed: u64,
}

impl TuneConfig {
    /// The defaults, for a budget.
    pub fn new(budget: Budget) -> Self {
        Self { budget, rule: None, search_inputs: 12, effort: Effort::default(), layout: Layout::Auto, seed: 1 }
    }
}

/// Where a tuning keeps what it measured: to go on after an interruption, and to save most of the work for other budgets.
#[derive(Clone, Copy, Debug)]
pub struct RunFolder<'a> {
    /// Made where there is none.
    pub folder: &'a Path,
    /// Names everything that measurements depend on and that is not in the configuration: model, inputs, preprocessing.
    pub identity: &'a str,
}

/// Makes the profile for `taps` that takes fewest bytes and keeps the budget on `held_out`. Tables and everything else come
/// from `calibration`; neither should be among what is reported on.
///
/// # Errors
/// `InvalidArgument` for settings out of range, a budget that needs labels where there are none, and a folder of another
/// tuning; those of [`TappedNetwork::new`] and of runs. A budget that cannot be kept is no error: the report says so.
pub fn tune(
    runnable: &Runnable<'_>,
    taps: &[Candidate],
    calibration: &Inputs,
    held_out: &Inputs,
    config: &TuneConfig,
    run: Option<RunFolder<'_>>,
    progress: &mut dyn Progress,
) -> Result<Tuned> {
    let begun = Instant::now();
    let Runnable { model, engine, .. } = *runnable;
    check(config, calibration, held_out)?;
    let names: Vec<String> = taps.iter().map(|tap| tap.name.clone()).collect();
    let identity = run.map_or("", |run| run.identity);
    // Budgets and efforts are not in it: their measurements have names of their own, and studies serve several.
    let of = format!(
        "{identity}; {}; layout {}, {} of {} and {} inputs",
        names.join(" "),
        config.layout,
        config.search_inputs,
        calibration.len(),
        held_out.len()
    );
    let mut state = State::open(run.map(|run| run.folder), of)?;
    let planes = taps.iter().map(|tap| config.layout.planes(&tap.name, &tap.shape)).collect::<Result<Vec<_>>>()?;
    let network = TappedNetwork::new(model, engine, &names)?;
    let measured = state.or_measure("statistics", || statistics(model, &network, &planes, calibration, progress))?;
    let sites: Vec<Site> = taps
        .iter()
        .zip(planes)
        .zip(measured)
        .map(|((tap, planes), statistics)| Site {
            name: tap.name.clone(),
            planes,
            nonnegative: tap.nonnegative,
            gains: gains(model, &tap.name, planes.shape[0]),
            statistics,
        })
        .collect();
    let mut job =
        Job { runnable, network: &network, sites: &sites, config, state: &mut state, progress: &mut *progress };
    let tunings = match config.rule {
        Some(rule) => vec![job.rule(rule, held_out)?],
        None => job.search(calibration, held_out)?.into(),
    };
    let mut candidates = Vec::new();
    for tuning in tunings {
        let (profile, evaluation) = job.finish(&tuning, calibration, held_out)?;
        let met = tuning.found.met && config.budget.keeps(&evaluation.measured, tuning.found.price);
        candidates.push((tuning, profile, evaluation, met));
    }
    let one_rule = match (config.rule, candidates.last()) {
        (None, Some((tuning, _, evaluation, met))) => Some(OneRule {
            step_scale: tuning.found.best.exp(),
            met: *met,
            bytes: evaluation.rates.bytes,
            bits_per_value: evaluation.rates.bits_per_value,
            measured: evaluation.measured.clone(),
            trials: tuning.found.trials.clone(),
        }),
        _ => None,
    };
    // Of those that keep the budget the one of fewest bytes, else the first, which is the closest that was found.
    let bytes = |evaluation: &ModelEvaluation, met: bool| if met { evaluation.rates.bytes } else { u64::MAX };
    let best = candidates.into_iter().min_by_key(|(.., evaluation, met)| bytes(evaluation, *met));
    let (tuning, profile, evaluation, met) = best.expect("there is at least one");
    let strength = tuning.found.best;
    progress.end();
    let settings = tuning.family.at(strength, &sites);
    let tuned =
        sites.iter().zip(profile.taps()).zip(settings).map(|((site, tap), setting)| tuned_tap(site, tap, setting));
    let report = TuneReport {
        budget: config.budget,
        met,
        mode: if matches!(tuning.family, Family::Rule(..)) { "rule" } else { "search" }.into(),
        step_scale: if config.rule.is_some() { strength.exp() } else { tuning.first_scale },
        points_per_nat: matches!(config.budget, Budget::MaxDrop(_)).then_some(tuning.found.price.points_per_nat),
        seed: config.seed,
        calibration_inputs: calibration.len(),
        search_inputs: tuning.search_inputs,
        trials: tuning.found.trials,
        one_rule,
        tuned: tuned.collect(),
        held_out: evaluation,
        seconds: begun.elapsed().as_secs_f64(),
    };
    Ok(Tuned { profile, report })
}

fn check(config: &TuneConfig, calibration: &Inputs, held_out: &Inputs) -> Result<()> {
    config.budget.validate()?;
    if let Some((wavelet, levels)) = config.rule {
        wavelet.validate_levels(levels)?;
    }
    if config.search_inputs == 0 {
        return Err(Error::argument("the search inputs are 0: taps are coded on at least 1"));
    }
    if calibration.is_empty() || held_out.is_empty() {
        return Err(Error::data(format!(
            "{} inputs to calibrate on and {} to verify on: tuning needs some of both",
            calibration.len(),
            held_out.len()
        )));
    }
    if matches!(config.budget, Budget::MaxDrop(_)) && held_out.classes().is_none() {
        return Err(Error::argument(format!(
            "the budget is {}, but {} has no labels: allowed without are an agreement, a PSNR and a KL divergence",
            config.budget,
            held_out.name()
        )));
    }
    Ok(())
}

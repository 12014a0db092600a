use subband::{Profile, Wavelet};
use subband_nn::Progress;
use subband_nn::evaluate::EvaluateOptions;

use super::TuneConfig;
use super::bisect::{Found, Path as SearchPath, strongest};
use super::budget::Trial;
use super::curve::Curve;
use super::family::Family;
use super::probe::{Convoy, Probe, Site};
use super::state::State;
use super::study::{Study, study};
use super::together::Together;
use crate::calibrate::{TableOptions, TapCoding, profile_of};
use crate::error::{Error, Result};
use crate::evaluate::{ModelEvaluation, Runnable, batch_size, evaluate, gives_probabilities};
use crate::inputs::Inputs;
use crate::network::TappedNetwork;

/// Names the order of a study's trials, which go by their numbers: another order needs another name.
const STUDY: &str = "second kind";
/// Values of one tap's maps that are studied at once.
const STUDIED_VALUES: usize = 1 << 25;
/// Transform of the one rule that a search begins from, and has to beat.
const FIRST_TRANSFORM: (Wavelet, u8) = (Wavelet::None, 0);
/// Natural logarithms of the step scales that are tried, and of the first.
const SCALES: [f64; 2] = [-10.5, 4.0];
const FIRST_SCALE: f64 = -1.0;
/// Logarithms of prices are multiples of this: other budgets find them measured.
const PRICES: f64 = 1.0 / 16.0;

/// What is left to be written down.
pub(super) struct Tuning {
    pub family: Family,
    pub found: Found,
    /// The rule's step scale that the search began from.
    pub first_scale: f64,
    /// Inputs that taps were coded on one by one.
    pub search_inputs: usize,
}

/// What the parts of a tuning share.
pub(super) struct Job<'a, 'b> {
    pub runnable: &'a Runnable<'a>,
    pub network: &'a TappedNetwork,
    pub sites: &'a [Site],
    pub config: &'a TuneConfig,
    pub state: &'a mut State,
    pub progress: &'b mut dyn Progress,
}

impl Job<'_, '_> {
    /// One step scale for all taps.
    pub fn rule(&mut self, (wavelet, levels): (Wavelet, u8), held_out: &Inputs) -> Result<Tuning> {
        let family = Family::Rule(wavelet, levels);
        let path = SearchPath { start: FIRST_SCALE, stride: 0.5, tolerance: 0.5 / 16.0, bounds: SCALES };
        let found = self.verified(&family, "held out", held_out, "one step scale", path, &[])?;
        Ok(Tuning { family, first_scale: found.best.exp(), found, search_inputs: 0 })
    }

    /// Every tap as suits it; and beside it the one rule that the search began from, which may turn out to be better.
    pub fn search(&mut self, calibration: &Inputs, held_out: &Inputs) -> Result<[Tuning; 2]> {
        let rule = self.rule(FIRST_TRANSFORM, held_out)?;
        let first = rule.found.best;
        let harm = rule.found.trial().harm(&self.config.budget);
        // In steps, so that studies serve other budgets too.
        let ln_scale = (2.0 * first).round() / 2.0;
        let kind = if self.config.budget.is_of_values() { "squared error" } else { "divergence" };
        let of = format!("{kind} around {ln_scale}, {STUDY}");
        let (studies, search_inputs) = self.studies(calibration, ln_scale.exp(), &of)?;
        let start = (self.price_of(&studies, harm) / PRICES).round() * PRICES;
        let family = Family::Studies(studies);
        let path = SearchPath { start, stride: 8.0 * PRICES, tolerance: PRICES, bounds: [start - 8.0, start + 8.0] };
        let found = self.verified(&family, &of, held_out, "all taps at once", path, &rule.found.trials)?;
        Ok([Tuning { family, found, first_scale: first.exp(), search_inputs }, Tuning { search_inputs, ..rule }])
    }

    /// Bisects a family on `inputs`; both are named by `of`. `known` are another family's trials on them.
    fn verified(
        &mut self,
        family: &Family,
        of: &str,
        inputs: &Inputs,
        stage: &str,
        path: SearchPath,
        known: &[Trial],
    ) -> Result<Found> {
        let probabilities = gives_probabilities(self.runnable.model);
        let (network, sites) = (self.network, self.sites);
        let mut together = Together::new(self.runnable.model, network, sites, inputs.clone(), probabilities)?;
        let (state, progress) = (&mut *self.state, &mut *self.progress);
        // How many it takes is not known; most searches take so many.
        progress.begin(stage, 8);
        let mut made = 0;
        strongest(path, &self.config.budget, known, &mut |strength| {
            let name = format!("all taps, {} {of} at {strength}", family.name());
            let trial = state.or_measure(&name, || together.trial(strength, &family.codings(strength, sites)))?;
            made += 1;
            let found = &trial.measured;
            let drop = found.top1_drop_expected.map_or(String::new(), |drop| format!(", drop {drop:.2}"));
            progress.advance(made.min(8), &format!("agreement {:.2}%, KL {:.4}{drop}", found.top1_agreement, found.kl));
            Ok(trial)
        })
    }

    /// Studies tap by tap, with the inputs waiting behind each.
    /// `of` names them.
    fn studies(&mut self, calibration: &Inputs, scale: f64, of: &str) -> Result<(Vec<Study>, usize)> {
        let (model, network) = (self.runnable.model, self.network);
        let largest = self.sites.iter().map(|site| site.planes.values()).max().unwrap_or(1).max(1);
        let count = self.config.search_inputs.min((STUDIED_VALUES / largest).max(1));
        let inputs = calibration.spread(count);
        let mut studies = Vec::new();
        for site in self.sites {
            studies.push(self.state.known::<Study>(&format!("{}, {of}", site.name))?);
        }
        self.progress.begin("taps one by one", self.sites.len() as u64);
        let mut done = studies.iter().flatten().count();
        if done < studies.len() {
            let size = batch_size(model, &inputs)?;
            let mut batches = Vec::new();
            for start in (0..inputs.len()).step_by(size) {
                let batch = inputs.batch(start, size)?;
                batches.extend(batch.value.map(|value| (value, batch.len)));
            }
            if batches.is_empty() {
                return Err(Error::data(format!("no input of {} could be read", inputs.name())));
            }
            let of_values = self.config.budget.is_of_values();
            let mut convoy = Convoy::new(network, batches, gives_probabilities(model), of_values)?;
            for stage in 0..network.stages() {
                debug_assert_eq!(convoy.stage(), stage);
                convoy.advance()?;
                for tap in network.taps_of(stage) {
                    if studies[tap].is_some() {
                        continue;
                    }
                    let site = &self.sites[tap];
                    let progress = &mut *self.progress;
                    let mut probe = Probe::new(&convoy, tap, site, of, &mut *self.state);
                    let base = scale * site.statistics.scale();
                    let found = study(&mut probe, base, &mut |what| {
                        progress.advance(done as u64, &format!("{}: {what}", shown(&site.name)));
                    })?;
                    self.state.put(&format!("{}, {of}", site.name), &found)?;
                    studies[tap] = Some(found);
                    done += 1;
                    self.progress.advance(done as u64, "");
                }
            }
        }
        Ok((studies.into_iter().map(|study| study.expect("all were studied")).collect(), inputs.len()))
    }

    /// The strength at which the taps' harms add up to `harm`.
    fn price_of(&self, studies: &[Study], harm: f64) -> f64 {
        let total = |strength: f64| -> f64 {
            let price = (-strength).exp();
            let best = |(site, study): (&Site, &Study)| {
                let costs = study.forms.iter();
                let costs = costs.map(|(_, points)| Curve::new(points).best(site.planes.values() as f64, price));
                costs.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0.0, |(point, _)| point.harm)
            };
            self.sites.iter().zip(studies).map(best).sum()
        };
        let (mut low, mut high) = (-60.0, 60.0);
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            if total(middle) < harm { low = middle } else { high = middle }
        }
        low
    }

    /// Tables, and the profile measured as it is written. Masks of what calibration never used were not tried before; where
    /// they break the budget they are left out, and what decodes is what was tried.
    pub fn finish(
        &mut self,
        tuning: &Tuning,
        calibration: &Inputs,
        held_out: &Inputs,
    ) -> Result<(Profile, ModelEvaluation)> {
        let Runnable { model, .. } = *self.runnable;
        let codings = tuning.family.codings(tuning.found.best, self.sites).into_iter().zip(self.sites);
        let codings: Vec<TapCoding> =
            codings.map(|(coding, site)| TapCoding { name: site.name.clone(), planes: site.planes, coding }).collect();
        let (effort, layout) = (self.config.effort, self.config.layout);
        let evaluation = EvaluateOptions::default().with_self_contained(false).with_effort(effort);
        for drop_unused in [true, false] {
            let options = TableOptions::default().with_effort(effort).with_drop_unused(drop_unused);
            let profile = profile_of(model, self.network, &codings, calibration, options, self.progress)?;
            let found = evaluate(self.runnable, held_out, &profile, layout, &evaluation, self.progress)?;
            let masked = profile.taps().iter().any(|tap| tap.coding().mask.is_some());
            if !drop_unused || !masked || self.config.budget.keeps(&found.measured, tuning.found.price) {
                return Ok((profile, found));
            }
        }
        unreachable!("the second has no masks")
    }
}

/// The end of a name, which tells most.
fn shown(name: &str) -> String {
    let letters: Vec<char> = name.chars().filter(|c| !c.is_control()).collect();
    letters[letters.len().saturating_sub(32)..].iter().collect()
}

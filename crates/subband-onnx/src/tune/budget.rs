use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::measure::{Measured, Measures};

/// What the codec may cost, measured on held-out inputs with every tap coded at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// At most so many points of top-1 accuracy; needs labels.
    MaxDrop(f64),
    /// The largest output is the same without the codec for at least so many per cent of the inputs (of dense outputs, of
    /// the places).
    MinAgreement(f64),
    /// Outputs are at least so many dB from those without the codec, the peak being their range.
    MinPsnr(f64),
    /// The softmax of the outputs is at most so many nats from that without the codec.
    MaxKl(f64),
}

impl Budget {
    /// Refuses a number that no network can be measured against.
    pub fn validate(&self) -> Result<()> {
        let (allowed, fine) = match *self {
            Self::MaxDrop(points) => ("a drop of 0 to 100 points", (0.0..=100.0).contains(&points)),
            Self::MinAgreement(percent) => ("an agreement of 0 to 100 per cent", (0.0..=100.0).contains(&percent)),
            Self::MinPsnr(db) => ("a PSNR above 0 dB", db > 0.0 && db.is_finite()),
            Self::MaxKl(nats) => ("a KL divergence above 0 nats", nats > 0.0 && nats.is_finite()),
        };
        if fine { Ok(()) } else { Err(Error::argument(format!("the budget is {self}: allowed is {allowed}"))) }
    }

    /// The figure of the outputs that the budget bounds, and the bound; PSNR is infinite where outputs are equal.
    pub fn figure(&self, measured: &Measured) -> (f64, f64) {
        match *self {
            Self::MaxDrop(points) => (measured.top1_drop.unwrap_or(f64::NAN), points),
            Self::MinAgreement(percent) => (measured.top1_agreement, percent),
            Self::MinPsnr(db) => (measured.psnr.unwrap_or(f64::INFINITY), db),
            Self::MaxKl(nats) => (measured.kl, nats),
        }
    }

    /// Whether the outputs' squared error is the harm that is shared out among taps, rather than their divergence.
    pub(super) fn is_of_values(&self) -> bool {
        matches!(self, Self::MinPsnr(_))
    }

    /// Whether outputs keep the budget as they stand.
    pub(super) fn keeps(&self, measured: &Measured) -> bool {
        match *self {
            Self::MaxDrop(points) => measured.top1_drop.is_some_and(|drop| drop <= points + 1e-9),
            Self::MinAgreement(percent) => measured.top1_agreement >= percent - 1e-9,
            Self::MinPsnr(db) => measured.psnr.is_none_or(|psnr| psnr >= db),
            Self::MaxKl(nats) => measured.kl <= nats,
        }
    }

    /// Whether `trial` keeps the budget; `all` are the trials so far, it among them.
    pub(super) fn is_met(&self, trial: &Trial, all: &[Trial]) -> bool {
        let lucky = match *self {
            Self::MaxDrop(points) => {
                // A few hundred inputs tell a drop of half a point from none by one or two answers. So it is also estimated:
                // answers that changed, times the net share of losses among all that changed in any trial.
                let changed = |trials: &[Trial]| trials.iter().fold([0, 0], |[l, g], t| [l + t.lost, g + t.gained]);
                let [lost, gained] = changed(all);
                let net = (lost as f64 - gained as f64).max(0.0) / (lost + gained).max(1) as f64;
                let share = (trial.lost + trial.gained) as f64 / trial.labelled.max(1) as f64;
                100.0 * share * net > points + 1e-9
            }
            _ => false,
        };
        self.keeps(&trial.measured) && !lucky
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxDrop(points) => write!(f, "a drop of at most {points} points"),
            Self::MinAgreement(percent) => write!(f, "an agreement of at least {percent}%"),
            Self::MinPsnr(db) => write!(f, "a PSNR of at least {db} dB"),
            Self::MaxKl(nats) => write!(f, "a KL divergence of at most {nats} nats"),
        }
    }
}

/// One setting, measured with every tap coded at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trial {
    /// What the search turned: ln of the step scale for one rule, else of the harm that a bit is worth. More means fewer
    /// bytes.
    pub strength: f64,
    /// What became of the outputs.
    pub measured: Measured,
    /// Bits a value of packets of a few of the inputs, with tables fitted to the same few; `None` where an older version
    /// measured it.
    #[serde(default)]
    pub bits_per_value: Option<f64>,
    /// Mean squared error of the outputs.
    pub output_mse: f64,
    /// Labelled inputs.
    pub labelled: usize,
    /// Those right without the codec and wrong with it.
    pub lost: usize,
    /// Those wrong without it and right with it.
    pub gained: usize,
}

impl Trial {
    pub(super) fn new(strength: f64, measures: &Measures, bits_per_value: f64) -> Self {
        let [lost, gained] = measures.changed();
        // JSON has no infinity, and outputs that are not finite are as bad as can be.
        let finite = |x: f64| if x.is_finite() { x } else { f64::MAX };
        let mut measured = measures.finish();
        measured.kl = finite(measured.kl);
        measured.cosine = if measured.cosine.is_finite() { measured.cosine } else { 0.0 };
        Self {
            strength,
            measured,
            bits_per_value: Some(bits_per_value),
            output_mse: finite(measures.mse()),
            labelled: measures.labelled(),
            lost,
            gained,
        }
    }

    /// What is shared out among taps.
    pub(super) fn harm(&self, budget: &Budget) -> f64 {
        if budget.is_of_values() { self.output_mse } else { self.measured.kl }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(lost: usize, gained: usize) -> Trial {
        let top1_drop = Some((lost as f64 - gained as f64) / 2.0);
        let measured = Measured { top1_drop, top1_agreement: 95.0, kl: 0.1, psnr: Some(30.0), ..Measured::default() };
        Trial { strength: 0.0, measured, bits_per_value: None, output_mse: 0.1, labelled: 200, lost, gained }
    }

    #[test]
    fn budgets_by_hand() {
        let one = trial(3, 1);
        let all = std::slice::from_ref(&one);
        for (budget, met) in [
            (Budget::MinAgreement(95.0), true),
            (Budget::MinAgreement(95.1), false),
            (Budget::MinPsnr(30.1), false),
            (Budget::MaxKl(0.1), true),
            (Budget::MaxDrop(1.0), true),
            (Budget::MaxDrop(0.9), false),
        ] {
            assert_eq!(budget.is_met(&one, all), met, "{budget}");
        }
        assert!(Budget::MaxDrop(-1.0).validate().is_err() && Budget::MinPsnr(f64::NAN).validate().is_err());
    }

    #[test]
    fn a_lucky_drop_is_not_believed() {
        // Four answers changed and none was lost on balance, but of all 24 that changed, 16 were losses: 4 of 200 times 1/3.
        let (lucky, other) = (trial(2, 2), trial(14, 6));
        let all = [lucky.clone(), other];
        assert!(Budget::MaxDrop(0.7).is_met(&lucky, &all) && !Budget::MaxDrop(0.6).is_met(&lucky, &all));
    }
}

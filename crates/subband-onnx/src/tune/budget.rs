use std::fmt;

use serde::{Deserialize, Serialize};

use super::divergence_price::DivergencePrice;
use crate::error::{Error, Result};
use crate::measure::{Measured, Measures};

/// What the codec may cost, measured on held-out inputs with every tap coded at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// At most so many points of top-1 accuracy, as they are to be expected ([`Measured::top1_drop_expected`]); needs labels.
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
            Self::MaxDrop(points) => (measured.top1_drop_expected.or(measured.top1_drop).unwrap_or(f64::NAN), points),
            Self::MinAgreement(percent) => (measured.top1_agreement, percent),
            Self::MinPsnr(db) => (measured.psnr.unwrap_or(f64::INFINITY), db),
            Self::MaxKl(nats) => (measured.kl, nats),
        }
    }

    /// Whether the outputs' squared error is the harm that is shared out among taps, rather than their divergence.
    pub(super) fn is_of_values(&self) -> bool {
        matches!(self, Self::MinPsnr(_))
    }

    /// Whether outputs keep the budget. A drop is not taken as it was measured: it is what their divergence costs.
    pub(super) fn keeps(&self, measured: &Measured, price: DivergencePrice) -> bool {
        match *self {
            Self::MaxDrop(points) => price.drop(measured.kl) <= points + 1e-9,
            Self::MinAgreement(percent) => measured.top1_agreement >= percent - 1e-9,
            Self::MinPsnr(db) => measured.psnr.is_none_or(|psnr| psnr >= db),
            Self::MaxKl(nats) => measured.kl <= nats,
        }
    }

    /// Whether trials of stronger settings are wanted before the budget can be told from chance.
    pub(super) fn wants_stronger(&self, price: DivergencePrice) -> bool {
        matches!(self, Self::MaxDrop(_)) && !price.stands_out
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

    /// One of a network that was not run.
    #[cfg(test)]
    pub(super) fn made_up(strength: f64, measured: Measured) -> Self {
        Self { strength, measured, bits_per_value: None, output_mse: 0.0, labelled: 0, lost: 0, gained: 0 }
    }

    /// What is shared out among taps.
    pub(super) fn harm(&self, budget: &Budget) -> f64 {
        if budget.is_of_values() { self.output_mse } else { self.measured.kl }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_by_hand() {
        // A drop of 1 point for 0.1 nats.
        let top1_drop_expected = Some(1.0);
        let measured =
            Measured { top1_drop_expected, top1_agreement: 95.0, kl: 0.1, psnr: Some(30.0), ..Measured::default() };
        let price = DivergencePrice::of([Trial::made_up(0.0, measured.clone())].iter());
        for (budget, met) in [
            (Budget::MinAgreement(95.0), true),
            (Budget::MinAgreement(95.1), false),
            (Budget::MinPsnr(30.1), false),
            (Budget::MaxKl(0.1), true),
            (Budget::MaxDrop(1.0), true),
            (Budget::MaxDrop(0.9), false),
        ] {
            assert_eq!(budget.keeps(&measured, price), met, "{budget}");
        }
        assert!(Budget::MaxDrop(0.5).wants_stronger(price) && !Budget::MaxKl(0.5).wants_stronger(price));
        assert!(Budget::MaxDrop(-1.0).validate().is_err() && Budget::MinPsnr(f64::NAN).validate().is_err());
    }
}

use serde::{Deserialize, Serialize};
use subband::{Profile, Steps};

use super::budget::{Budget, Trial};
use super::curve::Point;
use crate::evaluate::ModelEvaluation;
use crate::measure::Measured;

/// A profile, and how it was found.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// What encoder and decoder share.
    pub profile: Profile,
    /// The rest.
    pub report: TuneReport,
}

/// How a profile was found, and what it does on inputs that it was not made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TuneReport {
    /// What the codec may cost.
    pub budget: Budget,
    /// Whether the profile keeps the budget on the held-out inputs; where not, it is the closest that was found.
    pub met: bool,
    /// `search`, or `rule` for one step scale at all taps: what was asked for, or what a search ended in.
    pub mode: String,
    /// The one rule's step, in standard deviations of each tap: of the profile in mode `rule`, else where the search began.
    pub step_scale: f64,
    /// What a nat of divergence costs on the held-out inputs, in points of top-1 accuracy, where the budget is a drop: times
    /// its divergence it is the drop that the profile was chosen by.
    #[serde(default)]
    pub points_per_nat: Option<f64>,
    /// Of the split into calibration and held-out inputs.
    pub seed: u64,
    /// Inputs that tables were counted on and maps measured.
    pub calibration_inputs: usize,
    /// Of these, the ones that single taps were coded on; 0 in mode `rule`.
    pub search_inputs: usize,
    /// Settings of all taps at once, measured on the held-out inputs, in the order they were tried.
    pub trials: Vec<Trial>,
    /// What a search is to be compared with: one step scale for all taps, without a transform, under the same budget.
    #[serde(default)]
    pub one_rule: Option<OneRule>,
    /// How each tap is coded, in the order of the profile.
    pub tuned: Vec<TunedTap>,
    /// The profile on the held-out inputs, in written bytes.
    pub held_out: ModelEvaluation,
    /// Wall time of this process.
    pub seconds: f64,
}

/// The one rule on the held-out inputs, in written bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OneRule {
    /// Step, in standard deviations of each tap.
    pub step_scale: f64,
    /// Whether it keeps the budget.
    pub met: bool,
    /// Bytes of all packets.
    pub bytes: u64,
    /// The same by value.
    pub bits_per_value: f64,
    /// What became of the outputs.
    pub measured: Measured,
    /// Its settings, measured on the held-out inputs, in the order they were tried.
    pub trials: Vec<Trial>,
}

/// How a tap is coded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TunedTap {
    /// The value's name.
    pub name: String,
    /// Planes of one input.
    pub shape: [usize; 3],
    /// The transform.
    pub wavelet: String,
    /// Its levels.
    pub levels: u8,
    /// Rounding offset of the quantizer.
    pub rounding: f32,
    /// Share of rounding errors that is passed on to the next values.
    #[serde(default)]
    pub diffusion: f32,
    /// Whether channels differ in their steps.
    pub steps_by_channel: bool,
    /// Steps by subband in coding order, LL first; of channels that differ, geometric means.
    pub steps: Vec<f64>,
    /// Share of the detail subbands, channel by channel, that are never coded.
    pub masked: f64,
    /// Standard deviation of the values.
    pub std: f64,
    /// Bits a value and harm of this tap alone, as the curves have it; `None` in mode `rule`.
    pub predicted: Option<Point>,
    /// Steps, bits and harm that were measured with this tap alone, of the form it has.
    pub curve: Vec<Point>,
    /// Forms that were compared, with the bits that each takes at one and the same harm.
    pub forms: Vec<FormBits>,
    /// Harm of an error of 1 squared a value in LL, and then in the details of each level, coarsest first; of the best
    /// transform.
    pub sensitivities: Vec<f64>,
}

/// A form of coding that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FormBits {
    /// What it is.
    pub form: String,
    /// Bits a value.
    pub bits: f64,
}

/// Steps by subband, whatever way they are stored.
pub(super) fn steps_by_subband(steps: &Steps, levels: u8) -> Vec<f64> {
    let subbands = 3 * usize::from(levels) + 1;
    match steps {
        Steps::Uniform(step) => vec![f64::from(*step); subbands],
        Steps::PerSubband(steps) => steps.iter().map(|&step| f64::from(step)).collect(),
        Steps::PerChannel(rows) => {
            let mean = |subband: usize| {
                let logs: f64 = rows.iter().map(|row| f64::from(row[subband]).ln()).sum();
                (logs / rows.len().max(1) as f64).exp()
            };
            (0..subbands).map(mean).collect()
        }
    }
}

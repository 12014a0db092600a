use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the learning rate runs over a training, as a share of its highest value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Schedule {
    /// Up from 1/25 to the peak along a line, then down to nothing along a cosine (after Smith 2018); again from the start
    /// with a lower peak where there are more cycles (warm restarts, after Loshchilov and Hutter 2017).
    OneCycle {
        /// Where the peak lies, as a share of a cycle's steps; from 0 to below 1. Default: 0.25.
        #[serde(default = "a_quarter")]
        peak_at: f64,
        /// Cycles of equal length, at least 1. Default: 1.
        #[serde(default = "one")]
        cycles: u32,
        /// Each cycle's peak as a share of the one before; above 0, at most 1. Default: 0.5.
        #[serde(default = "a_half")]
        decay: f64,
    },
    /// A linear warm-up, then a cosine down to nothing.
    Cosine {
        /// Epochs of warm-up, at least 0; fractions allowed. Default: 0.
        #[serde(default)]
        warmup_epochs: f64,
    },
    /// A linear warm-up, then constant but for a factor at each milestone.
    Step {
        /// Epochs of warm-up, at least 0; fractions allowed. Default: 0.
        #[serde(default)]
        warmup_epochs: f64,
        /// Epochs at whose start the rate is multiplied by `factor`, rising.
        milestones: Vec<usize>,
        /// Above 0 and below 1. Default: 0.1.
        #[serde(default = "a_tenth")]
        factor: f64,
    },
}

fn a_quarter() -> f64 {
    0.25
}

fn a_half() -> f64 {
    0.5
}

fn one() -> u32 {
    1
}

fn a_tenth() -> f64 {
    0.1
}

/// The learning rate of a one-cycle run starts at this share of the peak.
const CYCLE_START: f64 = 1.0 / 25.0;

impl Schedule {
    /// One cycle over all steps, with its peak after a quarter of them.
    pub const ONE_CYCLE: Self = Self::OneCycle { peak_at: 0.25, cycles: 1, decay: 0.5 };

    /// The share of the highest learning rate for step `step` of `steps`, `steps_per_epoch` to an epoch.
    pub(crate) fn factor(&self, step: usize, steps: usize, steps_per_epoch: usize) -> f64 {
        let at = step as f64;
        let end = steps.max(1) as f64;
        let ramp = |length: f64| ((at + 1.0) / length).min(1.0);
        let fall = |from: f64| cosine(at, from, end);
        match self {
            Self::OneCycle { peak_at, cycles, decay } => {
                let length = end / f64::from(*cycles);
                let cycle = (at / length).floor();
                let (at, peak) = (at - cycle * length, peak_at * length);
                let share =
                    if at < peak { CYCLE_START + (1.0 - CYCLE_START) * at / peak } else { cosine(at, peak, length) };
                decay.powf(cycle) * share
            }
            Self::Cosine { warmup_epochs } => {
                let warmup = warmup_epochs * steps_per_epoch as f64;
                if at < warmup { ramp(warmup) } else { fall(warmup) }
            }
            Self::Step { warmup_epochs, milestones, factor } => {
                let warmup = warmup_epochs * steps_per_epoch as f64;
                let epoch = step / steps_per_epoch.max(1);
                let passed = milestones.iter().filter(|&&m| epoch >= m).count();
                let ramp = if at < warmup { ramp(warmup) } else { 1.0 };
                ramp * factor.powi(passed as i32)
            }
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::argument(text));
        match self {
            Self::OneCycle { cycles: 0, .. } => refuse("schedule.cycles = 0: must be at least 1".into()),
            Self::OneCycle { decay, .. } if !(*decay > 0.0 && *decay <= 1.0) => {
                refuse(format!("schedule.decay = {decay}: must be above 0 and at most 1"))
            }
            Self::OneCycle { peak_at, .. } if !(0.0..1.0).contains(peak_at) => {
                refuse(format!("schedule.peak_at = {peak_at}: must be from 0 to below 1"))
            }
            Self::Cosine { warmup_epochs } | Self::Step { warmup_epochs, .. }
                if !(warmup_epochs.is_finite() && *warmup_epochs >= 0.0) =>
            {
                refuse(format!("schedule.warmup_epochs = {warmup_epochs}: must be at least 0"))
            }
            Self::Step { factor, .. } if !(*factor > 0.0 && *factor < 1.0) => {
                refuse(format!("schedule.factor = {factor}: must be between 0 and 1"))
            }
            Self::Step { milestones, .. } if !milestones.is_sorted() => {
                refuse(format!("schedule.milestones = {milestones:?}: must be rising"))
            }
            _ => Ok(()),
        }
    }
}

/// From 1 at `from` down to 0 at `end` along half a cosine.
fn cosine(at: f64, from: f64, end: f64) -> f64 {
    let done = ((at - from) / (end - from).max(1.0)).clamp(0.0, 1.0);
    0.5 * (1.0 + (PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }

    #[test]
    fn one_cycle_rises_to_its_peak_and_falls_to_nothing() {
        let schedule = Schedule::ONE_CYCLE;
        close(schedule.factor(0, 100, 10), 0.04);
        close(schedule.factor(25, 100, 10), 1.0);
        close(schedule.factor(62, 100, 10), 0.5 * (1.0 + (PI * 37.0 / 75.0).cos()));
        assert!(schedule.factor(99, 100, 10) < 0.001);
    }

    #[test]
    fn a_second_cycle_starts_over_at_half_the_peak() {
        let (one, two) = (Schedule::ONE_CYCLE, Schedule::OneCycle { peak_at: 0.25, cycles: 2, decay: 0.5 });
        for step in 0..100 {
            close(two.factor(step, 200, 10), one.factor(step, 100, 10));
            close(two.factor(100 + step, 200, 10), 0.5 * one.factor(step, 100, 10));
        }
    }

    #[test]
    fn cosine_warms_up_then_falls() {
        let schedule = Schedule::Cosine { warmup_epochs: 1.0 };
        close(schedule.factor(0, 110, 10), 0.1);
        close(schedule.factor(9, 110, 10), 1.0);
        close(schedule.factor(60, 110, 10), 0.5);
    }

    #[test]
    fn steps_fall_at_their_milestones() {
        let schedule = Schedule::Step { warmup_epochs: 0.0, milestones: vec![4, 7], factor: 0.1 };
        close(schedule.factor(39, 100, 10), 1.0);
        close(schedule.factor(40, 100, 10), 0.1);
        close(schedule.factor(99, 100, 10), 0.01);
    }

    #[test]
    fn a_kind_alone_is_enough_but_for_milestones() {
        let read = toml::from_str::<Schedule>;
        assert_eq!(read("kind = \"one-cycle\"").unwrap(), Schedule::ONE_CYCLE);
        assert_eq!(read("kind = \"cosine\"").unwrap(), Schedule::Cosine { warmup_epochs: 0.0 });
        let step = Schedule::Step { warmup_epochs: 0.0, milestones: vec![3], factor: 0.1 };
        assert_eq!(read("kind = \"step\"\nmilestones = [3]").unwrap(), step);
        assert!(read("kind = \"step\"").unwrap_err().message().contains("milestones"));
    }
}

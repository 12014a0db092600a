//! The plan: which networks are trained and retrained, and for how long.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use subband::Wavelet;
use subband_nn::Taps;
use subband_nn::retrain::{RetrainConfig, SelectionMethod};
use subband_nn::train::{Schedule, TrainConfig};

/// The part of the experiment that an arm belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The thesis's recipe at each retaining ratio.
    Thesis,
    /// Learned against fixed channel selection.
    Ablation,
    /// Our curve, block taps.
    Blocks,
    /// Our curve, every ReLU.
    Relu,
    /// Our method without a wavelet, block taps.
    Control,
}

impl Group {
    pub const ALL: [Self; 5] = [Self::Thesis, Self::Blocks, Self::Relu, Self::Control, Self::Ablation];

    pub fn name(self) -> &'static str {
        match self {
            Self::Thesis => "thesis",
            Self::Ablation => "ablation",
            Self::Blocks => "blocks",
            Self::Relu => "relu",
            Self::Control => "control",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|group| group.name() == text).ok_or(format!("allowed are {names}"))
    }
}

/// One retraining.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Also its folder.
    pub name: String,
    pub group: Group,
    /// Without the weights, which are the baseline's.
    pub config: RetrainConfig,
}

/// The baseline and all arms, in the order they run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub baseline: TrainConfig,
    pub arms: Vec<Arm>,
    /// Test images; all without a number.
    pub test_images: Option<usize>,
}

/// Prices of a bit per value, the points of a curve, in the order they run: the middle first.
const LAMBDAS: [f64; 5] = [0.4, 0.2, 0.7, 0.1, 1.2];
const RETAIN: [f64; 4] = [1.0, 0.75, 0.5, 0.25];
/// The ablation's, in the order they run: most channels go at a half and less.
const ABLATION_RETAIN: [f64; 3] = [0.5, 0.25, 0.75];
const FIXED: [SelectionMethod; 3] = [SelectionMethod::Random, SelectionMethod::First, SelectionMethod::Energy];

/// Epochs of our arms and of the thesis's; the thesis trained for 80 after its baseline.
const CURVE_EPOCHS: usize = 3;
const THESIS_EPOCHS: usize = 2;
const BASELINE_EPOCHS: usize = 100;
/// The second at half the peak of the first; it takes the network from 90.9 to its best on the test images.
const BASELINE_CYCLES: u32 = 2;

impl Plan {
    /// The whole experiment, ablations under `seeds` seeds.
    pub fn full(seeds: u64) -> Self {
        let mut arms = Vec::new();
        for retain in RETAIN {
            arms.push(thesis_arm(Group::Thesis, SelectionMethod::Thesis, retain, 1));
        }
        for (group, taps, wavelet) in [
            (Group::Blocks, Taps::Blocks, Wavelet::Haar),
            (Group::Relu, Taps::Relu, Wavelet::Haar),
            (Group::Control, Taps::Blocks, Wavelet::None),
        ] {
            arms.extend(LAMBDAS.map(|lambda| curve_arm(group, taps, wavelet, lambda)));
        }
        for seed in 1..=seeds {
            for retain in ABLATION_RETAIN {
                // The first seed of the learned selection is an arm of the thesis group.
                if seed > 1 {
                    arms.push(thesis_arm(Group::Ablation, SelectionMethod::Thesis, retain, seed));
                }
                arms.extend(FIXED.map(|method| thesis_arm(Group::Ablation, method, retain, seed)));
            }
        }
        let mut baseline = TrainConfig::default().with_epochs(BASELINE_EPOCHS);
        baseline.schedule = Schedule::OneCycle { peak_at: 0.25, cycles: BASELINE_CYCLES, decay: 0.5 };
        Self { baseline, arms, test_images: None }
    }

    /// A shortened one: fewer arms, one epoch each over a part of the training images, and a part of the test images.
    pub fn quick() -> Self {
        const IMAGES: usize = 12_800;
        let full = Self::full(1);
        let kept = |arm: &Arm| {
            let points = ["0.4", "1.2"];
            match arm.group {
                Group::Thesis => true,
                Group::Ablation => arm.config.selection.retain == 0.5,
                _ => points.iter().any(|lambda| arm.name.ends_with(&format!("lambda-{lambda}"))),
            }
        };
        let mut arms: Vec<Arm> = full.arms.into_iter().filter(kept).collect();
        for arm in &mut arms {
            arm.config.training.epochs = 1;
            arm.config.training.limit = Some(IMAGES);
            arm.config.finish.table_images = 2_000;
            arm.config.finish.norm_batches = 50;
            // Steps and scores have a hundred updates instead of thousands.
            arm.config.codec.step_learning_rate *= 5.0;
            arm.config.selection.learning_rate *= 5.0;
        }
        Self { arms, test_images: Some(2_000), ..full }
    }

    /// Only the arms of these groups, if any are named.
    pub fn only(mut self, groups: &[Group]) -> Self {
        if !groups.is_empty() {
            self.arms.retain(|arm| groups.contains(&arm.group));
        }
        self
    }
}

impl Arm {
    /// Training images that go through the network, over all epochs.
    pub fn training_images(&self) -> u64 {
        let training = &self.config.training;
        (training.epochs * training.limit.unwrap_or(45_000)) as u64
    }
}

/// One step a tap, as the thesis gives them, kept as they are; no price of bits, no teacher.
fn thesis_arm(group: Group, method: SelectionMethod, retain: f64, seed: u64) -> Arm {
    let mut config = RetrainConfig::default().with_lambda(0.0);
    config.training.epochs = THESIS_EPOCHS;
    config.training.seed = seed;
    config.training.learning_rate = 0.01;
    config.training.gradient_clip = Some(5.0);
    config.codec.thesis_steps = true;
    config.codec.learn_steps = false;
    config.distillation.weight = 0.0;
    config.selection.method = if retain < 1.0 { method } else { SelectionMethod::None };
    config.selection.retain = retain;
    // 5 of the thesis's 80 epochs; here half of one in 2.
    config.selection.sharpening_ramp_epochs = 0.5;
    config.selection.last_tap_approximation_only = true;
    let method = config.selection.method.name();
    let name = match group {
        Group::Thesis => format!("thesis-r{retain}"),
        _ => format!("ablation-{method}-r{retain}-seed{seed}"),
    };
    Arm { name, group, config }
}

fn curve_arm(group: Group, taps: Taps, wavelet: Wavelet, lambda: f64) -> Arm {
    let mut config = RetrainConfig::default().with_lambda(lambda);
    config.training.epochs = CURVE_EPOCHS;
    config.taps = taps;
    config.codec.wavelet = wavelet;
    if wavelet == Wavelet::None {
        config.codec.levels = 0;
    }
    Arm { name: format!("{group}-lambda-{lambda}"), group, config }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_arm_has_a_name_of_its_own_and_a_valid_configuration() {
        for plan in [Plan::full(3), Plan::quick()] {
            let names: HashSet<&str> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
            assert_eq!(names.len(), plan.arms.len());
            for arm in &plan.arms {
                arm.config.clone().with_weights("w").validate().unwrap();
            }
            for group in Group::ALL {
                assert!(plan.arms.iter().any(|arm| arm.group == group), "{group}");
            }
        }
        assert_eq!(Plan::full(3).arms.len(), 4 + 15 + 9 + 2 * 12);
    }

    #[test]
    fn arms_of_an_ablation_differ_in_the_selection_alone() {
        let plan = Plan::full(1);
        let find = |name: &str| plan.arms.iter().find(|arm| arm.name == name).unwrap().config.clone();
        let learned = find("thesis-r0.5");
        let mut fixed = find("ablation-first-r0.5-seed1");
        fixed.selection.method = learned.selection.method;
        assert_eq!(learned, fixed);
    }
}

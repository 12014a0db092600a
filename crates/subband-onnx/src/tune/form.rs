use serde::{Deserialize, Serialize};
use subband::{Coding, Steps, Wavelet};

/// How the maps of a tap are coded, up to one number: the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Form {
    pub wavelet: Wavelet,
    pub levels: u8,
    /// Rounding offset of the quantizer.
    pub rounding: f32,
    /// Share of rounding errors that is passed on.
    pub diffusion: f32,
    /// Factors of the step, in coding order.
    pub subbands: Vec<f64>,
    /// Factors of the step by channel, on top.
    pub channels: Option<Vec<f64>>,
    /// Whether these are by the weights behind, rather than by the channels' deviations.
    #[serde(default)]
    pub by_weights: bool,
}

impl Form {
    /// One step for everything.
    pub fn plain(wavelet: Wavelet, levels: u8, rounding: f32) -> Self {
        let subbands = vec![1.0; subbands(levels)];
        Self { wavelet, levels, rounding, diffusion: 0.0, subbands, channels: None, by_weights: false }
    }

    /// The coding with a step.
    pub fn coding(&self, step: f64, nonnegative: bool) -> Coding {
        let row = |factor: f64| self.subbands.iter().map(|of_subband| allowed(step * factor * of_subband)).collect();
        let steps = match &self.channels {
            Some(channels) => Steps::PerChannel(channels.iter().map(|&factor| row(factor)).collect()),
            None if self.subbands.iter().all(|&factor| factor == 1.0) => Steps::Uniform(allowed(step)),
            None => Steps::PerSubband(row(1.0)),
        };
        let coding = Coding::new(self.wavelet, self.levels, steps.rounded()).with_rounding(self.rounding);
        coding.with_diffusion(self.diffusion).with_nonnegative(nonnegative)
    }

    /// For people.
    pub fn title(&self) -> String {
        let mut title = self.wavelet.to_string();
        if self.levels > 0 {
            title += &format!(" {}", self.levels);
        }
        if self.subbands.iter().any(|&factor| factor != 1.0) {
            title += ", steps by subband";
        }
        if self.channels.is_some() {
            title += if self.by_weights { ", steps by weights of channels" } else { ", steps by channel" };
        }
        title += &format!(", rounding {}", self.rounding);
        if self.diffusion > 0.0 {
            title += &format!(", diffusion {}", self.diffusion);
        }
        title
    }
}

/// What the format allows.
fn allowed(step: f64) -> f32 {
    step.clamp(1e-30, 1e30) as f32
}

fn subbands(levels: u8) -> usize {
    3 * usize::from(levels) + 1
}

/// Groups of subbands that errors harm alike: the approximation, and the details of each level.
pub(super) fn groups(levels: u8) -> usize {
    1 + usize::from(levels)
}

/// The group of each subband, in coding order: coarsest details first.
pub(super) fn group_of_subbands(levels: u8) -> Vec<usize> {
    (0..subbands(levels)).map(|index| index.div_ceil(3)).collect()
}

/// Share of each group in the values of a plane of 2^n sides.
pub(super) fn group_shares(levels: u8) -> Vec<f64> {
    let share = |level: u8| 0.25f64.powi(level.into());
    std::iter::once(share(levels)).chain((1..=levels).rev().map(|level| 3.0 * share(level))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_by_hand() {
        assert_eq!(group_of_subbands(0), [0]);
        assert_eq!(group_of_subbands(2), [0, 1, 1, 1, 2, 2, 2]);
        assert_eq!(group_shares(1), [0.25, 0.75]);
        assert_eq!(group_shares(3).len(), groups(3));
        assert!((group_shares(3).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn steps_by_hand() {
        let plain = Form::plain(Wavelet::Haar, 1, 0.5);
        assert_eq!(plain.coding(0.5, true).steps, Steps::Uniform(0.5));
        let by_subband = Form { subbands: vec![1.0, 2.0, 2.0, 4.0], ..plain.clone() };
        assert_eq!(by_subband.coding(0.5, true).steps, Steps::PerSubband(vec![0.5, 1.0, 1.0, 2.0]));
        let by_channel = Form { channels: Some(vec![1.0, 0.5]), ..by_subband };
        let Steps::PerChannel(rows) = by_channel.coding(0.5, true).steps else { panic!("steps by channel") };
        assert_eq!(rows[1], [0.25, 0.5, 0.5, 1.0]);
        assert_eq!(by_channel.title(), "haar 1, steps by subband, steps by channel, rounding 0.5");
        let diffused = Form { diffusion: 0.75, ..Form::plain(Wavelet::None, 0, 0.5) };
        assert_eq!(diffused.coding(0.5, true).diffusion, 0.75);
        assert_eq!(diffused.title(), "none, rounding 0.5, diffusion 0.75");
    }
}

//! Channel selection: which channels keep which of their detail subbands.

use serde::{Deserialize, Serialize};
use subband::ChannelMask;

use super::adam::Learned;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::tensor_map::TensorMap;

/// How the channels that keep their details are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SelectionMethod {
    /// Every channel keeps everything.
    #[default]
    None,
    /// The thesis (METHOD.md): one learned score a channel, the `retain` share with the smallest keep their finest level.
    Thesis,
    /// One learned gate for each channel and level, which closes where dropping costs less than it saves: no share is
    /// given, the rate term finds it.
    Gates,
    /// A random share keeps its finest level.
    Random,
    /// The first channels keep their finest level.
    First,
    /// The channels with the most energy in their finest level keep it.
    Energy,
}

impl SelectionMethod {
    /// As configurations have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Thesis => "thesis",
            Self::Gates => "gates",
            Self::Random => "random",
            Self::First => "first",
            Self::Energy => "energy",
        }
    }
}

/// Settings of the selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SelectionConfig {
    /// Default: `none`.
    pub method: SelectionMethod,
    /// Share of the channels that keep their finest details, 0 to 1; `gates` finds its own. Default: 1.
    pub retain: f64,
    /// Steepness of the sigmoid that scores get their gradient through, above 0. Default: 2.
    pub tau: f64,
    /// Weight of the term that pushes the thesis's scores away from the threshold, at least 0. Default: 1e-3.
    pub sharpening: f64,
    /// Epochs over which the sharpening grows to its full weight. Default: 5.
    pub sharpening_ramp_epochs: f64,
    /// Learning rate of scores and gates (Adam), above 0. Default: 1e-2.
    pub learning_rate: f64,
    /// Keep only the approximation at the network's last tap, of which only the mean is used. Default: false.
    pub last_tap_approximation_only: bool,
}

impl Default for SelectionConfig {
    fn default() -> Self {
        Self {
            method: SelectionMethod::None,
            retain: 1.0,
            tau: 2.0,
            sharpening: 1e-3,
            sharpening_ramp_epochs: 5.0,
            learning_rate: 1e-2,
            last_tap_approximation_only: false,
        }
    }
}

impl SelectionConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        let check = |ok: bool, field: &str, value: f64, allowed: &str| {
            if ok { Ok(()) } else { Err(Error::argument(format!("selection.{field} = {value}: must be {allowed}"))) }
        };
        check((0.0..=1.0).contains(&self.retain), "retain", self.retain, "0 to 1")?;
        check(self.tau > 0.0 && self.tau.is_finite(), "tau", self.tau, "above 0")?;
        check(self.sharpening >= 0.0, "sharpening", self.sharpening, "at least 0")?;
        check(self.sharpening_ramp_epochs >= 0.0, "sharpening_ramp_epochs", self.sharpening_ramp_epochs, "at least 0")?;
        check(self.learning_rate > 0.0, "learning_rate", self.learning_rate, "above 0")
    }
}

/// The gates of one tap: for every channel and subband, 1 where it is coded and 0 where it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    config: SelectionConfig,
    channels: usize,
    levels: usize,
    /// Scores, one a channel (thesis, towards 1 = dropped), or gates, one a channel and level (open where positive).
    learned: Option<Learned>,
    /// Fixed masks: whether a channel keeps its finest level.
    keeps_finest: Vec<bool>,
    approximation_only: bool,
}

/// What a gate starts at: open, far enough from closing that a few noisy steps do not close it.
const OPEN: f32 = 0.5;

impl Selection {
    /// `energy` is that of each channel's finest subbands, their mean magnitude; `stream` tells taps and seeds apart.
    pub fn new(
        config: &SelectionConfig,
        channels: usize,
        levels: u8,
        is_last_tap: bool,
        energy: &[f64],
        stream: [u64; 2],
    ) -> Self {
        let kept = (config.retain * channels as f64).round() as usize;
        let mut ranking: Vec<usize> = (0..channels).collect();
        match config.method {
            SelectionMethod::Random => Rng::for_stream(stream[0], &[stream[1]]).shuffle(&mut ranking),
            SelectionMethod::Energy => ranking.sort_by(|&a, &b| energy[b].total_cmp(&energy[a])),
            _ => {}
        }
        let mut keeps_finest = vec![config.method == SelectionMethod::None; channels];
        ranking[..kept].iter().for_each(|&channel| keeps_finest[channel] = true);
        let learned = match config.method {
            SelectionMethod::Thesis => Some(Learned::new(vec![(1.0 - config.retain) as f32; channels])),
            SelectionMethod::Gates => Some(Learned::new(vec![OPEN; channels * usize::from(levels)])),
            _ => None,
        };
        Self {
            config: config.clone(),
            channels,
            levels: usize::from(levels),
            learned: learned.filter(|_| levels > 0),
            keeps_finest,
            approximation_only: is_last_tap && config.last_tap_approximation_only,
        }
    }

    /// `[C, S]`, 1 or 0; the approximation is always kept.
    pub fn gates(&self) -> Vec<f32> {
        let open = self.open_levels();
        let mut gates = Vec::with_capacity(self.channels * (3 * self.levels + 1));
        for channel in 0..self.channels {
            gates.push(1.0);
            // Coding order: the coarsest level first.
            for level in (0..self.levels).rev() {
                gates.extend([f32::from(u8::from(open[channel * self.levels + level])); 3]);
            }
        }
        gates
    }

    /// The same for the codec; `None` where nothing is dropped.
    pub fn mask(&self) -> Result<Option<ChannelMask>> {
        let open = self.open_levels();
        if open.iter().all(|&open| open) {
            return Ok(None);
        }
        let mut mask = ChannelMask::keep_all(self.channels, self.levels as u8)?;
        for (at, _) in open.iter().enumerate().filter(|(_, open)| !**open) {
            mask = mask.drop_level(at / self.levels, (at % self.levels) as u8 + 1);
        }
        Ok(Some(mask))
    }

    /// Whether there is anything to learn here.
    pub fn is_learned(&self) -> bool {
        self.learned.is_some() && !self.approximation_only
    }

    /// One step along `gradients` `[C, S]`, those of the loss by the gates, and `costs` `[C, S]`, what the loss pays for
    /// coding each context while its gate is open. `at_epoch` counts in fractions.
    pub fn step(&mut self, gradients: &[f32], costs: &[f64], rate_factor: f64, at_epoch: f64) {
        if !self.is_learned() {
            return;
        }
        let (levels, subbands) = (self.levels, 3 * self.levels + 1);
        let SelectionConfig { method, retain, tau, sharpening, sharpening_ramp_epochs, learning_rate, .. } =
            self.config;
        let Some(learned) = &mut self.learned else {
            return;
        };
        let of_level = |channel: usize, level: usize| {
            let first = channel * subbands + 1 + 3 * (levels - 1 - level);
            first..first + 3
        };
        let slope = |x: f64| {
            let s = 1.0 / (1.0 + (-tau * x).exp());
            tau * s * (1.0 - s)
        };
        let mut all = Vec::with_capacity(learned.values.len());
        if method == SelectionMethod::Thesis {
            let threshold = 1.0 - retain;
            let ramp = if sharpening_ramp_epochs > 0.0 { (at_epoch / sharpening_ramp_epochs).min(1.0) } else { 1.0 };
            for (channel, &score) in learned.values.iter().enumerate() {
                let from_threshold = f64::from(score) - threshold;
                let loss: f64 = of_level(channel, 0).map(|at| f64::from(gradients[at])).sum();
                // A larger score closes the gate.
                let pushed = sharpening * ramp * f64::from(u8::from(from_threshold != 0.0)) * from_threshold.signum();
                all.push((-loss * slope(from_threshold) - pushed) as f32);
            }
            learned.step(&all, learning_rate * rate_factor);
            renormalise(&mut learned.values, self.channels as f64 * threshold);
        } else {
            for channel in 0..self.channels {
                for level in 0..levels {
                    let gate = f64::from(learned.values[channel * levels + level]);
                    let loss: f64 = of_level(channel, level).map(|at| f64::from(gradients[at]) + costs[at]).sum();
                    all.push((loss * slope(gate)) as f32);
                }
            }
            learned.step(&all, learning_rate * rate_factor);
        }
    }

    pub fn save(&self, name: &str, to: &mut TensorMap) {
        if let Some(learned) = &self.learned {
            learned.save(&format!("{name}.scores"), to);
        }
    }

    pub fn load(&mut self, name: &str, from: &mut TensorMap) -> Result<()> {
        match &mut self.learned {
            Some(learned) => learned.load(&format!("{name}.scores"), from),
            None => Ok(()),
        }
    }

    /// By channel, then level from the finest.
    fn open_levels(&self) -> Vec<bool> {
        if self.approximation_only {
            return vec![false; self.channels * self.levels];
        }
        if let (SelectionMethod::Gates, Some(learned)) = (self.config.method, &self.learned) {
            return learned.values.iter().map(|&gate| gate > 0.0).collect();
        }
        let mut finest = self.keeps_finest.clone();
        if let Some(learned) = &self.learned {
            let kept = (self.config.retain * self.channels as f64).round() as usize;
            let mut ranking: Vec<usize> = (0..self.channels).collect();
            ranking.sort_by(|&a, &b| learned.values[a].total_cmp(&learned.values[b]));
            finest = vec![false; self.channels];
            ranking[..kept].iter().for_each(|&channel| finest[channel] = true);
        }
        (0..self.channels * self.levels).map(|at| at % self.levels > 0 || finest[at / self.levels]).collect()
    }
}

/// Scales `scores` to a sum of `sum` and clamps them to 0..=1.
fn renormalise(scores: &mut [f32], sum: f64) {
    scores.iter_mut().for_each(|score| *score = score.clamp(0.0, 1.0));
    let now: f64 = scores.iter().map(|&score| f64::from(score)).sum();
    if now > 0.0 {
        scores.iter_mut().for_each(|score| *score = (f64::from(*score) * sum / now).clamp(0.0, 1.0) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(method: SelectionMethod, retain: f64) -> Selection {
        let config = SelectionConfig { method, retain, ..SelectionConfig::default() };
        Selection::new(&config, 4, 2, false, &[1.0, 4.0, 2.0, 3.0], [7, 0])
    }

    fn finest(selection: &Selection) -> Vec<bool> {
        selection.gates().chunks(7).map(|row| row[4] == 1.0).collect()
    }

    #[test]
    fn fixed_selections_drop_the_finest_level_alone() {
        assert_eq!(finest(&selection(SelectionMethod::None, 0.5)), [true; 4]);
        assert_eq!(finest(&selection(SelectionMethod::First, 0.5)), [true, true, false, false]);
        assert_eq!(finest(&selection(SelectionMethod::Energy, 0.5)), [false, true, false, true]);
        let random = selection(SelectionMethod::Random, 0.25);
        assert_eq!(finest(&random).iter().filter(|&&kept| kept).count(), 1);
        assert!(random.gates().chunks(7).all(|row| row[..4] == [1.0; 4] && row[4] == row[6]));
        let mask = random.mask().unwrap().unwrap();
        for (at, &gate) in random.gates().iter().enumerate() {
            assert_eq!(mask.keeps(at / 7, at % 7), gate == 1.0);
        }
        assert_eq!(selection(SelectionMethod::None, 1.0).mask().unwrap(), None);
    }

    #[test]
    fn thesis_scores_keep_the_channels_whose_details_matter() {
        let mut selection = selection(SelectionMethod::Thesis, 0.5);
        // Opening the gates of channels 2 and 3 lowers the loss, opening the others raises it.
        let gradients: Vec<f32> = (0..28).map(|at| if at / 7 >= 2 { -1.0 } else { 1.0 }).collect();
        for step in 0..200 {
            selection.step(&gradients, &[0.0; 28], 1.0, f64::from(step) / 20.0);
        }
        assert_eq!(finest(&selection), [false, false, true, true]);
        let scores = &selection.learned.as_ref().unwrap().values;
        let sum: f32 = scores.iter().sum();
        assert!((sum - 2.0).abs() < 1e-3 && scores.iter().all(|s| (0.0..=1.0).contains(s)), "{scores:?}");
    }

    #[test]
    fn gates_close_where_coding_costs_more_than_it_brings() {
        let mut selection = selection(SelectionMethod::Gates, 1.0);
        let gradients = vec![-0.5; 28];
        let costs: Vec<f64> = (0..28).map(|at| if at < 14 { 0.1 } else { 2.0 }).collect();
        for _ in 0..300 {
            selection.step(&gradients, &costs, 1.0, 0.0);
        }
        let gates = selection.gates();
        assert!(gates[..14].iter().all(|&g| g == 1.0), "{gates:?}");
        assert!(gates[14..].chunks(7).all(|row| row[0] == 1.0 && row[1..] == [0.0; 6]), "{gates:?}");
        let mut map = TensorMap::default();
        selection.save("x", &mut map);
        let mut again = self::selection(SelectionMethod::Gates, 1.0);
        again.load("x", &mut map).unwrap();
        assert_eq!(again.gates(), gates);
    }
}

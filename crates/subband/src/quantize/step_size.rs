//! Steps: what the caller asks for, in nominal units, and the table of actual steps.

use crate::error::{Error, Result};
use crate::wavelet::{Subband, Wavelet, subband_count};

/// Quantizer steps in nominal units: the actual step of a subband is the nominal one divided by the
/// subband's synthesis gain, so that equal nominal steps mean equal errors.
///
/// Every step is finite and between 1e-30 and 1e30.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Steps {
    /// One step for all subbands and channels.
    Uniform(f32),
    /// One step a subband in coding order (LL, then HL, LH, HH from the coarsest level to the finest);
    /// `3 * levels + 1` of them.
    PerSubband(Vec<f32>),
    /// For each channel, one step a subband.
    PerChannel(Vec<Vec<f32>>),
}

/// Mantissa bits of rounded steps: with these no accuracy was lost on held-out images, with eight and fewer it was
/// (docs/RESULTS.md). Ten steps take 17 bytes so, 13 with seven bits.
const ROUNDED_BITS: u32 = 10;

const ALLOWED: std::ops::RangeInclusive<f32> = 1e-30..=1e30;

impl Steps {
    pub(crate) fn validate(&self, levels: u8, channels: usize) -> Result<()> {
        let check = |steps: &[f32]| match steps.iter().find(|step| !ALLOWED.contains(step)) {
            Some(step) => Err(Error::invalid(format!("step is {step}: allowed are 1e-30 to 1e30"))),
            None => Ok(()),
        };
        let subbands = subband_count(levels);
        let count = |steps: &[f32]| match steps.len() == subbands {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "{} steps were given: a transform of {levels} levels has {subbands} subbands",
                steps.len()
            ))),
        };
        match self {
            Steps::Uniform(step) => check(&[*step]),
            Steps::PerSubband(steps) => count(steps).and_then(|()| check(steps)),
            Steps::PerChannel(rows) => {
                if rows.len() != channels {
                    return Err(Error::invalid(format!(
                        "steps for {} channels were given: the tensor has {channels}",
                        rows.len()
                    )));
                }
                rows.iter().try_for_each(|row| count(row).and_then(|()| check(row)))
            }
        }
    }

    /// All steps in one row: by channel where they are, then by subband.
    pub(crate) fn all(&self) -> std::borrow::Cow<'_, [f32]> {
        match self {
            Steps::Uniform(step) => std::slice::from_ref(step).into(),
            Steps::PerSubband(steps) => steps.into(),
            Steps::PerChannel(rows) => rows.concat().into(),
        }
    }

    /// All steps rounded to the nearest of 1024 between each power of two and the next, so by 1/2048 (0.05%) of themselves
    /// at most.
    ///
    /// Self-contained streams then take some 12 bits for most steps where they would take three or four bytes; profiles made
    /// by calibration have such steps, so that both decode to the same maps.
    pub fn rounded(&self) -> Steps {
        self.map(|step| {
            let unit = 1 << (f32::MANTISSA_DIGITS - 1 - ROUNDED_BITS);
            // Half a unit more may carry into the exponent, as it should.
            let near = f32::from_bits((step.to_bits() + unit / 2) & !(unit - 1));
            if ALLOWED.contains(&near) { near } else { step }
        })
    }

    /// All steps times `factor`.
    pub fn scaled(&self, factor: f32) -> Steps {
        self.map(|step| step * factor)
    }

    fn map(&self, change: impl Fn(f32) -> f32) -> Steps {
        let row = |steps: &Vec<f32>| steps.iter().map(|&step| change(step)).collect();
        match self {
            Steps::Uniform(step) => Steps::Uniform(change(*step)),
            Steps::PerSubband(steps) => Steps::PerSubband(row(steps)),
            Steps::PerChannel(rows) => Steps::PerChannel(rows.iter().map(row).collect()),
        }
    }
}

/// Actual steps, prepared for look-up.
#[derive(Debug, Clone)]
pub(crate) struct StepTable {
    /// One row for all channels, or a row a channel; `subbands` steps each.
    rows: Vec<f32>,
    subbands: usize,
    per_channel: bool,
}

impl StepTable {
    /// The caller has validated `steps`.
    pub fn new(steps: &Steps, wavelet: Wavelet, levels: u8) -> Self {
        let subbands = subband_count(levels);
        let gains: Vec<f32> = (0..subbands).map(|index| wavelet.synthesis_gain(&Subband::at(index, levels))).collect();
        let nominal: Vec<f32> = match steps {
            Steps::Uniform(step) => vec![*step; subbands],
            Steps::PerSubband(steps) => steps.clone(),
            Steps::PerChannel(rows) => rows.concat(),
        };
        let rows = nominal.iter().zip(gains.iter().cycle()).map(|(step, gain)| step / gain).collect();
        StepTable { rows, subbands, per_channel: matches!(steps, Steps::PerChannel(_)) }
    }

    /// Whether channels may differ.
    pub fn is_per_channel(&self) -> bool {
        self.per_channel
    }

    pub fn step(&self, channel: usize, subband: usize) -> f32 {
        let row = if self.per_channel { channel } else { 0 };
        self.rows[row * self.subbands + subband]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_steps_by_hand() {
        let steps = [1.0, 1.0004, 1.0005, 1.9999, 0.3].map(|step| Steps::Uniform(step).rounded());
        let expected = [1.0, 1.0, 1.0 + 1.0 / 1024.0, 2.0, 1229.0 / 4096.0];
        assert_eq!(steps, expected.map(Steps::Uniform));
    }

    #[test]
    fn rounding_errors_are_as_documented() {
        let steps: Vec<f32> = (1..5000).map(|i| (i as f32).powi(3) * 1e-7).collect();
        let rounded = Steps::PerSubband(steps.clone()).rounded();
        for (&step, &near) in steps.iter().zip(rounded.all().iter()) {
            assert!((step - near).abs() <= step / 2048.0, "{step} {near}");
        }
        assert_eq!(rounded.rounded(), rounded);
        let all = Steps::PerChannel(vec![steps.clone(); 2]).rounded();
        assert_eq!(all, Steps::PerChannel(vec![rounded.all().to_vec(); 2]));
        // The ends of what is allowed stay within it.
        let ends = Steps::PerSubband(vec![1e-30, 1e30, 1.0, 1.0]);
        ends.rounded().validate(1, 1).unwrap();
    }
}

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

    /// All steps times `factor`.
    pub fn scaled(&self, factor: f32) -> Steps {
        let scale = |steps: &[f32]| steps.iter().map(|step| step * factor).collect::<Vec<f32>>();
        match self {
            Steps::Uniform(step) => Steps::Uniform(step * factor),
            Steps::PerSubband(steps) => Steps::PerSubband(scale(steps)),
            Steps::PerChannel(rows) => Steps::PerChannel(rows.iter().map(|row| scale(row)).collect()),
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

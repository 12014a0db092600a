//! Calibration: inputs through a network, and out of it the profile that its maps are coded with.

use serde::Serialize;
use subband::{Coding, Profile, Scratch, Steps, TapCalibrator, Wavelet};
use subband_nn::Progress;

use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::{Runnable, batch_size};
use crate::inputs::Inputs;
use crate::layout::{Layout, Planes};
use crate::maps::{one_per_thread, through};
use crate::model::Model;
use crate::network::TappedNetwork;
use crate::taps::Candidate;

/// One rule for all taps: a step of `step_scale` standard deviations of the tap's values.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CalibrateConfig {
    /// Default: Haar.
    pub wavelet: Wavelet,
    /// Levels of the transform; taps whose planes are too small for so many have fewer. Default: 3.
    pub levels: u8,
    /// Above 0. Default: 0.5.
    pub step_scale: f64,
    /// Rounding offset of the quantizer, 0 to 0.5. Default: 0.5.
    pub rounding: f32,
    /// Shift of the point of reconstruction towards zero, 0 to 0.5 steps. Default: 0.
    pub reconstruction: f32,
    /// How maps of few axes are seen as planes. Default: auto.
    pub layout: Layout,
}

impl Default for CalibrateConfig {
    fn default() -> Self {
        Self {
            wavelet: Wavelet::Haar,
            levels: 3,
            step_scale: 0.5,
            rounding: 0.5,
            reconstruction: 0.0,
            layout: Layout::Auto,
        }
    }
}

/// The values of one tap over all inputs, without the codec.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TapStatistics {
    /// The value's name in the file.
    pub name: String,
    /// Planes of one input.
    pub shape: [usize; 3],
    /// Standard deviation over channels, places and inputs.
    pub std: f64,
    /// The smallest value.
    pub min: f32,
    /// The largest.
    pub max: f32,
}

/// A profile, and what it was made from.
#[derive(Clone, Debug)]
pub struct Calibrated {
    /// What encoder and decoder share.
    pub profile: Profile,
    /// Tap by tap.
    pub statistics: Vec<TapStatistics>,
}

/// A tap and how its maps are coded.
#[derive(Clone, Debug)]
pub struct TapCoding {
    /// The value's name.
    pub name: String,
    /// How its maps are seen.
    pub planes: Planes,
    /// How they are coded.
    pub coding: Coding,
}

/// Makes a profile for `taps` from `inputs`, which no measurement should use again.
///
/// # Errors
/// Those of [`TappedNetwork::new`] and of runs; `InvalidArgument` for settings out of range.
pub fn calibrate(
    runnable: &Runnable<'_>,
    taps: &[Candidate],
    inputs: &Inputs,
    config: &CalibrateConfig,
    progress: &mut dyn Progress,
) -> Result<Calibrated> {
    let Runnable { model, engine, .. } = *runnable;
    if !(1e-6..=1e6).contains(&config.step_scale) {
        return Err(Error::argument(format!("the step scale is {}: allowed are 1e-6 to 1e6", config.step_scale)));
    }
    let names: Vec<String> = taps.iter().map(|tap| tap.name.clone()).collect();
    let planes = taps.iter().map(|tap| config.layout.planes(&tap.name, &tap.shape)).collect::<Result<Vec<_>>>()?;
    let network = TappedNetwork::new(model, engine, &names)?;
    let statistics = statistics(model, &network, &planes, inputs, progress)?;
    let codings: Vec<TapCoding> = taps
        .iter()
        .zip(&planes)
        .zip(&statistics)
        .map(|((tap, &planes), statistics)| {
            let step = config.step_scale * if statistics.std > 0.0 { statistics.std } else { 1.0 };
            let coding = Coding::new(config.wavelet, levels(config, planes), Steps::Uniform(step as f32))
                .with_rounding(config.rounding)
                .with_reconstruction(config.reconstruction)
                .with_nonnegative(tap.nonnegative);
            TapCoding { name: tap.name.clone(), planes, coding }
        })
        .collect();
    let profile = profile_of(model, &network, &codings, inputs, progress)?;
    progress.end();
    Ok(Calibrated { profile, statistics })
}

/// A level halves both sides: more than the longer side has bits transform nothing.
fn levels(config: &CalibrateConfig, planes: Planes) -> u8 {
    let side = planes.shape[1].max(planes.shape[2]);
    config.levels.min(side.next_power_of_two().trailing_zeros() as u8)
}

/// One pass without the codec.
pub(crate) fn statistics(
    model: &Model,
    network: &TappedNetwork,
    planes: &[Planes],
    inputs: &Inputs,
    progress: &mut dyn Progress,
) -> Result<Vec<TapStatistics>> {
    let mut sums = vec![(0u64, 0f64, 0f64, f32::INFINITY, f32::NEG_INFINITY); planes.len()];
    let size = batch_size(model, inputs)?;
    progress.begin("measuring maps", inputs.len() as u64);
    for start in (0..inputs.len()).step_by(size) {
        let batch = inputs.batch(start, size)?;
        let Some(value) = batch.value else { continue };
        network.run(value, &mut |tap, map| {
            let (count, sum, squares, min, max) = &mut sums[tap];
            for &value in map.floats().unwrap_or_default() {
                *sum += f64::from(value);
                *squares += f64::from(value) * f64::from(value);
                (*min, *max) = (min.min(value), max.max(value));
                *count += 1;
            }
            Ok(map)
        })?;
        progress.advance((start + size) as u64, "");
    }
    let finish = |(tap, (count, sum, squares, min, max)): (usize, (u64, f64, f64, f32, f32))| {
        if count == 0 {
            return Err(Error::data(format!("no input of {} could be read", inputs.name())));
        }
        let (name, mean) = (network.taps()[tap].clone(), sum / count as f64);
        let std = (squares / count as f64 - mean * mean).max(0.0).sqrt();
        if !squares.is_finite() {
            return Err(Error::new(
                ErrorKind::NonFinite,
                format!("the maps of {name} hold values that are not finite"),
            ));
        }
        Ok(TapStatistics { name, shape: planes[tap].shape, std, min, max })
    };
    sums.into_iter().enumerate().map(finish).collect()
}

/// A profile of given codings, its tables counted with the codec in the loop: two passes. `network` is cut at these taps,
/// in this order.
pub fn profile_of(
    model: &Model,
    network: &TappedNetwork,
    codings: &[TapCoding],
    inputs: &Inputs,
    progress: &mut dyn Progress,
) -> Result<Profile> {
    let fresh = codings.iter().map(|tap| TapCalibrator::new(&tap.name, tap.planes.shape, tap.coding.clone()));
    let fresh = fresh.collect::<Result<Vec<_>, _>>()?;
    let mut fitted = count(model, network, codings, fresh, inputs, "fitting", progress)?;
    fitted.iter_mut().for_each(TapCalibrator::fit);
    let counted = count(model, network, codings, fitted, inputs, "counting", progress)?;
    Ok(Profile::new(model.name(), counted.into_iter().map(TapCalibrator::finish).collect())?)
}

fn count(
    model: &Model,
    network: &TappedNetwork,
    codings: &[TapCoding],
    taps: Vec<TapCalibrator>,
    inputs: &Inputs,
    stage: &str,
    progress: &mut dyn Progress,
) -> Result<Vec<TapCalibrator>> {
    let mut workers = one_per_thread(|| (taps.clone(), Scratch::default()));
    let size = batch_size(model, inputs)?;
    progress.begin(stage, inputs.len() as u64);
    for start in (0..inputs.len()).step_by(size) {
        let batch = inputs.batch(start, size)?;
        let Some(value) = batch.value else { continue };
        network.run(value, &mut |tap, map| {
            let TapCoding { name, planes, .. } = &codings[tap];
            let (decoded, _) = through(name, map, batch.len, planes, &mut workers, |(taps, scratch), map, decoded| {
                Ok(taps[tap].observe(map, scratch, decoded)?)
            })?;
            Ok(decoded)
        })?;
        progress.advance((start + size) as u64, "");
    }
    let mut workers = workers.into_iter().map(|(taps, _)| taps);
    let mut taps = workers.next().unwrap_or_default();
    for other in workers {
        taps.iter_mut().zip(&other).for_each(|(tap, other)| tap.merge(other));
    }
    Ok(taps)
}

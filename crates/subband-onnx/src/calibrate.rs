//! Calibration: inputs through a network, and out of it the profile that its maps are coded with.

use serde::{Deserialize, Serialize};
use subband::{Coding, Effort, MapIndices, Profile, Scratch, Steps, TapCalibrator, Wavelet};
use subband_nn::Progress;
use subband_nn::calibrate::{finish, fit};

use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::{Runnable, batch_size, planes_of};
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
    /// The most work the profile is made for: `Max` trains small networks. Default: default.
    pub effort: Effort,
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
            effort: Effort::default(),
        }
    }
}

/// The values of one tap over all inputs, without the codec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Standard deviation of each channel.
    pub channel_std: Vec<f64>,
}

/// A profile, and what it was made from.
#[derive(Clone, Debug)]
pub struct Calibrated {
    /// What encoder and decoder share.
    pub profile: Profile,
    /// Tap by tap.
    pub statistics: Vec<TapStatistics>,
}

/// How the tables of a profile are made.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TableOptions {
    /// The most work the profile is made for. Default: default.
    pub effort: Effort,
    /// Mask the detail subbands of channels in which no input has an index other than 0. Default: off.
    pub drop_unused: bool,
}

impl TableOptions {
    /// For another effort.
    pub fn with_effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// With unused subbands masked, or not.
    pub fn with_drop_unused(mut self, drop_unused: bool) -> Self {
        self.drop_unused = drop_unused;
        self
    }
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
            let step = config.step_scale * statistics.scale();
            let steps = Steps::Uniform(step as f32).rounded();
            let coding = Coding::new(config.wavelet, levels_of(config.levels, planes), steps)
                .with_rounding(config.rounding)
                .with_reconstruction(config.reconstruction)
                .with_nonnegative(tap.nonnegative);
            TapCoding { name: tap.name.clone(), planes, coding }
        })
        .collect();
    let options = TableOptions::default().with_effort(config.effort);
    let profile = profile_of(model, &network, &codings, inputs, options, progress)?;
    progress.end();
    Ok(Calibrated { profile, statistics })
}

/// A profile with the codings of `profile`, its steps times `step_factor` and rounded ([`Steps::rounded`]), and tables made anew
/// from `inputs`, for efforts up to `effort`.
///
/// # Errors
/// `Codec` for steps that leave their range; `InvalidArgument` for a profile of another network; those of
/// [`TappedNetwork::new`] and of runs.
pub fn recalibrate(
    runnable: &Runnable<'_>,
    profile: &Profile,
    step_factor: f32,
    inputs: &Inputs,
    layout: Layout,
    effort: Effort,
    progress: &mut dyn Progress,
) -> Result<Profile> {
    let Runnable { model, engine, candidates } = *runnable;
    let planes = planes_of(profile, candidates, layout)?;
    let mut codings = Vec::with_capacity(planes.len());
    for (tap, planes) in profile.taps().iter().zip(planes) {
        let (name, shape) = (tap.name(), tap.shape());
        if planes.shape != shape {
            let has = planes.shape;
            return Err(Error::argument(format!(
                "the profile has a tap {name} of {shape:?}: that of the model is {has:?}"
            )));
        }
        let mut coding = tap.coding().clone();
        coding.steps = coding.steps.scaled(step_factor).rounded();
        codings.push(TapCoding { name: name.to_owned(), planes, coding });
    }
    let names: Vec<String> = codings.iter().map(|tap| tap.name.clone()).collect();
    let network = TappedNetwork::new(model, engine, &names)?;
    let options = TableOptions::default().with_effort(effort);
    let made = profile_of(model, &network, &codings, inputs, options, progress)?;
    progress.end();
    Ok(made)
}

/// A level halves both sides: more than the longer side has bits transform nothing.
pub(crate) fn levels_of(levels: u8, planes: Planes) -> u8 {
    let side = planes.shape[1].max(planes.shape[2]);
    levels.min(side.next_power_of_two().trailing_zeros() as u8)
}

impl TapStatistics {
    /// The deviation, or 1 where all values are the same.
    pub(crate) fn scale(&self) -> f64 {
        if self.std > 0.0 { self.std } else { 1.0 }
    }
}

/// Sums over the values of one channel.
#[derive(Clone)]
struct Moments {
    count: u64,
    sum: f64,
    squares: f64,
    min: f32,
    max: f32,
}

impl Moments {
    const NONE: Self = Self { count: 0, sum: 0.0, squares: 0.0, min: f32::INFINITY, max: f32::NEG_INFINITY };

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
        (self.min, self.max) = (self.min.min(other.min), self.max.max(other.max));
    }

    fn of(values: &[f32]) -> Self {
        let mut moments = Self { count: values.len() as u64, ..Self::NONE };
        for &value in values {
            moments.sum += f64::from(value);
            moments.squares += f64::from(value) * f64::from(value);
            (moments.min, moments.max) = (moments.min.min(value), moments.max.max(value));
        }
        moments
    }

    fn std(&self) -> f64 {
        let count = self.count.max(1) as f64;
        let mean = self.sum / count;
        (self.squares / count - mean * mean).max(0.0).sqrt()
    }
}

/// One pass without the codec.
pub(crate) fn statistics(
    model: &Model,
    network: &TappedNetwork,
    planes: &[Planes],
    inputs: &Inputs,
    progress: &mut dyn Progress,
) -> Result<Vec<TapStatistics>> {
    let mut sums: Vec<Vec<Moments>> = planes.iter().map(|planes| vec![Moments::NONE; planes.shape[0]]).collect();
    let mut states = one_per_thread(|| ());
    let size = batch_size(model, inputs)?;
    progress.begin("measuring maps", inputs.len() as u64);
    for start in (0..inputs.len()).step_by(size) {
        let batch = inputs.batch(start, size)?;
        let Some(value) = batch.value else { continue };
        network.run(value, &mut |tap, map| {
            let Planes { shape: [_, height, width], .. } = planes[tap];
            let (map, of_inputs) =
                through(&network.taps()[tap], map, batch.len, &planes[tap], &mut states, |(), map, same| {
                    same.copy_from_slice(map);
                    Ok(map.chunks_exact(height * width).map(Moments::of).collect::<Vec<_>>())
                })?;
            for channels in of_inputs {
                sums[tap].iter_mut().zip(&channels).for_each(|(sum, channel)| sum.add(channel));
            }
            Ok(map)
        })?;
        progress.advance((start + size).min(inputs.len()) as u64, "");
    }
    let finish = |(tap, channels): (usize, Vec<Moments>)| {
        let mut all = Moments::NONE;
        channels.iter().for_each(|channel| all.add(channel));
        if all.count == 0 {
            return Err(Error::data(format!("no input of {} could be read", inputs.name())));
        }
        let name = network.taps()[tap].clone();
        if !all.squares.is_finite() {
            return Err(Error::new(
                ErrorKind::NonFinite,
                format!("the maps of {name} hold values that are not finite"),
            ));
        }
        let channel_std = channels.iter().map(Moments::std).collect();
        Ok(TapStatistics { name, shape: planes[tap].shape, std: all.std(), min: all.min, max: all.max, channel_std })
    };
    sums.into_iter().enumerate().map(finish).collect()
}

/// Indices that are kept, over all taps, to train what effort max codes with.
const KEPT_INDICES: usize = 1 << 26;

/// A profile of given codings, its tables counted with the codec in the loop: two passes. `network` is cut at these taps,
/// in this order.
pub fn profile_of(
    model: &Model,
    network: &TappedNetwork,
    codings: &[TapCoding],
    inputs: &Inputs,
    options: TableOptions,
    progress: &mut dyn Progress,
) -> Result<Profile> {
    let fresh = codings.iter().map(|tap| TapCalibrator::new(&tap.name, tap.planes.shape, tap.coding.clone()));
    let fresh = fresh.collect::<Result<Vec<_>, _>>()?;
    let values: usize = codings.iter().map(|tap| tap.planes.values()).sum();
    let keep = if options.effort == Effort::Max { (KEPT_INDICES / values.max(1)).max(1) } else { 0 };
    let (mut fitted, kept) = count(model, network, codings, fresh, inputs, keep, "fitting", progress)?;
    if options.drop_unused {
        fitted.iter_mut().for_each(|tap| {
            tap.drop_unused();
        });
    }
    let held_out = fit(&mut fitted, kept, options.effort, progress);
    let (counted, _) = count(model, network, codings, fitted, inputs, 0, "counting", progress)?;
    Ok(Profile::new(model.name(), finish(counted, &held_out)?)?)
}

/// Of each tap, the maps of the first `keep` inputs are kept.
#[expect(clippy::too_many_arguments, reason = "two calls, a line below the only caller")]
fn count(
    model: &Model,
    network: &TappedNetwork,
    codings: &[TapCoding],
    taps: Vec<TapCalibrator>,
    inputs: &Inputs,
    keep: usize,
    stage: &str,
    progress: &mut dyn Progress,
) -> Result<(Vec<TapCalibrator>, Vec<Vec<MapIndices>>)> {
    let mut workers = one_per_thread(|| (taps.clone(), Scratch::default()));
    let mut kept: Vec<Vec<MapIndices>> = vec![Vec::new(); codings.len()];
    let size = batch_size(model, inputs)?;
    progress.begin(stage, inputs.len() as u64);
    for start in (0..inputs.len()).step_by(size) {
        let batch = inputs.batch(start, size)?;
        let Some(value) = batch.value else { continue };
        network.run(value, &mut |tap, map| {
            let TapCoding { name, planes, .. } = &codings[tap];
            let wanted = kept[tap].len() < keep;
            let (decoded, indices) =
                through(name, map, batch.len, planes, &mut workers, |(taps, scratch), map, decoded| {
                    taps[tap].observe(map, scratch, decoded)?;
                    Ok(wanted.then(|| taps[tap].indices(scratch)))
                })?;
            let room = keep.saturating_sub(kept[tap].len());
            kept[tap].extend(indices.into_iter().flatten().take(room));
            Ok(decoded)
        })?;
        progress.advance((start + size).min(inputs.len()) as u64, "");
    }
    let mut workers = workers.into_iter().map(|(taps, _)| taps);
    let mut taps = workers.next().unwrap_or_default();
    for other in workers {
        taps.iter_mut().zip(&other).for_each(|(tap, other)| tap.merge(other));
    }
    Ok((taps, kept))
}

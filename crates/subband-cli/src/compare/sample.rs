//! One tensor in every form that a coder may want it in.

use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use subband::{Coding, Profile, Scratch, Steps, TapCalibrator, TapCodec, Tensor, TensorData, Wavelet};
use subband_baselines::{Layout, Width};

use crate::table;

/// How maps become indices where no profile says.
#[derive(Clone, Copy, Debug)]
pub struct Quantization {
    pub wavelet: Wavelet,
    pub levels: u8,
    pub step: StepRule,
    /// Bits of the indices given to the codes; the narrowest of 8 and 16 if not said.
    pub width: Option<Width>,
}

#[derive(Clone, Copy, Debug)]
pub enum StepRule {
    /// In units of the values.
    Step(f32),
    /// In standard deviations of the tensor's values.
    Scale(f64),
}

/// A tensor, its indices by our quantizer, and what the quantizer does to it.
pub struct Sample {
    /// As the file or the network names it.
    pub name: String,
    /// `[..., C, H, W]`.
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
    /// Bytes of the tensor as it was given; other dtypes than f32 are converted for the coders.
    pub given_bytes: usize,
    /// Transform, steps and rounding of our codec.
    pub coding: Coding,
    /// Of a profile; the coding is then its own.
    pub tap: Option<ProfileTap>,
    /// With our transform.
    pub transformed: Quantized,
    /// Without.
    pub plain: Quantized,
    /// Its step.
    pub plain_step: f32,
    /// The tolerance at which zfp's error is ours, once it has been searched.
    pub zfp_tolerance: OnceLock<f64>,
}

/// A tap of a profile, for our packets.
pub struct ProfileTap {
    pub profile: Profile,
    pub name: String,
}

/// Indices, and the error of the tensor that they stand for.
pub struct Quantized {
    /// The transform, for people.
    pub kind: String,
    /// The step or steps, likewise.
    pub steps: String,
    /// In coding order: item by item, subband by subband, channel by channel. None where some are beyond the width.
    pub indices: Option<Vec<i16>>,
    pub layout: Layout,
    pub error: Distortion,
}

/// How far decoded values are off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distortion {
    pub rmse: f64,
    pub max: f64,
}

impl Distortion {
    /// Of values of the same number.
    pub fn between(original: &[f32], decoded: &[f32]) -> Self {
        let (mut squares, mut max) = (0.0, 0.0f64);
        for (&a, &b) in original.iter().zip(decoded) {
            let error = (f64::from(a) - f64::from(b)).abs();
            squares += error * error;
            max = max.max(error);
        }
        Self { rmse: (squares / original.len().max(1) as f64).sqrt(), max }
    }
}

impl Quantized {
    pub fn label(&self) -> String {
        format!("indices ({}, step {})", self.kind, self.steps)
    }
}

impl Sample {
    /// Errors: no values, NaN or infinities, a shape that the profile's tap does not have.
    pub fn new(name: String, tensor: &Tensor, how: &Quantization, profile: Option<&Profile>) -> Result<Self> {
        let values = to_f32(tensor.data());
        let shape = tensor.shape().to_vec();
        ensure!(!values.is_empty(), "{name}: shape {shape:?} has no values");
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            bail!("{name}: value {at} is {}: allowed are finite values", values[at]);
        }
        let item = item_shape(&shape);
        let nonnegative = values.iter().all(|&value| value >= 0.0);
        let tap = profile.map(|profile| ProfileTap { profile: profile.clone(), name: name.clone() });
        let coding = match profile {
            Some(profile) => {
                let tap = profile.tap(&name)?;
                ensure!(tap.shape() == item, "{name}: maps of {item:?}: those of the profile are {:?}", tap.shape());
                tap.coding().clone()
            }
            None => {
                let step = match how.step {
                    StepRule::Step(step) => step,
                    StepRule::Scale(k) => scaled_step(k, &values),
                };
                Coding::new(how.wavelet, how.levels, Steps::Uniform(step)).with_nonnegative(nonnegative)
            }
        };
        let kind = format!("{} {}", coding.wavelet, coding.levels);
        let transformed = quantize(kind, &values, &shape, &coding, how.width).with_context(|| name.clone())?;
        let plain_coding = |step| Coding::new(Wavelet::None, 0, Steps::Uniform(step)).with_nonnegative(nonnegative);
        let step = match (&coding.steps, coding.prescale) {
            (Steps::Uniform(step), None) => *step,
            // No one step to take: the one that gives the same error.
            _ => step_of_error(&values, transformed.error.rmse),
        };
        let plain = quantize("no transform".into(), &values, &shape, &plain_coding(step), how.width)?;
        let given_bytes = values.len() * tensor.dtype().size_bytes();
        let zfp_tolerance = OnceLock::new();
        Ok(Self { name, shape, values, given_bytes, coding, tap, transformed, plain, plain_step: step, zfp_tolerance })
    }
}

fn item_shape(shape: &[usize]) -> [usize; 3] {
    match *shape {
        [height, width] => [1, height, width],
        [.., channels, height, width] => [channels, height, width],
        _ => unreachable!("a tensor has two axes at least"),
    }
}

/// `k` standard deviations; of a constant tensor, which has none, any step will do.
fn scaled_step(k: f64, values: &[f32]) -> f32 {
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
    let deviation = (squares / values.len() as f64).sqrt();
    (k * if deviation > 0.0 { deviation } else { 1.0 }) as f32
}

/// Transforms and quantizes item by item, as the codec does.
fn quantize(kind: String, values: &[f32], shape: &[usize], coding: &Coding, width: Option<Width>) -> Result<Quantized> {
    let item = item_shape(shape);
    let size = item.iter().product();
    let mut calibrator = TapCalibrator::new("", item, coding.clone())?;
    let mut scratch = Scratch::default();
    let mut decoded = vec![0.0; values.len()];
    for (map, decoded) in values.chunks_exact(size).zip(decoded.chunks_exact_mut(size)) {
        calibrator.observe(map, &mut scratch, decoded)?;
    }
    let codec = TapCodec::new(&calibrator.finish())?;
    let mut indices: Vec<i32> = Vec::with_capacity(values.len());
    let mut packet = Vec::new();
    for map in values.chunks_exact(size) {
        packet.clear();
        codec.compress(map, &mut scratch, &mut packet)?;
        codec.for_each_block(&scratch, |_, _, block| indices.extend_from_slice(block));
    }
    let indices: Option<Vec<i16>> = indices.into_iter().map(|index| i16::try_from(index).ok()).collect();
    let narrowest = indices.as_deref().map(Width::of);
    let indices = indices.filter(|_| width != Some(Width::Eight) || narrowest == Some(Width::Eight));
    let width = width.or(narrowest).unwrap_or(Width::Sixteen);
    let count = indices.as_ref().map_or(0, Vec::len);
    // Where a mask drops blocks there are no whole planes to cut into rows.
    let columns = if count == values.len() { item[2] } else { count };
    let layout = Layout { width, rows: count.checked_div(columns).unwrap_or(0), columns };
    let steps = table::steps(&coding.steps);
    Ok(Quantized { kind, steps, indices, layout, error: Distortion::between(values, &decoded) })
}

/// The step of a plain quantizer that gives this error, within a millionth of the step.
fn step_of_error(values: &[f32], rmse: f64) -> f32 {
    let error = |step: f32| {
        let squares = values.iter().map(|&v| f64::from(v - (v / step).round() * step).powi(2)).sum::<f64>();
        (squares / values.len() as f64).sqrt()
    };
    let greatest = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let (mut low, mut high) = (f32::MIN_POSITIVE.max(greatest * 1e-6), (2.0 * greatest).max(1e-30));
    for _ in 0..24 {
        let middle = (low * high).sqrt();
        if error(middle) <= rmse { low = middle } else { high = middle }
    }
    low
}

fn to_f32(data: &TensorData) -> Vec<f32> {
    match data {
        TensorData::F32(values) => values.clone(),
        TensorData::F16(values) => values.iter().map(|&v: &f16| v.to_f32()).collect(),
        TensorData::Bf16(values) => values.iter().map(|&v: &bf16| v.to_f32()).collect(),
        TensorData::U8(values) => values.iter().map(|&v| v.into()).collect(),
        TensorData::I8(values) => values.iter().map(|&v| v.into()).collect(),
        TensorData::U16(values) => values.iter().map(|&v| v.into()).collect(),
        TensorData::I16(values) => values.iter().map(|&v| v.into()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how(step: StepRule) -> Quantization {
        Quantization { wavelet: Wavelet::Haar, levels: 1, step, width: None }
    }

    #[test]
    fn indices_by_hand() {
        let tensor = Tensor::new(vec![1.0f32, 1.0, 1.0, 1.0, 0.0, 0.2, 0.6, 9.0], &[2, 2, 2]).unwrap();
        let sample = Sample::new("t".into(), &tensor, &how(StepRule::Step(1.0)), None).unwrap();
        // Haar of a plane of ones: LL 2, no details.
        let transformed = sample.transformed.indices.as_ref().unwrap();
        assert_eq!((transformed[0], &transformed[2..4]), (2, &[0, 4][..]));
        assert_eq!(sample.plain.indices.as_ref().unwrap(), &[1, 1, 1, 1, 0, 0, 1, 9]);
        assert_eq!(sample.plain.label(), "indices (no transform, step 1)");
        assert!((sample.plain.error.max - 0.4).abs() < 1e-6);
        assert_eq!(sample.plain.layout, Layout { width: Width::Eight, rows: 4, columns: 2 });
    }

    #[test]
    fn steps_follow_the_deviation_and_large_indices_are_none() {
        let tensor = Tensor::new(vec![0.0f32, 2.0, 0.0, 2.0], &[2, 2]).unwrap();
        let sample = Sample::new("t".into(), &tensor, &how(StepRule::Scale(0.5)), None).unwrap();
        assert_eq!(sample.plain_step, 0.5);
        let sample = Sample::new("t".into(), &tensor, &how(StepRule::Step(1e-5)), None).unwrap();
        assert!(sample.plain.indices.is_none());
        let sample = Sample::new("t".into(), &tensor, &how(StepRule::Step(0.01)), None).unwrap();
        assert_eq!(sample.plain.layout.width, Width::Sixteen);
    }

    #[test]
    fn an_equal_error_is_found() {
        let values: Vec<f32> = (0..1000).map(|i| (i * i % 997) as f32 / 100.0).collect();
        let step = step_of_error(&values, 0.3 / 12f64.sqrt());
        assert!((0.29..0.31).contains(&step), "{step}");
    }
}

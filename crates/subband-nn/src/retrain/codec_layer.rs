use burn::tensor::{Device, Gradients, Tensor, TensorData};
use subband::{Coding, Steps};

use super::adam::Learned;
use super::config::{CodecConfig, StepGranularity};
use super::selection::{Selection, SelectionConfig};
use crate::calibrate::TapCoding;
use crate::error::Result;
use crate::ops::{QuantizeSettings, Quantized, wavelet_quantize};
use crate::taps::TapSite;
use crate::tensor_map::TensorMap;

/// The codec of one tap as a layer that learns its steps and its channel selection.
#[derive(Clone, Debug)]
pub(crate) struct CodecLayer {
    site: TapSite,
    settings: QuantizeSettings,
    granularity: StepGranularity,
    learns_steps: bool,
    /// Logarithms of the nominal steps, `[S]` or `[C * S]`.
    log_steps: Learned,
    selection: Selection,
}

/// The learned tensors as a training pass used them.
pub(crate) struct LayerLeaves {
    log_steps: Tensor<1>,
    gates: Tensor<1>,
    mean_magnitude: Vec<f32>,
    price_of_a_bit: f64,
}

/// What a layer learns from.
#[derive(Clone, Debug)]
pub(crate) struct LayerGradients {
    log_steps: Option<Vec<f32>>,
    gates: Option<Vec<f32>>,
    /// Of the indices of each channel and subband.
    mean_magnitude: Vec<f32>,
    price_of_a_bit: f64,
}

/// What a layer gives in training.
pub(crate) struct LayerPass {
    /// What the network goes on with.
    pub decoded: Tensor<4>,
    /// An estimate of the bits of one image's map.
    pub bits: f64,
    /// See [`Quantized::rate`].
    pub rate: Option<Tensor<1>>,
    /// What gradients are asked for after the backward pass.
    pub leaves: LayerLeaves,
}

/// How fast a layer learns in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerRates {
    /// Adam's learning rate of the logarithms of the steps.
    pub steps: f64,
    /// What the selection's own learning rate is multiplied by.
    pub selection_factor: f64,
    /// Epochs behind, with the fraction of the current one.
    pub at_epoch: f64,
}

impl CodecLayer {
    /// For the maps at `site`, all steps at `step`. `energy` is that of each channel's finest subbands.
    pub fn new(
        site: &TapSite,
        codec: &CodecConfig,
        selection: &SelectionConfig,
        step: f32,
        energy: &[f64],
        is_last_tap: bool,
        stream: [u64; 2],
    ) -> Self {
        let channels = site.shape[0];
        let subbands = 3 * usize::from(codec.levels) + 1;
        let count = if codec.steps == StepGranularity::Channel { channels * subbands } else { subbands };
        Self {
            site: site.clone(),
            settings: codec.settings(),
            granularity: codec.steps,
            learns_steps: codec.learn_steps,
            log_steps: Learned::new(vec![step.ln(); count]),
            selection: Selection::new(selection, channels, codec.levels, is_last_tap, energy, stream),
        }
    }

    pub fn site(&self) -> &TapSite {
        &self.site
    }

    /// A training pass. The loss pays `price_of_a_bit` for each bit; `noise` replaces rounding.
    pub fn forward(&self, map: Tensor<4>, price_of_a_bit: f64, noise: Option<u64>) -> Result<LayerPass> {
        let device = map.device();
        let log_steps = tensor(self.log_steps.values.clone(), &device).require_grad();
        let gates = tensor(self.selection.gates(), &device).require_grad();
        let settings = QuantizeSettings { price_of_a_bit, noise, ..self.settings };
        let Quantized { decoded, mean_magnitude, rate } =
            wavelet_quantize(map, log_steps.clone(), gates.clone(), settings)?;
        let mean_magnitude: Vec<f32> = mean_magnitude.into_data().iter().collect();
        let bits = self.bits(&mean_magnitude);
        let leaves = LayerLeaves { log_steps, gates, mean_magnitude, price_of_a_bit };
        Ok(LayerPass { decoded, bits, rate, leaves })
    }

    /// Inference: what the decoder will give, without gradients.
    pub fn quantize(&self, map: Tensor<4>) -> Result<Tensor<4>> {
        let device = map.device();
        let log_steps = tensor(self.log_steps.values.clone(), &device);
        Ok(wavelet_quantize(map, log_steps, tensor(self.selection.gates(), &device), self.settings)?.decoded)
    }

    /// Learns from what a training pass left.
    pub fn step(&mut self, found: &LayerGradients, rates: &LayerRates) {
        if let Some(log_steps) = found.log_steps.as_ref().filter(|_| self.learns_steps) {
            self.log_steps.step(log_steps, rates.steps);
        }
        if let Some(gates) = found.gates.as_ref().filter(|_| self.selection.is_learned()) {
            let costs: Vec<f64> =
                self.context_bits(&found.mean_magnitude).map(|bits| found.price_of_a_bit * bits).collect();
            self.selection.step(gates, &costs, rates.selection_factor, rates.at_epoch);
        }
    }

    /// What the codec needs to do the same.
    pub fn coding(&self) -> Result<TapCoding> {
        let steps: Vec<f32> = self.log_steps.values.iter().map(|log| log.exp()).collect();
        let steps = match self.granularity {
            StepGranularity::Channel => {
                let rows = steps.chunks(steps.len() / self.site.shape[0]);
                Steps::PerChannel(rows.map(<[f32]>::to_vec).collect())
            }
            _ => Steps::PerSubband(steps),
        };
        let QuantizeSettings { wavelet, levels, rounding, reconstruction, nonnegative, .. } = self.settings;
        let mut coding = Coding::new(wavelet, levels, steps)
            .with_rounding(rounding)
            .with_reconstruction(reconstruction)
            .with_nonnegative(nonnegative);
        coding.mask = self.selection.mask()?;
        Ok(TapCoding { name: self.site.name.clone(), shape: self.site.shape, coding })
    }

    /// Learned values and their moments, under the tap's name.
    pub fn save(&self, to: &mut TensorMap) {
        self.log_steps.save(&format!("{}.log_steps", self.site.name), to);
        self.selection.save(&self.site.name, to);
    }

    /// Takes over what [`save`](Self::save) wrote.
    pub fn load(&mut self, from: &mut TensorMap) -> Result<()> {
        self.log_steps.load(&format!("{}.log_steps", self.site.name), from)?;
        self.selection.load(&self.site.name, from)
    }

    /// Estimated bits of one image's map; what is dropped costs nothing.
    fn bits(&self, mean_magnitude: &[f32]) -> f64 {
        self.context_bits(mean_magnitude).zip(self.selection.gates()).map(|(bits, gate)| bits * f64::from(gate)).sum()
    }

    /// The same for each channel and subband, were it coded.
    fn context_bits<'a>(&'a self, mean_magnitude: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
        let [_, height, width] = self.site.shape;
        let sizes = self.settings.subband_sizes(height, width);
        mean_magnitude.iter().enumerate().map(move |(context, &mean)| {
            let subband = context % sizes.len();
            sizes[subband] as f64 * self.settings.rate(subband, f64::from(mean)).bits
        })
    }
}

impl LayerLeaves {
    /// Takes what a backward pass found for them.
    pub fn take_gradients(self, gradients: &mut Gradients) -> LayerGradients {
        let Self { log_steps, gates, mean_magnitude, price_of_a_bit } = self;
        let [log_steps, gates] =
            [log_steps, gates].map(|leaf| Some(leaf.grad_remove(gradients)?.into_data().iter().collect()));
        LayerGradients { log_steps, gates, mean_magnitude, price_of_a_bit }
    }
}

impl LayerGradients {
    /// Those of one pass over all images, from those of passes over parts of them and each part's share of the images.
    /// Mean magnitudes are then those of all images too.
    pub fn mean(parts: &[(f64, &Self)]) -> Option<Self> {
        let [(_, first), ..] = parts else {
            return None;
        };
        let mean_of = |pick: fn(&Self) -> Option<&Vec<f32>>| -> Option<Vec<f32>> {
            let values = parts.iter().map(|(share, part)| Some((*share as f32, pick(part)?)));
            let values = values.collect::<Option<Vec<(f32, &Vec<f32>)>>>()?;
            let mean = |at: usize| values.iter().map(|(share, values)| share * values[at]).sum();
            Some((0..values.first()?.1.len()).map(mean).collect())
        };
        Some(Self {
            log_steps: mean_of(|part| part.log_steps.as_ref()),
            gates: mean_of(|part| part.gates.as_ref()),
            mean_magnitude: mean_of(|part| Some(&part.mean_magnitude))?,
            price_of_a_bit: first.price_of_a_bit,
        })
    }
}

fn tensor(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor};
use subband::Profile;

use super::codec_layer::{CodecLayer, LayerGradients, LayerLeaves, LayerRates};
use super::config::{CodecConfig, RetrainConfig};
use super::selection::SelectionMethod;
use crate::calibrate::{TapCoding, TapStatistics, large_batch_size, measure, profile_for, thesis_step};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::evaluate::bits_per_value;
use crate::network::Network;
use crate::ops::{QuantizeSettings, wavelet_quantize};
use crate::progress::Progress;
use crate::rng::Rng;
use crate::taps::TapSite;
use crate::tensor_map::TensorMap;

/// Training images that the steps' starting points are measured on.
const MEASURED_IMAGES: usize = 2_000;

/// Streams of random numbers under a run's seed; `train/run.rs` has its own.
const SELECTION: u64 = 11;
const NOISE: u64 = 12;

/// All taps' codecs in training, and what they add to the loss.
#[derive(Clone, Debug)]
pub(crate) struct CodecInLoop {
    config: RetrainConfig,
    layers: Vec<CodecLayer>,
    /// The network as it was: a copy for each device that trains, or none.
    teachers: Vec<Network>,
    /// Values of one image's maps over all taps.
    values: usize,
}

/// Where in a run a training pass is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub step: usize,
    /// Epochs behind, with the fraction of the current one.
    pub epoch: f64,
    /// What the schedule multiplies learning rates by.
    pub factor: f64,
    /// Which part of the step's batch it sees.
    pub shard: usize,
}

/// What a training pass gives.
pub(crate) struct CodedPass {
    pub scores: Tensor<2>,
    /// Estimated bits per value over all taps.
    pub bits_per_value: f64,
    /// What the loss pays for them.
    pub price: f64,
    /// A term of the loss, of value 0, with their gradient; without one it comes by way of the maps.
    pub rate: Option<Tensor<1>>,
    /// By layer.
    pub leaves: Vec<LayerLeaves>,
}

impl CodecInLoop {
    /// Fresh layers for `network`, whose maps are measured on some of `train`; a copy of it is the teacher.
    pub fn new(
        config: &RetrainConfig,
        network: &Network,
        train: &Dataset,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let uncoded = network.valid();
        let sites: Vec<TapSite> = network.sites().iter().filter(|site| config.taps.includes(site)).cloned().collect();
        let last_site = network.sites().last().map(|site| site.name.clone());
        let train = train.spread(MEASURED_IMAGES);
        let statistics = measure(&uncoded, &train, &sites, progress)?;
        let firsts = statistics.iter().enumerate().map(|(index, tap)| first_step(config, network, index, tap));
        let firsts = firsts.collect::<Result<Vec<f32>>>()?;
        let energies = match config.selection.method {
            SelectionMethod::Energy => finest_energies(&config.codec, &uncoded, &train, &sites, &firsts)?,
            _ => vec![Vec::new(); sites.len()],
        };
        let seed = Rng::for_stream(config.training.seed, &[SELECTION]).next_u64();
        let mut layers = Vec::with_capacity(sites.len());
        for (index, ((site, &step), energy)) in sites.iter().zip(&firsts).zip(&energies).enumerate() {
            let is_last = last_site.as_deref() == Some(site.name.as_str());
            let stream = [seed, index as u64];
            layers.push(CodecLayer::new(site, &config.codec, &config.selection, step, energy, is_last, stream));
        }
        let teachers = if config.distillation.weight > 0.0 { vec![uncoded] } else { Vec::new() };
        let values = sites.iter().map(TapSite::values).sum();
        Ok(Self { config: config.clone(), layers, teachers, values })
    }

    /// Gives every one of `devices` a copy of the teacher.
    pub fn teach_on(&mut self, devices: &[Device]) {
        let Some(teacher) = self.teachers.first().cloned() else {
            return;
        };
        for device in devices {
            if self.teachers.iter().all(|known| known.device() != device) {
                self.teachers.push(teacher.copy_on(device));
            }
        }
    }

    /// A training pass of `network` with every tap's map through its codec.
    pub fn forward(&self, network: &Network, images: Tensor<4>, at: Position) -> Result<CodedPass> {
        let RetrainConfig { codec, training, .. } = &self.config;
        let lambda = self.lambda(at.epoch);
        let price_of_a_bit = lambda / self.values as f64;
        // The first part of a batch has the noise of a whole one.
        let stream = [NOISE, at.step as u64, at.shard as u64];
        let stream = &stream[..if at.shard == 0 { 2 } else { 3 }];
        let mut noise = codec.noise.then(|| Rng::for_stream(training.seed, stream));
        let mut bits = 0.0;
        let mut rate: Option<Tensor<1>> = None;
        let mut leaves = Vec::with_capacity(self.layers.len());
        let mut layers = self.layers.iter();
        let mut next = layers.next();
        let scores = network.forward_tapped(images, &mut |site, map| match next {
            Some(layer) if layer.site().name == site.name => {
                let pass = layer.forward(map, price_of_a_bit, noise.as_mut().map(Rng::next_u64))?;
                bits += pass.bits;
                rate = match (rate.take(), pass.rate) {
                    (Some(sum), Some(more)) => Some(sum + more),
                    (sum, more) => sum.or(more),
                };
                leaves.push(pass.leaves);
                next = layers.next();
                Ok(pass.decoded)
            }
            _ => Ok(map),
        })?;
        let bits_per_value = bits / self.values as f64;
        Ok(CodedPass { scores, bits_per_value, price: lambda * bits_per_value, rate, leaves })
    }

    /// The loss of a pass, without the price of its bits but with their gradient; `labels_loss` is that on the labels.
    pub fn loss(&self, pass: &CodedPass, images: Tensor<4>, labels_loss: Tensor<1>) -> Result<Tensor<1>> {
        let task = self.task_loss(pass.scores.clone(), images, labels_loss)?;
        Ok(match &pass.rate {
            Some(rate) => task + rate.clone(),
            None => task,
        })
    }

    /// The loss on the labels and that against the teacher.
    fn task_loss(&self, scores: Tensor<2>, images: Tensor<4>, labels_loss: Tensor<1>) -> Result<Tensor<1>> {
        let device = images.device();
        let here = self.teachers.iter().find(|teacher| *teacher.device() == device);
        let Some(teacher) = here.or(self.teachers.first()) else {
            return Ok(labels_loss);
        };
        let (weight, heat) = (self.config.distillation.weight, self.config.distillation.temperature);
        let targets = teacher.forward(images.without_autodiff())? / heat;
        let (wanted, log_wanted) = (softmax(targets.clone(), 1), log_softmax(targets, 1));
        let (wanted, log_wanted) = (wanted.autodiff(), log_wanted.autodiff());
        let divergence = (wanted * (log_wanted - log_softmax(scores / heat, 1))).sum_dim(1).mean();
        Ok(labels_loss * (1.0 - weight) + divergence * (weight * heat * heat))
    }

    /// Learns steps and selections from what a training pass left, by layer.
    pub fn step(&mut self, gradients: &[LayerGradients], at: Position) {
        let rates = LayerRates {
            steps: self.config.codec.step_learning_rate * at.factor,
            selection_factor: at.factor,
            at_epoch: at.epoch,
        };
        self.layers.iter_mut().zip(gradients).for_each(|(layer, found)| layer.step(found, &rates));
    }

    /// Class scores of a network for inference with every tap's map as its decoder will give it.
    pub fn infer(&self, network: &Network, images: Tensor<4>) -> Result<Tensor<2>> {
        network.forward_tapped(images, &mut self.decoded_maps())
    }

    /// What gives a network for inference each tap's map as its decoder will.
    pub fn decoded_maps(&self) -> impl FnMut(&TapSite, Tensor<4>) -> Result<Tensor<4>> + '_ {
        |site, map| match self.layers.iter().find(|layer| layer.site().name == site.name) {
            Some(layer) => layer.quantize(map),
            None => Ok(map),
        }
    }

    /// What the loss pays for a bit per value after `epoch` epochs.
    pub fn lambda(&self, epoch: f64) -> f64 {
        let rate = &self.config.rate;
        if rate.ramp_epochs > 0.0 { rate.lambda * (epoch / rate.ramp_epochs).min(1.0) } else { rate.lambda }
    }

    /// Bits per value of real packets of some held-out images, against a profile with tables from some of `train`.
    pub fn real_bits(
        &self,
        network: &Network,
        train: &Dataset,
        held_out: &Dataset,
        progress: &mut dyn Progress,
    ) -> Result<(Profile, f64)> {
        let count = self.config.finish.epoch_images;
        let profile = self.profile(network, &train.spread(count), progress)?;
        let bits = bits_per_value(network, &held_out.spread(count), &profile, "coding held-out images", progress)?;
        Ok((profile, bits))
    }

    /// A profile with these steps and selections, and tables from `data`.
    pub fn profile(&self, network: &Network, data: &Dataset, progress: &mut dyn Progress) -> Result<Profile> {
        let codings = self.layers.iter().map(CodecLayer::coding).collect::<Result<Vec<TapCoding>>>()?;
        profile_for(network, data, &codings, progress)
    }

    pub fn save(&self, to: &mut TensorMap) {
        self.layers.iter().for_each(|layer| layer.save(to));
    }

    pub fn load(&mut self, mut from: TensorMap) -> Result<()> {
        self.layers.iter_mut().try_for_each(|layer| layer.load(&mut from))
    }
}

/// Where all steps of a tap start.
fn first_step(config: &RetrainConfig, network: &Network, index: usize, tap: &TapStatistics) -> Result<f32> {
    if config.codec.thesis_steps {
        return thesis_step(network.kind(), config.taps, index, tap);
    }
    Ok(tap.step(config.codec.step_scale))
}

/// For each of `sites`, whose steps start at `steps`, the mean magnitude of each channel's finest detail coefficients,
/// up to a factor.
fn finest_energies(
    codec: &CodecConfig,
    network: &Network,
    data: &Dataset,
    sites: &[TapSite],
    steps: &[f32],
) -> Result<Vec<Vec<f64>>> {
    /// Indices this fine are the coefficients, nearly.
    const FINENESS: f32 = 256.0;
    let subbands = 3 * usize::from(codec.levels) + 1;
    if subbands == 1 {
        return Err(Error::argument("selection.method = energy: the codec has no detail subbands at 0 levels"));
    }
    let settings = QuantizeSettings { rounding: 0.5, reconstruction: 0.0, ..codec.settings() };
    let mut energies: Vec<Vec<f64>> = sites.iter().map(|site| vec![0.0; site.shape[0]]).collect();
    for batch in data.batches(large_batch_size(network)) {
        let batch = batch?;
        network.forward_tapped(network.input(&batch), &mut |here, map| {
            let Some(tap) = sites.iter().position(|site| site.name == here.name) else {
                return Ok(map);
            };
            let device = map.device();
            let log_steps = Tensor::<1>::full([subbands], (steps[tap] / FINENESS).ln(), &device);
            let gates = Tensor::<1>::ones([here.shape[0] * subbands], &device);
            let quantized = wavelet_quantize(map.clone(), log_steps, gates, settings)?;
            let magnitudes: Vec<f32> = quantized.mean_magnitude.into_data().iter().collect();
            for (energy, row) in energies[tap].iter_mut().zip(magnitudes.chunks_exact(subbands)) {
                *energy += row[subbands - 3..].iter().map(|&m| f64::from(m)).sum::<f64>() * batch.len() as f64;
            }
            Ok(map)
        })?;
    }
    Ok(energies)
}

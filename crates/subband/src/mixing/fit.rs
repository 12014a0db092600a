//! Fitting a mixing model to the maps of a tap.

use super::context::{Context, Inputs, input_counts};
use super::model::{MixingModel, OrientationModel, heads_of, orientation_of, subbands_of};
use super::training::{Random, Shape, Trainer};
use crate::plane::{IndexBlocks, PlaneQuantizer};

/// Passes over the maps.
const PASSES: usize = 6;
/// Indices of a subband that its networks see in all passes. A million take 1.5% more bytes on a ResNet-20 and a third of
/// the time.
const SEEN: f64 = 3e6;
/// Indices of a step of the optimizer.
const BATCH: usize = 512;
/// Highest rate of the optimizer; it falls to nearly 0.
const RATE: f32 = 0.01;
const LAST_RATE: f32 = 0.02;

/// Indices of a map, kept for training.
#[derive(Debug, Clone)]
pub(crate) struct KeptMap(Vec<i16>);

impl KeptMap {
    /// Larger magnitudes than 16 bits hold are cut: networks see logarithms that end before.
    pub fn new(indices: &IndexBlocks) -> Self {
        KeptMap(indices.values().iter().map(|&index| index.clamp(-32_767, 32_767) as i16).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn values(&self) -> impl Iterator<Item = i32> {
        self.0.iter().map(|&index| i32::from(index))
    }
}

/// Trains the networks of a tap. The same maps in the same order give the same model, on machines whose exponential
/// function is the same. None without maps.
pub(crate) fn fit(
    quantizer: &PlaneQuantizer,
    channels: usize,
    maps: &[&KeptMap],
    seed: u64,
    progress: &mut dyn FnMut(usize, usize),
) -> Option<MixingModel> {
    if maps.is_empty() {
        return None;
    }
    let layout = &quantizer.layout;
    let subbands = layout.blocks.len();
    let scales = MixingModel::scales_of(&quantizer.coding);
    let mut random = Random::new(seed);
    let mut trainers: Vec<OrientationTrainer> = (0..if subbands > 1 { 4 } else { 1 })
        .map(|orientation| OrientationTrainer::new(orientation, subbands, channels, &mut random))
        .collect();

    let mut context = Context::default();
    let (mut magnitude_inputs, mut sign_inputs) = (Inputs::default(), Inputs::default());
    let mut values = Vec::new();
    let mut order: Vec<usize> = (0..maps.len()).collect();
    let total = PASSES * maps.len();
    for seen in 0..total {
        if seen % maps.len() == 0 {
            random.shuffle(&mut order);
        }
        progress(seen, total);
        let rate = RATE * (1.0 - seen as f32 / total as f32).max(LAST_RATE);
        values.clear();
        values.extend(maps[order[seen % maps.len()]].values());
        context.reset(layout, channels);
        context.set_all(layout, &values);
        for (subband, block) in layout.blocks.iter().enumerate() {
            context.begin_subband(quantizer, &scales, &values, subband);
            if block.len() == 0 {
                continue;
            }
            let share = SEEN / (total * channels * block.len()) as f64;
            let (orientation, level) = orientation_of(subband);
            let OrientationTrainer { heads, magnitudes, signs } = &mut trainers[orientation];
            let of_subband = &values[block.offset * channels..][..block.len() * channels];
            for place in 0..block.len() {
                if !random.chance(share) {
                    continue;
                }
                let (y, x) = (place / block.width, place % block.width);
                context.inputs(layout, subband, y, x, &mut magnitude_inputs, &mut sign_inputs);
                let index = |slot: usize| {
                    let kept = quantizer.coding.keeps(slot, subband);
                    kept.then(|| of_subband[slot * block.len() + place])
                };
                // Number of decisions, and how many of them, from the first, are true.
                magnitudes.observe(level, &context.rows, &magnitude_inputs, |slot| {
                    let magnitude = index(slot)?.unsigned_abs() as usize;
                    Some(((magnitude + 1).min(*heads), magnitude))
                });
                magnitudes.step_after(BATCH, rate);
                if let Some(signs) = signs {
                    signs.observe(level, &context.rows, &sign_inputs, |slot| {
                        let index = index(slot).filter(|&index| index != 0)?;
                        Some((1, usize::from(index < 0)))
                    });
                    signs.step_after(BATCH / 2, rate);
                }
            }
        }
    }
    let orientations = trainers.into_iter().map(OrientationTrainer::finish).collect();
    Some(MixingModel { scales, orientations })
}

/// The networks of an orientation in training.
struct OrientationTrainer {
    heads: usize,
    magnitudes: Trainer,
    signs: Option<Trainer>,
}

impl OrientationTrainer {
    fn new(orientation: usize, subbands: usize, channels: usize, random: &mut Random) -> Self {
        let counts = subbands_of(orientation, subbands).into_iter().map(input_counts);
        let (of_magnitudes, of_signs) = counts.unzip();
        let heads = heads_of(orientation);
        let magnitudes = Trainer::new(Shape { channels, inputs: of_magnitudes, heads }, random);
        let signs = (orientation > 0).then(|| Trainer::new(Shape { channels, inputs: of_signs, heads: 1 }, random));
        OrientationTrainer { heads, magnitudes, signs }
    }

    fn finish(self) -> OrientationModel {
        OrientationModel { magnitudes: self.magnitudes.round(), signs: self.signs.map(|signs| signs.round()) }
    }
}

//! Networks in training, in floats: gradients of the ideal code length, and Adam (Kingma & Ba, 2015).

use std::ops::Range;

use super::context::{Inputs, SUMS};
use super::model::{BIAS_UNIT, GAIN_UNIT, MAX_WEIGHT};
use super::network::{HIDDEN, Links, Network, NetworkSet, Row};

type FloatRow = [f32; HIDDEN];

/// A level as networks in training see it is an eighth of it.
const INPUT: f32 = 1.0 / 8.0;
/// In integers a weight of 1 is 32, so that an input times a weight is in units of 1/256, and so is a hidden unit's sum.
const WEIGHT: f32 = 32.0;
const ACCUMULATED: f32 = 256.0;
/// Heads times hidden units, which are in units of 1/32.
const LOGIT: f32 = 1024.0;
/// Where the hidden layer is cut off: 255 in units of 1/32.
const LARGEST_UNIT: f32 = 255.0 / 32.0;
/// Largest weight and gain, so that rounding stays within what is written.
const LARGEST_WEIGHT: f32 = MAX_WEIGHT as f32 / WEIGHT;
const LARGEST_GAIN: f32 = MAX_WEIGHT as f32 / 256.0;
/// Largest of what is written with 16 bits.
const LARGEST_BASE: f32 = 100.0;

/// Decay of Adam's means of gradients and of their squares.
const DECAYS: [f32; 2] = [0.9, 0.999];

/// xorshift64*: the same numbers everywhere.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn below(&mut self, limit: usize) -> usize {
        ((u64::from(self.next()) * limit as u64) >> 32) as usize
    }

    /// True with a probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability >= 1.0 || f64::from(self.next()) < probability * 4_294_967_296.0
    }

    /// From -1 to 1.
    fn symmetric(&mut self) -> f32 {
        (self.next() >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn shuffle(&mut self, items: &mut [usize]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Sizes of the networks of an orientation. Their parameters are rows of hidden units: bias, gain and sources of each
/// channel, then for each level base, weights, heads, and biases of the heads (one number a row).
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub channels: usize,
    /// Inputs of each level's network.
    pub inputs: Vec<usize>,
    pub heads: usize,
}

impl Shape {
    fn bias(&self) -> Range<usize> {
        0..self.channels
    }

    fn gain(&self) -> Range<usize> {
        self.channels..2 * self.channels
    }

    fn source(&self, number: usize) -> Range<usize> {
        (2 + number) * self.channels..(3 + number) * self.channels
    }

    fn base(&self, level: usize) -> usize {
        self.source(SUMS).end + self.inputs[..level].iter().map(|inputs| 1 + inputs + 2 * self.heads).sum::<usize>()
    }

    fn weights(&self, level: usize) -> Range<usize> {
        let start = self.base(level) + 1;
        start..start + self.inputs[level]
    }

    fn heads(&self, level: usize) -> Range<usize> {
        let start = self.weights(level).end;
        start..start + self.heads
    }

    fn head_biases(&self, level: usize) -> Range<usize> {
        let start = self.heads(level).end;
        start..start + self.heads
    }

    fn rows(&self) -> usize {
        self.base(self.inputs.len())
    }
}

/// A parameter row with what Adam knows of it.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    first: FloatRow,
    second: FloatRow,
}

/// The networks of an orientation for one kind of decisions, in training.
#[derive(Debug)]
pub(super) struct Trainer {
    shape: Shape,
    parameters: Vec<FloatRow>,
    gradients: Vec<FloatRow>,
    moments: Vec<Moments>,
    steps: i32,
    /// Indices since the last step.
    seen: usize,
    inputs: Vec<f32>,
    /// By channel: the sum over channels that it saw, and the gradient of its hidden sums.
    sums: Vec<FloatRow>,
    deltas: Vec<FloatRow>,
}

impl Trainer {
    pub fn new(shape: Shape, random: &mut Random) -> Self {
        let rows = shape.rows();
        let mut parameters = vec![[0.0; HIDDEN]; rows];
        let mut fill = |range: Range<usize>, scale: f32| {
            parameters[range].as_flattened_mut().iter_mut().for_each(|p| *p = scale * random.symmetric());
        };
        fill(0..shape.source(SUMS).end, 0.1);
        for level in 0..shape.inputs.len() {
            let base = shape.base(level);
            fill(base..base + 1, 0.5);
            fill(shape.weights(level), 0.4);
            fill(shape.heads(level), 0.3);
        }
        let channels = shape.channels;
        Trainer {
            parameters,
            gradients: vec![[0.0; HIDDEN]; rows],
            moments: vec![Moments::default(); rows],
            steps: 0,
            seen: 0,
            inputs: Vec::new(),
            sums: vec![[0.0; HIDDEN]; channels],
            deltas: vec![[0.0; HIDDEN]; channels],
            shape,
        }
    }

    /// Adds the gradients of a position. `decisions` of a channel: their number, and how many of them, from the first, are
    /// true; none for an index that is not coded.
    pub fn observe(
        &mut self,
        level: usize,
        rows: &[i16],
        inputs: &Inputs,
        decisions: impl Fn(usize) -> Option<(usize, usize)>,
    ) {
        let channels = self.shape.channels;
        let of_sums =
            |number: usize, slot: usize| -> i16 { inputs.sums[number].iter().map(|row| rows[row + slot]).sum() };
        let mut sum = [0.0; HIDDEN];
        for number in 0..SUMS {
            let source = &self.parameters[self.shape.source(1 + number)];
            for (slot, weights) in source.iter().enumerate() {
                add_scaled(&mut sum, of_sums(number, slot), weights);
            }
        }
        for slot in 0..channels {
            self.sums[slot] = sum;
            self.deltas[slot] = match decisions(slot) {
                Some(decisions) => self.observe_index(level, rows, inputs, slot, decisions),
                None => [0.0; HIDDEN],
            };
            add_scaled(&mut sum, rows[inputs.own + slot], &self.parameters[self.shape.source(0).start + slot]);
        }

        // Back through the sum, last channel first: what a channel adds is seen by those after it.
        let mut back = [0.0; HIDDEN];
        let (gain, source) = (self.shape.gain().start, self.shape.source(0).start);
        for slot in (0..channels).rev() {
            add_scaled(&mut self.gradients[source + slot], rows[inputs.own + slot], &back);
            let (delta, gain) = (&self.deltas[slot], &self.parameters[gain + slot]);
            for h in 0..HIDDEN {
                back[h] += delta[h] * gain[h];
            }
        }
        for number in 0..SUMS {
            let source = &mut self.gradients[self.shape.source(1 + number)];
            for (slot, gradients) in source.iter_mut().enumerate() {
                add_scaled(gradients, of_sums(number, slot), &back);
            }
        }
    }

    /// Adds the gradients of an index but for those of sources, and returns that of its hidden sums.
    fn observe_index(
        &mut self,
        level: usize,
        rows: &[i16],
        inputs: &Inputs,
        slot: usize,
        (decisions, ones): (usize, usize),
    ) -> FloatRow {
        let Trainer { shape, parameters, gradients, inputs: levels, sums, seen, .. } = self;
        *seen += 1;
        let (base, bias, gain) = (shape.base(level), slot, shape.channels + slot);
        let (weights, heads, biases) = (shape.weights(level), shape.heads(level), shape.head_biases(level));
        let sum = &sums[slot];

        let mut accumulated = parameters[base];
        for h in 0..HIDDEN {
            accumulated[h] += parameters[bias][h] + parameters[gain][h] * sum[h];
        }
        levels.clear();
        levels.extend(inputs.rows().iter().map(|row| f32::from(rows[row + slot]) * INPUT));
        for (&x, weights) in levels.iter().zip(&parameters[weights.clone()]) {
            if x != 0.0 {
                add_times(&mut accumulated, x, weights);
            }
        }
        let hidden = accumulated.map(|x| x.clamp(0.0, LARGEST_UNIT));

        let mut delta = [0.0; HIDDEN];
        for decision in 0..decisions {
            let head = &parameters[heads.start + decision];
            let mut logit = parameters[biases.start + decision][0];
            for h in 0..HIDDEN {
                logit += head[h] * hidden[h];
            }
            let error = 1.0 / (1.0 + (-logit).exp()) - f32::from(u8::from(decision < ones));
            add_times(&mut delta, error, head);
            add_times(&mut gradients[heads.start + decision], error, &hidden);
            gradients[biases.start + decision][0] += error;
        }
        for h in 0..HIDDEN {
            if hidden[h] != accumulated[h] {
                delta[h] = 0.0;
            }
            gradients[base][h] += delta[h];
            gradients[bias][h] += delta[h];
            gradients[gain][h] += delta[h] * sum[h];
        }
        for (&x, gradients) in levels.iter().zip(&mut gradients[weights]) {
            if x != 0.0 {
                add_times(gradients, x, &delta);
            }
        }
        delta
    }

    /// A step of the optimizer, if so many indices were observed since the last.
    pub fn step_after(&mut self, indices: usize, rate: f32) {
        if self.seen < indices {
            return;
        }
        self.steps += 1;
        let scale = 1.0 / self.seen as f32;
        self.seen = 0;
        let [first_decay, second_decay] = DECAYS;
        let [first_scale, second_scale] = DECAYS.map(|decay| 1.0 / (1.0 - decay.powi(self.steps)));
        let limits: Vec<(Range<usize>, f32)> = self.limits();
        for (range, limit) in limits {
            let rows = self.parameters[range.clone()].iter_mut();
            for ((row, gradients), moments) in
                rows.zip(&mut self.gradients[range.clone()]).zip(&mut self.moments[range])
            {
                for h in 0..HIDDEN {
                    let gradient = gradients[h] * scale;
                    gradients[h] = 0.0;
                    moments.first[h] = first_decay * moments.first[h] + (1.0 - first_decay) * gradient;
                    moments.second[h] = second_decay * moments.second[h] + (1.0 - second_decay) * gradient * gradient;
                    let step = moments.first[h] * first_scale / ((moments.second[h] * second_scale).sqrt() + 1e-8);
                    row[h] = (row[h] - rate * step).clamp(-limit, limit);
                }
            }
        }
    }

    /// All rows, with the largest magnitude of their parameters.
    fn limits(&self) -> Vec<(Range<usize>, f32)> {
        let shape = &self.shape;
        let mut limits = vec![(shape.bias(), LARGEST_WEIGHT), (shape.gain(), LARGEST_GAIN)];
        limits.push((shape.source(0).start..shape.source(SUMS).end, LARGEST_WEIGHT));
        for level in 0..shape.inputs.len() {
            limits.push((shape.base(level)..shape.base(level) + 1, LARGEST_BASE));
            limits.push((shape.weights(level).start..shape.heads(level).end, LARGEST_WEIGHT));
            limits.push((shape.head_biases(level), LOGIT.recip() * 32_767.0));
        }
        limits
    }

    /// The networks in integers.
    pub fn round(&self) -> NetworkSet {
        let shape = &self.shape;
        let rows = |range: Range<usize>, scale: f32, unit: i16| -> Vec<Row> {
            let rounded = |x: f32| ((x * scale).round() as i16).clamp(-MAX_WEIGHT, MAX_WEIGHT) * unit;
            self.parameters[range].iter().map(|row| row.map(rounded)).collect()
        };
        let links = Links {
            bias: rows(shape.bias(), ACCUMULATED / f32::from(BIAS_UNIT), BIAS_UNIT),
            gain: rows(shape.gain(), 65_536.0 / f32::from(GAIN_UNIT), GAIN_UNIT),
            sources: std::array::from_fn(|number| rows(shape.source(number), WEIGHT, 1)),
        };
        let network = |level: usize| Network {
            base: self.parameters[shape.base(level)].map(|x| (x * ACCUMULATED).round() as i16),
            weights: rows(shape.weights(level), WEIGHT, 1),
            heads: rows(shape.heads(level), WEIGHT, 1),
            biases: self.parameters[shape.head_biases(level)]
                .iter()
                .map(|row| (row[0] * LOGIT).round() as i16)
                .collect(),
        };
        NetworkSet { links, networks: (0..shape.inputs.len()).map(network).collect() }
    }
}

/// Adds a row times an input, most of which are 0.
#[inline]
fn add_scaled(sum: &mut FloatRow, level: i16, row: &FloatRow) {
    if level != 0 {
        add_times(sum, f32::from(level) * INPUT, row);
    }
}

#[inline]
fn add_times(sum: &mut FloatRow, factor: f32, row: &FloatRow) {
    for h in 0..HIDDEN {
        sum[h] += factor * row[h];
    }
}

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use super::config::TrainConfig;
use crate::error::{Error, Result};
use crate::network::NetworkKind;
use crate::resnet::ResNet;
use crate::tensor_map::TensorMap;
use crate::weights::NamePath;

/// SGD with momentum, keyed by PyTorch parameter names so that its state is a plain safetensors map.
///
/// As PyTorch defines it: `g += decay * p; v = momentum * v + g; p -= rate * (g + momentum * v)` (Nesterov).
/// burn's own differs in the default dampening and keys its state by numbers that change from run to run.
pub(crate) struct Sgd {
    kind: NetworkKind,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
    decay_vectors: bool,
    gradient_clip: Option<f64>,
    velocity: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    pub fn new(config: &TrainConfig) -> Self {
        Self {
            kind: config.network,
            momentum: config.momentum,
            nesterov: config.nesterov,
            weight_decay: config.weight_decay,
            decay_vectors: config.decay_vectors,
            gradient_clip: config.gradient_clip,
            velocity: BTreeMap::new(),
        }
    }

    /// One step of `model` along `gradients` at learning rate `rate`.
    pub fn step(&mut self, model: ResNet, mut gradients: GradientsParams, rate: f64) -> ResNet {
        let mut collector =
            GradientCollector { path: NamePath::new(self.kind), gradients: &mut gradients, found: BTreeMap::new() };
        model.visit(&mut collector);
        let mut found = collector.found;
        if let Some(limit) = self.gradient_clip {
            clip(&mut found, limit);
        }
        model.map(&mut Update { path: NamePath::new(self.kind), gradients: found, optimizer: self, rate })
    }

    /// The velocities under their parameters' names.
    pub fn state(&self) -> TensorMap {
        let mut state = TensorMap::default();
        for (name, velocity) in &self.velocity {
            let data = velocity.to_data();
            let values: Vec<f32> = data.iter().collect();
            state.insert(name, vec![values.len()], values);
        }
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    pub fn load_state(&mut self, state: &TensorMap, device: &Device) -> Result<()> {
        self.velocity.clear();
        for (name, array) in state.iter() {
            if array.shape.len() != 1 {
                return Err(Error::checkpoint(format!(
                    "velocity of {name} has shape {:?}, expected one axis",
                    array.shape
                )));
            }
            let data = TensorData::new(array.values.clone(), array.shape.clone());
            self.velocity.insert(name.to_string(), Tensor::from_data(data, device));
        }
        Ok(())
    }

    fn update(&mut self, name: String, value: Tensor<1>, gradient: Tensor<1>, is_vector: bool, rate: f64) -> Tensor<1> {
        let mut step = gradient;
        if self.weight_decay > 0.0 && (self.decay_vectors || !is_vector) {
            step = step + value.clone().mul_scalar(self.weight_decay);
        }
        if self.momentum > 0.0 {
            let velocity = match self.velocity.remove(&name) {
                Some(velocity) => velocity.mul_scalar(self.momentum) + step.clone(),
                None => step.clone(),
            };
            step = if self.nesterov { step + velocity.clone().mul_scalar(self.momentum) } else { velocity.clone() };
            self.velocity.insert(name, velocity);
        }
        value - step.mul_scalar(rate)
    }
}

/// Scales all gradients down together where their common length exceeds `limit`.
fn clip(gradients: &mut BTreeMap<String, Tensor<1>>, limit: f64) {
    let squares: f64 = gradients.values().map(|g| f64::from((g.clone() * g.clone()).sum().into_scalar::<f32>())).sum();
    let length = squares.sqrt();
    if length > limit {
        for gradient in gradients.values_mut() {
            *gradient = gradient.clone().mul_scalar(limit / length);
        }
    }
}

struct GradientCollector<'a> {
    path: NamePath,
    gradients: &'a mut GradientsParams,
    found: BTreeMap<String, Tensor<1>>,
}

impl ModuleVisitor for GradientCollector<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Running statistics pass here too; they have no gradient.
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let count = gradient.shape().num_elements();
            self.found.insert(self.path.name(), gradient.reshape([count]));
        }
    }
}

struct Update<'a> {
    path: NamePath,
    gradients: BTreeMap<String, Tensor<1>>,
    optimizer: &'a mut Sgd,
    rate: f64,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(gradient) = self.gradients.remove(&name) else {
            return param;
        };
        param.map(|value| {
            let shape = value.shape();
            let flat = value.without_autodiff().reshape([shape.num_elements()]);
            let updated = self.optimizer.update(name, flat, gradient, D == 1, self.rate);
            updated.reshape(shape).autodiff().require_grad()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: &Tensor<1>) -> Vec<f32> {
        tensor.to_data().try_to_vec().unwrap()
    }

    #[test]
    fn two_nesterov_steps_by_hand() {
        let device = Device::flex();
        let config = TrainConfig { momentum: 0.5, weight_decay: 0.25, ..TrainConfig::default() };
        let mut sgd = Sgd::new(&config);
        let one = |v: f32| Tensor::<1>::from_floats([v], &device);
        // g = 1 + .25 * 2 = 1.5, v = 1.5, p = 2 - .1 * (1.5 + .75) = 1.775.
        let p = sgd.update("w".into(), one(2.0), one(1.0), false, 0.1);
        assert_eq!(values(&p), [1.775]);
        // A vector does not decay: g = 1, v = 1.
        let b = sgd.update("b".into(), one(2.0), one(1.0), true, 0.1);
        assert_eq!(values(&b), [1.85]);
        // g = 1 + .25 * 2 = 1.5, v = .5 * 1.5 + 1.5 = 2.25, p = 2 - .1 * (1.5 + 1.125).
        let p = sgd.update("w".into(), one(2.0), one(1.0), false, 0.1);
        assert!((values(&p)[0] - 1.7375).abs() < 1e-6);
        let mut again = Sgd::new(&config);
        again.load_state(&sgd.state(), &device).unwrap();
        assert_eq!(values(&again.velocity["w"]), [2.25]);
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let device = Device::flex();
        let mut gradients = BTreeMap::from([
            ("a".to_string(), Tensor::<1>::from_floats([3.0], &device)),
            ("b".to_string(), Tensor::<1>::from_floats([4.0], &device)),
        ]);
        clip(&mut gradients, 10.0);
        assert_eq!(values(&gradients["a"]), [3.0]);
        clip(&mut gradients, 1.0);
        assert!((values(&gradients["a"])[0] - 0.6).abs() < 1e-6);
        assert!((values(&gradients["b"])[0] - 0.8).abs() < 1e-6);
    }
}

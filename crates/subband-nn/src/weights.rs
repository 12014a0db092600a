//! Parameters in and out of a network, as safetensors under the names PyTorch gives them.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use crate::error::{Error, Result};
use crate::network::{NetworkKind, Shortcut};
use crate::resnet::ResNet;
use crate::rng::Rng;
use crate::tensor_map::{Array, TensorMap};

/// Follows a traversal of the modules and says which PyTorch name the current parameter has.
pub(crate) struct NamePath {
    kind: NetworkKind,
    parts: Vec<String>,
}

impl NamePath {
    pub fn new(kind: NetworkKind) -> Self {
        Self { kind, parts: Vec::new() }
    }

    pub fn enter(&mut self, name: &str) {
        self.parts.push(name.to_string());
    }

    pub fn exit(&mut self) {
        self.parts.pop();
    }

    /// `stages.0.1.bn2.gamma` is `layer1.1.bn2.weight`; a projection is `downsample.0` and `.1` in torchvision and
    /// `shortcut.0` and `.1` in the CIFAR networks; the head is `fc` in the former and `linear` in the latter.
    pub fn name(&self) -> String {
        let mut out: Vec<String> = Vec::with_capacity(self.parts.len());
        let mut parts = self.parts.iter().map(String::as_str);
        while let Some(part) = parts.next() {
            out.push(match part {
                "stages" => {
                    let stage: usize = parts.next().and_then(|p| p.parse().ok()).unwrap_or(0);
                    format!("layer{}", stage + 1)
                }
                "projection" if self.kind.is_imagenet() => "downsample".into(),
                "projection" => "shortcut".into(),
                "conv" => "0".into(),
                "bn" => "1".into(),
                "head" if self.kind.is_imagenet() => "fc".into(),
                "head" => "linear".into(),
                "gamma" => "weight".into(),
                "beta" => "bias".into(),
                other => other.into(),
            });
        }
        out.join(".")
    }
}

/// Which shortcut the weights were trained with: a projection leaves parameters, option A none.
pub(crate) fn shortcut_of(kind: NetworkKind, tensors: &TensorMap) -> Shortcut {
    let projected = tensors.iter().any(|(name, _)| name.contains(".shortcut.") || name.contains(".downsample."));
    if projected || kind.is_imagenet() { Shortcut::B } else { Shortcut::A }
}

/// Puts `tensors` into `model`, all of them, or explains what does not fit.
pub(crate) fn load(model: ResNet, kind: NetworkKind, tensors: TensorMap) -> Result<ResNet> {
    let mut loader = Loader {
        path: NamePath::new(kind),
        tensors: without_data_parallel_prefix(tensors),
        missing: Vec::new(),
        misshapen: Vec::new(),
    };
    let model = model.map(&mut loader);
    let unexpected: Vec<String> = loader.tensors.iter().map(|(name, _)| name.to_string()).collect();
    let mut faults = Vec::new();
    for (what, names) in
        [("missing", loader.missing), ("unexpected", unexpected), ("of another shape", loader.misshapen)]
    {
        if !names.is_empty() {
            faults.push(format!("{what}: {}", list(&names)));
        }
    }
    if faults.is_empty() {
        Ok(model)
    } else {
        Err(Error::weights(format!("these weights do not fit {kind}; {}", faults.join("; "))))
    }
}

/// The first few names, and how many more there are.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}

/// Checkpoints saved from `DataParallel` carry `module.` before every name.
fn without_data_parallel_prefix(mut tensors: TensorMap) -> TensorMap {
    if tensors.iter().all(|(name, _)| name.starts_with("module.")) { tensors.split_prefix("module.") } else { tensors }
}

struct Loader {
    path: NamePath,
    tensors: TensorMap,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

impl ModuleMapper for Loader {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(array) = self.tensors.remove(&name) else {
            self.missing.push(name);
            return param;
        };
        let mut wanted = param.lazy_shape().to_vec();
        // burn keeps a linear layer's matrix as [inputs, outputs], PyTorch the other way round.
        if D == 2 {
            wanted.reverse();
        }
        if array.shape != wanted {
            let note = format!("{name} is {:?}, not {wanted:?}", array.shape);
            self.misshapen.push(note);
            return param;
        }
        let device = param.lazy_device().without_autodiff();
        let array = if D == 2 { transposed(&array) } else { array };
        let data = TensorData::new(array.values, array.shape);
        replace(param, Tensor::<D>::from_data(data, &device))
    }
}

/// The transposed matrix, as values and not as a view: a view multiplies in another order of additions, and a resumed
/// run would part from the unbroken one in the last bit.
fn transposed(matrix: &Array) -> Array {
    let [rows, columns] = [matrix.shape[0], matrix.shape[1]];
    let at = |i: usize| matrix.values[i % rows * columns + i / rows];
    Array { shape: vec![columns, rows], values: (0..rows * columns).map(at).collect() }
}

/// `param` with another value and everything else kept: id, device, autodiff and gradient setting.
pub(crate) fn replace<const D: usize>(param: Param<Tensor<D>>, value: Tensor<D>) -> Param<Tensor<D>> {
    let value = if param.lazy_device().is_autodiff() { value.autodiff() } else { value };
    let id = param.id;
    param.transform_for_load(value, id)
}

/// The parameters and running statistics of `model`.
pub(crate) fn collect(model: &ResNet, kind: NetworkKind) -> TensorMap {
    let mut collector = Collector { path: NamePath::new(kind), tensors: TensorMap::default() };
    // A running statistic lags one update behind until it is synchronised, which `valid` does.
    model.valid().visit(&mut collector);
    collector.tensors
}

struct Collector {
    path: NamePath,
    tensors: TensorMap,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let mut tensor = param.val();
        if D == 2 {
            tensor = tensor.swap_dims(0, 1);
        }
        let data = tensor.into_data();
        let shape = data.shape().to_vec();
        self.tensors.insert(self.path.name(), shape, data.iter::<f32>().collect());
    }
}

/// He normal initialisation (fan in) of every matrix and kernel from `seed`; BatchNorm starts as the identity and
/// biases at zero. Drawn here and not by burn, so that the numbers depend on neither its version nor the device.
pub(crate) fn randomise(model: ResNet, kind: NetworkKind, seed: u64) -> ResNet {
    model.map(&mut Randomiser { path: NamePath::new(kind), seed })
}

struct Randomiser {
    path: NamePath,
    seed: u64,
}

impl ModuleMapper for Randomiser {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape().to_vec();
        let device = param.lazy_device().without_autodiff();
        let name = self.path.name();
        let values = if D == 1 {
            // BatchNorm's scale and running variance start at one, everything else at zero.
            if !name.ends_with("running_var") && !name.ends_with("weight") {
                vec![0.0; shape[0]]
            } else {
                vec![1.0; shape[0]]
            }
        } else {
            let fan_in = if D == 2 { shape[0] } else { shape[1..].iter().product() };
            let std = (2.0 / fan_in as f64).sqrt();
            // A stream per name: adding a layer leaves the others' numbers alone.
            let label: Vec<u64> = name.bytes().map(u64::from).collect();
            let mut rng = Rng::for_stream(self.seed, &label);
            (0..shape.iter().product()).map(|_| (std * rng.normal()) as f32).collect::<Vec<f32>>()
        };
        replace(param, Tensor::from_data(TensorData::new(values, shape), &device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use burn::tensor::Device;

    fn network() -> Network {
        Network::init(NetworkKind::ResNet20, Shortcut::A, 3, &Device::flex())
    }

    #[test]
    fn matrices_are_transposed_by_value() {
        let matrix = Array { shape: vec![2, 3], values: vec![1., 2., 3., 4., 5., 6.] };
        let turned = transposed(&matrix);
        assert_eq!(turned.shape, [3, 2]);
        assert_eq!(turned.values, [1., 4., 2., 5., 3., 6.]);
    }

    #[test]
    fn names_are_pytorchs() {
        let tensors = network().to_tensors();
        let shape = |name: &str| tensors.get(name).map(|a| a.shape.clone());
        assert_eq!(shape("conv1.weight"), Some(vec![16, 3, 3, 3]));
        assert_eq!(shape("layer2.0.bn1.running_var"), Some(vec![32]));
        assert_eq!(shape("linear.weight"), Some(vec![10, 64]));
        assert_eq!(tensors.iter().count(), 19 * 5 + 2);
        let projected = Network::init(NetworkKind::ResNet18, Shortcut::B, 3, &Device::flex());
        let tensors = projected.to_tensors();
        let shape = |name: &str| tensors.get(name).map(|a| a.shape.clone());
        assert_eq!(shape("layer2.0.downsample.0.weight"), Some(vec![128, 64, 1, 1]));
        assert_eq!(shape("layer4.0.downsample.1.running_mean"), Some(vec![512]));
        assert_eq!(shape("fc.bias"), Some(vec![1000]));
    }

    #[test]
    fn saving_and_loading_gives_the_same_network() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let network = network();
        network.save(&path).unwrap();
        let again = Network::load(NetworkKind::ResNet20, &path, &Device::flex()).unwrap();
        assert_eq!(again.to_tensors(), network.to_tensors());
        assert_eq!(again.shortcut(), Shortcut::A);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut tensors = network().to_tensors();
        tensors.remove("bn1.bias");
        tensors.insert("extra.weight", vec![1], vec![0.0]);
        tensors.insert("linear.bias", vec![11], vec![0.0; 11]);
        let error = Network::from_tensors(NetworkKind::ResNet20, tensors, &Device::flex()).unwrap_err().to_string();
        assert!(error.contains("missing: bn1.bias"), "{error}");
        assert!(error.contains("unexpected: extra.weight"), "{error}");
        assert!(error.contains("linear.bias is [11], not [10]"), "{error}");
    }

    #[test]
    fn a_data_parallel_prefix_is_taken_away() {
        let mut prefixed = TensorMap::default();
        for (name, array) in network().to_tensors().iter() {
            prefixed.insert(format!("module.{name}"), array.shape.clone(), array.values.clone());
        }
        Network::from_tensors(NetworkKind::ResNet20, prefixed, &Device::flex()).unwrap();
    }
}

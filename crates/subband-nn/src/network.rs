use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::data::Batch;
use crate::error::{Error, Result};
use crate::resnet::{NormStatistics, Norms, ResNet};
use crate::taps::{TapHook, TapSite};
use crate::tensor_map::TensorMap;
use crate::weights;

/// Mean and standard deviation per channel that every network here expects of pixels scaled to 0..1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A network this crate can build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// CIFAR-10, 3 blocks a stage.
    ResNet20,
    /// CIFAR-10, 5 blocks a stage.
    ResNet32,
    /// CIFAR-10, 9 blocks a stage.
    ResNet56,
    /// ImageNet, 2 blocks a stage.
    ResNet18,
    /// ImageNet, 3, 4, 6 and 3 blocks.
    ResNet34,
}

impl NetworkKind {
    /// Every kind, in the order the documentation lists them.
    pub const ALL: [Self; 5] = [Self::ResNet20, Self::ResNet32, Self::ResNet56, Self::ResNet18, Self::ResNet34];

    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResNet20 => "resnet20",
            Self::ResNet32 => "resnet32",
            Self::ResNet56 => "resnet56",
            Self::ResNet18 => "resnet18",
            Self::ResNet34 => "resnet34",
        }
    }

    /// Whether this network takes 224x224 ImageNet images (else 32x32 CIFAR-10 images).
    pub fn is_imagenet(self) -> bool {
        matches!(self, Self::ResNet18 | Self::ResNet34)
    }

    /// Number of classes.
    pub fn classes(self) -> usize {
        if self.is_imagenet() { 1000 } else { 10 }
    }

    /// `[C, H, W]` of one input image.
    pub fn input_shape(self) -> [usize; 3] {
        let side = if self.is_imagenet() { 224 } else { 32 };
        [3, side, side]
    }

    /// Every place whose map can be coded, in the order of the forward pass.
    pub fn sites(self) -> Vec<TapSite> {
        let [_, side, _] = self.input_shape();
        let stem_side = if self.is_imagenet() { side / 2 } else { side };
        let first_side = if self.is_imagenet() { side / 4 } else { side };
        let site = |name: String, channels, side, is_block_output| TapSite {
            name,
            shape: [channels, side, side],
            is_block_output,
        };
        let mut sites = vec![site("relu".into(), self.stem_width(), stem_side, false)];
        for (stage, &blocks) in self.blocks().iter().enumerate() {
            for block in 0..blocks {
                let name = format!("layer{}.{block}", stage + 1);
                let (channels, side) = (self.stem_width() << stage, first_side >> stage);
                sites.push(site(format!("{name}.relu1"), channels, side, false));
                sites.push(site(name, channels, side, true));
            }
        }
        sites
    }

    /// Blocks in each stage.
    pub(crate) fn blocks(self) -> &'static [usize] {
        match self {
            Self::ResNet20 => &[3, 3, 3],
            Self::ResNet32 => &[5, 5, 5],
            Self::ResNet56 => &[9, 9, 9],
            Self::ResNet18 => &[2, 2, 2, 2],
            Self::ResNet34 => &[3, 4, 6, 3],
        }
    }

    /// Channels of the stem and of the first stage; every later stage doubles them.
    pub(crate) fn stem_width(self) -> usize {
        if self.is_imagenet() { 64 } else { 16 }
    }
}

impl fmt::Display for NetworkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for NetworkKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::argument(format!("network `{text}` is unknown: use one of {names}"))
        })
    }
}

/// How a block that changes the shape fits its shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Shortcut {
    /// Every second pixel, new channels zero: no parameters. Usual for CIFAR.
    A,
    /// A strided 1x1 convolution with BatchNorm. Usual for ImageNet.
    B,
}

impl Shortcut {
    /// The usual choice for `kind`.
    pub fn usual(kind: NetworkKind) -> Self {
        if kind.is_imagenet() { Self::B } else { Self::A }
    }
}

/// A network with its parameters: pixels in, class scores out, every ReLU output within reach.
#[derive(Clone, Debug)]
pub struct Network {
    kind: NetworkKind,
    shortcut: Shortcut,
    sites: Vec<TapSite>,
    device: Device,
    pub(crate) model: ResNet,
}

impl Network {
    /// A network with random parameters (He normal initialisation, drawn from `seed`).
    ///
    /// On an autodiff device it is ready for training, otherwise for inference.
    pub fn init(kind: NetworkKind, shortcut: Shortcut, seed: u64, device: &Device) -> Self {
        let model = weights::randomise(ResNet::init(kind, shortcut, device), kind, seed);
        Self::around(model, kind, shortcut, device)
    }

    /// Builds `kind` with the parameters in a safetensors file under PyTorch names; the file tells which shortcut it has.
    ///
    /// # Errors
    /// `Io` where the file cannot be read; `Weights` where it lacks a parameter, holds one too many or one of another shape.
    pub fn load(kind: NetworkKind, path: &Path, device: &Device) -> Result<Self> {
        let tensors = TensorMap::read(path)?;
        Self::from_tensors(kind, tensors, device).map_err(|e| Error::new(e.kind(), format!("{}: {e}", path.display())))
    }

    /// The same from tensors in memory.
    pub fn from_tensors(kind: NetworkKind, tensors: TensorMap, device: &Device) -> Result<Self> {
        let shortcut = weights::shortcut_of(kind, &tensors);
        let model = weights::load(ResNet::init(kind, shortcut, device), kind, tensors)?;
        Ok(Self::around(model, kind, shortcut, device))
    }

    /// The parameters and BatchNorm statistics under PyTorch names.
    pub fn to_tensors(&self) -> TensorMap {
        weights::collect(&self.model, self.kind)
    }

    /// Writes the parameters as a safetensors file under PyTorch names, atomically.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.to_tensors().write(path, &[])
    }

    /// Which network this is.
    pub fn kind(&self) -> NetworkKind {
        self.kind
    }

    /// Where it runs.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Which shortcut its blocks use.
    pub fn shortcut(&self) -> Shortcut {
        self.shortcut
    }

    /// Every place whose map can be coded, in the order of the forward pass.
    pub fn sites(&self) -> &[TapSite] {
        &self.sites
    }

    /// The same network for inference: BatchNorm uses its running statistics and nothing is recorded for gradients.
    pub fn valid(&self) -> Self {
        Self { device: self.device.clone().without_autodiff(), model: self.model.valid(), ..self.clone() }
    }

    /// A network around `model`, which is on `device`.
    pub(crate) fn around(model: ResNet, kind: NetworkKind, shortcut: Shortcut, device: &Device) -> Self {
        Self { kind, shortcut, sites: kind.sites(), device: device.clone(), model }
    }

    /// This network for inference, on another device.
    pub(crate) fn copy_on(&self, device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        // `fork` moves running statistics in place, and clones share them; `valid` gives the copy its own.
        Self { model: self.valid().model.fork(&device), device, ..self.clone() }
    }

    /// The pixels of a batch as the network wants them: `((p / 255) - mean) / std` per channel, `[N, 3, H, W]`, on the
    /// network's device.
    pub fn input(&self, batch: &Batch) -> Tensor<4> {
        let [channels, height, width] = batch.shape;
        // A pixel has 256 values, so the arithmetic is done once for each and looked up.
        let table: Vec<[f32; 256]> =
            (0..channels).map(|c| std::array::from_fn(|p| (p as f32 / 255.0 - MEAN[c % 3]) / STD[c % 3])).collect();
        let mut values = Vec::with_capacity(batch.pixels.len());
        for (plane, pixels) in batch.pixels.chunks_exact(height * width).enumerate() {
            let table = &table[plane % channels];
            values.extend(pixels.iter().map(|&p| table[usize::from(p)]));
        }
        let shape = [batch.labels.len(), channels, height, width];
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// Class scores of normalised images.
    ///
    /// # Shapes
    /// `[N, 3, H, W]` to `[N, classes]`.
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<2>> {
        self.forward_tapped(images, &mut |_, map| Ok(map))
    }

    /// The maps at the site called `tap`, without any codec: the `[C, H, W]` values of one image after another.
    ///
    /// # Errors
    /// `InvalidArgument` where the network has no such site.
    pub fn maps(&self, batch: &Batch, tap: &str) -> Result<Vec<f32>> {
        if !self.sites.iter().any(|site| site.name == tap) {
            let names: Vec<&str> = self.sites.iter().map(|site| site.name.as_str()).collect();
            return Err(Error::argument(format!("{} has no tap `{tap}`: it has {}", self.kind, names.join(", "))));
        }
        let mut values = Vec::new();
        self.forward_tapped(self.input(batch), &mut |site, map| {
            if site.name == tap {
                values = map.to_data().iter().collect();
            }
            Ok(map)
        })?;
        Ok(values)
    }

    /// As [`forward`](Self::forward), with `hook` called on every site's map; the network goes on with what it returns.
    pub fn forward_tapped(&self, images: Tensor<4>, hook: &mut TapHook<'_>) -> Result<Tensor<2>> {
        let norms = if images.device().is_autodiff() { Norms::Batch } else { Norms::Running };
        self.model.forward(images, norms, &self.sites, hook)
    }

    /// A pass over a batch that takes its BatchNorm statistics as training does, but records nothing for gradients: burn
    /// keeps what it records until a backward pass, which here never comes. For networks for inference; see
    /// [`ResNet::set_norm_momentum`]. The new statistics are in force after [`valid`](Self::valid).
    pub(crate) fn measure_norms(&self, images: Tensor<4>, hook: &mut TapHook<'_>) -> Result<()> {
        self.model.forward(images, Norms::Batch, &self.sites, hook).map(drop)
    }

    /// What the inputs of all normalisations are like on a batch, in a pass as for inference.
    pub(crate) fn norm_statistics(&self, images: Tensor<4>) -> Result<Vec<NormStatistics>> {
        let noted = RefCell::default();
        self.model.forward(images, Norms::Noted(&noted), &self.sites, &mut |_, map| Ok(map))?;
        Ok(noted.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taps::Taps;

    #[test]
    fn taps_are_counted_as_the_method_says() {
        let count = |kind: NetworkKind, taps: Taps| kind.sites().iter().filter(|s| taps.includes(s)).count();
        assert_eq!(count(NetworkKind::ResNet20, Taps::Blocks), 9);
        assert_eq!(count(NetworkKind::ResNet20, Taps::Relu), 19);
        assert_eq!(count(NetworkKind::ResNet18, Taps::Blocks), 8);
        assert_eq!(count(NetworkKind::ResNet18, Taps::Relu), 17);
    }

    #[test]
    fn the_forward_pass_visits_the_sites_in_order_with_their_shapes() {
        let device = Device::flex();
        for kind in [NetworkKind::ResNet20, NetworkKind::ResNet18] {
            let network = Network::init(kind, Shortcut::usual(kind), 1, &device).valid();
            let [c, h, w] = kind.input_shape();
            let mut seen = Vec::new();
            let scores = network
                .forward_tapped(Tensor::zeros([2, c, h, w], &device), &mut |site, map| {
                    let [n, c, h, w] = map.dims();
                    assert_eq!((n, [c, h, w]), (2, site.shape), "{}", site.name);
                    seen.push(site.name.clone());
                    Ok(map)
                })
                .unwrap();
            assert_eq!(scores.dims(), [2, kind.classes()]);
            let names: Vec<_> = kind.sites().into_iter().map(|s| s.name).collect();
            assert_eq!(seen, names);
        }
    }

    #[test]
    fn a_hook_replaces_the_map() {
        let device = Device::flex();
        let kind = NetworkKind::ResNet20;
        let network = Network::init(kind, Shortcut::A, 1, &device).valid();
        let images = Tensor::ones([1, 3, 32, 32], &device);
        // With the last map zeroed only the head's bias is left.
        let scores = network
            .forward_tapped(images, &mut |site, map| Ok(if site.name == "layer3.2" { map.zeros_like() } else { map }))
            .unwrap();
        let bias = network.to_tensors().get("linear.bias").unwrap().values.clone();
        assert_eq!(scores.into_data().try_to_vec::<f32>().unwrap(), bias);
    }

    #[test]
    fn maps_can_be_looked_at() {
        let kind = NetworkKind::ResNet20;
        let network = Network::init(kind, Shortcut::A, 1, &Device::flex()).valid();
        let mut batch = Batch::with_capacity([3, 32, 32], 2);
        batch.pixels = (0..2 * 3072).map(|at| (at % 251) as u8).collect();
        batch.labels = vec![0, 1];
        let maps = network.maps(&batch, "layer2.1").unwrap();
        assert_eq!(maps.len(), 2 * 32 * 16 * 16);
        assert!(maps.iter().all(|&v| v >= 0.0) && maps.iter().any(|&v| v > 0.0));
        let error = network.maps(&batch, "layer9").unwrap_err().to_string();
        assert!(error.contains("layer9") && error.contains("layer3.2.relu1"), "{error}");
    }

    #[test]
    fn names_parse_and_print() {
        for kind in NetworkKind::ALL {
            assert_eq!(kind.name().parse::<NetworkKind>().unwrap(), kind);
        }
        let error = "resnet50".parse::<NetworkKind>().unwrap_err().to_string();
        assert!(error.contains("resnet50") && error.contains("resnet34"), "{error}");
    }
}

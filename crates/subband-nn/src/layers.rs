//! Networks as an accelerator sees them: layers that read maps and weights from memory and write a map back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::network::{NetworkKind, Shortcut};

/// A network for one input, layer by layer. Normalisation, activation and the sum of a residual block are fused with the
/// layer before them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layers {
    /// Axes of every map that passes through memory, without the batch, the input included.
    pub maps: BTreeMap<String, Vec<usize>>,
    /// In the order they run.
    pub layers: Vec<Layer>,
    /// Operators with weights whose multiplications are not counted, each once; none in networks of this crate.
    pub uncounted: Vec<String>,
}

/// What runs without going to memory in between.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// That of the map it makes, or of its convolution.
    pub name: String,
    /// Multiply-accumulates of convolutions and matrix products.
    pub macs: u64,
    /// Number of weights, biases and normalisations included.
    pub weights: u64,
    /// Maps that it reads.
    pub reads: Vec<String>,
    /// The map that it writes; `None` for the network's outputs.
    pub writes: Option<String>,
}

impl Layers {
    /// Multiply-accumulates of the whole network.
    pub fn macs(&self) -> u64 {
        self.layers.iter().map(|layer| layer.macs).sum()
    }

    /// Weights of the whole network.
    pub fn weights(&self) -> u64 {
        self.layers.iter().map(|layer| layer.weights).sum()
    }

    /// Values of a map.
    pub fn values(&self, map: &str) -> u64 {
        self.maps.get(map).map_or(0, |axes| axes.iter().map(|&size| size as u64).product())
    }

    fn map(&mut self, name: &str, axes: [usize; 3]) -> String {
        self.maps.insert(name.to_owned(), axes.to_vec());
        name.to_owned()
    }

    /// A convolution without bias, and its normalisation with a scale and an offset a channel.
    fn convolution(&mut self, name: String, kernel: usize, reads: &[&str], writes: &str) {
        let [from, to] = [reads[0], writes].map(|map| &self.maps[map]);
        let weights = (from[0] * to[0] * kernel * kernel) as u64;
        self.layers.push(Layer {
            name,
            macs: weights * (to[1] * to[2]) as u64,
            weights: weights + 2 * to[0] as u64,
            reads: reads.iter().map(|&map| map.to_owned()).collect(),
            writes: Some(writes.to_owned()),
        });
    }
}

impl NetworkKind {
    /// The layers, with this shortcut in blocks that change the shape. Maps at taps have the names of their taps.
    pub fn layers(self, shortcut: Shortcut) -> Layers {
        let mut net = Layers::default();
        let mut last = net.map("input", self.input_shape());
        for site in self.sites() {
            net.map(&site.name, site.shape);
        }
        net.convolution("conv1".into(), if self.is_imagenet() { 7 } else { 3 }, &[&last], "relu");
        last = "relu".into();
        if self.is_imagenet() {
            let [channels, height, width] = [0, 1, 2].map(|axis| net.maps["relu"][axis]);
            let pooled = net.map("maxpool", [channels, height / 2, width / 2]);
            net.layers.push(Layer {
                name: pooled.clone(),
                reads: vec![last],
                writes: Some(pooled.clone()),
                ..Layer::default()
            });
            last = pooled;
        }
        for (stage, &blocks) in self.blocks().iter().enumerate() {
            for block in 0..blocks {
                let name = format!("layer{}.{block}", stage + 1);
                let middle = format!("{name}.relu1");
                net.convolution(format!("{name}.conv1"), 3, &[&last], &middle);
                let mut skip = last.clone();
                if stage > 0 && block == 0 && shortcut == Shortcut::B {
                    let axes = [0, 1, 2].map(|axis| net.maps[&name][axis]);
                    skip = net.map(&format!("{name}.downsample"), axes);
                    net.convolution(skip.clone(), 1, &[&last], &skip);
                }
                net.convolution(format!("{name}.conv2"), 3, &[&middle, &skip], &name);
                last = name;
            }
        }
        let features = net.maps[&last][0] as u64;
        let macs = features * self.classes() as u64;
        net.layers.push(Layer {
            name: if self.is_imagenet() { "fc" } else { "linear" }.into(),
            macs,
            weights: macs + self.classes() as u64,
            reads: vec![last],
            writes: None,
        });
        net
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplications_are_those_of_the_papers() {
        let macs = |kind: NetworkKind, shortcut| kind.layers(shortcut).macs();
        // 3 to 16 channels on 32x32; six convolutions of each stage, the first of a later stage from half the channels.
        let stages = [32, 16, 8].map(|side: u64| 9 * side * side);
        let convolutions =
            16 * (3 * stages[0] + 6 * 16 * stages[0]) + 32 * (16 + 5 * 32) * stages[1] + 64 * (32 + 5 * 64) * stages[2];
        assert_eq!(macs(NetworkKind::ResNet20, Shortcut::A), convolutions + 640);
        assert_eq!(macs(NetworkKind::ResNet20, Shortcut::A), 40_551_040);
        // The 40.8 M of the literature count convolutions in the shortcuts.
        assert_eq!(macs(NetworkKind::ResNet20, Shortcut::B), 40_813_184);
        assert_eq!(macs(NetworkKind::ResNet18, Shortcut::B), 1_814_073_344);
        assert_eq!(macs(NetworkKind::ResNet34, Shortcut::B), 3_663_761_408);
    }

    #[test]
    fn weights_are_all_parameters() {
        // torchvision's ResNet-18 has 11,689,512; the normalisations' running statistics are folded into scale and offset.
        assert_eq!(NetworkKind::ResNet18.layers(Shortcut::B).weights(), 11_689_512);
        let network = crate::Network::init(NetworkKind::ResNet20, Shortcut::A, 1, &crate::Device::flex());
        let tensors = network.to_tensors();
        let parameters = tensors.iter().filter(|(name, _)| !name.contains("running")).map(|(_, a)| a.values.len());
        assert_eq!(NetworkKind::ResNet20.layers(Shortcut::A).weights(), parameters.sum::<usize>() as u64);
    }

    #[test]
    fn every_map_is_made_before_it_is_read() {
        for kind in NetworkKind::ALL {
            let net = kind.layers(Shortcut::usual(kind));
            let mut made = vec!["input".to_owned()];
            for layer in &net.layers {
                assert!(layer.reads.iter().all(|map| made.contains(map)), "{}", layer.name);
                made.extend(layer.writes.clone());
            }
            assert_eq!(made.len(), net.maps.len());
            assert!(kind.sites().iter().all(|site| made.contains(&site.name)));
            assert_eq!(net.values("input"), kind.input_shape().iter().product::<usize>() as u64);
        }
    }
}

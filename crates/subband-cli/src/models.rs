//! The networks and profiles that this project trained, carried in the program.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::output;

/// One folder of `models/`.
struct Bundled {
    name: &'static str,
    card: &'static str,
    weights: &'static [u8],
    profile: &'static [u8],
}

macro_rules! bundled {
    ($($name:literal),* $(,)?) => {
        [$(Bundled {
            name: $name,
            card: include_str!(concat!("../../../models/", $name, "/model.json")),
            weights: include_bytes!(concat!("../../../models/", $name, "/weights.safetensors")),
            profile: include_bytes!(concat!("../../../models/", $name, "/profile.sbp")),
        }),*]
    };
}

static BUNDLED: [Bundled; 6] = bundled![
    "resnet20-cifar10",
    "resnet20-cifar10-blocks-24x",
    "resnet20-cifar10-blocks-37x",
    "resnet20-cifar10-blocks-42x",
    "resnet20-cifar10-blocks-55x",
    "resnet20-cifar10-relu-27x",
];

/// The network that was not retrained, and that retrainings start from.
pub const BASELINE: &str = "resnet20-cifar10";

/// What `demo` and `eval` take unless told otherwise.
pub const DEFAULT: &str = "resnet20-cifar10-blocks-37x";

/// `model.json`: what a model is, and what was measured of it on the whole test set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Card {
    pub name: String,
    pub network: String,
    /// `blocks` or `relu`.
    pub taps: String,
    pub dataset: String,
    /// What it is for, and how it was trained.
    pub about: String,
    /// The command that remakes it.
    pub command: String,
    /// Top-1 accuracy of the network it was retrained from without a codec, per cent: what drops are against.
    pub top1_uncompressed: f64,
    /// Top-1 accuracy of these weights without the codec.
    pub top1_without_codec: f64,
    /// Top-1 accuracy with decoded maps.
    pub top1: f64,
    pub bits_per_value: f64,
    pub ratio_f32: f64,
}

/// A model and where its files are.
#[derive(Clone, Debug, Serialize)]
pub struct Model {
    #[serde(flatten)]
    pub card: Card,
    pub weights: PathBuf,
    pub profile: PathBuf,
}

/// Every model. Files lie in `models/` of the current folder where that is a copy of this repository; otherwise they are
/// written into the cache.
pub fn all() -> Result<Vec<Model>> {
    BUNDLED.iter().map(model).collect()
}

/// The model of a name.
pub fn find(name: &str) -> Result<Model> {
    model(bundled(name)?)
}

/// The uncompressed network's weights.
pub fn baseline_weights() -> Result<PathBuf> {
    Ok(find(BASELINE)?.weights)
}

/// Weights and profile of a model, in memory.
pub fn contents(name: &str) -> Result<(&'static [u8], &'static [u8])> {
    let bundled = bundled(name)?;
    Ok((bundled.weights, bundled.profile))
}

fn bundled(name: &str) -> Result<&'static Bundled> {
    BUNDLED.iter().find(|bundled| bundled.name == name).with_context(|| {
        let names: Vec<&str> = BUNDLED.iter().map(|bundled| bundled.name).collect();
        format!("no model is named {name:?}: there are {}", names.join(", "))
    })
}

fn model(bundled: &Bundled) -> Result<Model> {
    let card = serde_json::from_str(bundled.card).with_context(|| format!("model.json of {}", bundled.name))?;
    let here = Path::new("models").join(bundled.name);
    let folder = if holds(&here, bundled) { here } else { in_cache(bundled)? };
    Ok(Model { card, weights: folder.join("weights.safetensors"), profile: folder.join("profile.sbp") })
}

fn in_cache(bundled: &Bundled) -> Result<PathBuf> {
    let folder = crate::args::cache_dir()?.join("models").join(bundled.name);
    if !holds(&folder, bundled) {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        for (name, bytes) in [("weights.safetensors", bundled.weights), ("profile.sbp", bundled.profile)] {
            output::replace(&folder.join(name), bytes)?;
        }
    }
    Ok(folder)
}

/// Whether `folder` holds the very files of `bundled`.
fn holds(folder: &Path, bundled: &Bundled) -> bool {
    let same = |name: &str, bytes: &[u8]| std::fs::read(folder.join(name)).is_ok_and(|there| there == bytes);
    same("profile.sbp", bundled.profile) && same("weights.safetensors", bundled.weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use subband::{Limits, Profile};
    use subband_nn::{Device, Network, NetworkKind, TensorMap};

    #[test]
    fn every_model_loads_and_is_what_its_card_says() {
        for bundled in &BUNDLED {
            let card: Card = serde_json::from_str(bundled.card).unwrap();
            assert_eq!(card.name, bundled.name);
            let kind: NetworkKind = card.network.parse().unwrap();
            Network::from_tensors(kind, TensorMap::from_bytes(bundled.weights).unwrap(), &Device::default()).unwrap();
            let profile = Profile::from_bytes(bundled.profile, &Limits::default()).unwrap();
            assert_eq!(profile.network(), card.network);
            assert!((card.ratio_f32 - 32.0 / card.bits_per_value).abs() < 0.01, "{}", card.name);
        }
        assert!(BUNDLED.iter().any(|bundled| bundled.name == DEFAULT));
    }
}

//! The network, the weights and the images that calibrate and eval are given.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use subband_nn::data::{Cifar10, Dataset, image_folder};
use subband_nn::{Device, Network, NetworkKind};

use crate::args::DeviceArg;
use crate::{args, models};

#[derive(Clone, Debug, clap::Args)]
pub struct NetworkArgs {
    /// Network: resnet20, resnet32, resnet56 (CIFAR-10), resnet18, resnet34 (ImageNet) [default: that of the bundled
    /// model]
    #[arg(long, value_name = "NETWORK", requires = "weights")]
    network: Option<NetworkKind>,

    /// Weights: a .safetensors file under PyTorch names [default: those of the bundled model]
    #[arg(long, value_name = "FILE", requires = "network")]
    weights: Option<PathBuf>,

    /// CIFAR-10 folder, or a folder with one subfolder of photographs a class [default: where `subband data cifar10`
    /// puts CIFAR-10]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Text file with a line `id name` a class, in class order, for photographs in folders named by id
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,

    #[command(flatten)]
    device: DeviceArg,
}

/// What the images are for. Choices are never made on test images.
#[derive(Clone, Copy)]
pub enum Part {
    Train,
    HeldOut,
    Test,
}

impl NetworkArgs {
    /// Where the images are, as given.
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// The classes file, as given.
    pub fn classes(&self) -> Option<&Path> {
        self.classes.as_deref()
    }

    /// The network asked for, or that of the bundled model `model`.
    pub fn source(&self, model: &str) -> Result<Source> {
        let device = self.device.device();
        match (self.network, &self.weights) {
            (Some(kind), Some(weights)) => Ok(Source { kind, weights: weights.clone(), profile: None, device }),
            _ => {
                let model = models::find(model)?;
                Ok(Source {
                    kind: model.card.network.parse()?,
                    weights: model.weights,
                    profile: Some(model.profile),
                    device,
                })
            }
        }
    }

    /// Images for `kind`: of CIFAR-10; of a folder of photographs all, since it has no parts.
    pub fn images(&self, kind: NetworkKind, part: Part) -> Result<Dataset> {
        if kind.is_imagenet() {
            let folder = self.data.as_deref().context("photographs are not fetched: say with --data where they are")?;
            return Ok(image_folder(folder, self.classes.as_deref())?);
        }
        let folder = self.data.clone().map_or_else(args::default_data_dir, Ok)?;
        let cifar = match Cifar10::open(&folder) {
            Err(e) if self.data.is_none() => {
                return Err(e).context("run `subband data cifar10` first, or say with --data where it is");
            }
            opened => opened?,
        };
        Ok(match part {
            Part::Train => cifar.train()?,
            Part::HeldOut => cifar.held_out()?,
            Part::Test => cifar.test()?,
        })
    }
}

/// A network and its weights; with the profile, where a bundled model was asked for.
pub struct Source {
    pub kind: NetworkKind,
    pub weights: PathBuf,
    pub profile: Option<PathBuf>,
    device: Device,
}

impl Source {
    pub fn load(&self) -> Result<Network> {
        Ok(Network::load(self.kind, &self.weights, &self.device)?)
    }
}

//! The network, the weights and the images that calibrate and eval are given.

use std::path::PathBuf;

use anyhow::{Context, Result};
use subband_nn::data::{Cifar10, Dataset, image_folder};
use subband_nn::{Device, Network, NetworkKind};

use crate::args;

#[derive(Clone, Debug, clap::Args)]
pub struct NetworkArgs {
    /// Network: resnet20, resnet32, resnet56 (CIFAR-10), resnet18, resnet34 (ImageNet)
    #[arg(long, value_name = "NETWORK")]
    network: NetworkKind,

    /// Weights: a .safetensors file under PyTorch names
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,

    /// CIFAR-10 folder, or a folder with one subfolder of photographs a class [default: where `subband data cifar10`
    /// puts CIFAR-10]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Text file with a line `id name` a class, in class order, for photographs in folders named by id
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
}

/// What the images are for. Choices are never made on test images.
#[derive(Clone, Copy)]
pub enum Part {
    Train,
    HeldOut,
    Test,
}

impl NetworkArgs {
    pub fn load(&self) -> Result<Network> {
        Ok(Network::load(self.network, &self.weights, &Device::default())?)
    }

    /// Images of CIFAR-10; of a folder of photographs all, since it has no parts.
    pub fn images(&self, part: Part) -> Result<Dataset> {
        if self.network.is_imagenet() {
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

    pub fn is_imagenet(&self) -> bool {
        self.network.is_imagenet()
    }
}

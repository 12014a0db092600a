//! The network, the weights and the images that calibrate and eval are given.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use subband_nn::data::{Cifar10, Dataset, image_folder, training_folder};
use subband_nn::train::TrainConfig;
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

    /// See [`images`].
    pub fn images(&self, kind: NetworkKind, part: Part) -> Result<Dataset> {
        images(kind, part, self.data(), self.classes())
    }
}

/// Images for `kind`: of CIFAR-10; of a folder of photographs all, since it has no parts.
pub fn images(kind: NetworkKind, part: Part, data: Option<&Path>, classes: Option<&Path>) -> Result<Dataset> {
    if kind.is_imagenet() {
        let folder = data.context("photographs are not fetched: say with --data where they are")?;
        return Ok(image_folder(folder, classes)?);
    }
    let folder = data.map_or_else(args::default_data_dir, |data| Ok(data.to_owned()))?;
    let cifar = match Cifar10::open(&folder) {
        Err(e) if data.is_none() => {
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

/// Where the images to train on are.
#[derive(Clone, Debug, clap::Args)]
pub struct TrainingArgs {
    /// CIFAR-10 folder; for an ImageNet network a folder of photographs, with `train` and `val` or a subfolder a class
    /// [default: where `subband data cifar10` puts CIFAR-10]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Text file with a line `id name` a class, in class order, for photographs in folders named by id
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
}

impl TrainingArgs {
    /// The images for a run; of the training images as many as it wants.
    pub fn open(&self, config: &TrainConfig) -> Result<TrainingImages> {
        if config.network.is_imagenet() {
            let folder = self.data.as_deref().context("photographs are not fetched: say with --data where they are")?;
            let mut parts = training_folder(folder, self.classes.as_deref(), config.held_out_every)?;
            if let Some(limit) = config.limit {
                // They are sorted by class.
                parts.train = parts.train.spread(limit);
            }
            return Ok(TrainingImages { train: parts.train, held_out: parts.held_out, test: parts.test });
        }
        let cifar = match Cifar10::open(&self.data.clone().map_or_else(args::default_data_dir, Ok)?) {
            Err(e) if self.data.is_none() => {
                return Err(e).context("run `subband data cifar10` first, or say with --data where it is");
            }
            opened => opened?,
        };
        let (train, held_out) = cifar.both()?;
        let train = config.limit.map_or_else(|| train.clone(), |limit| train.limit(limit));
        Ok(TrainingImages { train, held_out, test: Some(cifar.test()?) })
    }
}

/// Images that teach, images that decide, and images that are measured once.
pub struct TrainingImages {
    pub train: Dataset,
    pub held_out: Dataset,
    pub test: Option<Dataset>,
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

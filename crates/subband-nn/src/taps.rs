use std::fmt;
use std::str::FromStr;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A place in a network whose map can be coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapSite {
    /// As a PyTorch user would name it: `relu`, `layer1.0.relu1`, `layer1.0`.
    pub name: String,
    /// `[C, H, W]` of the map for one image.
    pub shape: [usize; 3],
    /// Whether this is a residual block's output (after add and ReLU).
    pub is_block_output: bool,
}

impl TapSite {
    /// Values in the map of one image.
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Which of a network's maps are coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Taps {
    /// Each residual block's output, as the thesis: 9 maps in ResNet-20, 8 in ResNet-18.
    #[default]
    Blocks,
    /// Every ReLU output, the stem's included: 19 maps in ResNet-20, 17 in ResNet-18.
    Relu,
}

impl Taps {
    /// Whether this choice codes the map at `site`.
    pub fn includes(self, site: &TapSite) -> bool {
        self == Self::Relu || site.is_block_output
    }
}

impl fmt::Display for Taps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blocks => "blocks",
            Self::Relu => "relu",
        })
    }
}

impl FromStr for Taps {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "blocks" => Ok(Self::Blocks),
            "relu" => Ok(Self::Relu),
            _ => Err(Error::argument(format!("taps `{text}` are unknown: use `blocks` or `relu`"))),
        }
    }
}

/// Receives the map at a site, `[N, C, H, W]`, and returns what the network goes on with.
pub type TapHook<'a> = dyn FnMut(&TapSite, Tensor<4>) -> Result<Tensor<4>> + 'a;

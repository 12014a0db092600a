use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::error::{Error, Result};

/// Where networks run. What there is beside the CPU depends on this crate's features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// All cores, on burn's `flex` and the kernels of this project.
    #[default]
    Cpu,
    /// A graphics card by way of wgpu (feature `wgpu`), on burn's stock operations.
    #[cfg(feature = "wgpu")]
    Wgpu,
    /// An NVIDIA card (feature `cuda`), on burn's stock operations.
    #[cfg(feature = "cuda")]
    Cuda,
}

impl Backend {
    const ALL: &[Self] = &[
        Self::Cpu,
        #[cfg(feature = "wgpu")]
        Self::Wgpu,
        #[cfg(feature = "cuda")]
        Self::Cuda,
    ];

    /// `cpu`, `wgpu` or `cuda`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            #[cfg(feature = "wgpu")]
            Self::Wgpu => "wgpu",
            #[cfg(feature = "cuda")]
            Self::Cuda => "cuda",
        }
    }

    /// Its device, the first one where there are several.
    pub fn device(self) -> Device {
        match self {
            Self::Cpu => Device::flex(),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
            #[cfg(feature = "cuda")]
            Self::Cuda => Device::cuda(0),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|backend| backend.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|backend| backend.name()).collect();
            Error::argument(format!(
                "device `{text}`: this build has {} (cargo features wgpu and cuda add theirs)",
                names.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_and_others_are_told_what_there_is() {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse::<Backend>().unwrap(), *backend);
        }
        let error = "tpu".parse::<Backend>().unwrap_err().to_string();
        assert!(error.contains("`tpu`") && error.contains("cpu"), "{error}");
    }
}

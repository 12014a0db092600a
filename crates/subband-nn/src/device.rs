use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::error::{Error, Result};
use crate::ops::has_kernels;

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

/// `count` devices of the kind of `first`: the first graphics cards, or the one CPU so many times.
///
/// # Errors
/// `InvalidArgument` for none, or more than there are.
pub(crate) fn devices_like(first: &Device, count: usize) -> Result<Vec<Device>> {
    if count == 0 {
        return Err(Error::argument("devices = 0: must be at least 1"));
    }
    if count == 1 || has_kernels(first) {
        return Ok(vec![first.clone(); count]);
    }
    let there = graphics_cards(first);
    if there.len() < count {
        let most = there.len();
        return Err(Error::argument(format!(
            "devices = {count}: must be 1 to {most}, the graphics cards of this kind"
        )));
    }
    Ok(there[..count].to_vec())
}

/// All graphics cards that are reached as `first` is.
fn graphics_cards(first: &Device) -> Vec<Device> {
    let mut there = Vec::new();
    #[cfg(feature = "cuda")]
    {
        let cards = Device::enumerate(burn::tensor::DeviceType::Cuda);
        if cards.contains(first) {
            there.extend(cards.iter().cloned());
        }
    }
    #[cfg(feature = "wgpu")]
    if there.is_empty() {
        use burn::tensor::{DeviceKind, DeviceType};
        // Other adapters are integrated graphics and CPUs that act as cards.
        let adapters = Device::enumerate(DeviceType::Wgpu);
        let cards = (0..).map(|card| Device::wgpu(DeviceKind::DiscreteGpu(card)));
        there.extend(cards.take_while(|card| adapters.contains(card)));
    }
    if there.is_empty() {
        there.push(first.clone());
    }
    if first.is_autodiff() { there.into_iter().map(Device::autodiff).collect() } else { there }
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

    #[test]
    fn the_cpu_counts_as_often_as_wanted() {
        let device = Device::flex().autodiff();
        let devices = devices_like(&device, 3).unwrap();
        assert!(devices.len() == 3 && devices.iter().all(|d| *d == device && d.is_autodiff()));
        let error = devices_like(&device, 0).unwrap_err().to_string();
        assert!(error.contains("devices = 0"), "{error}");
    }
}

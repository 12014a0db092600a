//! Accelerators: what they compute and load a second, and what they keep on the chip.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::args;

/// The numbers that an accelerator multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    Int8,
    Fp16,
    Fp32,
}

impl Arithmetic {
    /// Bytes of a value or weight in memory.
    pub fn bytes(self) -> f64 {
        match self {
            Self::Int8 => 1.0,
            Self::Fp16 => 2.0,
            Self::Fp32 => 4.0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accelerator {
    pub name: String,
    /// Where the figures are from.
    #[serde(default)]
    pub source: String,
    /// At full use.
    pub macs_per_second: f64,
    pub dram_bytes_per_second: f64,
    /// Memory on the chip for maps and weights.
    pub buffer_bytes: f64,
    pub arithmetic: Arithmetic,
    /// Whether maps stay on the chip for as long as all maps in use fit; else every map goes through DRAM.
    #[serde(default)]
    pub keeps_maps: bool,
}

/// Names that [`Accelerator::named`] takes.
pub const PRESETS: [&str; 3] = ["eyeriss", "nvdla", "tpu-v1"];

impl Accelerator {
    fn preset(name: &str) -> Option<Self> {
        let (source, macs_per_second, dram_bytes_per_second, buffer_bytes, arithmetic, keeps_maps) = match name {
            // 168 elements at 200 MHz; 64 bits of link at 60 MHz, the clocks of the paper's measurements; 16-bit fixed
            // point, for which the energy table has the nearest in 16-bit floats.
            "eyeriss" => (
                "Chen et al., Eyeriss, IEEE JSSC 52(1), 2017",
                168.0 * 200e6,
                8.0 * 60e6,
                108.0 * 1024.0,
                Arithmetic::Fp16,
                false,
            ),
            // The largest row of the table, at 1 GHz.
            "nvdla" => (
                "NVDLA Primer, Example Area and Performance: 2048 MACs",
                2048e9,
                20e9,
                512.0 * 1024.0,
                Arithmetic::Int8,
                false,
            ),
            // 65,536 elements at 700 MHz, 34 GB/s, 24 MiB of unified buffer.
            "tpu-v1" => (
                "Jouppi et al., In-datacenter performance analysis of a tensor processing unit, ISCA 2017",
                65_536.0 * 700e6,
                34e9,
                24.0 * 1024.0 * 1024.0,
                Arithmetic::Int8,
                true,
            ),
            _ => return None,
        };
        Some(Self {
            name: name.into(),
            source: source.into(),
            macs_per_second,
            dram_bytes_per_second,
            buffer_bytes,
            arithmetic,
            keeps_maps,
        })
    }

    /// A preset, or what a TOML file says.
    ///
    /// # Errors
    /// Usage errors for names that are neither, and files with unknown fields, none or other than positive numbers.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(preset) = Self::preset(name) {
            return Ok(preset);
        }
        if Path::new(name).extension().is_none_or(|extension| extension != "toml") {
            let presets = PRESETS.join(", ");
            return Err(args::usage(format!("accelerator {name:?}: allowed are {presets} and a .toml file")));
        }
        let text = std::fs::read_to_string(name).with_context(|| format!("cannot read {name}"))?;
        let found: Self = toml::from_str(&text).map_err(|e| args::usage(format!("{name}: {e}")))?;
        let fields = [
            ("macs_per_second", found.macs_per_second),
            ("dram_bytes_per_second", found.dram_bytes_per_second),
            ("buffer_bytes", found.buffer_bytes),
        ];
        match fields.iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            Some((field, value)) => Err(args::usage(format!("{name}: {field} = {value}: allowed is a number over 0"))),
            None => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_there_and_files_are_checked() {
        for name in PRESETS {
            let found = Accelerator::named(name).unwrap();
            assert!(found.name == name && !found.source.is_empty());
        }
        assert_eq!(Accelerator::named("eyeriss").unwrap().macs_per_second, 33.6e9);
        let error = Accelerator::named("abacus").unwrap_err().to_string();
        assert!(error.contains("abacus") && error.contains("tpu-v1"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        let named = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Accelerator::named(path.to_str().unwrap()).map_err(|e| e.to_string())
        };
        let good = "name = \"mine\"\nmacs_per_second = 1e12\ndram_bytes_per_second = 1e10\nbuffer_bytes = 65536\n\
                    arithmetic = \"int8\"\n";
        assert_eq!(named(good).unwrap().arithmetic, Arithmetic::Int8);
        assert!(named(&good.replace("1e10", "0")).unwrap_err().contains("dram_bytes_per_second = 0"));
        assert!(named(&format!("{good}cores = 3")).unwrap_err().contains("unknown field `cores`"));
        assert!(named(&good.replace("int8", "int4")).unwrap_err().contains("int4"));
    }
}

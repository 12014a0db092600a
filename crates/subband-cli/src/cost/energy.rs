//! What operations and memory accesses take.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use subband::Operations;

use super::accelerator::Arithmetic;
use crate::args;

/// Energies in pJ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Energy {
    pub name: String,
    /// Where the figures are from.
    pub source: String,
    /// 32 bits from or to DRAM.
    pub dram_32: f64,
    /// 32 bits from or to a small memory on the chip.
    pub sram_32: f64,
    pub int8_multiply: f64,
    pub int32_add: f64,
    pub int32_multiply: f64,
    pub fp16_add: f64,
    pub fp16_multiply: f64,
    pub fp32_add: f64,
    pub fp32_multiply: f64,
}

impl Default for Energy {
    /// DRAM is 1.3 to 2.6 nJ for 64 bits in the paper; 640 pJ for 32 is the lower end. A cache of 8 KB is 10 pJ for 64 bits.
    fn default() -> Self {
        Self {
            name: "45 nm".into(),
            source: "Horowitz, Computing's energy problem, ISSCC 2014".into(),
            dram_32: 640.0,
            sram_32: 5.0,
            int8_multiply: 0.2,
            int32_add: 0.1,
            int32_multiply: 3.1,
            fp16_add: 0.4,
            fp16_multiply: 1.1,
            fp32_add: 0.9,
            fp32_multiply: 3.7,
        }
    }
}

impl Energy {
    /// The table in a TOML file; what it leaves out is that of the default.
    ///
    /// # Errors
    /// Usage errors, naming the field, for text that is no TOML, unknown fields and numbers below 0.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let energy: Self = toml::from_str(&text).map_err(|e| args::usage(format!("{}: {e}", path.display())))?;
        let fields = [
            ("dram_32", energy.dram_32),
            ("sram_32", energy.sram_32),
            ("int8_multiply", energy.int8_multiply),
            ("int32_add", energy.int32_add),
            ("int32_multiply", energy.int32_multiply),
            ("fp16_add", energy.fp16_add),
            ("fp16_multiply", energy.fp16_multiply),
            ("fp32_add", energy.fp32_add),
            ("fp32_multiply", energy.fp32_multiply),
        ];
        match fields.iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            Some((name, value)) => {
                Err(args::usage(format!("{}: {name} = {value}: allowed are numbers of pJ from 0", path.display())))
            }
            None => Ok(energy),
        }
    }

    /// A multiply-accumulate.
    pub fn mac(&self, arithmetic: Arithmetic) -> f64 {
        match arithmetic {
            Arithmetic::Int8 => self.int8_multiply + self.int32_add,
            Arithmetic::Fp16 => self.fp16_multiply + self.fp16_add,
            Arithmetic::Fp32 => self.fp32_multiply + self.fp32_add,
        }
    }

    pub fn dram(&self, bytes: f64) -> f64 {
        self.dram_32 * bytes / 4.0
    }

    /// Work in f32.
    pub fn floats(&self, work: Operations) -> f64 {
        work.adds as f64 * self.fp32_add + work.multiplies as f64 * self.fp32_multiply + self.accesses(work)
    }

    /// Work in integers of 32 bits.
    pub fn integers(&self, work: Operations) -> f64 {
        work.adds as f64 * self.int32_add + work.multiplies as f64 * self.int32_multiply + self.accesses(work)
    }

    fn accesses(&self, work: Operations) -> f64 {
        work.accesses as f64 * self.sram_32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let energy = Energy::default();
        assert_eq!(energy.dram(4.0), 640.0);
        assert!((energy.mac(Arithmetic::Fp32) - 4.6).abs() < 1e-9 && (energy.mac(Arithmetic::Int8) - 0.3).abs() < 1e-9);
        let work = Operations::default();
        assert_eq!(energy.floats(work) + energy.integers(work), 0.0);
    }

    #[test]
    fn a_file_replaces_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let path = folder.path().join("e.toml");
            std::fs::write(&path, text).unwrap();
            Energy::read(&path).map_err(|e| e.to_string())
        };
        assert_eq!(read("dram_32 = 100").unwrap(), Energy { dram_32: 100.0, ..Energy::default() });
        assert!(read("dram = 100").unwrap_err().contains("unknown field `dram`"));
        assert!(read("fp32_add = -1").unwrap_err().contains("fp32_add = -1"));
        assert!(read("fp32_add = nan").is_err());
    }
}

//! Bytes that maps really took, as an evaluation wrote them.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::onnx::printable;

/// The part of an evaluation that costs follow from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredRates {
    pub network: String,
    pub dataset: String,
    pub images: u64,
    pub profile_hash: String,
    per_tap: Vec<TapRate>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TapRate {
    name: String,
    shape: [usize; 3],
    values: u64,
    bytes: u64,
}

impl MeasuredRates {
    /// Those in the file that `subband eval --json` wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let found: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `subband eval --json` writes", path.display()))?;
        found.validate().with_context(|| path.display().to_string())?;
        Ok(found)
    }

    /// Those of an evaluation that was just made.
    pub fn of(evaluation: &impl Serialize) -> Result<Self> {
        Ok(serde_json::from_value(serde_json::to_value(evaluation)?)?)
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.images > 0, "no image was evaluated");
        for tap in &self.per_tap {
            let values = tap.shape.iter().try_fold(self.images, |product, &size| product.checked_mul(size as u64));
            ensure!(
                values == Some(tap.values),
                "tap {:?} of shape {:?} has {} values for {} images",
                printable(&tap.name),
                tap.shape,
                tap.values,
                self.images
            );
        }
        Ok(())
    }

    /// Mean bytes of the packet of a map, by tap.
    pub fn bytes(&self) -> HashMap<&str, f64> {
        self.per_tap.iter().map(|tap| (tap.name.as_str(), tap.bytes as f64 / self.images as f64)).collect()
    }

    /// Shapes of the maps, by tap.
    pub fn taps(&self) -> impl Iterator<Item = (&str, [usize; 3])> {
        self.per_tap.iter().map(|tap| (tap.name.as_str(), tap.shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_is_read_and_checked() {
        let text = |values: u64| {
            format!(
                "{{\"network\": \"n\", \"dataset\": \"d\", \"images\": 2, \"profile_hash\": \"ab\", \"top1\": 3, \
                 \"per_tap\": [{{\"name\": \"t\", \"shape\": [2, 3, 4], \"values\": {values}, \"bytes\": 10, \"mse\": 0}}]}}"
            )
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eval.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            MeasuredRates::read(&path).map_err(|e| format!("{e:#}"))
        };
        let rates = read(&text(48)).unwrap();
        assert_eq!(rates.bytes()["t"], 5.0);
        assert!(read(&text(47)).unwrap_err().contains("47 values for 2 images"));
        assert!(read("{}").unwrap_err().contains("subband eval --json"));
        assert!(read(&text(48).replace("\"images\": 2", "\"images\": 0")).unwrap_err().contains("no image"));
    }
}

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::write_atomically;

/// What one epoch gave: a row of `metrics.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: usize,
    /// At the epoch's last step.
    pub learning_rate: f64,
    /// Mean over the training images, as trained (augmented, label smoothing included).
    pub train_loss: f64,
    /// Share of the augmented training images classified right, 0 to 1.
    pub train_accuracy: f64,
    /// Mean cross entropy on the held-out images.
    pub held_out_loss: f64,
    /// Share of the held-out images classified right, 0 to 1; with the codec in the loop where there is one.
    pub held_out_accuracy: f64,
    /// What the maps take, where a codec is in the loop.
    pub rate: Option<RateMetrics>,
    /// Of training; held-out images not included.
    pub images_per_second: f64,
    /// Wall time of the epoch, held-out images included.
    pub seconds: f64,
}

/// Bits per value over all taps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateMetrics {
    /// The estimate that the loss pays for, mean over the training batches.
    pub estimated_bits_per_value: f64,
    /// Real packets of some held-out images, with tables from some training images.
    pub held_out_bits_per_value: f64,
    /// What the loss pays for a bit per value at the end of the epoch.
    pub lambda: f64,
}

const HEADER: &str = "epoch,learning_rate,train_loss,train_accuracy,held_out_loss,held_out_accuracy,\
                      estimated_bits_per_value,held_out_bits_per_value,images_per_second,seconds";

impl fmt::Display for EpochMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "epoch {}: loss {:.4}, train {:.2}%, held-out {:.2}%",
            self.epoch,
            self.train_loss,
            100.0 * self.train_accuracy,
            100.0 * self.held_out_accuracy,
        )?;
        if let Some(rate) = &self.rate {
            let RateMetrics { estimated_bits_per_value, held_out_bits_per_value, .. } = rate;
            write!(f, ", {held_out_bits_per_value:.3} bits (estimate {estimated_bits_per_value:.3})")?;
        }
        write!(f, ", {:.0} images/s, {:.0} s", self.images_per_second, self.seconds)
    }
}

impl EpochMetrics {
    /// What the best epoch has least of: with a codec in the loop the loss and the price of the real bytes on held-out
    /// images, without one the held-out images classified wrong.
    pub(super) fn objective(&self) -> f64 {
        match &self.rate {
            Some(rate) => self.held_out_loss + rate.lambda * rate.held_out_bits_per_value,
            None => 1.0 - self.held_out_accuracy,
        }
    }
}

/// Writes all rows so far; the file is small, and whole at every moment.
pub(super) fn write_csv(path: &Path, rows: &[EpochMetrics]) -> Result<()> {
    let mut text = format!("{HEADER}\n");
    for m in rows {
        let bits = |pick: fn(&RateMetrics) -> f64| m.rate.as_ref().map(|r| pick(r).to_string()).unwrap_or_default();
        text += &format!(
            "{},{},{},{},{},{},{},{},{:.1},{:.1}\n",
            m.epoch,
            m.learning_rate,
            m.train_loss,
            m.train_accuracy,
            m.held_out_loss,
            m.held_out_accuracy,
            bits(|r| r.estimated_bits_per_value),
            bits(|r| r.held_out_bits_per_value),
            m.images_per_second,
            m.seconds
        );
    }
    write_atomically(path, text.as_bytes())
}

/// Rows as a checkpoint keeps them: TOML, whose reader gives back the very numbers that were written.
#[derive(Serialize, Deserialize)]
struct Rows<R> {
    epochs: R,
}

pub(super) fn to_text(rows: &[EpochMetrics]) -> Result<String> {
    toml::to_string(&Rows { epochs: rows }).map_err(|e| Error::checkpoint(format!("metrics: {e}")))
}

/// The inverse of [`to_text`].
pub(super) fn from_text(text: &str) -> Result<Vec<EpochMetrics>> {
    let rows: Rows<Vec<EpochMetrics>> =
        toml::from_str(text).map_err(|e| Error::checkpoint(format!("metrics: {}", e.message())))?;
    Ok(rows.epochs)
}

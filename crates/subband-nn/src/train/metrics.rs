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
    /// Share of the 5,000 held-out images classified right, 0 to 1.
    pub held_out_accuracy: f64,
    /// Of training; held-out images not included.
    pub images_per_second: f64,
    /// Wall time of the epoch, held-out images included.
    pub seconds: f64,
}

const HEADER: &str = "epoch,learning_rate,train_loss,train_accuracy,held_out_accuracy,images_per_second,seconds";

impl fmt::Display for EpochMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "epoch {}: loss {:.4}, train {:.2}%, held-out {:.2}%, {:.0} images/s, {:.0} s",
            self.epoch,
            self.train_loss,
            100.0 * self.train_accuracy,
            100.0 * self.held_out_accuracy,
            self.images_per_second,
            self.seconds
        )
    }
}

/// Writes all rows so far; the file is small, and whole at every moment.
pub(super) fn write_csv(path: &Path, rows: &[EpochMetrics]) -> Result<()> {
    let mut text = format!("{HEADER}\n");
    for m in rows {
        text += &format!(
            "{},{},{},{},{},{:.1},{:.1}\n",
            m.epoch,
            m.learning_rate,
            m.train_loss,
            m.train_accuracy,
            m.held_out_accuracy,
            m.images_per_second,
            m.seconds
        );
    }
    write_atomically(path, text.as_bytes())
}

/// Rows as a checkpoint keeps them.
pub(super) fn to_json(rows: &[EpochMetrics]) -> Result<String> {
    serde_json::to_string(rows).map_err(|e| Error::checkpoint(format!("metrics: {e}")))
}

/// The inverse of [`to_json`].
pub(super) fn from_json(text: &str) -> Result<Vec<EpochMetrics>> {
    serde_json::from_str(text).map_err(|e| Error::checkpoint(format!("metrics: {e}")))
}

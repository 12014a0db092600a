use crate::train::EpochMetrics;

/// How a long job tells its caller where it is; the command line draws bars with it.
///
/// Calls come from one thread, in order. Every method has an empty default, so `&mut ()` is the quiet choice.
pub trait Progress {
    /// A stage of `total` units (images, or training steps) begins; it ends where the next one begins, or at `end`.
    fn begin(&mut self, _stage: &str, _total: u64) {}
    /// `done` units of the current stage are complete; `note` is a short text such as the running loss.
    fn advance(&mut self, _done: u64, _note: &str) {}
    /// Something worth a line of its own, once.
    fn message(&mut self, _text: &str) {}
    /// A training epoch is complete and its checkpoint is on disk.
    fn epoch(&mut self, _metrics: &EpochMetrics) {}
    /// The job is complete.
    fn end(&mut self) {}
}

impl Progress for () {}

/// Prints messages and epochs as plain lines on standard error.
#[derive(Debug, Default)]
pub struct LogProgress;

impl Progress for LogProgress {
    fn begin(&mut self, stage: &str, total: u64) {
        eprintln!("{stage} ({total})");
    }

    fn message(&mut self, text: &str) {
        eprintln!("{text}");
    }

    fn epoch(&mut self, metrics: &EpochMetrics) {
        eprintln!("{metrics}");
    }
}

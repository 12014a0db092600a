//! Progress on standard error: bars on a terminal; in a pipe or a log file a line now and then of jobs that take long; nothing
//! under `--quiet`.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use subband_nn::Progress;
use subband_nn::train::EpochMetrics;

/// A bar that counts bytes.
pub fn bytes(total: u64, message: &str, quiet: bool) -> ProgressBar {
    bar(total, message.to_owned(), quiet, "{prefix:24} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}")
}

fn bar(total: u64, prefix: String, quiet: bool, template: &str) -> ProgressBar {
    // indicatif draws nothing where standard error is not a terminal.
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    bar.set_style(ProgressStyle::with_template(template).expect("a constant template").progress_chars("=> "));
    bar.set_prefix(prefix);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Between two lines of a job whose bars nobody sees.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Draws what a long job of subband-nn tells: one bar a stage, its messages and epochs as lines.
pub struct Bars {
    bar: ProgressBar,
    quiet: bool,
    /// Where standard error is no terminal, when it last heard of the job.
    last_line: Option<Instant>,
}

impl Bars {
    pub fn new(quiet: bool) -> Self {
        let last_line = (!quiet && !io::stderr().is_terminal()).then(Instant::now);
        Self { bar: ProgressBar::hidden(), quiet, last_line }
    }

    /// A line on standard error, above the bar where there is one.
    fn line(&self, text: &str) {
        if !self.quiet {
            // A closed standard error is no reason to stop the job.
            let _ = self.bar.suspend(|| writeln!(io::stderr(), "{text}"));
        }
    }
}

impl Progress for Bars {
    fn begin(&mut self, stage: &str, total: u64) {
        self.bar.finish_and_clear();
        self.bar = bar(total, stage.to_owned(), self.quiet, "{prefix:24} {bar:32} {pos}/{len} eta {eta} {msg}");
    }

    fn advance(&mut self, done: u64, note: &str) {
        self.bar.set_position(done);
        if !note.is_empty() {
            self.bar.set_message(note.to_owned());
        }
        if self.last_line.is_some_and(|last| last.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            let total = self.bar.length().unwrap_or(done);
            self.line(format!("{} {done}/{total} {note}", self.bar.prefix()).trim_end());
        }
    }

    fn message(&mut self, text: &str) {
        self.line(text);
    }

    fn epoch(&mut self, metrics: &EpochMetrics) {
        self.line(&metrics.to_string());
    }

    fn end(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bars {
    /// An error ends the job without `end`.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

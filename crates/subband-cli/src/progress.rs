//! Progress bars on standard error: shown on a terminal, silent in a pipe and under `--quiet`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that counts bytes.
pub fn bytes(total: u64, message: &'static str, quiet: bool) -> ProgressBar {
    bar(total, message, quiet, "{msg:24} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}")
}

/// A bar that counts things: images, batches.
pub fn count(total: u64, message: &'static str, quiet: bool) -> ProgressBar {
    bar(total, message, quiet, "{msg:24} {bar:32} {pos}/{len} eta {eta}")
}

fn bar(total: u64, message: &'static str, quiet: bool, template: &str) -> ProgressBar {
    // indicatif draws nothing where standard error is not a terminal.
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    bar.set_style(ProgressStyle::with_template(template).expect("a constant template").progress_chars("=> "));
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

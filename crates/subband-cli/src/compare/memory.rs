//! Peak memory of a coder: in a process of its own, by the system's count of resident pages.
//!
//! Codecs in C do not go through Rust's allocator, and allocators keep what was freed, so nothing in one process that runs many
//! codecs can tell what one of them needs. The parent writes the sample to a folder; the child reads it, runs every code
//! path once on a small sample so that the program's own pages are in memory, resets the mark (`/proc/self/clear_refs`),
//! compresses and decompresses once, and prints the highest mark less what was resident before. The figure has the
//! granularity of pages and of the allocator's blocks, so that of maps of a few kilobytes says little. Linux only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use subband::Wavelet;

use super::coder::{Coder, Decoded, of_sample};
use super::sample::{Quantization, Sample, StepRule};
use super::synthetic;
use crate::args;

/// Arguments of the child.
#[derive(Debug, clap::Args)]
pub struct PeakArgs {
    /// Folder with the sample
    folder: PathBuf,
    /// Key of the contender
    key: String,
    /// Threads that the contenders were set up for
    threads: usize,
}

/// The peak of the contender `key`, with the sample in `folder`; none where the system does not tell.
pub fn peak_of(folder: &Path, key: &str, threads: usize) -> Result<Option<u64>> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.arg("compare-peak").arg(folder).arg(key).arg(threads.to_string());
    // Pages of 2 MB would be counted whole.
    command.env("MIMALLOC_ALLOW_THP", "0");
    let output = command.stdin(Stdio::null()).output().context("cannot start a process for peak memory")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "peak memory of {key}: {}", message.trim());
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim() {
        "none" => Ok(None),
        number => Ok(Some(number.parse().with_context(|| format!("peak memory of {key}: {number:?}"))?)),
    }
}

/// What the child does: prints the peak.
pub fn peak_in_this_process(wanted: &PeakArgs) -> Result<String> {
    let sample = Sample::load(&wanted.folder)?;
    let find = |sample: &Sample| -> Result<_> {
        let all = of_sample(sample, wanted.threads, &[])?;
        Ok(all.into_iter().find(|contender| contender.key() == wanted.key))
    };
    let mut contender = find(&sample)?.with_context(|| format!("no contender is {:?}", wanted.key))?;
    let pool = args::pool(contender.threads)?;
    let how = Quantization { wavelet: Wavelet::Haar, levels: 2, step: StepRule::Scale(0.5), width: None };
    let small = Sample::new("small".into(), &synthetic::small(), &how, None)?;
    if let Some(mut contender) = find(&small)? {
        pool.install(|| once(&mut *contender.coder, &small))?;
    }
    // 5 resets the mark of the most resident memory; where it is not allowed the mark is at most what loading took.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let Some(before) = status("VmRSS:") else { return Ok("none".into()) };
    pool.install(|| once(&mut *contender.coder, &sample))?;
    let Some(peak) = status("VmHWM:") else { return Ok("none".into()) };
    Ok(peak.saturating_sub(before).to_string())
}

fn once(coder: &mut dyn Coder, sample: &Sample) -> Result<()> {
    let (mut out, mut decoded) = (Vec::new(), Decoded::default());
    coder.compress(sample, &mut out)?;
    coder.decompress(&out, sample, &mut decoded)
}

/// A field of `/proc/self/status` in bytes.
fn status(field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

//! Arguments that several commands share, and errors of usage.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use directories::ProjectDirs;
use subband_nn::data::Cifar10;
use subband_nn::{Backend, Device};

/// A wrong command line: exit status 2.
#[derive(Debug)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

pub fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}

/// A budget that could not be kept: exit status 3.
#[derive(Debug)]
pub struct MissedBudget(pub String);

impl fmt::Display for MissedBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MissedBudget {}

/// Brings clap's message of several paragraphs into one line, without the usage text.
pub fn usage_error(error: &clap::Error) -> anyhow::Error {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let kept = text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let words: Vec<_> = kept.flat_map(str::split_whitespace).collect();
    usage(format!("{} (see --help)", words.join(" ")))
}

/// How many threads the work may take.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Threads {
    /// Threads to use; the result does not depend on it [default: one a processor core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Threads {
    /// Runs `work` with the parallel loops inside it on this many threads.
    pub fn run<R: Send>(self, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        let Some(threads) = self.threads else { return work() };
        pool(threads.into())?.install(work)
    }
}

/// So many threads.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start threads")
}

/// Where CIFAR-10 is.
#[derive(Clone, Debug, clap::Args)]
pub struct Cifar10Arg {
    /// CIFAR-10 folder [default: where `subband data cifar10` puts it]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Cifar10Arg {
    pub fn open(&self) -> Result<Cifar10> {
        Ok(Cifar10::open(&self.data.clone().map_or_else(default_data_dir, Ok)?)?)
    }
}

/// Where the network runs.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct DeviceArg {
    /// Device: cpu, and wgpu or cuda where this build has them
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Backend,
}

impl DeviceArg {
    pub fn device(self) -> Device {
        self.device.device()
    }
}

/// A range of indices as the user writes it: `A..B`, and either end may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct IndexRange {
    start: usize,
    end: Option<usize>,
}

impl IndexRange {
    /// The range within an axis of `length`, named `what` in an error.
    pub fn resolve(self, length: usize, what: &str) -> Result<Range<usize>> {
        let range = self.start..self.end.unwrap_or(length);
        ensure!(
            range.start < range.end && range.end <= length,
            "{what} range {}..{} is not within 0..{length}",
            range.start,
            range.end
        );
        Ok(range)
    }
}

impl FromStr for IndexRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().map_err(|e| format!("{text:?}: {e}"));
        let (start, end) = text.split_once("..").ok_or("a range is written A..B, as 0..16")?;
        Ok(Self {
            start: if start.is_empty() { 0 } else { number(start)? },
            end: if end.is_empty() { None } else { Some(number(end)?) },
        })
    }
}

/// A finite number over zero.
pub fn positive<T: FromStr + Into<f64> + Copy>(text: &str) -> Result<T, String> {
    let allowed = "allowed is a number over 0";
    let value: T = text.parse().map_err(|_| allowed.to_owned())?;
    if value.into().is_finite() && value.into() > 0.0 { Ok(value) } else { Err(allowed.to_owned()) }
}

/// A number from 0 to 0.5.
pub fn half_unit(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=0.5).contains(&value) => Ok(value),
        _ => Err("allowed are 0 to 0.5".to_owned()),
    }
}

/// A price of bits in squared steps.
pub fn rdo(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=10.0).contains(&value) => Ok(value),
        _ => Err("allowed are 0 to 10".to_owned()),
    }
}

/// A finite number.
pub fn finite(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("allowed is a finite number".to_owned()),
    }
}

/// A number, or `none`, as a TOML value: what `or_none` fields of a configuration take.
pub fn toml_number_or_none(text: &str) -> Result<toml::Value, String> {
    match text.parse::<toml::Value>() {
        Ok(value @ (toml::Value::Integer(_) | toml::Value::Float(_))) => Ok(value),
        _ if text == "none" => Ok(text.into()),
        _ => Err("allowed are a number and none".to_owned()),
    }
}

/// Where data sets lie unless the user says otherwise.
pub fn default_data_dir() -> Result<PathBuf> {
    Ok(cache_dir()?.join("cifar10"))
}

/// `$SUBBAND_CACHE`, else the user's cache folder (XDG on Linux).
pub fn cache_dir() -> Result<PathBuf> {
    Ok(match std::env::var_os("SUBBAND_CACHE").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => {
            let dirs = ProjectDirs::from("", "", "subband");
            dirs.context("no home folder to keep a cache in: set SUBBAND_CACHE")?.cache_dir().to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let resolve = |text: &str| text.parse::<IndexRange>().unwrap().resolve(10, "batch");
        assert_eq!(resolve("2..5").unwrap(), 2..5);
        assert_eq!(resolve("..5").unwrap(), 0..5);
        assert_eq!(resolve("2..").unwrap(), 2..10);
        assert_eq!(resolve("..").unwrap(), 0..10);
        assert_eq!(resolve("5..2").unwrap_err().to_string(), "batch range 5..2 is not within 0..10");
        assert_eq!(resolve("5..11").unwrap_err().to_string(), "batch range 5..11 is not within 0..10");
        assert!("5".parse::<IndexRange>().is_err());
        assert!("a..b".parse::<IndexRange>().is_err());
    }

    #[test]
    fn numbers() {
        assert_eq!(positive::<f32>("0.5"), Ok(0.5));
        for text in ["0", "-1", "nan", "inf", "x", ""] {
            assert!(positive::<f64>(text).is_err(), "{text}");
        }
        assert_eq!(finite("-0.5"), Ok(-0.5));
        assert!(finite("inf").is_err());
    }
}

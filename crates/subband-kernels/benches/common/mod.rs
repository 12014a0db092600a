//! What every bench here asks of its command line, and how it times.

use std::time::{Duration, Instant};

use subband_kernels::Isa;

/// The command line.
pub struct Options(Vec<String>);

impl Options {
    pub fn parse() -> Self {
        Self(std::env::args().collect())
    }

    /// What follows `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|arg| arg == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|arg| arg == name)
    }

    /// `--isa`: the fastest one otherwise.
    pub fn isa(&self) -> Isa {
        match self.value("--isa") {
            Some(name) => Isa::all().find(|isa| isa.name() == name).expect("an instruction set of this CPU"),
            None => Isa::best(),
        }
    }

    /// `--seconds` for each measurement.
    pub fn time(&self, default: f64) -> Duration {
        let seconds = self.value("--seconds").map_or(default, |s| s.parse().expect("--seconds takes a number"));
        Duration::from_secs_f64(seconds)
    }

    /// `--batch`.
    pub fn batch(&self) -> usize {
        self.value("--batch").map_or(128, |s| s.parse().expect("--batch takes a number"))
    }
}

/// Seconds of the fastest run within `time`: a busy machine only ever adds.
pub fn fastest(time: Duration, mut run: impl FnMut()) -> f64 {
    run();
    let start = Instant::now();
    let mut fastest = f64::MAX;
    while start.elapsed() < time {
        let start = Instant::now();
        run();
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    fastest
}

//! Which instruction set the kernels use.

use std::sync::atomic::{AtomicU8, Ordering};

/// Levels of instruction sets, each with what the ones before have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What the crate is compiled for.
    Portable,
    /// AVX2, BMI2, POPCNT, F16C: since Haswell and Zen.
    Avx2,
    /// AVX-512 with VBMI2: since Ice Lake and Zen 4. Its first form, without byte shuffles, is treated as AVX2.
    Avx512,
}

/// An instruction set that this CPU has: values of a level above `Portable` are only made where it was detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Isa(Level);

/// 0: not chosen yet; else 1 + the level.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

const NAMES: [(&str, Level); 3] = [("portable", Level::Portable), ("avx2", Level::Avx2), ("avx512", Level::Avx512)];

impl Isa {
    /// The best one, or that which the variable `SUBBAND_KERNEL` names, if the CPU has it.
    #[inline]
    pub fn current() -> Isa {
        match CHOSEN.load(Ordering::Relaxed) {
            0 => choose(),
            // Only `choose` and `force_kernel` store levels, after detection.
            1 => Isa(Level::Portable),
            2 => Isa(Level::Avx2),
            _ => Isa(Level::Avx512),
        }
    }

    #[inline]
    pub fn level(self) -> Level {
        self.0
    }

    /// All that this CPU has, the plain one first.
    pub fn available() -> impl Iterator<Item = Isa> {
        let best = detect();
        NAMES.into_iter().map(|(_, level)| level).filter(move |&level| level <= best).map(Isa)
    }
}

#[cold]
fn choose() -> Isa {
    let wanted = std::env::var("SUBBAND_KERNEL").ok();
    let isa = wanted.and_then(|name| named(&name)).unwrap_or(Isa(detect()));
    CHOSEN.store(isa.0 as u8 + 1, Ordering::Relaxed);
    isa
}

fn named(name: &str) -> Option<Isa> {
    let level = NAMES.iter().find(|(known, _)| *known == name)?.1;
    Isa::available().find(|isa| isa.0 == level)
}

/// Makes all threads use the kernels named `portable`, `avx2` or `avx512`; for tests. `false` if the CPU lacks them.
#[doc(hidden)]
pub fn force_kernel(name: &str) -> bool {
    match named(name) {
        Some(isa) => CHOSEN.store(isa.0 as u8 + 1, Ordering::Relaxed),
        None => return false,
    }
    true
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("f16c");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2");
    match (avx512, avx2) {
        (true, _) => Level::Avx512,
        (_, true) => Level::Avx2,
        _ => Level::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Portable
}

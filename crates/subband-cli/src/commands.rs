//! One file a command: its arguments, its help, and what it does.

pub mod calibrate;
pub mod compare;
pub mod completions;
pub mod compress;
pub mod cost;
pub mod data;
pub mod decompress;
pub mod demo;
pub mod eval;
pub mod inspect;
pub mod models;
pub mod reproduce;
pub mod retrain;
pub mod taps;
pub mod train;
pub mod tune;

use std::path::Path;

use anyhow::{Context, Result, bail};
use subband::{Limits, Profile, Wavelet};

use crate::tensor_file::read_bytes;

pub fn read_profile(path: &Path) -> Result<Profile> {
    Profile::from_bytes(&read_bytes(path)?, &Limits::default()).with_context(|| path.display().to_string())
}

/// The items with the wanted names, in the order of the file; all of them where none is wanted by name.
fn choose<'a, T>(items: &'a [T], name: impl Fn(&T) -> &str, wanted: &[String]) -> Result<Vec<&'a T>> {
    for wanted in wanted {
        if !items.iter().any(|item| name(item) == wanted) {
            let names: Vec<_> = items.iter().map(name).collect();
            bail!("no tensor is named {wanted:?}: there are {}", names.join(", "));
        }
    }
    Ok(items.iter().filter(|item| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name(item))).collect())
}

/// The levels of the transform, where the user gave none: `none` has no levels.
fn levels_of(wavelet: Wavelet, levels: Option<u8>, default: u8) -> u8 {
    levels.unwrap_or(if wavelet == Wavelet::None { 0 } else { default })
}

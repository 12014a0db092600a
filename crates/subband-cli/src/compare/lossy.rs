//! Lossy coders of floats, set so that their error is ours.

use anyhow::Result;

use super::coder::Contender;
use super::sample::Sample;

/// Every one that this build has and `wanted` names.
pub fn add(sample: &Sample, wanted: &dyn Fn(&str) -> bool, all: &mut Vec<Contender>) -> Result<()> {
    #[cfg(feature = "peers-c")]
    super::peers_c::add_zfp(sample, wanted, all)?;
    #[cfg(not(feature = "peers-c"))]
    let _ = (sample, wanted, all);
    Ok(())
}

pub fn names() -> Vec<String> {
    if cfg!(feature = "peers-c") { vec!["blosc2".into(), "zfp".into()] } else { Vec::new() }
}

//! Peers written in C: Blosc2, lossless, and zfp, lossy.

use anyhow::{Context, Result, ensure};
use subband_peers_c::{Blosc2, Blosc2Codec, Zfp};

use super::coder::{Check, Coder, Contender, Decoded, Family, Input};
use super::general::{ByteCodec, OnBytes, push};
use super::sample::{Distortion, Sample};

pub fn add_blosc2(input: Input, all: &mut Vec<Contender>) {
    for (codec, effort) in [(Blosc2Codec::Zstd, "bitshuffle zstd 5"), (Blosc2Codec::Lz4, "bitshuffle lz4")] {
        push(all, "blosc2", effort, input, Box::new(OnBytes::new(input, BloscBytes { codec, blosc: None })));
    }
}

/// Made with the first bytes, which tell the size of an element.
struct BloscBytes {
    codec: Blosc2Codec,
    blosc: Option<Blosc2>,
}

impl ByteCodec for BloscBytes {
    fn compress(&mut self, bytes: &[u8], size: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.blosc.is_none() {
            self.blosc = Blosc2::new(self.codec, size);
        }
        let blosc = self.blosc.as_mut().context("Blosc2 has no context")?;
        ensure!(blosc.compress(bytes, out), "Blosc2 does not take {} bytes", bytes.len());
        Ok(())
    }

    fn decompress(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<()> {
        let blosc = self.blosc.as_mut().context("Blosc2 decompresses what it compressed")?;
        ensure!(blosc.decompress(bytes, out), "Blosc2 does not give {} bytes back", out.len());
        Ok(())
    }
}

/// zfp at the largest tolerance at which its error is not above that of our codec with its transform.
pub fn add_zfp(sample: &Sample, all: &mut Vec<Contender>) -> Result<()> {
    let rmse = sample.transformed.error.rmse;
    if rmse == 0.0 {
        return Ok(());
    }
    let tolerance = match sample.zfp_tolerance.get() {
        Some(tolerance) => *tolerance,
        None => *sample.zfp_tolerance.get_or_init(|| tolerance_of(sample, rmse)),
    };
    all.push(Contender {
        codec: "zfp".into(),
        effort: "accuracy, equal rmse".into(),
        family: Family::FloatLossy,
        input: Input::F32,
        threads: 1,
        check: Check::Rmse(rmse),
        coder: Box::new(ZfpCoder { zfp: Zfp::default(), tolerance }),
    });
    Ok(())
}

/// zfp's tolerance counts in powers of two, so this is one.
fn tolerance_of(sample: &Sample, rmse: f64) -> f64 {
    let (mut zfp, mut decoded) = (Zfp::default(), vec![0.0; sample.values.len()]);
    // A bound of the largest error is above its root mean square: the search begins well above and ends well below.
    let start = (rmse * 64.0).log2().ceil() as i32;
    let fits = |exponent: &i32| {
        let tolerance = 2f64.powi(*exponent);
        zfp.compress(&sample.values, array(sample), tolerance).is_some()
            && zfp.decompress(&mut decoded)
            && Distortion::between(&sample.values, &decoded).rmse <= rmse
    };
    2f64.powi((start - 40..=start).rev().find(fits).unwrap_or(start - 40))
}

/// Rows of all planes below each other: channels are no neighbours.
fn array(sample: &Sample) -> [usize; 2] {
    let columns = sample.shape[sample.shape.len() - 1];
    [sample.values.len() / columns, columns]
}

struct ZfpCoder {
    zfp: Zfp,
    tolerance: f64,
}

impl Coder for ZfpCoder {
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        let bytes =
            self.zfp.compress(&sample.values, array(sample), self.tolerance).context("zfp does not compress")?;
        out.extend_from_slice(bytes);
        Ok(())
    }

    /// zfp decodes its own copy: it trusts what it reads.
    fn decompress(&mut self, _: &[u8], sample: &Sample, out: &mut Decoded) -> Result<()> {
        out.values.resize(sample.values.len(), 0.0);
        ensure!(self.zfp.decompress(&mut out.values), "zfp does not decompress");
        Ok(())
    }
}

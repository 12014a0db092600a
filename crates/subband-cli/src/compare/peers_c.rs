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

/// zfp at the coarsest setting at which its error is not above that of our codec with its transform.
pub fn add_zfp(sample: &Sample, all: &mut Vec<Contender>) -> Result<()> {
    let rmse = sample.transformed.error.rmse;
    if rmse == 0.0 {
        return Ok(());
    }
    let scale = match sample.zfp_scale.get() {
        Some(scale) => *scale,
        None => {
            let scale = scale_of(sample, rmse)?;
            *sample.zfp_scale.get_or_init(|| scale)
        }
    };
    all.push(Contender {
        codec: "zfp".into(),
        effort: "accuracy, equal rmse".into(),
        family: Family::FloatLossy,
        input: Input::F32,
        threads: 1,
        check: Check::Rmse(rmse),
        coder: Box::new(ZfpCoder { scale, ..ZfpCoder::default() }),
    });
    Ok(())
}

/// The least scale, within a thousandth, at which the error is at most `rmse`.
fn scale_of(sample: &Sample, rmse: f64) -> Result<f32> {
    let (mut coder, mut bytes, mut decoded) = (ZfpCoder::default(), Vec::new(), Decoded::default());
    let mut fits = |scale: f64| -> Result<bool> {
        coder.scale = scale as f32;
        bytes.clear();
        coder.compress(sample, &mut bytes)?;
        coder.decompress(&bytes, sample, &mut decoded)?;
        Ok(Distortion::between(&sample.values, &decoded.values).rmse <= rmse)
    };
    // The largest error is above its root mean square, but not by much.
    let (mut low, mut high) = (1.0 / (64.0 * rmse), 1.0 / rmse);
    while high / low > 1.001 {
        let middle = (low * high).sqrt();
        if fits(middle)? { high = middle } else { low = middle }
    }
    Ok(high as f32)
}

/// zfp with a tolerance of 1 on scaled values: its own tolerance counts in powers of two only, too coarse for an equal
/// error. The scale goes in front of the bytes.
#[derive(Default)]
struct ZfpCoder {
    zfp: Zfp,
    scale: f32,
    scaled: Vec<f32>,
}

impl Coder for ZfpCoder {
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        self.scaled.clear();
        self.scaled.extend(sample.values.iter().map(|value| value * self.scale));
        // Rows of all planes below each other: channels are no neighbours.
        let columns = sample.shape[sample.shape.len() - 1];
        let bytes = self.zfp.compress(&self.scaled, [self.scaled.len() / columns, columns], 1.0);
        out.extend_from_slice(&self.scale.to_le_bytes());
        out.extend_from_slice(bytes.context("zfp does not compress")?);
        Ok(())
    }

    /// zfp decodes its own copy: it trusts what it reads.
    fn decompress(&mut self, bytes: &[u8], sample: &Sample, out: &mut Decoded) -> Result<()> {
        let scale = f32::from_le_bytes(*bytes.first_chunk().context("the scale is cut off")?);
        out.values.resize(sample.values.len(), 0.0);
        ensure!(self.zfp.decompress(&mut out.values), "zfp does not decompress");
        out.values.iter_mut().for_each(|value| *value /= scale);
        Ok(())
    }
}

//! The rival that any user would write in three lines: quantize to bytes by the same step, then zstd at level 1. Its time has
//! the quantizer in it.

use anyhow::{Context, Result};

use super::coder::{Check, Coder, Contender, Decoded, Family, Input};
use super::general::{ByteCodec, Zstd, zstd_codec};
use super::sample::Sample;

pub const NAME_8: &str = "u8+zstd";
/// Where 256 levels of the step do not span the values.
pub const NAME_16: &str = "u16+zstd";

/// The offset and the step come first.
const HEADER: usize = 8;

pub fn add(sample: &Sample, all: &mut Vec<Contender>) -> Result<()> {
    let step = sample.plain_step;
    let (low, high) = sample.values.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
    let levels = f64::from(high - low) / f64::from(step) + 1.5;
    if levels > 65_536.0 {
        return Ok(());
    }
    let wide = levels > 256.0;
    let coder = PlainU8 { low, step, wide, quantized: Vec::new(), zstd: zstd_codec(1)? };
    all.push(Contender {
        codec: if wide { NAME_16 } else { NAME_8 }.into(),
        effort: "1".into(),
        family: Family::PlainU8,
        input: Input::F32,
        threads: 1,
        // Rounding to nearest; a thousandth for f32.
        check: Check::MaxError(f64::from(step) * 0.501),
        coder: Box::new(coder),
    });
    Ok(())
}

struct PlainU8 {
    low: f32,
    step: f32,
    wide: bool,
    quantized: Vec<u8>,
    zstd: Zstd,
}

impl Coder for PlainU8 {
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        let (low, inverse) = (self.low, 1.0 / self.step);
        // The cast rounds towards zero and clamps.
        self.quantized.clear();
        if self.wide {
            self.quantized
                .extend(sample.values.iter().flat_map(|&v| (((v - low) * inverse + 0.5) as u16).to_le_bytes()));
        } else {
            self.quantized.extend(sample.values.iter().map(|&v| ((v - low) * inverse + 0.5) as u8));
        }
        out.extend(self.low.to_le_bytes());
        out.extend(self.step.to_le_bytes());
        self.zstd.compress(&self.quantized, 1, out)
    }

    fn decompress(&mut self, bytes: &[u8], sample: &Sample, out: &mut Decoded) -> Result<()> {
        let (header, body) = bytes.split_first_chunk::<HEADER>().context("the header is cut off")?;
        let (low, step) = header.split_at(4);
        let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let (low, step) = (float(low), float(step));
        let count = sample.values.len();
        self.quantized.resize(if self.wide { 2 * count } else { count }, 0);
        self.zstd.decompress(body, &mut self.quantized)?;
        out.values.clear();
        if self.wide {
            let levels = self.quantized.as_chunks::<2>().0.iter().map(|&bytes| u16::from_le_bytes(bytes));
            out.values.extend(levels.map(|level| low + f32::from(level) * step));
        } else {
            out.values.extend(self.quantized.iter().map(|&level| low + f32::from(level) * step));
        }
        Ok(())
    }
}

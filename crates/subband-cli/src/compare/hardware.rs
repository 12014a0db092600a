//! The codes of the literature on accelerators, on indices.

use anyhow::{Context, Result};
use subband_baselines::Code;

use super::coder::{Check, Coder, Contender, Decoded, Family, Input};
use super::sample::Sample;

pub fn add(sample: &Sample, all: &mut Vec<Contender>) {
    for input in [Input::Transformed, Input::Plain] {
        let Some(quantized) = input.quantized(sample).filter(|quantized| quantized.indices.is_some()) else { continue };
        all.extend(Code::ALL.map(|code| Contender {
            codec: code.name().into(),
            effort: format!("{} bit", quantized.layout.width.bits()),
            family: Family::Hardware,
            input,
            threads: 1,
            check: Check::Exact,
            coder: Box::new(OnIndices { code, input }),
        }));
    }
}

struct OnIndices {
    code: Code,
    input: Input,
}

impl Coder for OnIndices {
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        let quantized = self.input.quantized(sample).context("no indices")?;
        *out = self.code.encode(quantized.indices.as_deref().context("no indices")?, quantized.layout)?;
        Ok(())
    }

    fn decompress(&mut self, bytes: &[u8], sample: &Sample, out: &mut Decoded) -> Result<()> {
        let quantized = self.input.quantized(sample).context("no indices")?;
        out.indices = self.code.decode(bytes, quantized.layout)?;
        Ok(())
    }
}

//! What a user would pick instead: memcpy, zstd, lz4 and pco, on raw f32 and on indices.

use anyhow::{Context, Result, ensure};
use pco::ChunkConfig;
use pco::data_types::Number;
use pco::standalone::{simple_compress_into, simple_decompress_into};
use subband_baselines::Width;
use zstd::bulk::{Compressor, Decompressor};

use super::coder::{Check, Coder, Contender, Decoded, Family, Input};
use super::sample::Sample;

const ZSTD_LEVELS: [i32; 3] = [1, 3, 19];

/// What `add_lossless` adds, besides C.
pub const LOSSLESS: [&str; 3] = ["zstd", "lz4", "pco"];

pub fn add_memcpy(all: &mut Vec<Contender>) {
    push(all, "memcpy", "", Input::F32, Box::new(Memcpy));
}

/// Every lossless coder, on the values and on both kinds of indices.
pub fn add_lossless(sample: &Sample, all: &mut Vec<Contender>) -> Result<()> {
    for input in [Input::F32, Input::Transformed, Input::Plain] {
        if input.quantized(sample).is_some_and(|quantized| quantized.indices.is_none()) {
            continue;
        }
        for level in ZSTD_LEVELS {
            push(all, "zstd", &level.to_string(), input, Box::new(OnBytes::new(input, zstd_codec(level)?)));
        }
        push(all, "lz4", "", input, Box::new(OnBytes::new(input, Lz4)));
        push(all, "pco", "8", input, Box::new(Pco { input }));
        #[cfg(feature = "peers-c")]
        super::peers_c::add_blosc2(input, all);
    }
    Ok(())
}

pub fn push(all: &mut Vec<Contender>, codec: &str, effort: &str, input: Input, coder: Box<dyn Coder>) {
    let family = if input == Input::F32 { Family::FloatLossless } else { Family::IndicesLossless };
    let (codec, effort) = (codec.to_owned(), effort.to_owned());
    all.push(Contender { codec, effort, family, input, threads: 1, check: Check::Exact, coder });
}

struct Memcpy;

impl Coder for Memcpy {
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(bytemuck::cast_slice(&sample.values));
        Ok(())
    }

    fn decompress(&mut self, bytes: &[u8], sample: &Sample, out: &mut Decoded) -> Result<()> {
        out.values.resize(sample.values.len(), 0.0);
        bytemuck::cast_slice_mut(&mut out.values).copy_from_slice(bytes);
        Ok(())
    }
}

/// A compressor of bytes.
pub trait ByteCodec: Send {
    /// Appends to `out` what elements of `size` bytes become.
    fn compress(&mut self, bytes: &[u8], size: usize, out: &mut Vec<u8>) -> Result<()>;
    /// Fills `out`, which has the length of the original.
    fn decompress(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<()>;
}

/// A compressor of bytes on values, or on indices of one or two bytes.
pub struct OnBytes<C> {
    input: Input,
    bytes: C,
    /// Indices of one byte.
    words: Vec<i8>,
}

impl<C> OnBytes<C> {
    pub fn new(input: Input, bytes: C) -> Self {
        Self { input, bytes, words: Vec::new() }
    }
}

impl<C: ByteCodec> Coder for OnBytes<C> {
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        let Some(quantized) = self.input.quantized(sample) else {
            return self.bytes.compress(bytemuck::cast_slice(&sample.values), 4, out);
        };
        let indices = quantized.indices.as_deref().context("no indices")?;
        if quantized.layout.width == Width::Sixteen {
            return self.bytes.compress(bytemuck::cast_slice(indices), 2, out);
        }
        self.words.clear();
        self.words.extend(indices.iter().map(|&index| index as i8));
        self.bytes.compress(bytemuck::cast_slice(&self.words), 1, out)
    }

    fn decompress(&mut self, bytes: &[u8], sample: &Sample, out: &mut Decoded) -> Result<()> {
        let Some(quantized) = self.input.quantized(sample) else {
            out.values.resize(sample.values.len(), 0.0);
            return self.bytes.decompress(bytes, bytemuck::cast_slice_mut(&mut out.values));
        };
        let count = quantized.indices.as_deref().context("no indices")?.len();
        if quantized.layout.width == Width::Sixteen {
            out.indices.resize(count, 0);
            return self.bytes.decompress(bytes, bytemuck::cast_slice_mut(&mut out.indices));
        }
        self.words.resize(count, 0);
        self.bytes.decompress(bytes, bytemuck::cast_slice_mut(&mut self.words))?;
        out.indices.clear();
        out.indices.extend(self.words.iter().map(|&word| i16::from(word)));
        Ok(())
    }
}

pub struct Zstd {
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
}

pub fn zstd_codec(level: i32) -> Result<Zstd> {
    Ok(Zstd { compressor: Compressor::new(level)?, decompressor: Decompressor::new()? })
}

impl ByteCodec for Zstd {
    fn compress(&mut self, bytes: &[u8], _: usize, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.resize(start + zstd::zstd_safe::compress_bound(bytes.len()), 0);
        let length = self.compressor.compress_to_buffer(bytes, &mut out[start..])?;
        out.truncate(start + length);
        Ok(())
    }

    fn decompress(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<()> {
        let length = self.decompressor.decompress_to_buffer(bytes, out)?;
        ensure!(length == out.len(), "{length} bytes came back of {}", out.len());
        Ok(())
    }
}

/// Without a frame: the block format has no header at all.
struct Lz4;

impl ByteCodec for Lz4 {
    fn compress(&mut self, bytes: &[u8], _: usize, out: &mut Vec<u8>) -> Result<()> {
        out.resize(lz4_flex::block::get_maximum_output_size(bytes.len()), 0);
        let length = lz4_flex::block::compress_into(bytes, out)?;
        out.truncate(length);
        Ok(())
    }

    fn decompress(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<()> {
        let length = lz4_flex::block::decompress_into(bytes, out)?;
        ensure!(length == out.len(), "{length} bytes came back of {}", out.len());
        Ok(())
    }
}

/// At its default level, 8.
struct Pco {
    input: Input,
}

impl Coder for Pco {
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        let config = ChunkConfig::default();
        match self.input.quantized(sample) {
            None => simple_compress_into(&sample.values, &config, out)?,
            Some(quantized) => simple_compress_into(quantized.indices.as_deref().context("no indices")?, &config, out)?,
        };
        Ok(())
    }

    fn decompress(&mut self, bytes: &[u8], sample: &Sample, out: &mut Decoded) -> Result<()> {
        match self.input.quantized(sample) {
            None => pco_into(bytes, sample.values.len(), &mut out.values),
            Some(quantized) => {
                pco_into(bytes, quantized.indices.as_deref().context("no indices")?.len(), &mut out.indices)
            }
        }
    }
}

fn pco_into<T: Number + Default>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<()> {
    // pco fills batches of 256 in place and the last one through a buffer.
    out.resize(count, T::default());
    let progress = simple_decompress_into(bytes, out)?;
    ensure!(progress.finished && progress.n_processed == count, "{} of {count} values came back", progress.n_processed);
    Ok(())
}

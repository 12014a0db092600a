//! What a coder is, and the list of them all.

use anyhow::Result;

use super::sample::{Quantized, Sample};
use super::{general, hardware, ours, plain_u8};

/// A compressor and its inverse, with the buffers it keeps.
pub trait Coder: Send {
    /// Appends the compressed form of the sample to `out`, which is empty.
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()>;

    /// Undoes it. `out` may hold what an earlier call left there.
    fn decompress(&mut self, bytes: &[u8], sample: &Sample, out: &mut Decoded) -> Result<()>;
}

/// What a decoder gives: one of both.
#[derive(Debug, Default)]
pub struct Decoded {
    pub values: Vec<f32>,
    pub indices: Vec<i16>,
}

/// What a coder is given of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The values; quantizing them, if the coder does, is its own work and in its time.
    F32,
    /// The indices of our quantizer after our transform; making them is not in the time.
    Transformed,
    /// The indices of our quantizer without a transform.
    Plain,
}

impl Input {
    /// The indices, where this is of indices.
    pub fn quantized(self, sample: &Sample) -> Option<&Quantized> {
        match self {
            Input::F32 => None,
            Input::Transformed => Some(&sample.transformed),
            Input::Plain => Some(&sample.plain),
        }
    }

    /// For people, with the step.
    pub fn label(self, sample: &Sample) -> String {
        self.quantized(sample).map_or_else(|| "f32".to_owned(), Quantized::label)
    }

    /// For people, the same for all tensors of a comparison.
    pub fn kind(self, sample: &Sample) -> String {
        self.quantized(sample).map_or_else(|| "f32".to_owned(), |quantized| format!("indices ({})", quantized.kind))
    }
}

/// When a decoded tensor is right.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// Every value, or index, is the same bit for bit.
    Exact,
    /// The root of the mean squared error is at most this.
    Rmse(f64),
    /// The largest error is at most this.
    MaxError(f64),
}

/// Kinds of coders, for the plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    Ours,
    PlainU8,
    Hardware,
    IndicesLossless,
    FloatLossless,
    FloatLossy,
}

impl Family {
    pub const ALL: [Self; 6] =
        [Self::Ours, Self::PlainU8, Self::Hardware, Self::IndicesLossless, Self::FloatLossless, Self::FloatLossy];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::PlainU8 => "u8 + zstd",
            Self::Hardware => "hardware codes",
            Self::IndicesLossless => "on indices",
            Self::FloatLossless => "lossless f32",
            Self::FloatLossy => "lossy f32",
        }
    }
}

/// A coder set up for a sample.
pub struct Contender {
    /// What `--only` selects by.
    pub codec: String,
    /// Setting of the codec, or empty.
    pub effort: String,
    pub family: Family,
    pub input: Input,
    pub threads: usize,
    pub check: Check,
    pub coder: Box<dyn Coder>,
}

impl Contender {
    /// Tells the contenders of a sample apart.
    pub fn key(&self) -> String {
        format!("{}/{}/{:?}/{}", self.codec, self.effort, self.input, self.threads)
    }
}

/// Every coder for a sample, or those named in `only`, in the order of the report.
pub fn of_sample(sample: &Sample, threads: usize, only: &[String]) -> Result<Vec<Contender>> {
    let mut all = Vec::new();
    let wanted = |codec: &str| only.is_empty() || only.iter().any(|name| name == codec);
    general::add_memcpy(&mut all);
    ours::add(sample, threads, &mut all)?;
    plain_u8::add(sample, &mut all)?;
    hardware::add(sample, &mut all);
    general::add_lossless(sample, &mut all)?;
    #[cfg(feature = "peers-c")]
    if wanted("zfp") {
        super::peers_c::add_zfp(sample, &mut all)?;
    }
    all.retain(|contender| wanted(&contender.codec));
    Ok(all)
}

/// Every name that `--only` takes in this build.
pub fn names() -> Vec<&'static str> {
    let mut names = vec!["memcpy", ours::STREAM, ours::PLAIN, ours::LOSSLESS, ours::PROFILE, ours::PACKETS];
    names.extend([plain_u8::NAME_8, plain_u8::NAME_16]);
    names.extend(subband_baselines::Code::ALL.map(subband_baselines::Code::name));
    names.extend(general::LOSSLESS);
    if cfg!(feature = "peers-c") {
        names.extend(["blosc2", "zfp"]);
    }
    names
}

//! Our codec, at each effort it has.

use anyhow::{Context, Result};
use subband::{
    Config, DecompressOptions, Effort, Profile, ProfileOptions, Scratch, Steps, TapCodec, Target, Tensor, TensorData,
    TensorView, Wavelet, compress, compress_with_profile, decompress,
};

use super::coder::{Check, Coder, Contender, Decoded, Family, Input};
use super::sample::Sample;

/// A self-contained stream of the tensor.
pub const STREAM: &str = "subband";
/// A stream of it without a transform, by the step of the plain indices: what the entropy coder does alone.
pub const PLAIN: &str = "subband-plain";
/// A stream that keeps every bit of the values.
pub const LOSSLESS: &str = "subband-lossless";
/// A stream of it that refers to the profile.
pub const PROFILE: &str = "subband-profile";
/// A packet an item against the profile, as at batch 1.
pub const PACKETS: &str = "subband-packets";

/// Efforts of self-contained streams: [`Effort::Max`] would be the same once more, since only profiles have its networks.
const OF_STREAMS: [Effort; 2] = [Effort::Fast, Effort::Default];

pub fn add(sample: &Sample, threads: usize, all: &mut Vec<Contender>) -> Result<()> {
    let counts = if threads > 1 { vec![1, threads] } else { vec![1] };
    let mut push = |codec: &str, effort: Effort, threads, coder| {
        let (codec, effort, family, input) = (codec.to_owned(), effort.to_string(), Family::Ours, Input::F32);
        // Entropy coding must not add to the error of the quantizer; a millionth for sums of floats.
        let quantized = if codec == PLAIN { &sample.plain } else { &sample.transformed };
        let check = match codec == LOSSLESS {
            true => Check::Exact,
            false => Check::Rmse(quantized.error.rmse * (1.0 + 1e-6)),
        };
        all.push(Contender { codec, effort, family, input, threads, check, coder });
    };
    for effort in OF_STREAMS {
        let plain = Config::default().with_wavelet(Wavelet::None, 0).with_target(Target::Step(sample.plain_step));
        push(PLAIN, effort, 1, Box::new(Stream(plain.with_effort(effort))));
    }
    // Efforts do not change how floats are kept.
    push(LOSSLESS, Effort::Default, 1, Box::new(Stream(Config::default().with_target(Target::Lossless))));
    let Some(tap) = &sample.tap else {
        for effort in OF_STREAMS {
            for &threads in &counts {
                push(STREAM, effort, threads, Box::new(Stream(config(sample).with_effort(effort))));
            }
        }
        return Ok(());
    };
    let in_profile = tap.profile.tap(&tap.name)?;
    let has = |effort: &Effort| *effort != Effort::Max || in_profile.has_mixing_model();
    for effort in Effort::ALL.into_iter().filter(has) {
        for &threads in &counts {
            let stream = ProfileStream { profile: tap.profile.clone(), tap: tap.name.clone(), effort };
            push(PROFILE, effort, threads, Box::new(stream));
        }
        let codec = TapCodec::new(in_profile)?.with_effort(effort);
        push(PACKETS, effort, 1, Box::new(Packets { codec, scratch: Scratch::default(), lengths: Vec::new() }));
    }
    Ok(())
}

fn config(sample: &Sample) -> Config {
    let coding = &sample.coding;
    let config = Config::default().with_wavelet(coding.wavelet, coding.levels).with_rounding(coding.rounding);
    config.with_target(match &coding.steps {
        Steps::Uniform(step) => Target::Step(*step),
        steps => Target::Steps(steps.clone()),
    })
}

fn view(sample: &Sample) -> Result<TensorView<'_>> {
    Ok(TensorView::new(&sample.values, &sample.shape)?)
}

/// The values of an f32 tensor.
fn take(tensor: Tensor, out: &mut Decoded) -> Result<()> {
    let TensorData::F32(values) = tensor.into_data() else { anyhow::bail!("decoded values are not f32") };
    out.values = values;
    Ok(())
}

struct Stream(Config);

impl Coder for Stream {
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        *out = compress(&view(sample)?, &self.0)?.bytes;
        Ok(())
    }

    fn decompress(&mut self, bytes: &[u8], _: &Sample, out: &mut Decoded) -> Result<()> {
        take(decompress(bytes, &DecompressOptions::default())?, out)
    }
}

struct ProfileStream {
    profile: Profile,
    tap: String,
    effort: Effort,
}

impl Coder for ProfileStream {
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        let mut options = ProfileOptions::default();
        options.effort = self.effort;
        *out = compress_with_profile(&view(sample)?, &self.profile, &self.tap, &options)?.bytes;
        Ok(())
    }

    fn decompress(&mut self, bytes: &[u8], _: &Sample, out: &mut Decoded) -> Result<()> {
        take(decompress(bytes, &DecompressOptions::default().with_profile(&self.profile))?, out)
    }
}

/// A channel has its own framing, so the lengths of packets are not in the bytes; they are kept aside.
struct Packets {
    codec: TapCodec,
    scratch: Scratch,
    lengths: Vec<usize>,
}

impl Coder for Packets {
    fn compress(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<()> {
        self.lengths.clear();
        for map in sample.values.chunks_exact(self.codec.values()) {
            let start = out.len();
            self.codec.compress(map, &mut self.scratch, out)?;
            self.lengths.push(out.len() - start);
        }
        Ok(())
    }

    fn decompress(&mut self, mut bytes: &[u8], sample: &Sample, out: &mut Decoded) -> Result<()> {
        out.values.resize(sample.values.len(), 0.0);
        for (map, &length) in out.values.chunks_exact_mut(self.codec.values()).zip(&self.lengths) {
            let (packet, rest) = bytes.split_at_checked(length).context("packets end too early")?;
            self.codec.decompress(packet, &mut self.scratch, map)?;
            bytes = rest;
        }
        Ok(())
    }
}

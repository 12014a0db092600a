//! The part of a coding that the decoder needs (FORMAT.md, "Coding").

use super::bytes::{ByteReader, put_f32, put_varint};
use super::short_steps::{read_steps, write_steps};
use crate::coding::Coding;
use crate::entropy::{BitReader, BitWriter, bits_for};
use crate::error::{Error, Result};
use crate::mask::ChannelMask;
use crate::quantize::Steps;
use crate::wavelet::{Wavelet, subband_count};

const NONNEGATIVE: u8 = 1 << 3;
const PRESCALE: u8 = 1 << 4;
const MASK: u8 = 1 << 5;
const LOSSLESS: u8 = 1 << 6;
const SHIFT: u8 = 1 << 7;

const UNIFORM: u8 = 0;
const PER_SUBBAND: u8 = 1;
const PER_CHANNEL: u8 = 2;

/// How steps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepForm {
    /// Each as a float: profiles, and streams before version 6.
    Floats,
    /// Terse: streams since version 6.
    Short,
}

/// Appends wavelet, levels, steps, mask and reconstruction; not what only the encoder uses.
pub(crate) fn write_coding(coding: &Coding, form: StepForm, out: &mut Vec<u8>) {
    let wavelet = Wavelet::ALL.iter().position(|&w| w == coding.wavelet).expect("all are listed") as u8;
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(
        wavelet
            | flag(coding.nonnegative, NONNEGATIVE)
            | flag(coding.prescale.is_some(), PRESCALE)
            | flag(coding.mask.is_some(), MASK)
            | flag(coding.lossless, LOSSLESS)
            | flag(coding.reconstruction != 0.0, SHIFT),
    );
    let mode = match &coding.steps {
        Steps::Uniform(_) => UNIFORM,
        Steps::PerSubband(_) => PER_SUBBAND,
        Steps::PerChannel(_) => PER_CHANNEL,
    };
    out.push(coding.levels | mode << 4);
    if let Some(scale) = coding.prescale {
        put_f32(out, scale);
    }
    if coding.reconstruction != 0.0 {
        put_f32(out, coding.reconstruction);
    }
    if !coding.lossless {
        let steps = coding.steps.all();
        match form {
            StepForm::Floats => steps.iter().for_each(|&step| put_f32(out, step)),
            StepForm::Short => write_steps(&steps, subband_count(coding.levels), out),
        }
    }
    if let Some(mask) = &coding.mask {
        write_mask(mask, out);
    }
}

/// Reads and validates a coding for a tensor of `channels` channels.
pub(crate) fn read_coding(reader: &mut ByteReader, form: StepForm, channels: usize) -> Result<Coding> {
    let flags = reader.u8()?;
    let wavelet = Wavelet::ALL
        .get((flags & 7) as usize)
        .copied()
        .ok_or_else(|| Error::corrupt(format!("unknown wavelet code {}", flags & 7)))?;
    let second = reader.u8()?;
    let (levels, mode) = (second & 15, second >> 4);
    wavelet.validate_levels(levels).map_err(|error| Error::corrupt(error.to_string()))?;
    let prescale = if flags & PRESCALE != 0 { Some(reader.f32()?) } else { None };
    let reconstruction = if flags & SHIFT != 0 { reader.f32()? } else { 0.0 };
    let lossless = flags & LOSSLESS != 0;
    let subbands = subband_count(levels);
    let mut read = |count: usize| match form {
        StepForm::Floats => (0..count).map(|_| reader.f32()).collect::<Result<Vec<f32>>>(),
        StepForm::Short => read_steps(reader, count, subbands),
    };
    let steps = match mode {
        UNIFORM if lossless => Steps::Uniform(1.0),
        UNIFORM => Steps::Uniform(read(1)?[0]),
        PER_SUBBAND if !lossless => Steps::PerSubband(read(subbands)?),
        PER_CHANNEL if !lossless => {
            let steps = if channels > 0 { read(channels.saturating_mul(subbands))? } else { Vec::new() };
            Steps::PerChannel(steps.chunks(subbands).map(<[f32]>::to_vec).collect())
        }
        _ => return Err(Error::corrupt(format!("unknown step mode {mode}"))),
    };
    let mask = if flags & MASK != 0 { Some(read_mask(reader, levels, channels)?) } else { None };
    let coding = Coding {
        prescale,
        reconstruction,
        mask,
        lossless,
        nonnegative: flags & NONNEGATIVE != 0,
        ..Coding::new(wavelet, levels, steps)
    };
    coding.validate(channels).map_err(|error| Error::corrupt(error.to_string()))?;
    Ok(coding)
}

/// The distinct words, then for each channel the number of its word.
fn write_mask(mask: &ChannelMask, out: &mut Vec<u8>) {
    let mut distinct: Vec<u32> = mask.words().to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    put_varint(out, distinct.len() as u64);
    let mut writer = BitWriter::default();
    let word_bits = subband_count(mask.levels()) as u32 - 1;
    for word in &distinct {
        writer.write(word >> 1, word_bits);
    }
    for word in mask.words() {
        let number = distinct.binary_search(word).expect("all words are listed");
        writer.write(number as u32, bits_for(distinct.len()));
    }
    out.extend_from_slice(writer.finish());
}

fn read_mask(reader: &mut ByteReader, levels: u8, channels: usize) -> Result<ChannelMask> {
    let count = reader.varint()?;
    if count > channels {
        return Err(Error::corrupt(format!("a mask lists {count} patterns for {channels} channels")));
    }
    let mut bits = BitReader::new(reader.rest());
    let word_bits = subband_count(levels) as u32 - 1;
    let mut distinct = Vec::new();
    for _ in 0..count {
        distinct.push(bits.read(word_bits)? << 1 | 1);
    }
    let mut words = Vec::new();
    for _ in 0..channels {
        let number = bits.read(bits_for(count))? as usize;
        let word = distinct.get(number).ok_or_else(|| Error::corrupt(format!("mask pattern {number} of {count}")))?;
        words.push(*word);
    }
    reader.take(bits.finish()?)?;
    ChannelMask::from_words(levels, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_come_back() {
        let mask = ChannelMask::keep_all(3, 2).unwrap().drop_level(1, 1).drop_details(2);
        let rows = vec![vec![0.5; 7], vec![0.25; 7], vec![1.5; 7]];
        for coding in [
            Coding::new(Wavelet::None, 0, Steps::Uniform(0.5)),
            Coding::lossless(Wavelet::LeGall53, 8),
            Coding::new(Wavelet::Db2, 2, Steps::PerSubband(vec![1.0; 7]))
                .with_mask(mask)
                .with_prescale(0.1)
                .with_reconstruction(0.25)
                .with_nonnegative(true),
            Coding::new(Wavelet::Cdf97, 2, Steps::PerChannel(rows)),
        ] {
            for form in [StepForm::Floats, StepForm::Short] {
                let mut out = Vec::new();
                write_coding(&coding, form, &mut out);
                let mut reader = ByteReader::new(&out, "coding");
                assert_eq!(read_coding(&mut reader, form, 3).unwrap(), coding);
                reader.finish().unwrap();
                for end in 0..out.len() {
                    assert!(read_coding(&mut ByteReader::new(&out[..end], "coding"), form, 3).is_err());
                }
            }
        }
    }
}

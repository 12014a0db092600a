//! What is in a stream, down to the bits of each subband.

use crate::decompress::{DecompressOptions, OpenStream};
use crate::error::Result;
use crate::floats::FloatScratch;
use crate::format::{ChunkScratch, TableSource};
use crate::parallel;
use crate::plane::IndexBlocks;
use crate::quantize::Steps;
use crate::tensor::DType;
use crate::wavelet::{Subband, Wavelet};

/// Contents of a stream.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Element type of the tensor.
    pub dtype: DType,
    /// Shape of the tensor.
    pub shape: Vec<usize>,
    /// Number of values.
    pub values: usize,
    /// Bytes of the stream.
    pub bytes: usize,
    /// Bytes before the first chunk: header, steps, masks, tables, chunk index.
    pub header_bytes: usize,
    /// `8 * bytes / values`; 0 for an empty tensor.
    pub bits_per_value: f64,
    /// Whether coding and tables are those of a profile.
    pub from_profile: bool,
    /// Wavelet of the transform.
    pub wavelet: Wavelet,
    /// Its levels.
    pub levels: u8,
    /// Whether the tensor comes back exactly.
    pub lossless: bool,
    /// Nominal quantizer steps.
    pub steps: Steps,
    /// Number of frequency tables.
    pub tables: usize,
    /// Channels of a chunk.
    pub channels_per_chunk: usize,
    /// Number of chunks.
    pub chunks: usize,
    /// Subbands in coding order. For floats without loss, which have none: `tokens` (signs, exponents, leading
    /// mantissa bits; lane states and padding counted in) and `raw bits`, whose values are those that are not 0.
    pub subbands: Vec<SubbandInfo>,
}

/// Share of one subband, over all channels and batch items.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct SubbandInfo {
    /// Name, such as `HL1`.
    pub name: String,
    /// Number of coefficients, dropped ones included.
    pub values: usize,
    /// How many of them a mask drops.
    pub dropped: usize,
    /// How many are zero.
    pub zeros: usize,
    /// Largest magnitude of an index.
    pub max_index: u32,
    /// Bits that the coefficients take by the frequency tables, raw bits included; the sum over the
    /// subbands is the payload but for lane states and padding.
    pub bits: f64,
}

/// Reads the header of a stream and decodes its indices for statistics.
///
/// # Errors
/// As [`decompress`](crate::decompress).
pub fn inspect(bytes: &[u8], options: &DecompressOptions) -> Result<StreamInfo> {
    let stream = OpenStream::new(bytes, options)?;
    let coding = &stream.quantizer.coding;
    let layout = &stream.quantizer.layout;

    let empty = || -> Vec<SubbandInfo> {
        (0..layout.blocks.len())
            .map(|index| SubbandInfo {
                name: Subband::at(index, coding.levels).to_string(),
                values: 0,
                dropped: 0,
                zeros: 0,
                max_index: 0,
                bits: 0.0,
            })
            .collect()
    };
    let numbers: Vec<usize> = (0..stream.chunks.len()).collect();
    if let Some(floats) = &stream.floats {
        let parts = parallel::map(numbers, |scratch: &mut FloatScratch, _, number| {
            let (chunk, payload) = stream.payload(number)?;
            Ok(floats.inspect(payload, chunk.channels, scratch)?.to_vec())
        })?;
        let subbands = parts.first().map_or_else(Vec::new, |first| sum(first.clone(), &parts[1..]));
        return Ok(StreamInfo { tables: floats.tables().tables().len(), subbands, ..info(bytes, &stream) });
    }
    let parts = parallel::map(numbers, |state: &mut (ChunkScratch, IndexBlocks), _, number| {
        let chunk = stream.indices(number, &mut state.0, &mut state.1)?;
        let costs = stream.coder.costs(&stream.quantizer, chunk.first_channel, &state.1, &mut state.0);
        let mut infos = empty();
        for ((subband, info), cost) in infos.iter_mut().enumerate().zip(costs) {
            info.bits = cost as f64 / 65_536.0;
            for slot in 0..chunk.channels {
                let block = state.1.block(layout, subband, slot);
                info.values += block.len();
                if !coding.keeps(chunk.first_channel + slot, subband) {
                    info.dropped += block.len();
                }
                for &index in block {
                    info.zeros += usize::from(index == 0);
                    info.max_index = info.max_index.max(index.unsigned_abs());
                }
            }
        }
        Ok(infos)
    })?;
    let subbands = sum(empty(), &parts);
    Ok(StreamInfo { subbands, ..info(bytes, &stream) })
}

/// Adds the shares of chunks.
fn sum(mut subbands: Vec<SubbandInfo>, parts: &[Vec<SubbandInfo>]) -> Vec<SubbandInfo> {
    for (total, part) in parts.iter().flat_map(|part| (0..).zip(part)) {
        let total: &mut SubbandInfo = &mut subbands[total];
        total.values += part.values;
        total.dropped += part.dropped;
        total.zeros += part.zeros;
        total.max_index = total.max_index.max(part.max_index);
        total.bits += part.bits;
    }
    subbands
}

/// All but the subbands.
fn info(bytes: &[u8], stream: &OpenStream) -> StreamInfo {
    let coding = &stream.quantizer.coding;
    let geometry = stream.header.grid().geometry;
    StreamInfo {
        dtype: stream.header.dtype,
        shape: stream.header.shape.clone(),
        values: geometry.values(),
        bytes: bytes.len(),
        header_bytes: stream.header_bytes,
        bits_per_value: if geometry.values() == 0 { 0.0 } else { 8.0 * bytes.len() as f64 / geometry.values() as f64 },
        from_profile: matches!(stream.header.source, TableSource::Profile(..)),
        wavelet: coding.wavelet,
        levels: coding.levels,
        lossless: coding.lossless,
        steps: coding.steps.clone(),
        tables: stream.coder.tables(),
        channels_per_chunk: stream.header.channels_per_chunk,
        chunks: stream.chunks.len(),
        subbands: Vec::new(),
    }
}

//! Parts of a chunk: only the batch items and channels that are wanted are decoded.

use std::ops::Range;
use std::sync::Arc;

use subband::ElementsMut;
use zarrs_chunk_grid::{ArraySubset, Indexer};
use zarrs_codec::{ArrayBytes, ArrayPartialDecoderTraits, BytesPartialDecoderTraits, CodecError, CodecOptions};
use zarrs_data_type::{DataType, FillValue};
use zarrs_storage::StorageError;

use crate::codec::{Chunk, codec_error};
use crate::elements;

/// A chunk of which parts are read.
pub(crate) struct PartialDecoder {
    input: Arc<dyn BytesPartialDecoderTraits>,
    chunk: Chunk,
    data_type: DataType,
    fill_value: FillValue,
}

/// What must be decoded for a box of a chunk of rank 3 or more.
#[derive(Debug, PartialEq)]
struct Part {
    /// All leading axes as one.
    batch: Range<usize>,
    channels: Range<usize>,
    /// Of the array of those.
    shape: Vec<u64>,
    /// Of the box in that array.
    start: Vec<u64>,
}

impl Part {
    /// For the box at `start` of the given size, which lies within `chunk` and is not empty.
    fn of(chunk: &[usize], start: &[u64], size: &[u64]) -> Self {
        let leading = chunk.len() - 3;
        let mut shape: Vec<u64> = chunk.iter().map(|&size| size as u64).collect();
        let mut inside = start.to_vec();
        let (first, channels) = (start[leading] as usize, size[leading] as usize);
        (shape[leading], inside[leading]) = (channels as u64, 0);
        // Items lie together in memory order as long as the axes before are of length one.
        let mut batch = 0..chunk[..leading].iter().product();
        for axis in 0..leading {
            let inner: usize = chunk[axis + 1..leading].iter().product();
            batch.start += start[axis] as usize * inner;
            batch.end = batch.start + size[axis] as usize * inner;
            (shape[axis], inside[axis]) = (size[axis], 0);
            if size[axis] > 1 {
                break;
            }
        }
        Part { batch, channels: first..first + channels, shape, start: inside }
    }
}

impl PartialDecoder {
    pub fn new(
        input: Arc<dyn BytesPartialDecoderTraits>,
        chunk: Chunk,
        data_type: DataType,
        fill_value: FillValue,
    ) -> Self {
        PartialDecoder { input, chunk, data_type, fill_value }
    }

    fn decode_part(&self, stream: &[u8], part: Part, size: Vec<u64>) -> Result<ArrayBytes<'static>, CodecError> {
        self.chunk.check(stream)?;
        let values = part.shape.iter().product::<u64>() as usize;
        let decode =
            |out: &mut ElementsMut| subband::read_into(stream, part.batch, part.channels, out, &self.chunk.options());
        let bytes = elements::decompress(values, self.chunk.dtype, decode).map_err(codec_error)?;
        let decoded = ArrayBytes::new_flen(bytes);
        if size == part.shape {
            return Ok(decoded);
        }
        let wanted = ArraySubset::new_with_start_shape(part.start, size)?;
        Ok(decoded.extract_array_subset(&wanted, &part.shape, &self.data_type)?.into_owned())
    }
}

impl ArrayPartialDecoderTraits for PartialDecoder {
    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn exists(&self) -> Result<bool, StorageError> {
        self.input.exists()
    }

    fn size_held(&self) -> usize {
        self.input.size_held()
    }

    fn partial_decode(&self, indexer: &dyn Indexer, options: &CodecOptions) -> Result<ArrayBytes<'_>, CodecError> {
        let Some(stream) = self.input.decode(options)? else {
            return Ok(ArrayBytes::new_fill_value(&self.data_type, indexer.len(), &self.fill_value)?);
        };
        let whole: Vec<u64> = self.chunk.shape.iter().map(|&size| size as u64).collect();
        if let Some(subset) = indexer.as_array_subset()
            && whole.len() >= 3
            && !indexer.is_empty()
            && subset.inbounds_shape(&whole)
        {
            let size = subset.shape().into_owned();
            let part = Part::of(&self.chunk.shape, &subset.start(), &size);
            return self.decode_part(&stream, part, size);
        }
        let decoded = self.chunk.decode(&stream)?;
        Ok(decoded.extract_array_subset(indexer, &whole, &self.data_type)?.into_owned())
    }

    fn supports_partial_decode(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_no_more_than_needed() {
        let part = |start: &[u64], size: &[u64]| Part::of(&[3, 4, 5, 6, 7], start, size);
        let expected = |batch, channels, shape: [u64; 5], start: [u64; 5]| Part {
            batch,
            channels,
            shape: shape.to_vec(),
            start: start.to_vec(),
        };
        // One item.
        assert_eq!(part(&[1, 2, 3, 0, 0], &[1, 1, 2, 6, 7]), expected(6..7, 3..5, [1, 1, 2, 6, 7], [0, 0, 0, 0, 0]));
        // Some of the second axis within one of the first.
        assert_eq!(part(&[2, 1, 0, 2, 0], &[1, 2, 5, 1, 7]), expected(9..11, 0..5, [1, 2, 5, 6, 7], [0, 0, 0, 2, 0]));
        // Of several along the first axis, all of the second.
        assert_eq!(part(&[1, 3, 4, 0, 5], &[2, 1, 1, 6, 2]), expected(4..12, 4..5, [2, 4, 1, 6, 7], [0, 3, 0, 0, 5]));
        assert_eq!(
            Part::of(&[5, 6, 7], &[2, 0, 0], &[3, 6, 7]),
            Part { batch: 0..1, channels: 2..5, shape: vec![3, 6, 7], start: vec![0, 0, 0] }
        );
    }
}

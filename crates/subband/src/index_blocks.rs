//! Indices of a chunk, as the coders of neighbours and the optimisation of indices want them.

use std::ops::Range;

use crate::wavelet::SubbandLayout;

/// Quantized indices of some channels of one map: subband after subband in coding order, in each the
/// blocks of the channels.
#[derive(Debug, Default, Clone)]
pub(crate) struct IndexBlocks {
    values: Vec<i32>,
    channels: usize,
}

impl IndexBlocks {
    /// Makes room for `channels` channels; the old contents are of no use afterwards.
    pub fn reset(&mut self, layout: &SubbandLayout, channels: usize) {
        self.channels = channels;
        self.values.resize(layout.plane() * channels, 0);
    }

    pub fn block(&self, layout: &SubbandLayout, subband: usize, channel: usize) -> &[i32] {
        &self.values[self.range(layout, subband, channel)]
    }

    pub fn block_mut(&mut self, layout: &SubbandLayout, subband: usize, channel: usize) -> &mut [i32] {
        let range = self.range(layout, subband, channel);
        &mut self.values[range]
    }

    fn range(&self, layout: &SubbandLayout, subband: usize, channel: usize) -> Range<usize> {
        let block = layout.blocks[subband];
        let start = block.offset * self.channels + channel * block.len();
        start..start + block.len()
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Whether LL has an index below 0.
    pub fn has_negative_approximation(&self, layout: &SubbandLayout) -> bool {
        self.values[..layout.blocks[0].len() * self.channels].iter().any(|&index| index < 0)
    }

    pub fn values(&self) -> &[i32] {
        &self.values
    }

    pub fn values_mut(&mut self) -> &mut [i32] {
        &mut self.values
    }
}

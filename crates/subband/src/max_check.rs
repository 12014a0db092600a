//! Whether the networks of effort max are worth having, asked of maps that they were not trained on.

use crate::error::{Error, Result};
use crate::format::{ChunkCoder, ChunkScratch, PayloadKind};
use crate::plane::{IndexBlocks, PlaneQuantizer};
use crate::profile::TapProfile;
use crate::tap_codec::MapIndices;

impl TapProfile {
    /// The tap without what [`Effort::Max`](crate::Effort::Max) codes with, unless `held_out` take fewer bytes with it than at
    /// [`Effort::Default`](crate::Effort::Default): networks that were trained on few maps may know those and no others. The
    /// maps should be ones that [`TapCalibrator::train_max`](crate::TapCalibrator::train_max) has not seen; without any, the
    /// networks are left out.
    ///
    /// # Errors
    /// `InvalidArgument` for a map of another size.
    pub fn with_max_where_it_saves(self, held_out: &[MapIndices]) -> Result<Self> {
        if !self.has_mixing_model() {
            return Ok(self);
        }
        let [channels, height, width] = self.shape();
        let quantizer = PlaneQuantizer::new(self.coding().clone(), channels, height, width)?;
        let max = self.model(PayloadKind::Mixing).map(ChunkCoder::for_encoding);
        let default = self.model(PayloadKind::Spread).map(ChunkCoder::for_encoding);
        let (Some(max), Some(default)) = (max, default) else { return Ok(self) };
        let mut indices = IndexBlocks::default();
        indices.reset(&quantizer.layout, channels);
        let (mut scratch, mut payload) = (ChunkScratch::default(), Vec::new());
        let mut bytes = [0, 0];
        for map in held_out {
            if map.len() != indices.values().len() {
                return Err(Error::invalid(format!(
                    "a held-out map has {} indices: tap '{}' has {}",
                    map.len(),
                    self.name(),
                    indices.values().len()
                )));
            }
            indices.values_mut().iter_mut().zip(map.values()).for_each(|(to, index)| *to = index);
            for (coder, bytes) in [&max, &default].into_iter().zip(&mut bytes) {
                payload.clear();
                coder.encode(&quantizer, 0, &indices, &mut scratch, &mut payload);
                *bytes += payload.len();
            }
        }
        let [of_max, of_default] = bytes;
        Ok(if of_max < of_default { self } else { self.without_mixing_model() })
    }
}

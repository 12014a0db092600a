//! Channel selection: which detail subbands of which channels are kept (METHOD.md, "channel selection").

use crate::error::{Error, Result};
use crate::wavelet::{MAX_LEVELS, subband_count};

/// Says for each channel which subbands are coded; dropped ones cost no bits and decode as zero.
///
/// The approximation (subband 0) of every channel is always kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ChannelMask {
    levels: u8,
    /// Bit b of a channel's word: subband b in coding order is kept. Bits beyond the subbands are 0.
    kept: Vec<u32>,
}

impl ChannelMask {
    /// Keeps everything. Error: more than 8 levels.
    pub fn keep_all(channels: usize, levels: u8) -> Result<Self> {
        if levels > MAX_LEVELS {
            return Err(Error::invalid(format!("levels is {levels}: allowed are 0 to {MAX_LEVELS}")));
        }
        Ok(ChannelMask { levels, kept: vec![all(levels); channels] })
    }

    pub(crate) fn from_words(levels: u8, kept: Vec<u32>) -> Result<Self> {
        match kept.iter().find(|&&word| word & 1 == 0 || word & !all(levels) != 0) {
            Some(word) => Err(Error::corrupt(format!("channel mask word {word:#x} does not fit {levels} levels"))),
            None => Ok(ChannelMask { levels, kept }),
        }
    }

    pub(crate) fn words(&self) -> &[u32] {
        &self.kept
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.kept.len()
    }

    /// Levels of the transform that the mask is for.
    pub fn levels(&self) -> u8 {
        self.levels
    }

    /// Drops HL, LH and HH of one level (1 = finest) of a channel.
    ///
    /// # Panics
    /// If the channel or the level does not exist.
    pub fn drop_level(mut self, channel: usize, level: u8) -> Self {
        assert!((1..=self.levels).contains(&level), "level {level} of {}", self.levels);
        let first = 1 + 3 * (self.levels - level);
        self.kept[channel] &= !(0b111 << first);
        self
    }

    /// Drops all detail subbands of a channel.
    ///
    /// # Panics
    /// If the channel does not exist.
    pub fn drop_details(mut self, channel: usize) -> Self {
        self.kept[channel] = 1;
        self
    }

    /// Drops one detail subband (1 or more, in coding order) of a channel.
    ///
    /// # Panics
    /// If the channel or the detail subband does not exist.
    pub fn drop(mut self, channel: usize, subband: usize) -> Self {
        assert!((1..subband_count(self.levels)).contains(&subband), "detail subband {subband}");
        self.kept[channel] &= !(1 << subband);
        self
    }

    /// Whether a subband of a channel is coded.
    pub fn keeps(&self, channel: usize, subband: usize) -> bool {
        self.kept[channel] >> subband & 1 == 1
    }

    pub(crate) fn validate(&self, levels: u8, channels: usize) -> Result<()> {
        if (self.levels, self.kept.len()) == (levels, channels) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the channel mask is for {} channels and {} levels: the coding has {channels} channels and {levels} levels",
            self.kept.len(),
            self.levels
        )))
    }
}

fn all(levels: u8) -> u32 {
    u32::MAX >> (32 - subband_count(levels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_what_it_says() {
        let mask = ChannelMask::keep_all(3, 2).unwrap().drop_level(0, 1).drop_details(1).drop(2, 3);
        assert_eq!(mask.words(), [0b000_1111, 0b1, 0b111_0111]);
        assert!(mask.keeps(0, 3) && !mask.keeps(0, 4));
        assert!(mask.validate(2, 4).is_err() && mask.validate(2, 3).is_ok());
        assert!(ChannelMask::from_words(2, vec![0b1000_0001]).is_err());
        assert!(ChannelMask::from_words(8, vec![u32::MAX >> 7]).is_ok());
    }
}

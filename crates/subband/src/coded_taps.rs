//! All taps of a network at work: each map to a packet and back, with everything counted that a report says.

use crate::effort::Effort;
use crate::entropy::{OrderZero, SegLength};
use crate::error::{Error, Result};
use crate::profile::Profile;
use crate::tap_codec::{Scratch, TapCodec};

/// The taps of a profile, prepared for coding.
#[derive(Debug)]
pub struct CodedTaps {
    taps: Vec<CodedTap>,
    self_contained: bool,
}

#[derive(Debug)]
struct CodedTap {
    name: String,
    channels: usize,
    codec: TapCodec,
}

/// What one thread works with and counts; every count is an integer, so their sum knows no order.
#[derive(Debug)]
pub struct Worker {
    scratch: Scratch,
    packet: Vec<u8>,
    /// Per tap.
    pub(crate) order_zero: Vec<OrderZero>,
    /// Over all taps: the thesis has one Golomb order for the whole network.
    pub(crate) seg: SegLength,
}

impl Worker {
    /// One that has counted nothing.
    pub fn new(taps: &CodedTaps) -> Self {
        let counts = |tap: &CodedTap| OrderZero::new(tap.codec.subbands(), tap.channels);
        Self {
            scratch: Scratch::default(),
            packet: Vec::new(),
            order_zero: taps.taps.iter().map(counts).collect(),
            seg: SegLength::default(),
        }
    }
}

/// One map, coded.
#[derive(Clone, Debug)]
pub struct CodedMap {
    values: u64,
    bytes: u64,
    self_contained_bytes: u64,
    nonzero: u64,
    saturated: u64,
    squared_error: f64,
}

/// Sums over the maps of one tap, in the order of the images.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Values coded.
    pub values: u64,
    /// Bytes of their packets.
    pub bytes: u64,
    /// Bytes of the same maps as streams with their tables inside, where asked for.
    pub self_contained_bytes: u64,
    /// Indices that are not 0.
    pub nonzero: u64,
    /// Values and indices that were clamped.
    pub saturated: u64,
    /// Sum of the squared errors of decoded values.
    pub squared_error: f64,
}

impl Totals {
    /// Adds one map.
    pub fn add(&mut self, map: &CodedMap) {
        self.values += map.values;
        self.bytes += map.bytes;
        self.self_contained_bytes += map.self_contained_bytes;
        self.nonzero += map.nonzero;
        self.saturated += map.saturated;
        self.squared_error += map.squared_error;
    }
}

impl CodedTaps {
    /// Prepares the taps of `profile`; `sites` are the name and `[C, H, W]` of every map that the network has.
    ///
    /// # Errors
    /// `InvalidArgument` where the profile is not for a network of the name `network`, or names a tap that it has not or
    /// has with another shape.
    pub fn new<'a>(
        network: &str,
        sites: impl Iterator<Item = (&'a str, [usize; 3])> + Clone,
        profile: &Profile,
    ) -> Result<Self> {
        if profile.network() != network {
            return Err(Error::invalid(format!("the profile is for {}, the network is {network}", profile.network())));
        }
        let mut taps = Vec::new();
        for tap in profile.taps() {
            match sites.clone().find(|(name, _)| *name == tap.name()) {
                Some((_, shape)) if shape == tap.shape() => {
                    let codec = TapCodec::new(tap)?;
                    taps.push(CodedTap { name: tap.name().to_owned(), channels: shape[0], codec });
                }
                Some((_, shape)) => {
                    return Err(Error::invalid(format!(
                        "the profile's tap {} has shape {:?}, {network}'s has {shape:?}",
                        tap.name(),
                        tap.shape(),
                    )));
                }
                None => {
                    return Err(Error::invalid(format!(
                        "the profile has a tap {}, which {network} has not",
                        tap.name()
                    )));
                }
            }
        }
        Ok(Self { taps, self_contained: true })
    }

    /// With another effort in compressing.
    pub fn with_effort(mut self, effort: Effort) -> Self {
        for tap in &mut self.taps {
            tap.codec.set_effort(effort);
        }
        self
    }

    /// With rate-distortion optimised indices, see [`TapCodec::with_rdo`].
    ///
    /// # Errors
    /// `InvalidArgument` for a price out of range.
    pub fn with_rdo(mut self, lambda: f32) -> Result<Self> {
        for tap in &mut self.taps {
            tap.codec.set_rdo(lambda)?;
        }
        Ok(self)
    }

    /// Whether every map is coded a second time with its tables in the stream, to count those bytes too. Default true.
    pub fn with_self_contained(mut self, self_contained: bool) -> Self {
        self.self_contained = self_contained;
        self
    }

    /// Number of taps.
    pub fn len(&self) -> usize {
        self.taps.len()
    }

    /// The number of the tap called `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.taps.iter().position(|tap| tap.name == name)
    }

    /// Whether there is no tap.
    pub fn is_empty(&self) -> bool {
        self.taps.is_empty()
    }

    /// Compresses `map` at tap number `tap` to a packet, counts, and decompresses the packet into `decoded`.
    pub fn code(&self, tap: usize, worker: &mut Worker, map: &[f32], decoded: &mut [f32]) -> Result<CodedMap> {
        let codec = &self.taps[tap].codec;
        let Worker { scratch, packet, order_zero, seg } = worker;
        packet.clear();
        let stats = codec.compress(map, scratch, packet)?;
        codec.for_each_block(scratch, |subband, channel, indices| {
            order_zero[tap].count(subband, channel, indices);
            seg.add(indices);
        });
        let self_contained_bytes = if self.self_contained { codec.self_contained(scratch).len() as u64 } else { 0 };
        codec.decompress(packet, scratch, decoded)?;
        let squared = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
        Ok(CodedMap {
            values: map.len() as u64,
            bytes: packet.len() as u64,
            self_contained_bytes,
            nonzero: stats.nonzero,
            saturated: stats.saturated,
            squared_error: map.iter().zip(decoded.iter()).map(squared).sum(),
        })
    }
}

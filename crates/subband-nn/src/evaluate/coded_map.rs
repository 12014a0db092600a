use subband::{Profile, Scratch, SegLength, TapCodec};

use super::EvaluateOptions;
use super::order_zero::OrderZero;
use crate::error::{Error, Result};
use crate::network::Network;

/// The taps of a profile, prepared for coding.
pub(crate) struct CodedTaps {
    taps: Vec<CodedTap>,
    self_contained: bool,
}

struct CodedTap {
    name: String,
    channels: usize,
    codec: TapCodec,
}

/// What one thread works with and counts; every count is an integer, so their sum knows no order.
pub(crate) struct Worker {
    scratch: Scratch,
    packet: Vec<u8>,
    /// Per tap.
    pub order_zero: Vec<OrderZero>,
    /// Over all taps: the thesis has one Golomb order for the whole network.
    pub seg: SegLength,
}

impl Worker {
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
pub(crate) struct CodedMap {
    values: u64,
    bytes: u64,
    self_contained_bytes: u64,
    nonzero: u64,
    saturated: u64,
    squared_error: f64,
}

/// Sums over the maps of one tap, in the order of the images.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub values: u64,
    pub bytes: u64,
    pub self_contained_bytes: u64,
    pub nonzero: u64,
    pub saturated: u64,
    pub squared_error: f64,
}

impl Totals {
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
    /// # Errors
    /// `InvalidArgument` where the profile is for another network, or names a tap that the network has not or has with
    /// another shape.
    pub fn new(network: &Network, profile: &Profile, options: &EvaluateOptions) -> Result<Self> {
        let kind = network.kind();
        if profile.network() != kind.name() {
            return Err(Error::argument(format!("the profile is for {}, the network is {kind}", profile.network())));
        }
        let mut taps = Vec::new();
        for tap in profile.taps() {
            let site = network.sites().iter().find(|site| site.name == tap.name());
            match site {
                Some(site) if site.shape == tap.shape() => {
                    let codec = TapCodec::new(tap)?.with_effort(options.effort).with_rdo(options.rdo)?;
                    taps.push(CodedTap { name: site.name.clone(), channels: site.shape[0], codec });
                }
                Some(site) => {
                    return Err(Error::argument(format!(
                        "the profile's tap {} has shape {:?}, {kind}'s has {:?}",
                        tap.name(),
                        tap.shape(),
                        site.shape
                    )));
                }
                None => {
                    return Err(Error::argument(format!("the profile has a tap {}, which {kind} has not", tap.name())));
                }
            }
        }
        Ok(Self { taps, self_contained: options.self_contained })
    }

    pub fn len(&self) -> usize {
        self.taps.len()
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.taps.iter().position(|tap| tap.name == name)
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

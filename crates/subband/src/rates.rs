//! What the maps of a network took, from the counts of [`CodedTaps`](crate::CodedTaps).

use serde::{Deserialize, Serialize};

use crate::coded_taps::{Totals, Worker};
use crate::entropy::{OrderZero, SegLength};
use crate::profile::Profile;

/// What the maps of a profile's taps took, whatever ran the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rates {
    /// Values of all coded maps.
    pub values: u64,
    /// Bytes of all packets, framing and checksums included.
    pub bytes: u64,
    /// `8 * bytes / values`.
    pub bits_per_value: f64,
    /// 32 over `bits_per_value`.
    pub ratio_f32: f64,
    /// 16 over `bits_per_value`.
    pub ratio_x16: f64,
    /// 8 over `bits_per_value`.
    pub ratio_x8: f64,
    /// Size of the profile that both sides hold.
    pub profile_bytes: usize,
    /// The profile's hash.
    pub profile_hash: String,
    /// The same maps as self-contained streams, headers and tables included; `None` where it was not asked for.
    pub self_contained_bits_per_value: Option<f64>,
    /// An estimate, not a stream: the entropy of the indices per tap, subband and channel over all these images.
    pub order0_entropy_bits_per_value: f64,
    /// Length of the thesis's code (signed sparse exp-Golomb, the best single order) on the same indices.
    pub seg_bits_per_value: f64,
    /// That order.
    pub seg_order: usize,
    /// Share of indices that are zero (masked ones included), 0 to 1.
    pub zeros: f64,
    /// Values and indices that were clamped to their range.
    pub saturated: u64,
    /// One entry a tap, in the order of the forward pass.
    pub per_tap: Vec<TapReport>,
}

/// What an evaluation found at one tap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TapReport {
    /// As a PyTorch user would name it.
    pub name: String,
    /// `[C, H, W]` of one image's map.
    pub shape: [usize; 3],
    /// Values over all images.
    pub values: u64,
    /// Bytes of all packets.
    pub bytes: u64,
    /// `8 * bytes / values`.
    pub bits_per_value: f64,
    /// 32 over `bits_per_value`.
    pub ratio_f32: f64,
    /// Share of indices that are zero, 0 to 1.
    pub zeros: f64,
    /// Mean squared error of the decoded values.
    pub mse: f64,
    /// An estimate: the entropy of the indices per subband and channel.
    pub order0_entropy_bits_per_value: f64,
    /// The share of each subband in it, in coding order (LL first): their sum.
    pub order0_bits_per_value_of_subbands: Vec<f64>,
    /// Values and indices that were clamped.
    pub saturated: u64,
}

impl Rates {
    /// Sums up the work of all `workers`; `totals` has an entry a tap of `profile`.
    pub fn new(profile: &Profile, totals: &[Totals], workers: Vec<Worker>, self_contained: bool) -> Self {
        let mut order_zero: Vec<OrderZero> = Vec::new();
        let mut seg = SegLength::default();
        for worker in workers {
            seg.merge(&worker.seg);
            if order_zero.is_empty() {
                order_zero = worker.order_zero;
            } else {
                for (all, one) in order_zero.iter_mut().zip(&worker.order_zero) {
                    all.merge(one);
                }
            }
        }
        let ideal_bits: Vec<f64> = order_zero.iter().map(OrderZero::bits).collect();
        let of_subbands = order_zero.iter().map(OrderZero::bits_of_subbands);
        let per_tap: Vec<TapReport> = profile
            .taps()
            .iter()
            .zip(totals)
            .zip(&ideal_bits)
            .zip(of_subbands)
            .map(|(((tap, totals), ideal), of_subbands)| {
                let bits_per_value = per_value(8.0 * totals.bytes as f64, totals.values);
                TapReport {
                    name: tap.name().to_string(),
                    shape: tap.shape(),
                    values: totals.values,
                    bytes: totals.bytes,
                    bits_per_value,
                    ratio_f32: 32.0 / bits_per_value,
                    zeros: 1.0 - per_value(totals.nonzero as f64, totals.values),
                    mse: per_value(totals.squared_error, totals.values),
                    order0_entropy_bits_per_value: per_value(*ideal, totals.values),
                    order0_bits_per_value_of_subbands: of_subbands
                        .into_iter()
                        .map(|bits| per_value(bits, totals.values))
                        .collect(),
                    saturated: totals.saturated,
                }
            })
            .collect();
        let values: u64 = totals.iter().map(|tap| tap.values).sum();
        let bytes: u64 = totals.iter().map(|tap| tap.bytes).sum();
        let nonzero: u64 = totals.iter().map(|tap| tap.nonzero).sum();
        let self_contained_bytes: u64 = totals.iter().map(|tap| tap.self_contained_bytes).sum();
        let bits_per_value = per_value(8.0 * bytes as f64, values);
        let (seg_order, seg_bits) = seg.best();
        Self {
            values,
            bytes,
            bits_per_value,
            ratio_f32: 32.0 / bits_per_value,
            ratio_x16: 16.0 / bits_per_value,
            ratio_x8: 8.0 / bits_per_value,
            profile_bytes: profile.to_bytes().len(),
            profile_hash: profile.hash().to_string(),
            self_contained_bits_per_value: self_contained.then(|| per_value(8.0 * self_contained_bytes as f64, values)),
            order0_entropy_bits_per_value: per_value(ideal_bits.iter().sum(), values),
            seg_bits_per_value: per_value(seg_bits as f64, values),
            seg_order,
            zeros: 1.0 - per_value(nonzero as f64, values),
            saturated: totals.iter().map(|tap| tap.saturated).sum(),
            per_tap,
        }
    }
}

fn per_value(sum: f64, values: u64) -> f64 {
    sum / values.max(1) as f64
}

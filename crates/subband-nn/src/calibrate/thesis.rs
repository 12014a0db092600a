//! The thesis's quantizer and transform, as METHOD.md gives them.

use subband::{ChannelMask, Coding, Steps, Wavelet};

use super::{TapCoding, TapStatistics};
use crate::error::{Error, Result};
use crate::network::NetworkKind;
use crate::taps::Taps;

/// Steps as shares of the uint8 range, tap by tap.
const RESNET20: [f64; 9] = [0.018, 0.021, 0.022, 0.020, 0.019, 0.017, 0.018, 0.014, 0.047];
const RESNET18: [f64; 8] = [0.010, 0.013, 0.0094, 0.012, 0.010, 0.0061, 0.0069, 0.036];

const LEVELS: u8 = 3;
const INDEX_BITS: u8 = 8;

/// Refuses networks and taps that the thesis gives no steps for.
pub(super) fn check(kind: NetworkKind, taps: Taps) -> Result<()> {
    if taps != Taps::Blocks {
        return Err(Error::argument(format!("the thesis preset is for block taps, not `{taps}`")));
    }
    shares(kind).map(|_| ())
}

fn shares(kind: NetworkKind) -> Result<&'static [f64]> {
    match kind {
        NetworkKind::ResNet20 => Ok(&RESNET20),
        NetworkKind::ResNet18 => Ok(&RESNET18),
        other => Err(Error::argument(format!(
            "the thesis preset is for resnet20 and resnet18: it gives no steps for {other}"
        ))),
    }
}

/// The thesis's step for tap number `index`, on the scale of the map itself: what it is on the uint8 scale, times
/// the largest value over 255.
pub(crate) fn thesis_step(kind: NetworkKind, taps: Taps, index: usize, tap: &TapStatistics) -> Result<f32> {
    check(kind, taps)?;
    Ok(tap.scale() * shares(kind)?[index] as f32)
}

/// Prescaled by the largest value seen so that it becomes 255; the last tap keeps the approximation only, since
/// average pooling follows it.
pub(super) fn codings(kind: NetworkKind, statistics: &[TapStatistics]) -> Result<Vec<TapCoding>> {
    let last = statistics.len().saturating_sub(1);
    shares(kind)?
        .iter()
        .zip(statistics)
        .enumerate()
        .map(|(index, (share, tap))| {
            let mut coding = Coding::new(Wavelet::Db2, LEVELS, Steps::Uniform((255.0 * share) as f32))
                .with_prescale(tap.scale() / 255.0)
                .with_index_bits(INDEX_BITS);
            if index == last {
                let channels = tap.shape[0];
                let mask = ChannelMask::keep_all(channels, LEVELS)?;
                coding = coding.with_mask((0..channels).fold(mask, ChannelMask::drop_details));
            }
            Ok(TapCoding { name: tap.name.clone(), shape: tap.shape, coding })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_a_step_for_every_block() {
        for (kind, shares) in [(NetworkKind::ResNet20, &RESNET20[..]), (NetworkKind::ResNet18, &RESNET18[..])] {
            let blocks = kind.sites().iter().filter(|s| s.is_block_output).count();
            assert_eq!(blocks, shares.len());
        }
    }

    #[test]
    fn only_the_last_tap_loses_its_details() {
        let statistics: Vec<_> = NetworkKind::ResNet20
            .sites()
            .into_iter()
            .filter(|site| site.is_block_output)
            .map(|site| TapStatistics {
                name: site.name,
                shape: site.shape,
                values: 1,
                mean: 1.0,
                std: 1.0,
                min: 0.0,
                max: 5.1,
            })
            .collect();
        let codings = codings(NetworkKind::ResNet20, &statistics).unwrap();
        assert_eq!(codings[0].coding.steps, Steps::Uniform(4.59));
        assert_eq!(codings[0].coding.prescale, Some(0.02));
        assert!(codings[..8].iter().all(|tap| tap.coding.mask.is_none()));
        let mask = codings[8].coding.mask.as_ref().unwrap();
        assert!(mask.keeps(63, 0) && (1..10).all(|subband| !mask.keeps(63, subband)));
    }

    #[test]
    fn other_networks_and_taps_are_refused() {
        assert!(check(NetworkKind::ResNet20, Taps::Blocks).is_ok());
        assert!(check(NetworkKind::ResNet20, Taps::Relu).is_err());
        let error = check(NetworkKind::ResNet56, Taps::Blocks).unwrap_err();
        assert!(error.to_string().contains("resnet56"), "{error}");
    }
}

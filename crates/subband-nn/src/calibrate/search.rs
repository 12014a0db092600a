use super::{CalibrateConfig, SearchResult, StepRule, TapStatistics, at_scale, count};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::evaluate;
use crate::network::Network;
use crate::progress::Progress;

/// Step scales are searched between these powers of two.
const RANGE: (f64, f64) = (-8.0, 5.0);
/// A search ends when the answer is known to this many octaves: 1.1% of a step for a rate, which is smooth, and 4.4% for
/// an accuracy, where less is lost in the noise of single images.
const RATE_TOLERANCE: f64 = 1.0 / 64.0;
const ACCURACY_TOLERANCE: f64 = 1.0 / 16.0;

/// The step scale that meets the rule, and what was measured there.
pub(super) fn search(
    network: &Network,
    train: &Dataset,
    held_out: &Dataset,
    config: &CalibrateConfig,
    statistics: &[TapStatistics],
    progress: &mut dyn Progress,
) -> Result<(f64, SearchResult)> {
    let mut probes = 0;
    let images = held_out.len();
    let found = match config.rule {
        StepRule::TargetDrop(points) => {
            let before = count::count(network, held_out, &[], "held-out accuracy", progress)?;
            let found = bisect(false, ACCURACY_TOLERANCE, |k| {
                probes += 1;
                let stage = format!("probe {probes}: k = {k:.3}");
                let codings = at_scale(config, statistics, k);
                let with = count::count(network, held_out, &codings, &stage, progress)?;
                let drop = 100.0 * (before.accuracy() - with.accuracy());
                progress.message(&format!("step scale {k:.4}: a drop of {drop:.2} points"));
                Ok((drop <= points, drop))
            })?;
            found.ok_or_else(|| format!("even a step scale of {:.4} drops more than {points} points", RANGE.0.exp2()))
        }
        StepRule::Bits(bits) => bisect(true, RATE_TOLERANCE, |k| {
            probes += 1;
            let stage = format!("probe {probes}: k = {k:.3}");
            let codings = at_scale(config, statistics, k);
            let counted = count::fit_and_count(network, train, &codings, subband::Effort::Default, progress)?;
            let profile = counted.into_profile(network)?;
            let achieved = evaluate::bits_per_value(network, held_out, &profile, &stage, progress)?;
            progress.message(&format!("step scale {k:.4}: {achieved:.3} bits per value"));
            Ok((achieved <= bits, achieved))
        })?
        .ok_or_else(|| format!("even a step scale of {} takes more than {bits} bits per value", RANGE.1.exp2())),
        StepRule::Scale(_) | StepRule::Thesis => Err("this rule has nothing to search".into()),
    };
    let (k, achieved) = found.map_err(Error::argument)?;
    Ok((k, SearchResult { achieved, images, probes }))
}

/// Bisects log2 of the step scale for the border between scales that meet the target and those that do not.
///
/// `coarse_meets`: coarse steps meet it and the finest such scale is wanted (a rate); otherwise fine ones meet it and
/// the coarsest such scale is wanted (an accuracy). The answer is always a scale that was itself measured and met the
/// target; `None` where not even the easiest one did.
fn bisect(
    coarse_meets: bool,
    tolerance: f64,
    mut probe: impl FnMut(f64) -> Result<(bool, f64)>,
) -> Result<Option<(f64, f64)>> {
    let easy_end = if coarse_meets { RANGE.1 } else { RANGE.0 };
    let towards_hard = if coarse_meets { -1.0 } else { 1.0 };
    let mut best: Option<(f64, f64)> = None;
    let mut failed: Option<f64> = None;
    // From a usual scale, walk octave by octave until the border is between two probes.
    let mut at = -1.0f64;
    loop {
        let (met, achieved) = probe(at.exp2())?;
        if met {
            best = Some((at, achieved));
        } else {
            failed = Some(at);
        }
        at = match (best, failed) {
            (Some((good, _)), Some(bad)) if (good - bad).abs() <= tolerance => break,
            (Some((good, _)), Some(bad)) => 0.5 * (good + bad),
            (Some((good, _)), None) => good + towards_hard,
            (None, Some(bad)) => bad - towards_hard,
            (None, None) => break,
        };
        if !(RANGE.0..=RANGE.1).contains(&at) {
            break;
        }
    }
    // All scales down to the hard end meet it (a drop of 100 points, 32 bits), or none up to the easy end does.
    debug_assert!(best.is_some() || failed.is_none_or(|bad| bad == easy_end));
    Ok(best.map(|(log2, achieved)| (log2.exp2(), achieved)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates fall with k: bits = 4 - 2 log2(k).
    fn bits_at(k: f64) -> f64 {
        4.0 - 2.0 * k.log2()
    }

    #[test]
    fn the_finest_steps_within_a_rate() {
        let (k, achieved) = bisect(true, RATE_TOLERANCE, |k| Ok((bits_at(k) <= 3.0, bits_at(k)))).unwrap().unwrap();
        // 4 - 2 log2(k) = 3 at k = sqrt(2).
        assert!((0.0..RATE_TOLERANCE + 1e-9).contains(&(k.log2() - 0.5)), "{k}");
        assert!(achieved <= 3.0 && achieved > 2.96);
    }

    #[test]
    fn the_coarsest_steps_within_a_drop() {
        // The drop is k / 2 points; 0.1 points is k = 0.2.
        let (k, achieved) = bisect(false, ACCURACY_TOLERANCE, |k| Ok((k / 2.0 <= 0.1, k / 2.0))).unwrap().unwrap();
        assert!((0.19..=0.2).contains(&k) && achieved <= 0.1, "{k}");
    }

    #[test]
    fn targets_beyond_the_range() {
        assert!(bisect(true, RATE_TOLERANCE, |k| Ok((false, k))).unwrap().is_none());
        let everything = bisect(false, ACCURACY_TOLERANCE, |k| Ok((true, k))).unwrap().unwrap();
        assert_eq!(everything.0, RANGE.1.exp2());
    }
}

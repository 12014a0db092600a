use super::budget::Trial;

/// Trials that cost more points are left out: there a nat costs less, since what is wrong cannot become more so.
const PROPORTIONAL: f64 = 10.0;
/// A drop of so many points stands out from chance over a hundred inputs or two.
const STANDS_OUT: f64 = 4.0;
/// Outputs that are further off are none.
const MOST_NATS: f64 = 1e6;

/// What a nat of divergence costs a network, in points of top-1 accuracy.
///
/// Drop and divergence both grow with the square of what the codec does to the outputs, so they are in proportion: over 500
/// photographs and five step scales a ResNet-18 lost 20 to 33 points a nat. Of a few hundred inputs the drop of a mild setting is
/// lost in chance, while its divergence is known well. So strong settings, whose drop stands out, tell the price, and the
/// divergence of a mild one tells its drop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DivergencePrice {
    pub points_per_nat: f64,
    /// Whether a drop that stands out is among what it was taken from.
    pub stands_out: bool,
}

impl DivergencePrice {
    /// From expected drops and divergences of trials on the same inputs: all drops by all divergences, which is the best
    /// estimate where the variance of a drop is in proportion to the divergence, as it nearly is.
    pub fn of<'a>(trials: impl Iterator<Item = &'a Trial>) -> Self {
        let known = trials.map(|trial| (trial.measured.kl, trial.measured.top1_drop_expected.unwrap_or(f64::NAN)));
        let known: Vec<(f64, f64)> = known.filter(|(kl, drop)| *kl < MOST_NATS && drop.is_finite()).collect();
        let mut used: Vec<(f64, f64)> = known.iter().copied().filter(|(_, drop)| *drop <= PROPORTIONAL).collect();
        if used.is_empty() {
            used.extend(known.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0)));
        }
        let (nats, points) = used.iter().fold((0.0, 0.0), |(nats, points), (kl, drop)| (nats + kl, points + drop));
        let points_per_nat = if nats > 0.0 { points / nats } else { 0.0 };
        Self { points_per_nat, stands_out: known.iter().any(|(_, drop)| *drop >= STANDS_OUT) }
    }

    /// Points that are to be expected of a divergence.
    pub fn drop(self, kl: f64) -> f64 {
        if kl < MOST_NATS { self.points_per_nat * kl } else { f64::INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measured;

    fn price(found: &[(f64, f64)]) -> DivergencePrice {
        let trial = |&(kl, drop): &(f64, f64)| {
            Trial::made_up(0.0, Measured { kl, top1_drop_expected: Some(drop), ..Measured::default() })
        };
        let trials: Vec<Trial> = found.iter().map(trial).collect();
        DivergencePrice::of(trials.iter())
    }

    #[test]
    fn by_hand() {
        // 0.8 + 5.2 points for 0.02 + 0.18 nats.
        let found = price(&[(0.02, 0.8), (0.18, 5.2)]);
        assert!((found.points_per_nat - 30.0).abs() < 1e-9 && found.stands_out);
        assert!((found.drop(0.01) - 0.3).abs() < 1e-9);
        // What broke the network tells nothing of small drops, unless there is nothing else.
        let found = price(&[(0.1, 2.0), (2.0, 50.0), (f64::MAX, 70.0)]);
        assert!((found.points_per_nat - 20.0).abs() < 1e-9 && found.stands_out && found.drop(f64::MAX).is_infinite());
        assert_eq!(price(&[(2.0, 50.0), (f64::MAX, 70.0)]).points_per_nat, 25.0);
        // Nothing has moved.
        assert_eq!(price(&[(0.0, 0.0)]), DivergencePrice { points_per_nat: 0.0, stands_out: false });
        assert_eq!(price(&[]).drop(1.0), 0.0);
    }
}

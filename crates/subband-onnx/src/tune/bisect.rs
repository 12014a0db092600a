use super::budget::{Budget, Trial};
use super::divergence_price::DivergencePrice;
use crate::error::Result;

/// Where a search begins and how it goes on; all in units of strength.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub start: f64,
    /// The first step away from the start, twice as large each time.
    pub stride: f64,
    /// The search ends where this is left between what keeps the budget and what does not.
    pub tolerance: f64,
    /// Nothing beyond these is tried.
    pub bounds: [f64; 2],
}

/// What a search found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// In the order they were made.
    pub trials: Vec<Trial>,
    /// The strongest that keeps the budget, else the weakest of all.
    pub best: f64,
    pub met: bool,
    /// By all trials, and those known before.
    pub price: DivergencePrice,
}

/// Trials that are made to see a drop that stands out from chance.
const STRONGER: usize = 6;

impl Found {
    /// The trial of `best`.
    pub fn trial(&self) -> &Trial {
        self.trials.iter().find(|trial| trial.strength == self.best).expect("what is the best was measured")
    }
}

/// The most strength that keeps `budget`, with none below it that was tried and does not. Outputs of a finite number of inputs
/// need not worsen in order: it is the end of one bisection, not the luckiest setting of all. `known` are trials of another
/// family on the same inputs.
pub(super) fn strongest(
    path: Path,
    budget: &Budget,
    known: &[Trial],
    measure: &mut dyn FnMut(f64) -> Result<Trial>,
) -> Result<Found> {
    let Path { start, stride, tolerance, bounds: [low, high] } = path;
    let mut trials: Vec<Trial> = Vec::new();
    let mut reach = stride;
    let mut at = start.clamp(low, high);
    loop {
        trials.push(measure(at)?);
        let price = DivergencePrice::of(known.iter().chain(&trials));
        let strengths = || trials.iter().map(|trial| trial.strength);
        let most = strengths().max_by(f64::total_cmp).expect("one was made");
        if budget.wants_stronger(price) && trials.len() <= STRONGER && most < high {
            at = (most + stride).min(high);
            continue;
        }
        let (kept, broken) = edge(&trials, &|trial| budget.keeps(&trial.measured, price));
        let mut further = |from: f64, sign: f64| {
            let next = (from + sign * reach).clamp(low, high);
            reach *= 2.0;
            (next != from).then_some(next)
        };
        let next = match (kept, broken) {
            (Some(a), Some(b)) => (b - a > tolerance).then_some((a + b) / 2.0),
            (Some(a), None) => further(a, 1.0),
            (None, Some(b)) => further(b, -1.0),
            (None, None) => None,
        };
        match next {
            Some(next) => at = next,
            None => {
                let weakest = strengths().min_by(f64::total_cmp).expect("one was made");
                return Ok(Found { best: kept.unwrap_or(weakest), met: kept.is_some(), price, trials });
            }
        }
    }
}

/// The strongest of the trials that keep the budget before the first that does not, and that one.
fn edge(trials: &[Trial], keeps: &dyn Fn(&Trial) -> bool) -> (Option<f64>, Option<f64>) {
    let strengths =
        |wanted: bool| trials.iter().filter(move |&trial| keeps(trial) == wanted).map(|trial| trial.strength);
    let broken = strengths(false).min_by(f64::total_cmp);
    let kept = strengths(true).filter(|&kept| broken.is_none_or(|broken| kept < broken)).max_by(f64::total_cmp);
    (kept, broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measured;

    /// A network whose divergence is the strength's exponential.
    fn run(start: f64, budget: f64, bounds: [f64; 2]) -> Found {
        let path = Path { start, stride: 0.5, tolerance: 0.01, bounds };
        strongest(path, &Budget::MaxKl(budget), &[], &mut |strength| {
            let measured = Measured { kl: strength.exp(), ..Measured::default() };
            Ok(Trial::made_up(strength, measured))
        })
        .unwrap()
    }

    #[test]
    fn the_edge_is_found_from_both_sides() {
        for start in [-4.0, 0.0, 3.0] {
            let found = run(start, 2.0, [-20.0, 20.0]);
            let edge = 2f64.ln();
            assert!(found.met && found.best <= edge && found.best > edge - 0.011, "{start} {}", found.best);
        }
    }

    #[test]
    fn a_drop_is_found_by_what_divergence_costs() {
        // Divergence grows as the square of a step; 30 points a nat, and chance that grows as its root: half a point is at 1/60 nats.
        let drop = |kl: f64, strength: f64| 30.0 * kl + 4.0 * kl.sqrt() * (strength * 911.0).sin();
        let path = Path { start: -3.0, stride: 0.5, tolerance: 1.0 / 32.0, bounds: [-15.0, 5.0] };
        let found = strongest(path, &Budget::MaxDrop(0.5), &[], &mut |strength| {
            let kl = (2.0 * strength).exp();
            let measured = Measured { kl, top1_drop_expected: Some(drop(kl, strength)), ..Measured::default() };
            Ok(Trial::made_up(strength, measured))
        })
        .unwrap();
        let edge = (1.0f64 / 60.0).ln() / 2.0;
        assert!(found.met && (found.best - edge).abs() < 0.2, "{} {edge}", found.best);
        assert!(found.price.stands_out && found.trials.len() < 20, "{:?}", found.price);
        // With these known, another family needs no drop that stands out.
        let mut made = 0;
        let again = strongest(Path { start: edge, ..path }, &Budget::MaxDrop(0.5), &found.trials, &mut |strength| {
            made += 1;
            let measured =
                Measured { kl: (2.0 * strength).exp(), top1_drop_expected: Some(0.5), ..Measured::default() };
            Ok(Trial::made_up(strength, measured))
        })
        .unwrap();
        assert!((again.best - edge).abs() < 0.3 && made < 9, "{} {made}", again.best);
    }

    #[test]
    fn bounds_hold() {
        let never = run(0.0, 1e-9, [-3.0, 3.0]);
        assert!(!never.met && never.best == -3.0);
        let always = run(0.0, 1e9, [-3.0, 3.0]);
        assert!(always.met && always.best == 3.0);
    }
}

use super::budget::{Budget, Trial};
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
}

/// The most strength that keeps `budget`. Outputs of a finite number of inputs need not worsen in order: it is the end of one
/// bisection, not the luckiest setting of all.
pub(super) fn strongest(path: Path, budget: &Budget, measure: &mut dyn FnMut(f64) -> Result<Trial>) -> Result<Found> {
    let Path { start, stride, tolerance, bounds: [low, high] } = path;
    let mut trials: Vec<Trial> = Vec::new();
    let mut keeps = |strength: f64| -> Result<bool> {
        let trial = measure(strength)?;
        trials.push(trial);
        Ok(budget.is_met(trials.last().expect("just pushed"), &trials))
    };
    let mut at = start.clamp(low, high);
    let up = keeps(at)?;
    // On one side the budget is kept, on the other it is not.
    let (mut kept, mut broken) = if up { (Some(at), None) } else { (None, Some(at)) };
    let mut reach = stride;
    while kept.is_none() || broken.is_none() {
        let next = if up { at + reach } else { at - reach }.clamp(low, high);
        if next == at {
            break;
        }
        at = next;
        reach *= 2.0;
        if keeps(at)? { kept = Some(at) } else { broken = Some(at) }
    }
    while let (Some(a), Some(b)) = (kept, broken)
        && b - a > tolerance
    {
        let middle = (a + b) / 2.0;
        if keeps(middle)? { kept = Some(middle) } else { broken = Some(middle) }
    }
    // A later trial may have shown that an earlier one was lucky.
    let still = trials.iter().filter(|trial| budget.is_met(trial, &trials)).map(|trial| trial.strength);
    let still = still.filter(|&strength| kept.is_some_and(|kept| strength <= kept)).max_by(f64::total_cmp);
    let weakest = trials.iter().map(|trial| trial.strength).min_by(f64::total_cmp).expect("one was made");
    Ok(Found { best: still.or(kept).unwrap_or(weakest), met: kept.is_some(), trials })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measured;

    /// A network whose divergence is the strength's exponential.
    fn run(start: f64, budget: f64, bounds: [f64; 2]) -> Found {
        let path = Path { start, stride: 0.5, tolerance: 0.01, bounds };
        strongest(path, &Budget::MaxKl(budget), &mut |strength| {
            let measured = Measured { kl: strength.exp(), ..Measured::default() };
            Ok(Trial { strength, measured, bits_per_value: None, output_mse: 0.0, labelled: 0, lost: 0, gained: 0 })
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
    fn bounds_hold() {
        let never = run(0.0, 1e-9, [-3.0, 3.0]);
        assert!(!never.met && never.best == -3.0);
        let always = run(0.0, 1e9, [-3.0, 3.0]);
        assert!(always.met && always.best == 3.0);
    }
}

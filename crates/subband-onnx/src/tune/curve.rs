use serde::{Deserialize, Serialize};

/// What one step gave at one tap, the others not coded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Point {
    /// Step in units of the map.
    pub step: f64,
    /// Bits a value.
    pub bits: f64,
    /// Harm done to the output for each input: divergence in nats, or squared error.
    pub harm: f64,
}

/// Bits and harm as functions of the step: parabolas in its logarithm, straight beyond the measured points.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Curve {
    bits: Parabola,
    ln_harm: Parabola,
    /// Logarithms of the smallest and the largest step measured.
    range: [f64; 2],
}

/// Harm less than this counts as this: a tap that nothing depends on.
const NO_HARM: f64 = 1e-12;
/// How far beyond the measured steps a curve is trusted, in natural logarithms.
const BEYOND: f64 = 0.7;
/// Steps that are tried in choosing, a natural logarithm of 1.
const STEPS_A_UNIT: f64 = 48.0;

impl Curve {
    /// Through two points or more.
    pub fn new(points: &[Point]) -> Self {
        let at = |of: &dyn Fn(&Point) -> f64| points.iter().map(|p| (p.step.ln(), of(p))).collect::<Vec<_>>();
        let steps = points.iter().map(|point| point.step.ln());
        Self {
            bits: Parabola::fit(&at(&|point| point.bits)),
            ln_harm: Parabola::fit(&at(&|point| point.harm.max(NO_HARM).ln())),
            range: [steps.clone().fold(f64::INFINITY, f64::min), steps.fold(f64::NEG_INFINITY, f64::max)],
        }
    }

    /// Bits and harm at a step.
    pub fn at(&self, step: f64) -> Point {
        let x = step.ln();
        let straight = |parabola: &Parabola| parabola.straight_beyond(self.range, x);
        Point { step, bits: straight(&self.bits).max(0.0), harm: straight(&self.ln_harm).exp() }
    }

    /// The step of least `bits * values + price * harm`, and that sum.
    pub fn best(&self, values: f64, price: f64) -> (Point, f64) {
        let [low, high] = [self.range[0] - BEYOND, self.range[1] + BEYOND];
        let tries = ((high - low) * STEPS_A_UNIT).ceil().max(1.0) as usize;
        let cost = |point: &Point| point.bits * values + price * point.harm;
        (0..=tries)
            .map(|i| self.at((low + (high - low) * i as f64 / tries as f64).exp()))
            .map(|point| (point, cost(&point)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .expect("there is at least one")
    }

    /// Bits where the harm is `harm`.
    pub fn bits_at_harm(&self, harm: f64) -> f64 {
        let [low, high] = [self.range[0] - 2.0 * BEYOND, self.range[1] + 2.0 * BEYOND];
        let tries = 200;
        let points = (0..=tries).map(|i| self.at((low + (high - low) * f64::from(i) / f64::from(tries)).exp()));
        let off = |point: &Point| (point.harm.max(NO_HARM) / harm.max(NO_HARM)).ln().abs();
        points.min_by(|a, b| off(a).total_cmp(&off(b))).expect("there is at least one").bits
    }
}

/// `a + b x + c x^2`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Parabola {
    a: f64,
    b: f64,
    c: f64,
}

impl Parabola {
    /// Least squares; a line through fewer than four points.
    fn fit(points: &[(f64, f64)]) -> Self {
        let count = points.len() as f64;
        let middle = points.iter().map(|p| p.0).sum::<f64>() / count;
        let moment = |power: i32| points.iter().map(|p| (p.0 - middle).powi(power)).sum::<f64>() / count;
        let mixed = |power: i32| points.iter().map(|p| (p.0 - middle).powi(power) * p.1).sum::<f64>() / count;
        // The first moment is 0, so the line's slope and the rest part.
        let (m2, m3, m4) = (moment(2), moment(3), moment(4));
        let (y0, y1, y2) = (mixed(0), mixed(1), mixed(2));
        let determinant = m4 * m2 - m3 * m3 - m2 * m2 * m2;
        let curved = points.len() >= 4 && determinant > 1e-9 * m2.powi(3);
        let c = if curved { (m2 * (y2 - m2 * y0) - m3 * y1) / determinant } else { 0.0 };
        let b = if m2 > 0.0 { (y1 - c * m3) / m2 } else { 0.0 };
        let a = y0 - c * m2;
        Self { a: a - b * middle + c * middle * middle, b: b - 2.0 * c * middle, c }
    }

    fn straight_beyond(&self, [low, high]: [f64; 2], x: f64) -> f64 {
        let edge = x.clamp(low, high);
        self.a + self.b * edge + self.c * edge * edge + (self.b + 2.0 * self.c * edge) * (x - edge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_is_found_and_goes_on_straight() {
        let f = |x: f64| 2.0 - 3.0 * x + 0.5 * x * x;
        let points: Vec<_> = [-1.0, 0.0, 0.5, 2.0].map(|x| (x, f(x))).into();
        let found = Parabola::fit(&points);
        assert!((found.a - 2.0).abs() < 1e-9 && (found.b + 3.0).abs() < 1e-9 && (found.c - 0.5).abs() < 1e-9);
        assert!((found.straight_beyond([-1.0, 2.0], 3.0) - (f(2.0) - 1.0)).abs() < 1e-9);
        let line = Parabola::fit(&[(1.0, 5.0), (3.0, 1.0)]);
        assert!((line.b + 2.0).abs() < 1e-12 && (line.a - 7.0).abs() < 1e-12 && line.c == 0.0);
    }

    #[test]
    fn equal_slopes_share_out_as_the_theory_says() {
        // Bits -log2 step and harm w step^2 each: the best step is where 2 w step^2 price = values / ln 2.
        let curve = |w: f64| {
            let point = |step: f64| Point { step, bits: 10.0 - step.log2(), harm: w * step * step };
            Curve::new(&[point(0.25), point(0.5), point(1.0), point(2.0)])
        };
        for w in [0.5, 8.0] {
            let (best, _) = curve(w).best(100.0, 100.0);
            let expected = (1.0 / (2.0 * w * std::f64::consts::LN_2)).sqrt();
            assert!((best.step / expected).ln().abs() < 0.03, "{} {expected}", best.step);
        }
        assert!((curve(1.0).bits_at_harm(1.0) - 10.0).abs() < 0.05);
    }
}

//! The layer with dense matrices in f64. Shares nothing with the kernels: the transforms are written down once more
//! with constants from the literature, and transposing is transposing a matrix.

use std::f64::consts::SQRT_2;

use subband::{Orientation, Subband, Wavelet};
use subband_kernels::{Isa, WaveletQuantize};

use crate::Case;

/// One transform of a signal whose even samples are low-pass.
fn analyse(wavelet: Wavelet, x: &mut [f64]) {
    let n = x.len() as isize;
    if n < 2 {
        return;
    }
    let mirrored = |x: &[f64], p: isize| x[p.abs().min(2 * (n - 1) - p.abs()) as usize];
    let lift = |x: &mut [f64], parity: usize, factor: f64| {
        for p in (parity..x.len()).step_by(2) {
            x[p] += factor * (mirrored(x, p as isize - 1) + mirrored(x, p as isize + 1));
        }
    };
    let scale = |x: &mut [f64], low: f64, high: f64| {
        x.iter_mut().enumerate().for_each(|(p, x)| *x *= if p % 2 == 0 { low } else { high });
    };
    match wavelet {
        Wavelet::None => {}
        Wavelet::Haar | Wavelet::Db2 => {
            // Rows of an orthogonal matrix; the unpaired last sample apart.
            let even = x.len() / 2 * 2;
            let r3 = 3f64.sqrt();
            let filter: &[f64] = match wavelet {
                Wavelet::Haar => &[1.0 / SQRT_2, 1.0 / SQRT_2],
                _ => &[1.0 + r3, 3.0 + r3, 3.0 - r3, 1.0 - r3].map(|v| v / (4.0 * SQRT_2)),
            };
            let old = x.to_vec();
            let at = |p: isize| old[p.rem_euclid(even as isize) as usize];
            for p in (0..even as isize).step_by(2) {
                let taps = || filter.iter().enumerate();
                x[p as usize] = taps().map(|(i, h)| h * at(p + i as isize)).sum();
                // The mirrored filter with alternating signs; its place is the codec's convention.
                let high = taps().map(|(i, h)| [-h, *h][i % 2] * at(p + 1 - i as isize));
                x[p as usize + 1] = if wavelet == Wavelet::Haar {
                    at(p + 1) * filter[0] - at(p) * filter[0]
                } else {
                    -high.sum::<f64>()
                };
            }
            if x.len() > even {
                x[even] *= SQRT_2;
            }
        }
        Wavelet::LeGall53 => {
            lift(x, 1, -0.5);
            lift(x, 0, 0.25);
            scale(x, SQRT_2, 1.0 / SQRT_2);
        }
        Wavelet::Cdf97 => {
            let k = 1.230_174_104_914_001;
            lift(x, 1, -1.586_134_342_059_924);
            lift(x, 0, -0.052_980_118_572_961);
            lift(x, 1, 0.882_911_075_530_934);
            lift(x, 0, 0.443_506_852_043_971);
            scale(x, SQRT_2 / k, k / SQRT_2);
        }
    }
}

/// A square matrix, row-major.
#[derive(Clone)]
pub struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Of the transform of a plane in place: sample `2i` of a row or column becomes low-pass and stays where it is.
    fn analysis(wavelet: Wavelet, levels: u8, height: usize, width: usize) -> Matrix {
        let size = height * width;
        let mut values = vec![0.0; size * size];
        for column in 0..size {
            let mut plane = vec![0.0; size];
            plane[column] = 1.0;
            for stride in (0..levels).map(|level| 1 << level) {
                for y in (0..height).step_by(stride) {
                    transform_line(wavelet, &mut plane, (0..width).step_by(stride).map(|x| y * width + x).collect());
                }
                for x in (0..width).step_by(stride) {
                    transform_line(wavelet, &mut plane, (0..height).step_by(stride).map(|y| y * width + x).collect());
                }
            }
            (0..size).for_each(|row| values[row * size + column] = plane[row]);
        }
        Matrix { size, values }
    }

    /// By elimination with pivots.
    fn inverse(&self) -> Matrix {
        let n = self.size;
        let mut a = self.values.clone();
        let mut inverse = vec![0.0; n * n];
        (0..n).for_each(|i| inverse[i * n + i] = 1.0);
        for column in 0..n {
            let pivot = (column..n).max_by(|i, j| a[i * n + column].abs().total_cmp(&a[j * n + column].abs())).unwrap();
            for j in 0..n {
                a.swap(column * n + j, pivot * n + j);
                inverse.swap(column * n + j, pivot * n + j);
            }
            let scale = 1.0 / a[column * n + column];
            for j in 0..n {
                a[column * n + j] *= scale;
                inverse[column * n + j] *= scale;
            }
            for row in (0..n).filter(|&row| row != column) {
                let factor = a[row * n + column];
                for j in (0..n).filter(|_| factor != 0.0) {
                    a[row * n + j] -= factor * a[column * n + j];
                    inverse[row * n + j] -= factor * inverse[column * n + j];
                }
            }
        }
        Matrix { size: n, values: inverse }
    }

    /// Whether every term of row `row` of the product is zero.
    fn is_empty_row(&self, row: usize, x: &[f64]) -> bool {
        self.values[row * self.size..][..self.size].iter().zip(x).all(|(a, x)| a * x == 0.0)
    }

    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        self.values.chunks_exact(self.size).map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
    }

    fn transposed_times(&self, x: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; self.size];
        for (row, x) in self.values.chunks_exact(self.size).zip(x) {
            sum.iter_mut().zip(row).for_each(|(sum, a)| *sum += a * x);
        }
        sum
    }
}

fn transform_line(wavelet: Wavelet, plane: &mut [f64], places: Vec<usize>) {
    let mut line: Vec<f64> = places.iter().map(|&i| plane[i]).collect();
    analyse(wavelet, &mut line);
    places.iter().zip(line).for_each(|(&i, v)| plane[i] = v);
}

pub struct Reference {
    case: Case,
    analysis: Matrix,
    synthesis: Matrix,
    /// Subband of each position of a plane.
    subband: Vec<usize>,
    /// `[batch, channels, positions]`; zero without noise.
    noise: Vec<f64>,
}

/// As the kernel's outcome, in f64.
pub struct Gradients {
    pub dx: Vec<f64>,
    /// `[channels, S]`.
    pub dlog_steps: Vec<f64>,
    pub dkept: Vec<f64>,
}

impl Reference {
    pub fn new(case: &Case) -> Reference {
        let [_, _, height, width] = case.sizes;
        let analysis = Matrix::analysis(case.wavelet, case.levels, height, width);
        let subband = |i: usize| {
            let place = (i % width, i / width);
            let of = |s: &usize| subband_at(place, case.levels) == Subband::at(*s, case.levels);
            (0..case.subbands()).find(of).unwrap()
        };
        let mut noise = vec![0.0; case.x.len()];
        if case.noise.is_some() {
            // Noise is all that is left of zeros, and it depends on places alone.
            let subbands = case.sizes[1];
            let plain = WaveletQuantize {
                wavelet: Wavelet::None,
                levels: 0,
                steps: &[1.0],
                kept: &vec![1.0; subbands],
                nonnegative: false,
                ..case.layer()
            };
            plain.forward(Isa::portable(), &vec![0.0; case.x.len()], &mut noise);
        }
        Reference {
            case: case.clone(),
            synthesis: analysis.inverse(),
            analysis,
            subband: (0..height * width).map(subband).collect(),
            noise: noise.iter().map(|&v| f64::from(v)).collect(),
        }
    }

    /// `[channels, S]`: natural logarithms of the actual steps, gates. To be varied by the caller.
    pub fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        let subbands = self.case.subbands();
        let log_step = |i: usize| {
            let gain = self.case.wavelet.synthesis_gain(&Subband::at(i % subbands, self.case.levels));
            f64::from(self.case.steps[i % self.case.steps.len()] / gain).ln()
        };
        let count = self.case.kept.len();
        ((0..count).map(log_step).collect(), self.case.kept.iter().map(|&v| f64::from(v)).collect())
    }

    /// Values per channel and subband.
    fn count(&self, subband: usize) -> f64 {
        (self.case.sizes[0] * self.subband.iter().filter(|&&s| s == subband).count()) as f64
    }

    /// Decoded values in steps before the gate, and what the magnitudes are taken of.
    fn quantize(&self, u: f64, noise: f64) -> (f64, f64) {
        if self.case.noise.is_some() {
            return (u + noise, u + noise);
        }
        let k = (u.abs() + f64::from(self.case.rounding)).floor();
        (u.signum() * (k - f64::from(self.case.reconstruction)).max(0.0), k)
    }

    /// Whether rounding in f32 may decide otherwise about an index.
    pub fn is_close_call(&self, x: &[f64]) -> bool {
        let mut turns = false;
        self.for_each_coefficient(x, |_, u, _| {
            let past = (u.abs() + f64::from(self.case.rounding)) % 1.0;
            turns |= self.case.noise.is_none() && !(1e-4..1.0 - 1e-4).contains(&past);
        });
        turns
    }

    /// For each channel and subband, whether rounding in f32 may decide otherwise about the sign of a coefficient. A sum
    /// that cancels to nothing, in whatever step of the lifting, may leave a sign behind; one of zeros does not, which
    /// only the wavelets of a single step can tell from the matrix.
    pub fn has_unsure_sign(&self, x: &[f64]) -> Vec<bool> {
        let mut unsure = vec![false; self.case.kept.len()];
        let single_step = matches!(self.case.wavelet, Wavelet::None | Wavelet::Haar);
        self.for_each_coefficient(x, |context, u, is_sum_of_zeros| {
            unsure[context] |= u.abs() < 1e-4 && !(single_step && is_sum_of_zeros);
        });
        unsure
    }

    /// Calls `visit` with the context of each coefficient, its quotient by the step, noise included, and whether every
    /// term of it is zero.
    fn for_each_coefficient(&self, x: &[f64], mut visit: impl FnMut(usize, f64, bool)) {
        let (log_steps, _) = self.parameters();
        let plane = self.subband.len();
        for (i, x) in x.chunks_exact(plane).enumerate() {
            for (p, c) in self.analysis.times(x).into_iter().enumerate() {
                let context = i % self.case.sizes[1] * self.case.subbands() + self.subband[p];
                let u = c / log_steps[context].exp() + self.noise[i * plane + p];
                visit(context, u, self.analysis.is_empty_row(p, x));
            }
        }
    }

    /// `y` before clamping, and the mean magnitudes.
    pub fn forward(&self, x: &[f64], log_steps: &[f64], kept: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let plane = self.subband.len();
        let mut mean = vec![0.0; kept.len()];
        let mut y = Vec::new();
        for (i, x) in x.chunks_exact(plane).enumerate() {
            let mut c = self.analysis.times(x);
            for (p, c) in c.iter_mut().enumerate() {
                let row = i % self.case.sizes[1] * self.case.subbands() + self.subband[p];
                let step = log_steps[row].exp();
                let (d, k) = self.quantize(*c / step, self.noise[i * plane + p]);
                mean[row] += k.abs() / self.count(self.subband[p]);
                *c = kept[row] * step * d;
            }
            y.extend(self.synthesis.times(&c));
        }
        (y, mean)
    }

    pub fn backward(&self, x: &[f64], log_steps: &[f64], kept: &[f64], dy: &[f64], rate: &[f64]) -> Gradients {
        let plane = self.subband.len();
        let (y, _) = self.forward(x, log_steps, kept);
        let mut to = Gradients { dx: Vec::new(), dlog_steps: vec![0.0; kept.len()], dkept: vec![0.0; kept.len()] };
        for (i, x) in x.chunks_exact(plane).enumerate() {
            let at = i * plane..(i + 1) * plane;
            let rounds = self.case.noise.is_none();
            let passes = |y: f64, x: f64| !self.case.nonnegative || y > 0.0 || (rounds && x > 0.0);
            let values = dy[at.clone()].iter().zip(&y[at]).zip(x);
            let masked = values.map(|((&dy, &y), &x)| if passes(y, x) { dy } else { 0.0 });
            let g = self.synthesis.transposed_times(&masked.collect::<Vec<_>>());
            let c = self.analysis.times(x);
            let mut dc = vec![0.0; plane];
            for p in 0..plane {
                let row = i % self.case.sizes[1] * self.case.subbands() + self.subband[p];
                let (step, count) = (log_steps[row].exp(), self.count(self.subband[p]));
                let u = c[p] / step;
                let (d, k) = self.quantize(u, self.noise[i * plane + p]);
                let sign = match self.case.noise {
                    Some(_) => k.signum(),
                    None if u.abs() < 1e-12 => 0.0,
                    None => u.signum(),
                };
                dc[p] = kept[row] * (g[p] + rate[row] / count * sign / step);
                to.dlog_steps[row] += kept[row] * (g[p] * step * (d - u) - rate[row] / count * sign * u);
                to.dkept[row] += g[p] * step * d;
            }
            to.dx.extend(self.analysis.transposed_times(&dc));
        }
        to
    }
}

/// By the number of times that both coordinates can be halved.
fn subband_at((x, y): (usize, usize), levels: u8) -> Subband {
    for level in 1..=levels {
        let odd = |v: usize| (v >> (level - 1)) % 2 == 1;
        let orientation = match (odd(x), odd(y)) {
            (false, false) => continue,
            (true, false) => Orientation::HL,
            (false, true) => Orientation::LH,
            (true, true) => Orientation::HH,
        };
        return Subband { level, orientation };
    }
    Subband { level: levels, orientation: Orientation::LL }
}

//! The codec layer against the codec and against dense matrices, on every instruction set of this machine.

mod codec;
#[path = "../common/mod.rs"]
mod common;
mod gradients;
mod reference;

use common::uniform;
use proptest::prelude::*;
use subband::Wavelet;
use subband_kernels::{Isa, WaveletQuantize, WaveletQuantizeGradients};

/// Input and parameters of a layer.
#[derive(Clone, Debug)]
struct Case {
    sizes: [usize; 4],
    wavelet: Wavelet,
    levels: u8,
    x: Vec<f32>,
    steps: Vec<f32>,
    kept: Vec<f32>,
    rounding: f32,
    reconstruction: f32,
    nonnegative: bool,
    noise: Option<u64>,
}

/// What a layer computes.
#[derive(Debug, PartialEq)]
struct Outcome {
    y: Vec<f32>,
    mean: Vec<f32>,
    dx: Vec<f32>,
    dlog_steps: Vec<f32>,
    dkept: Vec<f32>,
}

impl Case {
    /// A ReLU map with smooth parts, steps by subband, and everything kept.
    fn new(sizes: [usize; 4], wavelet: Wavelet, levels: u8, seed: u64) -> Case {
        let levels = if wavelet == Wavelet::None { 0 } else { levels };
        let [batch, channels, height, width] = sizes;
        let subbands = 3 * usize::from(levels) + 1;
        let noise = uniform(batch * channels * height * width, seed);
        let value = |(i, noise): (usize, &f32)| {
            let (x, y, plane) = (i % width, i / width % height, i / width / height);
            let smooth = (x as f32 * 0.5 + plane as f32).sin() + (y as f32 * 0.3 - plane as f32).cos();
            (2.0 * smooth + noise).max(0.0)
        };
        Case {
            sizes,
            wavelet,
            levels,
            x: noise.iter().enumerate().map(value).collect(),
            steps: uniform(subbands, seed + 1).iter().map(|v| 0.4 + 0.3 * v).collect(),
            kept: vec![1.0; channels * subbands],
            rounding: 0.5,
            reconstruction: 0.0,
            nonnegative: true,
            noise: None,
        }
    }

    fn subbands(&self) -> usize {
        3 * usize::from(self.levels) + 1
    }

    fn per_channel(mut self) -> Case {
        self.steps = uniform(self.kept.len(), 77).iter().map(|v| 0.5 + 0.4 * v).collect();
        self
    }

    /// Drops every fifth subband, the approximations apart.
    fn masked(mut self) -> Case {
        let subbands = self.subbands();
        let dropped = (0..self.kept.len()).filter(|i| i % subbands > 0 && (i * 7 + i / subbands).is_multiple_of(5));
        dropped.for_each(|i| self.kept[i] = 0.0);
        self
    }

    fn layer(&self) -> WaveletQuantize<'_> {
        let [batch, channels, height, width] = self.sizes;
        WaveletQuantize {
            batch,
            channels,
            height,
            width,
            wavelet: self.wavelet,
            levels: self.levels,
            steps: &self.steps,
            kept: &self.kept,
            rounding: self.rounding,
            reconstruction: self.reconstruction,
            nonnegative: self.nonnegative,
            noise: self.noise,
        }
    }

    fn run(&self, isa: Isa, dy: &[f32], rate_gradient: &[f32]) -> Outcome {
        let layer = self.layer();
        let mut y = vec![f32::NAN; self.x.len()];
        let mean = layer.forward(isa, &self.x, &mut y);
        let [mut dx, mut dlog_steps, mut dkept] =
            [self.x.len(), self.steps.len(), self.kept.len()].map(|len| vec![f32::NAN; len]);
        let to = WaveletQuantizeGradients { dx: &mut dx, dlog_steps: &mut dlog_steps, dkept: &mut dkept };
        let output = if self.nonnegative { &y[..] } else { &[] };
        layer.backward(isa, &self.x, output, dy, rate_gradient, to);
        Outcome { y, mean, dx, dlog_steps, dkept }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

impl Outcome {
    fn assert_same_bits(&self, other: &Outcome, what: &str) {
        let all = |o: &Outcome| [&o.y, &o.mean, &o.dx, &o.dlog_steps, &o.dkept].map(|values| bits(values));
        assert!(all(self) == all(other), "{what}");
    }
}

#[test]
fn by_hand() {
    // LL 6, HL 2, LH 3, HH 1; indices 3, 1, -3 (of -3.0), 1 with their steps, and HH dropped.
    let x = [1.0, 2.0, 3.0, 6.0];
    let layer = WaveletQuantize {
        batch: 1,
        channels: 1,
        height: 2,
        width: 2,
        wavelet: Wavelet::Haar,
        levels: 1,
        steps: &[2.0, 3.0, 1.0, 1.0],
        kept: &[1.0, 1.0, 1.0, 0.0],
        rounding: 0.5,
        reconstruction: 0.0,
        nonnegative: false,
        noise: None,
    };
    assert_eq!(layer.subband_sizes(), [1; 4]);
    for isa in Isa::all() {
        let mut y = [f32::NAN; 4];
        let mean = layer.forward(isa, &x, &mut y);
        common::assert_close("mean", &mean, &[3.0, 1.0, 3.0, 1.0], 0.0);
        // (6 -+ 3 -+ 3) / 2
        common::assert_close("y", &y, &[0.0, 3.0, 3.0, 6.0], 1e-6);
        let (mut dx, mut dlog_steps, mut dkept) = ([f32::NAN; 4], [f32::NAN; 4], [f32::NAN; 4]);
        let to = WaveletQuantizeGradients { dx: &mut dx, dlog_steps: &mut dlog_steps, dkept: &mut dkept };
        // A gradient of 2 for each of LL, HL and HH.
        layer.backward(isa, &x, &[], &[1.0, 1.0, -1.0, 3.0], &[0.0, 6.0, 0.0, 5.0], to);
        // g is LL 2, HL 2, LH 0, HH 2; the rate adds 6 / 3 to HL.
        common::assert_close("dx", &dx, &[-1.0, 3.0, -1.0, 3.0], 1e-6);
        // HL was rounded from 2/3 up to 1, which is 2 * 3 * (1/3); its rate falls by 6 * 2/3.
        common::assert_close("dlog_steps", &dlog_steps, &[0.0, 2.0 - 4.0, 0.0, 0.0], 1e-6);
        common::assert_close("dkept", &dkept, &[12.0, 6.0, 0.0, 2.0], 1e-6);
    }
}

#[test]
fn nan_and_infinity_are_not_hidden() {
    for isa in Isa::all() {
        for wavelet in Wavelet::ALL {
            for noise in [None, Some(3)] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut case = Case { noise, ..Case::new([2, 3, 9, 8], wavelet, 2, 5).masked() };
                    case.nonnegative = bad.is_nan();
                    case.x[100] = bad;
                    let outcome = case.run(isa, &case.x, &vec![0.0; case.kept.len()]);
                    assert!(outcome.y.iter().any(|y| !y.is_finite()), "{isa} {wavelet} {bad}");
                }
            }
        }
    }
}

#[test]
fn without_values() {
    for sizes in [[0, 3, 4, 4], [2, 3, 0, 4], [2, 3, 4, 0]] {
        let case = Case::new(sizes, Wavelet::Haar, 2, 1);
        let outcome = case.run(Isa::best(), &[], &[1.0; 21]);
        assert!([&outcome.mean, &outcome.dlog_steps, &outcome.dkept].iter().all(|v| v.iter().all(|&v| v == 0.0)));
    }
}

#[test]
fn thread_count_changes_nothing() {
    for noise in [None, Some(1)] {
        let case = Case { noise, ..Case::new([37, 6, 13, 11], Wavelet::Haar, 2, 9).per_channel().masked() };
        let dy = uniform(case.x.len(), 10);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| case.run(Isa::best(), &dy, &uniform(case.kept.len(), 11)))
        };
        let one = run(1);
        for threads in [2, 5] {
            one.assert_same_bits(&run(threads), &format!("{threads} threads"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// There is no fused multiply-add in here, and every sum has one order.
    #[test]
    fn instruction_set_changes_nothing(
        sizes in [1usize..4, 1usize..20, 1usize..20, 1usize..20], which in 0usize..5, levels in 0u8..5,
        noise in any::<Option<u64>>(), seed in any::<u16>(),
    ) {
        let case = Case::new(sizes, Wavelet::ALL[which], levels, u64::from(seed)).per_channel().masked();
        let case = Case { noise, reconstruction: 0.1, rounding: 0.3, ..case };
        let (dy, rate_gradient) = (uniform(case.x.len(), 2), uniform(case.kept.len(), 3));
        let best = case.run(Isa::best(), &dy, &rate_gradient);
        for isa in Isa::all() {
            best.assert_same_bits(&case.run(isa, &dy, &rate_gradient), &format!("{isa}: {case:?}"));
        }
    }
}

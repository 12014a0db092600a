//! Batch normalisation against the plain loops, on every instruction set of this machine.

mod common;

use common::{assert_close, assert_sums_close, uniform};
use proptest::prelude::*;
use subband_kernels::{
    BatchNorm, BatchNormGradients, BatchStats, Clipped, ConvShape, Epilogue, Isa, conv2d, reference,
};

const TOLERANCE: f32 = 1e-5;

struct Case {
    sizes: [usize; 3],
    x: Vec<f32>,
    residual: Vec<f32>,
    dy: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Case {
    fn new(batch: usize, channels: usize, plane: usize) -> Case {
        let len = batch * channels * plane;
        Case {
            sizes: [batch, channels, plane],
            x: uniform(len, 1).iter().map(|x| 3.0 * x + 1.0).collect(),
            residual: uniform(len, 2),
            dy: uniform(len, 3),
            gamma: uniform(channels, 4),
            beta: uniform(channels, 5),
        }
    }

    fn norm(&self) -> BatchNorm<'_> {
        let [batch, channels, plane] = self.sizes;
        BatchNorm { batch, channels, plane, gamma: &self.gamma, beta: &self.beta, epsilon: 1e-5 }
    }

    /// Output, statistics, and the gradients of input, residual, gamma and beta.
    fn run(&self, isa: Isa, with_residual: bool, relu: bool) -> (Vec<f32>, BatchStats, [Vec<f32>; 4]) {
        let norm = self.norm();
        let mut y = vec![f32::NAN; self.x.len()];
        let stats = norm.forward(isa, &self.x, with_residual.then_some(&self.residual), relu, &mut y);
        let mut gradients = [self.x.len(), self.x.len(), norm.channels, norm.channels].map(|len| vec![f32::NAN; len]);
        let [dx, dresidual, dgamma, dbeta] = &mut gradients;
        let to = BatchNormGradients { dx, dresidual: with_residual.then_some(dresidual), dgamma, dbeta };
        let clipped = if relu { Clipped::Output(&y) } else { Clipped::No };
        norm.backward(isa, &self.x, &stats, clipped, &self.dy, to);
        if relu && !with_residual {
            let mut again = gradients.each_ref().map(|g| vec![f32::NAN; g.len()]);
            let [dx, _, dgamma, dbeta] = &mut again;
            let to = BatchNormGradients { dx, dresidual: None, dgamma, dbeta };
            norm.backward(isa, &self.x, &stats, Clipped::WithoutResidual, &self.dy, to);
            assert!([0, 2, 3].iter().all(|&i| again[i] == gradients[i]), "not the same sign from x, {isa}");
        }
        (y, stats, gradients)
    }

    fn check(&self) {
        let norm = self.norm();
        for (with_residual, relu) in [(false, false), (false, true), (true, false), (true, true)] {
            let residual = with_residual.then_some(&self.residual[..]);
            let (want_y, want_stats) = reference::batch_norm(&norm, &self.x, residual, relu);
            for isa in Isa::all() {
                let what = |name: &str| format!("{name}, {isa}, {:?}, {with_residual} {relu}", self.sizes);
                let (y, stats, gradients) = self.run(isa, with_residual, relu);
                assert_close(&what("output"), &y, &want_y, TOLERANCE);
                // A mean is a sum too: its error matters against the spread of the values.
                for ((got, want), variance) in stats.mean.iter().zip(&want_stats.mean).zip(&want_stats.variance) {
                    let allowed = TOLERANCE * variance.sqrt().max(want.abs());
                    assert!((got - want).abs() <= allowed, "{}: {got}, should be {want}", what("mean"));
                }
                assert_close(&what("variance"), &stats.variance, &want_stats.variance, TOLERANCE);
                assert_close(&what("inv_std"), &stats.inv_std, &want_stats.inv_std, TOLERANCE);
                // The same output for both: rounding may put a value on the other side of zero.
                let want = reference::batch_norm_backward(&norm, &self.x, relu.then_some(&y), &self.dy);
                for (i, name) in ["dx", "dresidual", "dgamma", "dbeta"].iter().enumerate() {
                    match i {
                        0 => assert_close(&what(name), &gradients[i], &want[i], TOLERANCE),
                        1 if with_residual => assert_close(&what(name), &gradients[i], &want[i], TOLERANCE),
                        1 => {}
                        _ => assert_sums_close(&what(name), &gradients[i], &want[i], &self.dy, TOLERANCE),
                    }
                }

                let mut y = vec![f32::NAN; self.x.len()];
                norm.inference(isa, &self.x, &stats.mean, &stats.variance, residual, relu, &mut y);
                assert_close(&what("inference"), &y, &want_y, TOLERANCE);
                self.check_owned(isa, residual, relu, &y);
            }
        }
    }
}

impl Case {
    /// In debug builds a value that is not written would be NaN.
    fn check_owned(&self, isa: Isa, residual: Option<&[f32]>, relu: bool, inference: &[f32]) {
        let norm = self.norm();
        let (y, stats, [dx, dresidual, dgamma, dbeta]) = self.run(isa, residual.is_some(), relu);
        assert!(norm.forward_owned(isa, &self.x, residual, relu) == (y.clone(), stats.clone()));
        assert!(norm.inference_owned(isa, &self.x, &stats.mean, &stats.variance, residual, relu) == inference);
        let clipped = if relu { Clipped::Output(&y) } else { Clipped::No };
        let got = norm.backward_owned(isa, &self.x, &stats, clipped, &self.dy, residual.is_some());
        assert!(got.dx == dx && got.dgamma == dgamma && got.dbeta == dbeta);
        assert!(got.dresidual == residual.map(|_| dresidual));
    }
}

#[test]
fn by_hand() {
    // Mean 3, variance 1 (and epsilon 3): half the distance from the mean, then 10 more.
    let norm = BatchNorm { batch: 2, channels: 1, plane: 2, gamma: &[1.0], beta: &[10.0], epsilon: 3.0 };
    for isa in Isa::all() {
        let mut y = [0.0; 4];
        let stats = norm.forward(isa, &[2.0, 4.0, 4.0, 2.0], None, false, &mut y);
        assert_eq!(y, [9.5, 10.5, 10.5, 9.5]);
        assert_eq!(stats, BatchStats { mean: vec![3.0], variance: vec![1.0], inv_std: vec![0.5] });
    }
}

#[test]
fn network_shapes() {
    for [batch, channels, plane] in [[5, 16, 1024], [9, 32, 256], [33, 64, 64], [2, 8, 12544], [3, 5, 49], [4, 20, 196]]
    {
        Case::new(batch, channels, plane).check();
    }
}

#[test]
fn large_mean() {
    let mut case = Case::new(8, 3, 300);
    // The spread is a thousandth of the mean. The reference sees the same rounded values.
    case.x.iter_mut().for_each(|x| *x = 1000.0 + *x / 3.0);
    let norm = case.norm();
    let (_, want) = reference::batch_norm(&norm, &case.x, None, false);
    for isa in Isa::all() {
        let (_, stats, _) = case.run(isa, false, false);
        assert_close("variance", &stats.variance, &want.variance, TOLERANCE);
    }
}

#[test]
fn nan_is_not_hidden_by_relu() {
    let norm = BatchNorm { batch: 1, channels: 1, plane: 20, gamma: &[1.0], beta: &[0.0], epsilon: 1e-5 };
    for isa in Isa::all() {
        let mut x = [1.0; 20];
        x[3] = f32::NAN;
        let mut y = [0.0; 20];
        norm.forward(isa, &x, None, true, &mut y);
        assert!(y.iter().all(|y| y.is_nan()), "{isa}: {y:?}");
    }
}

#[test]
fn thread_count_changes_nothing() {
    let case = Case::new(37, 7, 50);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| case.run(Isa::best(), true, true))
    };
    let one = run(1);
    for threads in [2, 5] {
        assert!(one == run(threads), "{threads} threads");
    }
}

/// Gradients against differences of the forward pass, which no formula of a gradient enters.
#[test]
fn finite_differences() {
    let case = Case::new(3, 2, 7);
    let norm = case.norm();
    let loss = |x: &[f32]| -> f64 {
        let (y, _) = reference::batch_norm(&norm, x, None, false);
        y.iter().zip(&case.dy).map(|(y, dy)| f64::from(*y) * f64::from(*dy)).sum()
    };
    let step = |i: usize, by: f32| {
        let mut x = case.x.clone();
        x[i] += by;
        loss(&x)
    };
    let want: Vec<f32> = (0..case.x.len()).map(|i| ((step(i, 1e-2) - step(i, -1e-2)) / 2e-2) as f32).collect();
    for isa in Isa::all() {
        let (_, _, [dx, ..]) = case.run(isa, false, false);
        assert_close("dx", &dx, &want, 2e-3);
    }
}

#[test]
fn folded_into_the_convolution() {
    let shape =
        ConvShape { batch: 2, in_channels: 3, out_channels: 5, height: 6, width: 7, kernel: 3, stride: 1, padding: 1 };
    let case = Case::new(2, 5, 42);
    let norm = case.norm();
    let x = uniform(shape.input_len(), 7);
    let mut w = uniform(shape.weight_len(), 8);
    let (mean, variance) = (uniform(5, 9), [0.5, 1.0, 2.0, 0.1, 3.0]);
    let isa = Isa::best();
    let (mut between, mut want, mut got) = (case.x.clone(), case.x.clone(), case.x.clone());
    conv2d(isa, &shape, &x, &w, Epilogue::default(), &mut between);
    norm.inference(isa, &between, &mean, &variance, Some(&case.residual), true, &mut want);
    let bias = norm.fold(&mean, &variance, &mut w);
    let epilogue = Epilogue { bias: Some(&bias), residual: Some(&case.residual), relu: true };
    conv2d(isa, &shape, &x, &w, epilogue, &mut got);
    assert_close("folded", &got, &want, TOLERANCE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_shape(batch in 1usize..40, channels in 1usize..9, plane in 1usize..150) {
        // Two equal values have no variance to speak of, and rounding is all there is.
        prop_assume!(batch * plane > 4);
        Case::new(batch, channels, plane).check();
    }
}

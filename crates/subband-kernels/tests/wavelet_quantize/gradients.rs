//! The gradients against dense matrices, and those against differences.

use proptest::prelude::*;
use subband::Wavelet;
use subband_kernels::Isa;

use crate::Case;
use crate::common::{assert_close, assert_sums_close, uniform};
use crate::reference::{Gradients, Reference};

const TOLERANCE: f32 = 1e-5;

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// Rows `[channels, S]` added up to `len` if the steps are shared.
fn shared(rows: &[f64], len: usize) -> Vec<f64> {
    let mut sums = vec![0.0; len];
    rows.iter().enumerate().for_each(|(i, row)| sums[i % len] += row);
    sums
}

/// Whether the case was fit for comparison.
fn check(case: &Case) -> bool {
    let reference = Reference::new(case);
    if reference.is_close_call(&wide(&case.x)) {
        return false;
    }
    let (log_steps, kept) = reference.parameters();
    let mut dy = uniform(case.x.len(), 101);
    let mut rate = uniform(case.kept.len(), 102);
    let x = wide(&case.x);
    // The rate pulls by the sign.
    rate.iter_mut().zip(reference.has_unsure_sign(&x)).filter(|(_, unsure)| *unsure).for_each(|(rate, _)| *rate = 0.0);
    let (mut y, mean) = reference.forward(&x, &log_steps, &kept);
    // Where rounding decides what is clamped there is nothing to compare.
    y.iter().zip(&mut dy).filter(|(y, _)| y.abs() < 1e-5).for_each(|(_, dy)| *dy = 0.0);
    let Gradients { dx, dlog_steps, dkept } = reference.backward(&x, &log_steps, &kept, &wide(&dy), &wide(&rate));
    // What the sums are made of, give or take their steps.
    let terms: Vec<f32> = dy.iter().zip(&case.x).map(|(dy, x)| dy * x.abs().max(1.0)).collect();
    if case.nonnegative {
        y.iter_mut().for_each(|y| *y = y.max(0.0));
    }
    for isa in Isa::all() {
        let got = case.run(isa, &dy, &rate);
        let what =
            |name: &str| format!("{name}, {isa}, {:?} {} {}, {:?}", case.sizes, case.wavelet, case.levels, case.noise);
        assert_close(&what("y"), &got.y, &narrow(&y), TOLERANCE);
        assert_close(&what("mean"), &got.mean, &narrow(&mean), TOLERANCE);
        assert_close(&what("dx"), &got.dx, &narrow(&dx), TOLERANCE);
        let dlog_steps = narrow(&shared(&dlog_steps, case.steps.len()));
        assert_sums_close(&what("dlog_steps"), &got.dlog_steps, &dlog_steps, &terms, TOLERANCE);
        assert_sums_close(&what("dkept"), &got.dkept, &narrow(&dkept), &terms, TOLERANCE);
    }
    true
}

#[test]
fn every_wavelet_and_size() {
    let mut compared = [0, 0];
    for wavelet in Wavelet::ALL {
        for (height, width) in (1..=13).flat_map(|height| (1..=13).map(move |width| (height, width))) {
            let case = Case::new([2, 3, height, width], wavelet, 2, (height * 13 + width) as u64);
            let case = Case { noise: (width % 2 == 0).then_some(5), ..case.per_channel().masked() };
            compared[usize::from(check(&case))] += 1;
        }
    }
    assert!(compared[1] > 4 * compared[0], "{compared:?}");
}

/// With `noise` everything is differentiable, so differences of the reference's forward pass are its gradients.
#[test]
fn finite_differences_of_the_reference() {
    for wavelet in [Wavelet::Haar, Wavelet::Cdf97] {
        let mut case = Case { noise: Some(8), nonnegative: false, ..Case::new([2, 2, 5, 6], wavelet, 2, 3) };
        case.kept = uniform(case.kept.len(), 4);
        let reference = Reference::new(&case);
        let (log_steps, kept) = reference.parameters();
        let x = wide(&case.x);
        let (dy, rate) = (wide(&uniform(case.x.len(), 5)), wide(&uniform(kept.len(), 6)));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        // The rate is that of what is kept, but gates have no gradient from it.
        let loss = |x: &[f64], log_steps: &[f64], gates: &[f64]| {
            let (y, mean) = reference.forward(x, log_steps, gates);
            let kept_rate: Vec<f64> = mean.iter().zip(&kept).map(|(mean, kept)| mean * kept).collect();
            dot(&y, &dy) + dot(&kept_rate, &rate)
        };
        let got = reference.backward(&x, &log_steps, &kept, &dy, &rate);
        let slope = |values: &[f64], i: usize, loss: &dyn Fn(&[f64]) -> f64| {
            let moved = |by: f64| {
                let mut values = values.to_vec();
                values[i] += by;
                loss(&values)
            };
            (moved(1e-6) - moved(-1e-6)) / 2e-6
        };
        let compare = |name: &str, values: &[f64], got: &[f64], loss: &dyn Fn(&[f64]) -> f64| {
            let want: Vec<f64> = (0..values.len()).map(|i| slope(values, i, loss)).collect();
            assert_close(&format!("{name} of {wavelet}"), &narrow(got), &narrow(&want), 1e-5);
        };
        compare("dx", &x, &got.dx, &|x| loss(x, &log_steps, &kept));
        compare("dlog_steps", &log_steps, &got.dlog_steps, &|log_steps| loss(&x, log_steps, &kept));
        compare("dkept", &kept, &got.dkept, &|gates| loss(&x, &log_steps, gates));
        assert!(check(&case));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_shape(
        sizes in [1usize..4, 1usize..19, 1usize..10, 1usize..10], which in 0usize..5, levels in 0u8..5,
        noise in any::<Option<u64>>(), nonnegative: bool, shift in 0f32..0.5, seed in any::<u16>(),
    ) {
        let mut case = Case::new(sizes, Wavelet::ALL[which], levels, u64::from(seed)).per_channel();
        case.kept = uniform(case.kept.len(), 4);
        prop_assume!(check(&Case { noise, nonnegative, reconstruction: shift, rounding: 0.37, ..case }));
    }
}

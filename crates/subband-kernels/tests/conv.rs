//! Convolutions against the plain loops, on every instruction set of this machine.

mod common;

use common::{assert_close, uniform};
use proptest::prelude::*;
use subband_kernels::{
    ConvShape, Epilogue, Isa, conv2d, conv2d_input_gradient, conv2d_input_gradient_owned, conv2d_owned,
    conv2d_weight_gradient, conv2d_weight_gradient_owned, reference,
};

const TOLERANCE: f32 = 1e-5;

/// Batch, input channels, output channels, height and width; kernel, stride and padding.
fn shape(
    [batch, in_channels, out_channels, height, width]: [usize; 5],
    [kernel, stride, padding]: [usize; 3],
) -> ConvShape {
    ConvShape { batch, in_channels, out_channels, height, width, kernel, stride, padding }
}

fn check(shape: ConvShape) {
    assert!(shape.is_supported(), "{shape:?}");
    let x = uniform(shape.input_len(), 1);
    let w = uniform(shape.weight_len(), 2);
    let dy = uniform(shape.output_len(), 3);
    let bias = uniform(shape.out_channels, 4);
    let residual = uniform(shape.output_len(), 5);
    let fused = Epilogue { bias: Some(&bias), residual: Some(&residual), relu: true };
    let want = [
        reference::conv2d(&shape, &x, &w, Epilogue::default()),
        reference::conv2d(&shape, &x, &w, fused),
        reference::conv2d_input_gradient(&shape, &dy, &w),
        reference::conv2d_weight_gradient(&shape, &x, &dy),
    ];
    for isa in Isa::all() {
        // Not zero, to notice what is not written.
        let mut got = want.each_ref().map(|want| vec![f32::NAN; want.len()]);
        let [plain, with_epilogue, dx, dw] = &mut got;
        conv2d(isa, &shape, &x, &w, Epilogue::default(), plain);
        conv2d(isa, &shape, &x, &w, fused, with_epilogue);
        conv2d_input_gradient(isa, &shape, &dy, &w, dx);
        conv2d_weight_gradient(isa, &shape, &x, &dy, dw);
        let names = ["forward", "fused", "input gradient", "weight gradient"];
        for ((name, got), want) in names.iter().zip(&got).zip(&want) {
            assert_close(&format!("{name}, {isa}, {shape:?}"), got, want, TOLERANCE);
        }
    }
}

#[test]
fn by_hand() {
    // 1 2    1 0 0
    // 3 4    0 1 0  at stride 1 and padding 1: each pixel plus the one above left of it.
    let shape = shape([1, 1, 1, 2, 2], [3, 1, 1]);
    let (x, w) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    for isa in Isa::all() {
        let mut y = [0.0; 4];
        conv2d(isa, &shape, &x, &w, Epilogue::default(), &mut y);
        assert_eq!(y, [1.0, 2.0, 3.0, 5.0]);
        let mut dx = [0.0; 4];
        conv2d_input_gradient(isa, &shape, &[0.0, 0.0, 0.0, 1.0], &w, &mut dx);
        assert_eq!(dx, [1.0, 0.0, 0.0, 1.0]);
        let mut dw = [0.0; 9];
        conv2d_weight_gradient(isa, &shape, &x, &[0.0, 0.0, 0.0, 1.0], &mut dw);
        assert_eq!(dw, [1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
    }
}

#[test]
fn resnet20_shapes() {
    for (sizes, kernel) in [
        ([3, 3, 16, 32, 32], [3, 1, 1]),
        ([3, 16, 16, 32, 32], [3, 1, 1]),
        ([3, 16, 32, 32, 32], [3, 2, 1]),
        ([3, 16, 32, 32, 32], [1, 2, 0]),
        ([3, 32, 32, 16, 16], [3, 1, 1]),
        ([3, 32, 64, 16, 16], [3, 2, 1]),
        ([3, 32, 64, 16, 16], [1, 2, 0]),
        ([3, 64, 64, 8, 8], [3, 1, 1]),
        ([33, 16, 16, 8, 8], [3, 1, 1]),
    ] {
        check(shape(sizes, kernel));
    }
}

#[test]
fn resnet18_shapes() {
    // Fewer channels than the network has, to keep the plain loops short.
    for (sizes, kernel) in [
        ([1, 3, 20, 224, 224], [7, 2, 3]),
        ([1, 16, 16, 112, 112], [3, 1, 1]),
        ([1, 16, 20, 56, 56], [3, 1, 1]),
        ([1, 16, 20, 56, 56], [3, 2, 1]),
        ([1, 16, 20, 56, 56], [1, 2, 0]),
        ([2, 20, 32, 28, 28], [3, 1, 1]),
        ([2, 20, 32, 28, 28], [3, 2, 1]),
        ([2, 32, 32, 14, 14], [3, 1, 1]),
        ([2, 32, 40, 14, 14], [3, 2, 1]),
        ([2, 40, 40, 7, 7], [3, 1, 1]),
        ([2, 40, 33, 7, 7], [1, 1, 0]),
        ([2, 512, 16, 7, 7], [3, 1, 1]),
    ] {
        check(shape(sizes, kernel));
    }
}

#[test]
fn maps_larger_than_a_window() {
    // Several bands of rows, also with an odd height and two phases.
    check(shape([1, 64, 17, 57, 57], [3, 1, 1]));
    check(shape([1, 64, 5, 113, 59], [3, 2, 1]));
    check(shape([1, 5, 64, 113, 59], [3, 2, 1]));
}

#[test]
fn odd_sizes() {
    for kernel in [[3, 1, 1], [3, 2, 1], [1, 1, 0], [1, 2, 0], [7, 2, 3], [5, 1, 2], [5, 2, 0], [2, 2, 1], [4, 1, 3]] {
        for sizes in [[1, 1, 1, 7, 7], [2, 3, 5, 9, 13], [1, 17, 15, 13, 9], [5, 2, 33, 10, 31], [1, 1, 1, 8, 65]] {
            check(shape(sizes, kernel));
        }
    }
    for kernel in [[3, 1, 1], [3, 2, 1], [1, 1, 0], [1, 2, 0], [7, 2, 3]] {
        for sizes in [[1, 1, 1, 1, 1], [2, 3, 2, 1, 40], [2, 3, 2, 40, 1], [3, 16, 16, 2, 3]] {
            check(shape(sizes, kernel));
        }
    }
}

/// In debug builds a value that is not written would be NaN.
#[test]
fn owned_outputs_are_the_same() {
    for (sizes, kernel) in [
        ([3, 16, 20, 9, 11], [3, 1, 1]),
        ([3, 5, 33, 9, 11], [3, 2, 1]),
        ([2, 3, 4, 8, 8], [1, 2, 0]),
        ([1, 2, 3, 5, 5], [2, 2, 1]),
        ([0, 3, 4, 5, 6], [3, 1, 1]),
    ] {
        let shape = shape(sizes, kernel);
        let x = uniform(shape.input_len(), 1);
        let w = uniform(shape.weight_len(), 2);
        let dy = uniform(shape.output_len(), 3);
        let epilogue = Epilogue { bias: None, residual: Some(&dy), relu: true };
        for isa in Isa::all() {
            let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
            conv2d(isa, &shape, &x, &w, epilogue, &mut y);
            conv2d_input_gradient(isa, &shape, &dy, &w, &mut dx);
            conv2d_weight_gradient(isa, &shape, &x, &dy, &mut dw);
            assert_eq!(conv2d_owned(isa, &shape, &x, &w, epilogue), y);
            assert_eq!(conv2d_input_gradient_owned(isa, &shape, &dy, &w), dx);
            assert_eq!(conv2d_weight_gradient_owned(isa, &shape, &x, &dy), dw);
        }
    }
}

#[test]
fn empty_batch() {
    check(shape([0, 3, 4, 5, 6], [3, 1, 1]));
}

#[test]
fn thread_count_changes_nothing() {
    for shape in [shape([19, 16, 24, 9, 9], [3, 1, 1]), shape([1, 24, 40, 16, 16], [3, 2, 1])] {
        let x = uniform(shape.input_len(), 1);
        let w = uniform(shape.weight_len(), 2);
        let dy = uniform(shape.output_len(), 3);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let isa = Isa::best();
                let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
                conv2d(isa, &shape, &x, &w, Epilogue::default(), &mut y);
                conv2d_input_gradient(isa, &shape, &dy, &w, &mut dx);
                conv2d_weight_gradient(isa, &shape, &x, &dy, &mut dw);
                [y, dx, dw]
            })
        };
        let one = run(1);
        for threads in [2, 3, 8] {
            assert!(one == run(threads), "{threads} threads, {shape:?}");
        }
    }
}

/// Gradients against differences of the forward pass, which no formula of a gradient enters.
#[test]
fn finite_differences() {
    for kernel in [[3, 1, 1], [3, 2, 1], [1, 2, 0], [7, 2, 3]] {
        let shape = shape([2, 2, 3, 6, 5], kernel);
        let x = uniform(shape.input_len(), 1);
        let w = uniform(shape.weight_len(), 2);
        let dy = uniform(shape.output_len(), 3);
        // The loss is the product of output and `dy`; linear in x and in w, so a step of 1 makes no error but rounding.
        let loss = |x: &[f32], w: &[f32]| -> f64 {
            let y = reference::conv2d(&shape, x, w, Epilogue::default());
            y.iter().zip(&dy).map(|(y, dy)| f64::from(*y) * f64::from(*dy)).sum()
        };
        let difference = |at: &[f32], loss: &dyn Fn(&[f32]) -> f64| -> Vec<f32> {
            let step = |i: usize, by: f32| {
                let mut moved = at.to_vec();
                moved[i] += by;
                loss(&moved)
            };
            (0..at.len()).map(|i| (step(i, 0.5) - step(i, -0.5)) as f32).collect()
        };
        let want_dx = difference(&x, &|x| loss(x, &w));
        let want_dw = difference(&w, &|w| loss(&x, w));
        for isa in Isa::all() {
            let (mut dx, mut dw) = (x.clone(), w.clone());
            conv2d_input_gradient(isa, &shape, &dy, &w, &mut dx);
            conv2d_weight_gradient(isa, &shape, &x, &dy, &mut dw);
            assert_close("input gradient", &dx, &want_dx, 1e-4);
            assert_close("weight gradient", &dw, &want_dw, 1e-4);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_shape(
        batch in 1usize..5, in_channels in 1usize..20, out_channels in 1usize..36,
        height in 1usize..34, width in 1usize..34,
        kernel in prop::sample::select(vec![[3, 1, 1], [3, 2, 1], [1, 1, 0], [1, 2, 0], [7, 2, 3], [5, 1, 2]]),
    ) {
        check(shape([batch, in_channels, out_channels, height, width], kernel));
    }
}

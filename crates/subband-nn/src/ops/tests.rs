//! Each operation against burn's stock one, forward and backward.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData, module};

use super::{after_norm, conv, conv_bias, norm};

fn made_up<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn leaf<const D: usize>(shape: [usize; D], seed: usize) -> Tensor<D> {
    made_up(shape, seed, &Device::flex().autodiff()).require_grad()
}

fn assert_close<const D: usize>(what: &str, ours: Tensor<D>, stock: Tensor<D>) {
    assert_eq!(ours.dims(), stock.dims(), "{what}");
    let [ours, stock] = [ours, stock].map(|t| t.into_data().try_to_vec::<f32>().unwrap());
    let scale = stock.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(1e-6);
    let worst = ours.iter().zip(&stock).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-4 * scale, "{what}: off by {worst} where values reach {scale}");
}

/// What the gradient of the output is: anything but a constant, which would hide transposed gradients.
fn weighted_sum(y: Tensor<4>) -> Tensor<1> {
    let weights = made_up(y.dims(), 9, &y.device());
    (y * weights).sum()
}

#[test]
fn convolutions_agree_with_the_stock_operation() {
    for (batch, from, to, side, kernel, stride) in [
        (2, 3, 16, 32, 3, 1),
        (3, 16, 16, 8, 3, 1),
        (2, 16, 32, 16, 3, 2),
        (1, 5, 7, 9, 3, 2),
        (2, 16, 32, 8, 1, 2),
        (1, 3, 64, 28, 7, 2),
    ] {
        let (x, w) = (leaf([batch, from, side, side], 1), leaf([to, from, kernel, kernel], 2));
        let padding = kernel / 2;
        let ours = conv(x.clone(), w.clone(), stride, padding);
        let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
        let stock = module::conv2d(x.clone(), w.clone(), None, options);
        assert_close("output", ours.clone().without_autodiff(), stock.clone().without_autodiff());
        let (ours, stock) = (weighted_sum(ours).backward(), weighted_sum(stock).backward());
        assert_close("gradient of x", x.grad(&ours).unwrap(), x.grad(&stock).unwrap());
        assert_close("gradient of w", w.grad(&ours).unwrap(), w.grad(&stock).unwrap());
    }
}

#[test]
fn normalisation_agrees_with_the_stock_operations() {
    for (shape, with_residual, clip) in [
        ([3, 16, 8, 8], true, true),
        ([2, 5, 7, 3], false, true),
        ([2, 8, 4, 4], true, false),
        ([4, 3, 5, 5], false, false),
    ] {
        let (x, gamma, beta) = (leaf(shape, 1), leaf([shape[1]], 2), leaf([shape[1]], 3));
        let residual = with_residual.then(|| leaf(shape, 4));
        let ours = norm(x.clone(), gamma.clone(), beta.clone(), residual.clone(), clip, 1e-5);
        let stock = module::batch_norm_train(x.clone(), gamma.clone(), beta.clone(), 1e-5);
        assert_close("mean", ours.mean.without_autodiff(), stock.mean.without_autodiff());
        assert_close("variance", ours.variance.without_autodiff(), stock.variance.without_autodiff());
        let (ours, stock) = (ours.output, after_norm(stock.output, residual.clone(), clip));
        assert_close("output", ours.clone().without_autodiff(), stock.clone().without_autodiff());
        let (ours, stock) = (weighted_sum(ours).backward(), weighted_sum(stock).backward());
        assert_close("gradient of x", x.grad(&ours).unwrap(), x.grad(&stock).unwrap());
        assert_close("gradient of gamma", gamma.grad(&ours).unwrap(), gamma.grad(&stock).unwrap());
        assert_close("gradient of beta", beta.grad(&ours).unwrap(), beta.grad(&stock).unwrap());
        if let Some(residual) = residual {
            assert_close("gradient of the residual", residual.grad(&ours).unwrap(), residual.grad(&stock).unwrap());
        }
    }
}

#[test]
fn a_frozen_input_gets_no_gradient_and_disturbs_nothing() {
    let device = Device::flex().autodiff();
    let (x, w) = (made_up([2, 3, 8, 8], 1, &device), leaf([4, 3, 3, 3], 2));
    let gradients = weighted_sum(conv(x.clone(), w.clone(), 1, 1)).backward();
    assert!(w.grad(&gradients).is_some());
    assert!(x.grad(&gradients).is_none());
}

#[test]
fn inference_agrees_with_the_stock_operations() {
    let device = Device::flex();
    let (x, w, bias) =
        (made_up([2, 16, 9, 9], 1, &device), made_up([8, 16, 3, 3], 2, &device), made_up([8], 3, &device));
    for (stride, with_residual, clip) in [(1, true, true), (2, false, true), (1, false, false)] {
        let stock =
            module::conv2d(x.clone(), w.clone(), Some(bias.clone()), ConvOptions::new([stride; 2], [1, 1], [1, 1], 1));
        let residual = with_residual.then(|| made_up(stock.dims(), 4, &device));
        let ours = conv_bias(x.clone(), w.clone(), bias.clone(), residual.clone(), clip, [stride, 1]);
        assert_close("output", ours, after_norm(stock, residual, clip));
    }
}

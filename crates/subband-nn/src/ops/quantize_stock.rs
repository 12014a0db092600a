//! The codec as burn's stock operations: for devices without kernels of ours, and what those are tested against.

use burn::tensor::{Tensor, s};
use subband::Wavelet;

use super::quantize::{QuantizeSettings, Quantized};
use crate::error::{Error, Result};

const HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// As [`wavelet_quantize`](super::wavelet_quantize), but values only agree to rounding, and the gradient of the rate comes
/// as a term of the loss.
///
/// # Errors
/// `InvalidArgument` for wavelets other than Haar and none, planes that do not halve evenly, and noise.
pub(super) fn wavelet_quantize(
    x: Tensor<4>,
    log_steps: Tensor<1>,
    gates: Tensor<1>,
    settings: QuantizeSettings,
) -> Result<Quantized> {
    let [_, channels, height, width] = x.dims();
    let side = 1 << settings.levels;
    if !matches!(settings.wavelet, Wavelet::None | Wavelet::Haar) || height % side != 0 || width % side != 0 {
        return Err(Error::argument(format!(
            "wavelet {} over {} levels on {height}x{width} maps: on this device there is only Haar on sizes that halve \
             evenly, and none",
            settings.wavelet, settings.levels
        )));
    }
    if settings.noise.is_some() {
        return Err(Error::argument("codec.noise = true: this device has rounding only"));
    }
    let subbands = 3 * usize::from(settings.levels) + 1;
    let per_context = |values: Tensor<1>| match values.dims()[0] {
        count if count == subbands => values.reshape([1, subbands]).repeat_dim(0, channels),
        _ => values.reshape([channels, subbands]),
    };
    let (steps, gates) = (per_context(log_steps.exp()), per_context(gates));
    let mut means = Vec::with_capacity(subbands);
    let mut terms: Vec<Tensor<1>> = Vec::with_capacity(subbands);
    let mut coded = |coefficients: Tensor<4>, subband: usize| {
        let context =
            |values: &Tensor<2>| values.clone().slice(s![.., subband..subband + 1]).reshape([1, channels, 1, 1]);
        let (step, gate) = (context(&steps), context(&gates));
        let size: usize = coefficients.dims()[2..].iter().product();
        let u = coefficients / step.clone();
        let index = (u.clone().detach().abs() + settings.rounding).floor();
        let sign = u.clone().detach().sign();
        let value = (index.clone() - settings.reconstruction).clamp_min(0.0) * sign;
        let decoded = straight_through(u.clone(), value) * step * gate.clone();
        let magnitude = straight_through(u.abs(), index);
        let mean = magnitude.mean_dims(&[0, 2, 3]).reshape([channels]);
        let means_here = mean.clone().into_data();
        let slopes: Vec<f32> = means_here.iter::<f32>().map(|m| settings.price_slope(subband, size, m)).collect();
        let slopes = Tensor::<1>::from_floats(slopes.as_slice(), &mean.device());
        terms.push((mean.clone() * slopes * gate.detach().reshape([channels])).sum());
        means.push(mean.detach());
        decoded
    };
    let decoded = transform(x.clone(), settings.levels, &mut coded);
    let mean_magnitude = Tensor::stack::<2>(means, 1).reshape([channels * subbands]);
    let rate = Tensor::cat(terms, 0).sum();
    let decoded = if settings.nonnegative { clamped(decoded, x) } else { decoded };
    Ok(Quantized { decoded, mean_magnitude, rate: Some(rate.clone() - rate.detach()) })
}

/// Forward over `levels`, `coded` on every subband in coding order, and back.
fn transform(x: Tensor<4>, levels: u8, coded: &mut impl FnMut(Tensor<4>, usize) -> Tensor<4>) -> Tensor<4> {
    let mut low = x;
    let mut details = Vec::new();
    for _ in 0..levels {
        let [left, right] = split(low, 3);
        let [ll, lh] = split(left, 2);
        let [hl, hh] = split(right, 2);
        details.push([hl, lh, hh]);
        low = ll;
    }
    let mut low = coded(low, 0);
    for (level, [hl, lh, hh]) in details.into_iter().rev().enumerate() {
        let first = 1 + 3 * level;
        let (hl, lh, hh) = (coded(hl, first), coded(lh, first + 1), coded(hh, first + 2));
        low = join([join([low, lh], 2), join([hl, hh], 2)], 3);
    }
    low
}

/// Low and high half along axis 2 or 3.
fn split(x: Tensor<4>, axis: usize) -> [Tensor<4>; 2] {
    let end = x.dims()[axis];
    let [even, odd] = [0, 1].map(|start| match axis {
        2 => x.clone().slice(s![.., .., start..end; 2, ..]),
        _ => x.clone().slice(s![.., .., .., start..end; 2]),
    });
    [(even.clone() + odd.clone()) * HALF, (odd - even) * HALF]
}

/// Undoes [`split`].
fn join([low, high]: [Tensor<4>; 2], axis: usize) -> Tensor<4> {
    let mut shape = low.dims();
    shape[axis] *= 2;
    let even = (low.clone() - high.clone()) * HALF;
    let odd = (low + high) * HALF;
    Tensor::stack::<5>(vec![even, odd], axis + 1).reshape(shape)
}

/// `value` with the gradient of `x`.
fn straight_through<const D: usize>(x: Tensor<D>, value: Tensor<D>) -> Tensor<D> {
    x.clone() + (value - x).detach()
}

/// `decoded` clamped at 0; gradients pass where it is positive, or where `x` is.
fn clamped(decoded: Tensor<4>, x: Tensor<4>) -> Tensor<4> {
    let passes = decoded.clone().detach().greater_elem(0.0).float() + x.detach().greater_elem(0.0).float();
    let passes = passes.clamp_max(1.0);
    let open = decoded.clone() * passes;
    straight_through(open, decoded.clamp_min(0.0))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn made_up<const D: usize>(shape: [usize; D], seed: usize, low: f32) -> Tensor<D> {
        let count: usize = shape.iter().product();
        let value = |i: usize| (((i * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0).max(low);
        let values: Vec<f32> = (0..count).map(value).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
    }

    fn assert_close<const D: usize>(what: &str, ours: Tensor<D>, stock: Tensor<D>) {
        let [ours, stock] = [ours, stock].map(|t| t.into_data().iter::<f32>().collect::<Vec<_>>());
        let scale = stock.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(1e-6);
        let worst = ours.iter().zip(&stock).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4 * scale, "{what}: off by {worst} where values reach {scale}");
    }

    #[test]
    fn the_kernel_and_the_stock_operations_agree_forward_and_backward() {
        for (wavelet, levels, shape, per_channel) in [
            (Wavelet::Haar, 3, [3, 5, 16, 8], false),
            (Wavelet::Haar, 1, [2, 16, 6, 4], true),
            (Wavelet::None, 0, [2, 3, 5, 7], true),
        ] {
            let subbands = 3 * usize::from(levels) + 1;
            let contexts = shape[1] * subbands;
            let settings = QuantizeSettings {
                wavelet,
                levels,
                rounding: 0.4,
                reconstruction: 0.1,
                nonnegative: true,
                noise: None,
                price_of_a_bit: 0.01,
            };
            let x = made_up(shape, 1, 0.0);
            let log_steps = made_up([if per_channel { contexts } else { subbands }], 2, -1.0);
            let gates = (made_up([contexts], 3, -1.0).detach().greater_elem(-0.5).float()).require_grad();
            let weights = made_up(shape, 4, -1.0).detach();
            let ours = super::super::wavelet_quantize(x.clone(), log_steps.clone(), gates.clone(), settings).unwrap();
            let stock = wavelet_quantize(x.clone(), log_steps.clone(), gates.clone(), settings).unwrap();
            assert_close("decoded", ours.decoded.clone().detach(), stock.decoded.clone().detach());
            assert_close("mean magnitude", ours.mean_magnitude, stock.mean_magnitude);
            let ours = (ours.decoded * weights.clone()).sum().backward();
            let stock = ((stock.decoded * weights).sum() + stock.rate.unwrap()).backward();
            assert_close("gradient of x", x.grad(&ours).unwrap(), x.grad(&stock).unwrap());
            assert_close("gradient of the steps", log_steps.grad(&ours).unwrap(), log_steps.grad(&stock).unwrap());
            assert_close("gradient of the gates", gates.grad(&ours).unwrap(), gates.grad(&stock).unwrap());
        }
    }

    #[test]
    fn what_it_lacks_is_named() {
        let settings = QuantizeSettings {
            wavelet: Wavelet::Cdf97,
            levels: 1,
            rounding: 0.5,
            reconstruction: 0.0,
            nonnegative: true,
            noise: None,
            price_of_a_bit: 0.0,
        };
        let (x, steps, gates) = (made_up([1, 1, 2, 2], 1, 0.0), made_up([4], 2, 0.0), made_up([4], 3, 0.0));
        let error = wavelet_quantize(x.clone(), steps.clone(), gates.clone(), settings).err().unwrap();
        assert!(error.to_string().contains("cdf97"), "{error}");
        let noisy = QuantizeSettings { wavelet: Wavelet::Haar, noise: Some(1), ..settings };
        assert!(wavelet_quantize(x, steps, gates, noisy).err().unwrap().to_string().contains("noise"));
    }
}

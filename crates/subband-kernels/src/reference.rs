//! The same operations as plain loops that sum in f64, written to be read. The tests hold every kernel against them.

use crate::{BatchNorm, BatchStats, ConvShape, Epilogue};

/// Calls `visit(y, x, w)` with the indices of each output value and each pair of input value and weight it sums.
fn for_each_product(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let ConvShape { batch, in_channels, out_channels, height, width, kernel, stride, padding } = *shape;
    let (out_height, out_width) = (shape.out_height(), shape.out_width());
    for n in 0..batch {
        for k in 0..out_channels {
            for row in 0..out_height {
                for col in 0..out_width {
                    let y = ((n * out_channels + k) * out_height + row) * out_width + col;
                    for c in 0..in_channels {
                        for r in 0..kernel {
                            for s in 0..kernel {
                                let (in_row, in_col) = (row * stride + r, col * stride + s);
                                let rows = padding..padding + height;
                                let cols = padding..padding + width;
                                if rows.contains(&in_row) && cols.contains(&in_col) {
                                    let in_plane = (n * in_channels + c) * height;
                                    let x = (in_plane + in_row - padding) * width + in_col - padding;
                                    let w = ((k * in_channels + c) * kernel + r) * kernel + s;
                                    visit(y, x, w);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// [`crate::conv2d`].
pub fn conv2d(shape: &ConvShape, x: &[f32], w: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
    let mut y = vec![0.0; shape.output_len()];
    for_each_product(shape, |iy, ix, iw| y[iy] += f64::from(x[ix]) * f64::from(w[iw]));
    let plane = shape.out_height() * shape.out_width();
    for (i, y) in y.iter_mut().enumerate() {
        *y += epilogue.bias.map_or(0.0, |bias| f64::from(bias[i / plane % shape.out_channels]));
        *y += epilogue.residual.map_or(0.0, |residual| f64::from(residual[i]));
        if epilogue.relu {
            *y = y.max(0.0);
        }
    }
    to_f32(&y)
}

/// [`crate::conv2d_input_gradient`].
pub fn conv2d_input_gradient(shape: &ConvShape, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0; shape.input_len()];
    for_each_product(shape, |iy, ix, iw| dx[ix] += f64::from(dy[iy]) * f64::from(w[iw]));
    to_f32(&dx)
}

/// [`crate::conv2d_weight_gradient`].
pub fn conv2d_weight_gradient(shape: &ConvShape, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dw = vec![0.0; shape.weight_len()];
    for_each_product(shape, |iy, ix, iw| dw[iw] += f64::from(dy[iy]) * f64::from(x[ix]));
    to_f32(&dw)
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// The output of [`BatchNorm::forward`] and its statistics.
pub fn batch_norm(norm: &BatchNorm<'_>, x: &[f32], residual: Option<&[f32]>, relu: bool) -> (Vec<f32>, BatchStats) {
    let count = (norm.batch * norm.plane) as f64;
    let sum_of = |channel: usize, f: &dyn Fn(f64) -> f64| -> f64 {
        (0..x.len()).filter(|i| i / norm.plane % norm.channels == channel).map(|i| f(f64::from(x[i]))).sum()
    };
    let mean: Vec<f64> = (0..norm.channels).map(|c| sum_of(c, &|x| x) / count).collect();
    let variance: Vec<f64> = (0..norm.channels).map(|c| sum_of(c, &|x| (x - mean[c]).powi(2)) / count).collect();
    let inv_std: Vec<f64> = variance.iter().map(|v| 1.0 / (v + f64::from(norm.epsilon)).sqrt()).collect();
    let value = |(i, x): (usize, &f32)| {
        let c = i / norm.plane % norm.channels;
        let normal = (f64::from(*x) - mean[c]) * inv_std[c];
        let y = normal * f64::from(norm.gamma[c]) + f64::from(norm.beta[c]) + residual.map_or(0.0, |r| f64::from(r[i]));
        if relu { y.max(0.0) } else { y }
    };
    let y: Vec<f64> = x.iter().enumerate().map(value).collect();
    let stats = BatchStats { mean: to_f32(&mean), variance: to_f32(&variance), inv_std: to_f32(&inv_std) };
    (to_f32(&y), stats)
}

/// The gradients of [`BatchNorm::backward`]: of the input, the residual, gamma and beta.
pub fn batch_norm_backward(norm: &BatchNorm<'_>, x: &[f32], output: Option<&[f32]>, dy: &[f32]) -> [Vec<f32>; 4] {
    let count = (norm.batch * norm.plane) as f64;
    let (_, stats) = batch_norm(norm, x, None, false);
    let channel = |i: usize| i / norm.plane % norm.channels;
    let passes = |i: usize| output.is_none_or(|output| output[i] > 0.0);
    let g: Vec<f64> = (0..x.len()).map(|i| if passes(i) { f64::from(dy[i]) } else { 0.0 }).collect();
    let normal = |i: usize| {
        let c = channel(i);
        (f64::from(x[i]) - f64::from(stats.mean[c])) * f64::from(stats.inv_std[c])
    };
    let (mut dgamma, mut dbeta) = (vec![0.0; norm.channels], vec![0.0; norm.channels]);
    for i in 0..x.len() {
        dgamma[channel(i)] += g[i] * normal(i);
        dbeta[channel(i)] += g[i];
    }
    let dx = |i: usize| {
        let c = channel(i);
        let scale = f64::from(norm.gamma[c]) * f64::from(stats.inv_std[c]);
        scale * (g[i] - dbeta[c] / count - normal(i) * dgamma[c] / count)
    };
    let dx: Vec<f64> = (0..x.len()).map(dx).collect();
    [dx, g, dgamma, dbeta].map(|values| to_f32(&values))
}

//! The same operations as plain loops that sum in f64, written to be read. The tests hold every kernel against them.

use crate::{ConvShape, Epilogue};

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

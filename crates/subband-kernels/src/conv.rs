//! Two-dimensional convolution: forward, gradient of the input, gradient of the weights.
//!
//! # How the three are computed
//! None of them builds a matrix of patches. All work on 16 output channels (or 16 input channels, for the gradient
//! of the input) side by side in the lanes of a vector, so that a *tap*, one (channel, row, column) of the kernel,
//! is one vector of weights and one pixel is one scalar, broadcast while it is loaded. Shifting the kernel over the
//! map then changes scalar addresses only: no unaligned vectors, no lanes lost at the border, and stride 2 costs
//! what stride 1 does. What is left to do around that is
//!
//! - [`window`]: a copy of the input with its zero border, so that no tap needs a test;
//! - [`weights`]: weights rearranged to `[16-channel block][tap][16]`;
//! - [`tile`]: the innermost loops, 16 pixels x 16 channels in registers;
//! - [`direct`], [`walk`]: forward and input gradient, which are the same walk with other taps;
//! - [`store`]: the way from pixels with their channels in the lanes back into planes;
//! - [`weight_gradient`]: the sums over images and pixels, in an order that no thread count changes.
//!
//! Kernels of 3 x 3 at stride 1, most of a residual network, go another way, with 4 multiplications instead of 9:
//! [`winograd`]. On one Zen 3 core (AVX2, `benches/resnet20.rs`, batch 16) it takes half the time of the direct sum
//! with 64 channels, 60% with 32, and three quarters with 16.

mod direct;
mod store;
mod tile;
mod walk;
mod weight_gradient;
mod weights;
mod window;
mod winograd;

use crate::Isa;
use direct::Direct;

/// The sizes of one convolution with a square kernel, the same stride and zero padding on both axes, and no groups.
///
/// | slice | shape, contiguous |
/// |---|---|
/// | input `x` | `[batch, in_channels, height, width]` |
/// | weights `w` | `[out_channels, in_channels, kernel, kernel]` |
/// | output `y` | `[batch, out_channels, out_height, out_width]`, `out_height = (height + 2 padding - kernel) / stride + 1` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    pub batch: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    /// 1 or 2.
    pub stride: usize,
    pub padding: usize,
}

impl ConvShape {
    /// Whether the kernels take this shape: every size at least 1 (the batch may be 0), stride 1 or 2, padding
    /// smaller than the kernel, and a kernel that fits into the padded map.
    pub fn is_supported(&self) -> bool {
        let sizes = [self.in_channels, self.out_channels, self.height, self.width, self.kernel];
        let padded = self.height.min(self.width) + 2 * self.padding;
        sizes.iter().all(|&n| n > 0)
            && matches!(self.stride, 1 | 2)
            && self.padding < self.kernel
            && self.kernel <= padded
    }

    pub fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    pub fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Values of `x`.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.height * self.width
    }

    /// Values of `w`.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.in_channels * self.kernel * self.kernel
    }

    /// Values of `y`.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_channels * self.out_height() * self.out_width()
    }

    /// Floating point operations of the forward pass, a multiplication and an addition per weight and output pixel;
    /// both gradients take the same number.
    pub fn flops(&self) -> f64 {
        2.0 * (self.output_len() * self.in_channels * self.kernel * self.kernel) as f64
    }

    fn check(&self, x: &[f32], w: &[f32], y: &[f32]) {
        assert!(self.is_supported(), "unsupported convolution {self:?}");
        assert_eq!(x.len(), self.input_len(), "length of the input of {self:?}");
        assert_eq!(w.len(), self.weight_len(), "length of the weights of {self:?}");
        assert_eq!(y.len(), self.output_len(), "length of the output of {self:?}");
    }
}

/// What happens to each output value before it is stored, in this order. The default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added per channel, `[out_channels]`.
    pub bias: Option<&'a [f32]>,
    /// Added per value, the shape of the output.
    pub residual: Option<&'a [f32]>,
    /// `max(_, 0)`, last.
    pub relu: bool,
}

/// `y = x * w`, then the `epilogue`.
///
/// # Panics
/// If the shape is not supported or a slice has another length than it says.
pub fn conv2d(isa: Isa, shape: &ConvShape, x: &[f32], w: &[f32], epilogue: Epilogue<'_>, y: &mut [f32]) {
    forward(isa, shape, x, w, epilogue, y, winograd::suits(shape));
}

/// The gradient `dx` of the loss by the input, given `dy`, that by the output.
///
/// # Panics
/// As [`conv2d`].
pub fn conv2d_input_gradient(isa: Isa, shape: &ConvShape, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    input_gradient(isa, shape, dy, w, dx, winograd::suits(shape));
}

/// The gradient `dw` of the loss by the weights, given `dy`, that by the output.
///
/// # Panics
/// As [`conv2d`].
pub fn conv2d_weight_gradient(isa: Isa, shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    weight_gradient(isa, shape, x, dy, dw, winograd::suits(shape));
}

/// The same operations as direct sums whatever the shape: what Winograd's method is measured against.
pub mod plain {
    use super::{ConvShape, Epilogue, forward, input_gradient, weight_gradient};
    use crate::Isa;

    /// [`crate::conv2d`].
    pub fn conv2d(isa: Isa, shape: &ConvShape, x: &[f32], w: &[f32], epilogue: Epilogue<'_>, y: &mut [f32]) {
        forward(isa, shape, x, w, epilogue, y, false);
    }

    /// [`crate::conv2d_input_gradient`].
    pub fn conv2d_input_gradient(isa: Isa, shape: &ConvShape, dy: &[f32], w: &[f32], dx: &mut [f32]) {
        input_gradient(isa, shape, dy, w, dx, false);
    }

    /// [`crate::conv2d_weight_gradient`].
    pub fn conv2d_weight_gradient(isa: Isa, shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        weight_gradient(isa, shape, x, dy, dw, false);
    }
}

fn forward(
    isa: Isa,
    shape: &ConvShape,
    x: &[f32],
    w: &[f32],
    epilogue: Epilogue<'_>,
    y: &mut [f32],
    by_winograd: bool,
) {
    shape.check(x, w, y);
    if let Some(bias) = epilogue.bias {
        assert_eq!(bias.len(), shape.out_channels, "length of the bias of {shape:?}");
    }
    if let Some(residual) = epilogue.residual {
        assert_eq!(residual.len(), y.len(), "length of the residual of {shape:?}");
    }
    let map = Direct::forward(shape);
    if by_winograd { winograd::run(isa, &map, x, w, epilogue, y) } else { map.run(isa, x, w, epilogue, y) }
}

fn input_gradient(isa: Isa, shape: &ConvShape, dy: &[f32], w: &[f32], dx: &mut [f32], by_winograd: bool) {
    shape.check(dx, w, dy);
    let (map, epilogue) = (Direct::input_gradient(shape), Epilogue::default());
    if by_winograd { winograd::run(isa, &map, dy, w, epilogue, dx) } else { map.run(isa, dy, w, epilogue, dx) }
}

fn weight_gradient(isa: Isa, shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32], by_winograd: bool) {
    shape.check(x, dw, dy);
    if by_winograd {
        winograd::weight_gradient(isa, shape, x, dy, dw)
    } else {
        weight_gradient::run(isa, shape, x, dy, dw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    /// Uniform in -1 to 1.
    fn uniform(len: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    /// Largest difference, relative to the largest value.
    fn error(got: &[f32], want: &[f32]) -> f32 {
        let largest = |values: &mut dyn Iterator<Item = f32>| {
            values.fold(0f32, |m, v| if v.is_nan() { f32::NAN } else { m.max(v.abs()) })
        };
        let scale = largest(&mut want.iter().copied());
        largest(&mut got.iter().zip(want).map(|(g, w)| g - w)) / scale.max(f32::MIN_POSITIVE)
    }

    /// Winograd's method and the direct sum against the reference, whether or not the method suits the shape; returns
    /// the larger error of each in f32 epsilons.
    fn errors([batch, in_channels, out_channels, height, width]: [usize; 5], isa: Isa) -> [f32; 2] {
        let shape = ConvShape { batch, in_channels, out_channels, height, width, kernel: 3, stride: 1, padding: 1 };
        let x = uniform(shape.input_len(), 1);
        let w = uniform(shape.weight_len(), 2);
        let dy = uniform(shape.output_len(), 3);
        let (bias, residual) = (uniform(out_channels, 4), uniform(shape.output_len(), 5));
        let fused = Epilogue { bias: Some(&bias), residual: Some(&residual), relu: true };
        let want = [
            reference::conv2d(&shape, &x, &w, Epilogue::default()),
            reference::conv2d(&shape, &x, &w, fused),
            reference::conv2d_input_gradient(&shape, &dy, &w),
            reference::conv2d_weight_gradient(&shape, &x, &dy),
        ];
        [true, false].map(|by_winograd| {
            // Not zero, to notice what is not written.
            let mut got = want.each_ref().map(|want| vec![f32::NAN; want.len()]);
            let [y, with_epilogue, dx, dw] = &mut got;
            forward(isa, &shape, &x, &w, Epilogue::default(), y, by_winograd);
            forward(isa, &shape, &x, &w, fused, with_epilogue, by_winograd);
            input_gradient(isa, &shape, &dy, &w, dx, by_winograd);
            weight_gradient(isa, &shape, &x, &dy, dw, by_winograd);
            let errors = got.iter().zip(&want).map(|(got, want)| error(got, want) / f32::EPSILON);
            errors.fold(0.0, |m, e| if e.is_nan() { f32::NAN } else { m.max(e) })
        })
    }

    #[test]
    fn winograd_is_about_as_exact() {
        for isa in Isa::all() {
            for sizes in [[2, 16, 16, 32, 32], [2, 32, 32, 16, 16], [5, 64, 64, 8, 8], [1, 256, 16, 14, 14]] {
                let [winograd, direct] = errors(sizes, isa);
                assert!(winograd <= 4.0 * direct.max(1.0), "{winograd} and {direct} epsilons, {isa}, {sizes:?}");
            }
        }
    }

    #[test]
    fn winograd_on_all_sizes() {
        for isa in Isa::all() {
            for sizes in [
                [1, 1, 1, 1, 1],
                [1, 2, 3, 1, 2],
                [2, 3, 2, 1, 40],
                [2, 3, 2, 40, 1],
                [3, 16, 16, 2, 3],
                [2, 17, 33, 7, 7],
                [1, 40, 20, 57, 31],
                [1, 64, 17, 56, 56],
                [40, 5, 9, 3, 4],
                [0, 3, 3, 4, 4],
                [1, 70, 40, 9, 200],
            ] {
                let [winograd, direct] = errors(sizes, isa);
                assert!(winograd <= 40.0 && direct <= 40.0, "{winograd} and {direct} epsilons, {isa}, {sizes:?}");
            }
        }
    }

    #[test]
    fn winograd_on_any_number_of_threads() {
        let [batch, in_channels, out_channels, height, width] = [19, 24, 40, 9, 10];
        for batch in [1, batch] {
            let shape = ConvShape { batch, in_channels, out_channels, height, width, kernel: 3, stride: 1, padding: 1 };
            let (x, w, dy) =
                (uniform(shape.input_len(), 1), uniform(shape.weight_len(), 2), uniform(shape.output_len(), 3));
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
                    forward(Isa::best(), &shape, &x, &w, Epilogue::default(), &mut y, true);
                    input_gradient(Isa::best(), &shape, &dy, &w, &mut dx, true);
                    weight_gradient(Isa::best(), &shape, &x, &dy, &mut dw, true);
                    [y, dx, dw]
                })
            };
            let one = run(1);
            assert!([2, 3, 8].iter().all(|&threads| run(threads) == one), "{shape:?}");
        }
    }
}

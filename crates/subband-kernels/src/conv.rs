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
//! - [`weight_gradient`]: the sums over images and pixels, in an order that no thread count changes.

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
    shape.check(x, w, y);
    if let Some(bias) = epilogue.bias {
        assert_eq!(bias.len(), shape.out_channels, "length of the bias of {shape:?}");
    }
    if let Some(residual) = epilogue.residual {
        assert_eq!(residual.len(), y.len(), "length of the residual of {shape:?}");
    }
    let map = Direct::forward(shape);
    match winograd::suits(shape) {
        true => winograd::run(isa, &map, x, w, epilogue, y),
        false => map.run(isa, x, w, epilogue, y),
    }
}

/// The gradient `dx` of the loss by the input, given `dy`, that by the output.
///
/// # Panics
/// As [`conv2d`].
pub fn conv2d_input_gradient(isa: Isa, shape: &ConvShape, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    shape.check(dx, w, dy);
    let map = Direct::input_gradient(shape);
    match winograd::suits(shape) {
        true => winograd::run(isa, &map, dy, w, Epilogue::default(), dx),
        false => map.run(isa, dy, w, Epilogue::default(), dx),
    }
}

/// The gradient `dw` of the loss by the weights, given `dy`, that by the output.
///
/// # Panics
/// As [`conv2d`].
pub fn conv2d_weight_gradient(isa: Isa, shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    shape.check(x, dw, dy);
    match winograd::suits(shape) {
        true => winograd::weight_gradient(isa, shape, x, dy, dw),
        false => weight_gradient::run(isa, shape, x, dy, dw),
    }
}

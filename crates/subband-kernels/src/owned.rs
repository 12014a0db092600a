//! The operations with their results in new vectors, whose memory is not zeroed first.
//!
//! Zeroing the outputs that are then overwritten was 6% of a training step of ResNet-20.

use crate::conv::{self, ConvShape, Epilogue};
use crate::{BatchNorm, BatchNormGradients, BatchStats, Clipped, Isa};

/// A vector of `len` values that `write` writes, and what it returns. In debug builds the values are NaN before, so
/// that one that is not written shows.
///
/// # Safety
/// `write` must write every value, and read none that it has not written.
unsafe fn written_by<R>(len: usize, write: impl FnOnce(&mut [f32]) -> R) -> (Vec<f32>, R) {
    let mut values = Vec::with_capacity(len);
    if cfg!(debug_assertions) {
        values.resize(len, f32::NAN);
        let result = write(&mut values);
        return (values, result);
    }
    // SAFETY: the memory is this vector's own, has room for `len` floats and is aligned for them. It is not
    // initialised: a float has no invalid bit patterns, and the caller guarantees that `write` reads none of them. If
    // `write` panics, the vector is dropped with length 0.
    let result = write(unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr(), len) });
    // SAFETY: `len` is the capacity asked for, and the caller guarantees that `write` has written all values.
    unsafe { values.set_len(len) };
    (values, result)
}

/// [`crate::conv2d`] into a new vector.
///
/// # Panics
/// As [`crate::conv2d`].
pub fn conv2d_owned(isa: Isa, shape: &ConvShape, x: &[f32], w: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
    // SAFETY: the convolution asserts that the output has the shape's length, and its tasks, which are chunks that
    // cover the output, store each pixel of each channel of each image (the tests check that with outputs of NaN).
    // Nothing is read from the output; the residual is another slice.
    unsafe { written_by(shape.output_len(), |y| conv::conv2d(isa, shape, x, w, epilogue, y)).0 }
}

/// [`crate::conv2d_input_gradient`] into a new vector.
///
/// # Panics
/// As [`crate::conv2d`].
pub fn conv2d_input_gradient_owned(isa: Isa, shape: &ConvShape, dy: &[f32], w: &[f32]) -> Vec<f32> {
    // SAFETY: as for `conv2d_owned`, with which it shares the walk; pixels that no tap reaches receive a sum of none.
    unsafe { written_by(shape.input_len(), |dx| conv::conv2d_input_gradient(isa, shape, dy, w, dx)).0 }
}

/// [`crate::conv2d_weight_gradient`] into a new vector.
///
/// # Panics
/// As [`crate::conv2d`].
pub fn conv2d_weight_gradient_owned(isa: Isa, shape: &ConvShape, x: &[f32], dy: &[f32]) -> Vec<f32> {
    // SAFETY: the last step turns sums, which lie elsewhere, into the gradient of each tap of each output channel; an
    // empty batch fills it with zeros.
    unsafe { written_by(shape.weight_len(), |dw| conv::conv2d_weight_gradient(isa, shape, x, dy, dw)).0 }
}

/// What [`BatchNorm::backward_owned`] returns; shapes as the tensors they are gradients of.
#[derive(Clone, Debug)]
pub struct OwnedBatchNormGradients {
    pub dx: Vec<f32>,
    /// If it was asked for.
    pub dresidual: Option<Vec<f32>>,
    pub dgamma: Vec<f32>,
    pub dbeta: Vec<f32>,
}

impl BatchNorm<'_> {
    /// [`BatchNorm::forward`] into a new vector.
    ///
    /// # Panics
    /// As [`BatchNorm::forward`].
    pub fn forward_owned(&self, isa: Isa, x: &[f32], residual: Option<&[f32]>, relu: bool) -> (Vec<f32>, BatchStats) {
        // SAFETY: `forward` asserts that `y` has the length of batch times channels times plane, and stores each plane
        // of each channel. It reads `x` and `residual` only.
        unsafe { written_by(x.len(), |y| self.forward(isa, x, residual, relu, y)) }
    }

    /// [`BatchNorm::inference`] into a new vector.
    ///
    /// # Panics
    /// As [`BatchNorm::inference`].
    pub fn inference_owned(
        &self,
        isa: Isa,
        x: &[f32],
        mean: &[f32],
        variance: &[f32],
        residual: Option<&[f32]>,
        relu: bool,
    ) -> Vec<f32> {
        // SAFETY: as for `forward_owned`, with which it shares the code that stores.
        unsafe { written_by(x.len(), |y| self.inference(isa, x, mean, variance, residual, relu, y)).0 }
    }

    /// [`BatchNorm::backward`] into new vectors.
    ///
    /// # Panics
    /// As [`BatchNorm::backward`].
    pub fn backward_owned(
        &self,
        isa: Isa,
        x: &[f32],
        stats: &BatchStats,
        clipped: Clipped<'_>,
        dy: &[f32],
        wants_residual: bool,
    ) -> OwnedBatchNormGradients {
        let (mut dgamma, mut dbeta) = (vec![0.0; self.channels], vec![0.0; self.channels]);
        let mut backward = |dx: &mut [f32], dresidual: Option<&mut [f32]>| {
            let to = BatchNormGradients { dx, dresidual, dgamma: &mut dgamma, dbeta: &mut dbeta };
            self.backward(isa, x, stats, clipped, dy, to);
        };
        // SAFETY: `backward` asserts the lengths of `dx` and `dresidual`. Its first pass over a channel stores each plane of
        // `dresidual`, its second each plane of `dx`; the second reads of `dresidual` what the first has stored.
        let (dx, dresidual) = unsafe {
            if wants_residual {
                let (dx, (dresidual, ())) =
                    written_by(x.len(), |dx| written_by(x.len(), |dresidual| backward(dx, Some(dresidual))));
                (dx, Some(dresidual))
            } else {
                (written_by(x.len(), |dx| backward(dx, None)).0, None)
            }
        };
        OwnedBatchNormGradients { dx, dresidual, dgamma, dbeta }
    }
}

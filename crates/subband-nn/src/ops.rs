//! What burn's stock operations do slowly on the CPU, over `subband-kernels`.
//!
//! Three operations take nearly all of a residual network's time: convolution, batch normalisation with what follows it,
//! and, for inference, the two in one. On burn's `flex` device each is one custom operation with a backward pass of its own;
//! on any other device the same functions call burn's stock operations.

mod autodiff;
mod flex;
mod quantize;
mod quantize_stock;
#[cfg(test)]
mod tests;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::activation::relu;
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

pub(crate) use quantize::{QuantizeSettings, Quantized, wavelet_quantize};

/// The custom operations, as burn registers them: plain tensors of one backend.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait NetworkOps: Backend {
    /// `[N, C, H, W]` by `[K, C, k, k]` to `[N, K, H', W']`, without bias.
    fn conv(x: FloatTensor<Self>, weight: FloatTensor<Self>, stride: usize, padding: usize) -> FloatTensor<Self>;

    /// Normalises by the statistics of the batch, clips at zero if `relu`; gives the output, and mean and biased variance
    /// `[C]`, which have no gradient.
    fn norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        relu: bool,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`NetworkOps::norm`] with `residual` added before the clipping. (The macro routes no optional tensors.)
    fn norm_add(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        relu: bool,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// The custom operations that only inference needs.
#[backend_extension(Flex)]
pub(crate) trait InferenceOps: Backend {
    /// [`NetworkOps::conv`] with a `bias` `[K]`, clipped at zero if `relu`.
    fn conv_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        relu: bool,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self>;

    /// [`InferenceOps::conv_bias`] with `residual` added before the clipping.
    fn conv_bias_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        relu: bool,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self>;
}

/// What [`norm`] gives.
pub(crate) struct Normalised {
    pub output: Tensor<4>,
    /// `[C]`.
    pub mean: Tensor<1>,
    /// `[C]`, the mean square.
    pub variance: Tensor<1>,
}

/// A square convolution without bias; the stride is 1 or 2.
///
/// # Shapes
/// `[N, C, H, W]` by `[K, C, k, k]` to `[N, K, H', W']`.
pub(crate) fn conv(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    if !has_kernels(&x.device()) {
        return module::conv2d(x, weight, None, ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1));
    }
    Tensor::from_dispatch(<Dispatch as NetworkOps>::conv(x.into_dispatch(), weight.into_dispatch(), stride, padding))
}

/// Training's batch normalisation of `x` with what follows it in a residual network: the sum with `residual`, and ReLU.
///
/// # Shapes
/// `x` and `residual` `[N, C, H, W]`, `gamma` and `beta` `[C]`.
pub(crate) fn norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    residual: Option<Tensor<4>>,
    clip: bool,
    epsilon: f64,
) -> Normalised {
    if !has_kernels(&x.device()) {
        let result = module::batch_norm_train(x, gamma, beta, epsilon);
        let output = after_norm(result.output, residual, clip);
        return Normalised { output, mean: result.mean.detach(), variance: result.variance.detach() };
    }
    let (x, gamma, beta) = (x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    let (output, mean, variance) = match residual {
        None => <Dispatch as NetworkOps>::norm(x, gamma, beta, clip, epsilon),
        Some(residual) => <Dispatch as NetworkOps>::norm_add(x, gamma, beta, residual.into_dispatch(), clip, epsilon),
    };
    Normalised {
        output: Tensor::from_dispatch(output),
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
    }
}

/// A convolution with `bias`, the sum with `residual`, then ReLU if `clip`. For inference only.
pub(crate) fn conv_bias(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    residual: Option<Tensor<4>>,
    clip: bool,
    [stride, padding]: [usize; 2],
) -> Tensor<4> {
    if !has_kernels(&x.device()) {
        let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
        return after_norm(module::conv2d(x, weight, Some(bias), options), residual, clip);
    }
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(match residual {
        None => <Dispatch as InferenceOps>::conv_bias(x, weight, bias, clip, stride, padding),
        Some(residual) => {
            <Dispatch as InferenceOps>::conv_bias_add(x, weight, bias, residual.into_dispatch(), clip, stride, padding)
        }
    })
}

/// The sum with `residual`, then ReLU if `clip`, by stock operations.
pub(crate) fn after_norm(x: Tensor<4>, residual: Option<Tensor<4>>, clip: bool) -> Tensor<4> {
    let sum = match residual {
        Some(residual) => x + residual,
        None => x,
    };
    if clip { relu(sum) } else { sum }
}

/// Whether tensors on `device` go through `subband-kernels`.
pub(crate) fn has_kernels(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}

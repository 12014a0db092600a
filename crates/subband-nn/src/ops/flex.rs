//! The operations on burn's CPU backend: `subband-kernels` behind burn's tensors.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use subband_kernels::{BatchNorm, BatchStats, ConvShape, Epilogue, Isa, conv2d_owned};

use super::{InferenceOps, NetworkOps};

impl NetworkOps for Flex {
    fn conv(x: FlexTensor, weight: FlexTensor, stride: usize, padding: usize) -> FlexTensor {
        conv_with(x, weight, None, None, false, [stride, padding])
    }

    fn norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        relu: bool,
        epsilon: f64,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        with_moments(norm_with_stats(x, gamma, beta, None, relu, epsilon))
    }

    fn norm_add(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        residual: FlexTensor,
        relu: bool,
        epsilon: f64,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        with_moments(norm_with_stats(x, gamma, beta, Some(residual), relu, epsilon))
    }
}

impl InferenceOps for Flex {
    fn conv_bias(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        relu: bool,
        stride: usize,
        padding: usize,
    ) -> FlexTensor {
        conv_with(x, weight, Some(bias), None, relu, [stride, padding])
    }

    fn conv_bias_add(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        residual: FlexTensor,
        relu: bool,
        stride: usize,
        padding: usize,
    ) -> FlexTensor {
        conv_with(x, weight, Some(bias), Some(residual), relu, [stride, padding])
    }
}

fn conv_with(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    residual: Option<FlexTensor>,
    relu: bool,
    [stride, padding]: [usize; 2],
) -> FlexTensor {
    let shape = conv_shape(&x, &weight, stride, padding);
    let (x, weight, bias, residual) =
        (Floats::of(x), Floats::of(weight), bias.map(Floats::of), residual.map(Floats::of));
    let epilogue =
        Epilogue { bias: bias.as_ref().map(Floats::values), residual: residual.as_ref().map(Floats::values), relu };
    let y = conv2d_owned(Isa::best(), &shape, x.values(), weight.values(), epilogue);
    tensor(y, [shape.batch, shape.out_channels, shape.out_height(), shape.out_width()])
}

/// The output, and the statistics as tensors.
pub(super) fn with_moments((output, stats): (FlexTensor, BatchStats)) -> (FlexTensor, FlexTensor, FlexTensor) {
    let channels = stats.mean.len();
    (output, tensor(stats.mean, [channels]), tensor(stats.variance, [channels]))
}

pub(super) fn norm_with_stats(
    x: FlexTensor,
    gamma: FlexTensor,
    beta: FlexTensor,
    residual: Option<FlexTensor>,
    relu: bool,
    epsilon: f64,
) -> (FlexTensor, BatchStats) {
    let shape = dims4(&x);
    let (x, gamma, beta) = (Floats::of(x), Floats::of(gamma), Floats::of(beta));
    let residual = residual.map(Floats::of);
    let residual = residual.as_ref().map(Floats::values);
    let norm = batch_norm(shape, gamma.values(), beta.values(), epsilon);
    let (y, stats) = norm.forward_owned(Isa::best(), x.values(), residual, relu);
    (tensor(y, shape), stats)
}

pub(super) fn batch_norm<'a>(
    [batch, channels, height, width]: [usize; 4],
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f64,
) -> BatchNorm<'a> {
    BatchNorm { batch, channels, plane: height * width, gamma, beta, epsilon: epsilon as f32 }
}

pub(super) fn conv_shape(x: &FlexTensor, weight: &FlexTensor, stride: usize, padding: usize) -> ConvShape {
    let [batch, in_channels, height, width] = dims4(x);
    let [out_channels, _, kernel, _] = dims4(weight);
    ConvShape { batch, in_channels, out_channels, height, width, kernel, stride, padding }
}

pub(super) fn dims4(tensor: &FlexTensor) -> [usize; 4] {
    tensor.shape().dims()
}

/// A contiguous f32 tensor.
#[derive(Clone, Debug)]
pub(super) struct Floats(FlexTensor);

impl Floats {
    pub fn of(tensor: FlexTensor) -> Self {
        Self(tensor.to_contiguous())
    }

    pub fn values(&self) -> &[f32] {
        self.0.storage()
    }
}

pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

//! The codec as one differentiable operation: DWT, quantizer, inverse DWT.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use subband::Wavelet;
use subband_kernels::{Isa, WaveletQuantize, subband_sizes};

use super::autodiff::record;
use super::flex::{Floats, dims4, tensor};
use super::{has_kernels, quantize_stock};
use crate::error::Result;
use crate::retrain::{Rate, one_sided, two_sided};

/// What is not learned about the codec of one tap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuantizeSettings {
    pub wavelet: Wavelet,
    /// 0 for no wavelet.
    pub levels: u8,
    /// As the codec's.
    pub rounding: f32,
    /// As the codec's.
    pub reconstruction: f32,
    /// Maps are never negative.
    pub nonnegative: bool,
    /// Noise in place of rounding, from this seed.
    pub noise: Option<u64>,
    /// The loss pays this for every estimated bit of one image's map. Its gradient goes in with that of the map, since
    /// the estimate is a sum over contexts that this operation alone sees; so the loss that `backward` is called on must
    /// not be scaled.
    pub price_of_a_bit: f64,
}

impl QuantizeSettings {
    /// What the indices of a context of `subband` cost, given their mean magnitude.
    pub fn rate(&self, subband: usize, mean: f64) -> Rate {
        // Sums of what is never negative are not negative either.
        let sums = matches!(self.wavelet, Wavelet::None | Wavelet::Haar);
        if self.nonnegative && sums && subband == 0 { one_sided(mean) } else { two_sided(mean) }
    }

    /// What a context of `size` indices a plane adds to the price for each unit of their mean magnitude.
    pub fn price_slope(&self, subband: usize, size: usize, mean: f32) -> f32 {
        (self.price_of_a_bit * size as f64 * self.rate(subband, f64::from(mean)).slope) as f32
    }

    /// Coefficients in each subband of a plane, in coding order.
    pub fn subband_sizes(&self, height: usize, width: usize) -> Vec<usize> {
        subband_sizes(self.levels, height, width)
    }
}

/// What [`wavelet_quantize`] gives.
pub(crate) struct Quantized {
    /// The decoded map, `[N, C, H, W]`.
    pub decoded: Tensor<4>,
    /// Mean magnitude of the indices of each channel and subband, `[C * S]`, without gradient.
    pub mean_magnitude: Tensor<1>,
    /// On devices without kernels: a term of the loss, of value 0, that brings the gradient of the rate. Elsewhere that
    /// comes with the gradient of the map.
    pub rate: Option<Tensor<1>>,
}

/// The decoded form of `x`, bit for bit what the codec gives, with straight-through gradients for `x`, the logarithms of
/// the nominal steps `[S]` or `[C * S]`, and the gates `[C * S]`.
///
/// # Errors
/// `InvalidArgument` on devices without kernels, for what burn's stock operations are not written for.
pub(crate) fn wavelet_quantize(
    x: Tensor<4>,
    log_steps: Tensor<1>,
    gates: Tensor<1>,
    settings: QuantizeSettings,
) -> Result<Quantized> {
    if !has_kernels(&x.device()) {
        return quantize_stock::wavelet_quantize(x, log_steps, gates, settings);
    }
    let (decoded, mean_magnitude) = <Dispatch as QuantizeOps>::wavelet_quantize(
        x.into_dispatch(),
        log_steps.into_dispatch(),
        gates.into_dispatch(),
        settings,
    );
    Ok(Quantized {
        decoded: Tensor::from_dispatch(decoded),
        mean_magnitude: Tensor::from_dispatch(mean_magnitude),
        rate: None,
    })
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait QuantizeOps: Backend {
    fn wavelet_quantize(
        x: FloatTensor<Self>,
        log_steps: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        settings: QuantizeSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl QuantizeOps for Flex {
    fn wavelet_quantize(
        x: FlexTensor,
        log_steps: FlexTensor,
        gates: FlexTensor,
        settings: QuantizeSettings,
    ) -> (FlexTensor, FlexTensor) {
        let (_, y, mean) = QuantizeState::forward(x, log_steps, gates, settings);
        (y, mean)
    }
}

impl<C: CheckpointStrategy> QuantizeOps for Autodiff<Flex, C> {
    fn wavelet_quantize(
        x: FloatTensor<Self>,
        log_steps: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        settings: QuantizeSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), log_steps.node(), gates.node()];
        let (state, y, mean) =
            QuantizeState::forward(x.into_primitive(), log_steps.into_primitive(), gates.into_primitive(), settings);
        (record::<_, C, 3>(QuantizeBackward, nodes, state, y), Self::from_inner(mean))
    }
}

#[derive(Debug)]
struct QuantizeBackward;

#[derive(Clone, Debug)]
struct QuantizeState {
    shape: [usize; 4],
    x: Floats,
    y: Floats,
    steps: Vec<f32>,
    gates: Vec<f32>,
    mean_magnitude: Vec<f32>,
    settings: QuantizeSettings,
}

impl QuantizeState {
    /// With the decoded map and the mean magnitudes.
    fn forward(
        x: FlexTensor,
        log_steps: FlexTensor,
        gates: FlexTensor,
        settings: QuantizeSettings,
    ) -> (Self, FlexTensor, FlexTensor) {
        let shape = dims4(&x);
        let x = Floats::of(x);
        let steps = Floats::of(log_steps).values().iter().map(|log| log.exp()).collect();
        let gates = Floats::of(gates).values().to_vec();
        let mut state = Self { shape, y: x.clone(), x, steps, gates, mean_magnitude: Vec::new(), settings };
        let (y, mean_magnitude) = state.layer().forward_owned(Isa::best(), state.x.values());
        state.mean_magnitude = mean_magnitude;
        let y = tensor(y, shape);
        state.y = Floats::of(y.clone());
        let mean = tensor(state.mean_magnitude.clone(), [state.mean_magnitude.len()]);
        (state, y, mean)
    }

    fn layer(&self) -> WaveletQuantize<'_> {
        let [batch, channels, height, width] = self.shape;
        let QuantizeSettings { wavelet, levels, rounding, reconstruction, nonnegative, noise, .. } = self.settings;
        WaveletQuantize {
            batch,
            channels,
            height,
            width,
            wavelet,
            levels,
            steps: &self.steps,
            kept: &self.gates,
            rounding,
            reconstruction,
            nonnegative,
            noise,
        }
    }
}

impl Backward<Flex, 3> for QuantizeBackward {
    type State = QuantizeState;

    fn backward(self, ops: Ops<QuantizeState, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let state = ops.state;
        let dy = Floats::of(gradients.consume::<Flex>(&ops.node));
        let layer = state.layer();
        let sizes = layer.subband_sizes();
        let rate_gradient: Vec<f32> = state
            .mean_magnitude
            .iter()
            .enumerate()
            .map(|(context, &mean)| {
                let subband = context % sizes.len();
                state.settings.price_slope(subband, sizes[subband], mean)
            })
            .collect();
        let found = layer.backward_owned(Isa::best(), state.x.values(), state.y.values(), dy.values(), &rate_gradient);
        let [steps, gates] = [state.steps.len(), state.gates.len()];
        let found = [tensor(found.dx, state.shape), tensor(found.dlog_steps, [steps]), tensor(found.dkept, [gates])];
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                gradients.register::<Flex>(node.id, gradient);
            }
        }
    }
}

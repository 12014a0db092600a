//! The backward passes.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex};
use burn_flex::FlexTensor;
use subband_kernels::{BatchStats, Clipped, ConvShape, Isa, conv2d_input_gradient_owned, conv2d_weight_gradient_owned};

use super::NetworkOps;
use super::flex::{Floats, batch_norm, conv_shape, dims4, norm_with_stats, tensor, with_moments};

impl<C: CheckpointStrategy> NetworkOps for Autodiff<Flex, C> {
    fn conv(x: FloatTensor<Self>, weight: FloatTensor<Self>, stride: usize, padding: usize) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let shape = conv_shape(&x, &weight, stride, padding);
        let state = ConvState { shape, x: Floats::of(x.clone()), weight: Floats::of(weight.clone()) };
        record::<_, C, 2>(ConvBackward, [x_node, weight_node], state, Flex::conv(x, weight, stride, padding))
    }

    fn norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        relu: bool,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gamma.node(), beta.node()];
        record_norm::<C, 3>(nodes, [x, gamma, beta].map(|t| t.into_primitive()), None, relu, epsilon)
    }

    fn norm_add(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        relu: bool,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gamma.node(), beta.node(), residual.node()];
        let inputs = [x, gamma, beta].map(|t| t.into_primitive());
        record_norm::<C, 4>(nodes, inputs, Some(residual.into_primitive()), relu, epsilon)
    }
}

/// A tensor that knows where it comes from.
type Recorded<C> = FloatTensor<Autodiff<Flex, C>>;

/// The output of an operation on `nodes`, with what its backward pass will need.
pub(super) fn record<O: Backward<Flex, N>, C: CheckpointStrategy, const N: usize>(
    operation: O,
    nodes: [NodeGuard; N],
    state: O::State,
    output: FlexTensor,
) -> Recorded<C> {
    match operation.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

/// Output, mean and variance of a normalisation on `nodes`: those of `x`, gamma, beta and, if there is one, `residual`.
fn record_norm<C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    inputs: [FlexTensor; 3],
    residual: Option<FlexTensor>,
    relu: bool,
    epsilon: f64,
) -> (Recorded<C>, Recorded<C>, Recorded<C>) {
    let (state, output) = NormState::forward(inputs, residual, relu, epsilon);
    let (output, mean, variance) = with_moments((output, BatchStats::clone(&state.stats)));
    let constant = Autodiff::<Flex, C>::from_inner;
    (record::<_, C, N>(NormBackward, nodes, state, output), constant(mean), constant(variance))
}

#[derive(Debug)]
struct ConvBackward;

#[derive(Clone, Debug)]
struct ConvState {
    shape: ConvShape,
    x: Floats,
    weight: Floats,
}

impl Backward<Flex, 2> for ConvBackward {
    type State = ConvState;

    fn backward(self, ops: Ops<ConvState, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let ConvState { shape, x, weight } = ops.state;
        let dy = Floats::of(gradients.consume::<Flex>(&ops.node));
        if let Some(node) = weight_node {
            let dw = conv2d_weight_gradient_owned(Isa::best(), &shape, x.values(), dy.values());
            let sizes = [shape.out_channels, shape.in_channels, shape.kernel, shape.kernel];
            gradients.register::<Flex>(node.id, tensor(dw, sizes));
        }
        if let Some(node) = x_node {
            let dx = conv2d_input_gradient_owned(Isa::best(), &shape, dy.values(), weight.values());
            gradients
                .register::<Flex>(node.id, tensor(dx, [shape.batch, shape.in_channels, shape.height, shape.width]));
        }
    }
}

#[derive(Debug)]
struct NormBackward;

#[derive(Clone, Debug)]
struct NormState {
    shape: [usize; 4],
    x: Floats,
    gamma: Floats,
    beta: Floats,
    epsilon: f64,
    stats: Arc<BatchStats>,
    clip: Clip,
}

/// [`Clipped`], owned.
#[derive(Clone, Debug)]
enum Clip {
    No,
    WithoutResidual,
    Output(Floats),
}

impl NormState {
    fn forward(
        [x, gamma, beta]: [FlexTensor; 3],
        residual: Option<FlexTensor>,
        relu: bool,
        epsilon: f64,
    ) -> (Self, FlexTensor) {
        let has_residual = residual.is_some();
        let (output, stats) = norm_with_stats(x.clone(), gamma.clone(), beta.clone(), residual, relu, epsilon);
        let clip = match (relu, has_residual) {
            (false, _) => Clip::No,
            (true, false) => Clip::WithoutResidual,
            (true, true) => Clip::Output(Floats::of(output.clone())),
        };
        let shape = dims4(&x);
        let [x, gamma, beta] = [x, gamma, beta].map(Floats::of);
        (Self { shape, x, gamma, beta, epsilon, stats: Arc::new(stats), clip }, output)
    }

    /// Of `x`, gamma, beta and, if it is wanted, the residual.
    fn gradients(&self, dy: FlexTensor, wants_residual: bool) -> impl Iterator<Item = FlexTensor> + use<> {
        let dy = Floats::of(dy);
        let channels = self.shape[1];
        let clipped = match &self.clip {
            Clip::No => Clipped::No,
            Clip::WithoutResidual => Clipped::WithoutResidual,
            Clip::Output(output) => Clipped::Output(output.values()),
        };
        let norm = batch_norm(self.shape, self.gamma.values(), self.beta.values(), self.epsilon);
        let found =
            norm.backward_owned(Isa::best(), self.x.values(), &self.stats, clipped, dy.values(), wants_residual);
        let parameters = [found.dgamma, found.dbeta].map(|values| tensor(values, [channels]));
        let residual = found.dresidual.map(|values| tensor(values, self.shape));
        [tensor(found.dx, self.shape)].into_iter().chain(parameters).chain(residual)
    }
}

impl<const N: usize> Backward<Flex, N> for NormBackward {
    type State = NormState;

    fn backward(self, ops: Ops<NormState, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients.consume::<Flex>(&ops.node);
        // The fourth input is the residual.
        let wants_residual = ops.parents.get(3).is_some_and(Option::is_some);
        let found = ops.state.gradients(dy, wants_residual);
        for (node, gradient) in ops.parents.iter().zip(found) {
            if let Some(node) = node {
                gradients.register::<Flex>(node.id, gradient);
            }
        }
    }
}

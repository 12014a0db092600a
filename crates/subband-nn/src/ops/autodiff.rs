//! The backward passes.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex};
use burn_flex::FlexTensor;
use subband_kernels::{BatchStats, Clipped, ConvShape, Isa, conv2d_input_gradient_owned, conv2d_weight_gradient_owned};

use super::NetworkOps;
use super::flex::{Floats, batch_norm, conv_shape, dims4, norm_with_stats, tensor, with_moments};

impl<C: CheckpointStrategy> NetworkOps for Autodiff<Flex, C> {
    fn conv(x: FloatTensor<Self>, weight: FloatTensor<Self>, stride: usize, padding: usize) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        match ConvBackward.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let shape = conv_shape(&x, &weight, stride, padding);
                let state = ConvState { shape, x: Floats::of(x.clone()), weight: Floats::of(weight.clone()) };
                prep.finish(state, Flex::conv(x, weight, stride, padding))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::conv(x, weight, stride, padding)),
        }
    }

    fn norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        relu: bool,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let (state, output) = NormState::forward([x, gamma, beta].map(|t| t.into_primitive()), None, relu, epsilon);
        let (_, mean, variance) = with_moments((output.clone(), BatchStats::clone(&state.stats)));
        let output = match NormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        };
        (output, Self::from_inner(mean), Self::from_inner(variance))
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
        let (state, output) = NormState::forward(inputs, Some(residual.into_primitive()), relu, epsilon);
        let (_, mean, variance) = with_moments((output.clone(), BatchStats::clone(&state.stats)));
        let output = match NormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        };
        (output, Self::from_inner(mean), Self::from_inner(variance))
    }
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

struct NormGradients {
    x: FlexTensor,
    gamma: FlexTensor,
    beta: FlexTensor,
    residual: Option<FlexTensor>,
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

    fn gradients(&self, dy: FlexTensor, wants_residual: bool) -> NormGradients {
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
        NormGradients {
            x: tensor(found.dx, self.shape),
            gamma: tensor(found.dgamma, [channels]),
            beta: tensor(found.dbeta, [channels]),
            residual: found.dresidual.map(|values| tensor(values, self.shape)),
        }
    }
}

impl Backward<Flex, 3> for NormBackward {
    type State = NormState;

    fn backward(self, ops: Ops<NormState, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients.consume::<Flex>(&ops.node);
        let found = ops.state.gradients(dy, false);
        for (node, gradient) in ops.parents.into_iter().zip([found.x, found.gamma, found.beta]) {
            if let Some(node) = node {
                gradients.register::<Flex>(node.id, gradient);
            }
        }
    }
}

impl Backward<Flex, 4> for NormBackward {
    type State = NormState;

    fn backward(self, ops: Ops<NormState, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients.consume::<Flex>(&ops.node);
        let found = ops.state.gradients(dy, ops.parents[3].is_some());
        let list = [Some(found.x), Some(found.gamma), Some(found.beta), found.residual];
        for (node, gradient) in ops.parents.into_iter().zip(list) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                gradients.register::<Flex>(node.id, gradient);
            }
        }
    }
}

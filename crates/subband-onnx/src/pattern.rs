//! What parts of a graph mean: activations, gates, residual adds, and which maps an accelerator would store.

use std::collections::HashSet;

use rten_onnx::onnx::{NodeProto, TensorProto};
use serde::{Deserialize, Serialize};

use crate::model::{Model, operator};

/// What makes the values at a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Relu.
    Relu,
    /// Clip, as in ReLU6.
    Clip,
    /// LeakyRelu or PRelu.
    LeakyRelu,
    /// x * sigmoid(x), written out or as one operator.
    Silu,
    /// x * hardsigmoid(x), written out or as one operator.
    HardSwish,
    /// Another activation: Elu, Gelu, Mish, Selu, Celu, Softplus, ...
    Activation,
    /// The sum of two maps, no activation behind it.
    Add,
    /// Anything else that a convolution reads.
    Other,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Relu,
        Self::Clip,
        Self::LeakyRelu,
        Self::Silu,
        Self::HardSwish,
        Self::Activation,
        Self::Add,
        Self::Other,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Clip => "clip",
            Self::LeakyRelu => "leakyrelu",
            Self::Silu => "silu",
            Self::HardSwish => "hardswish",
            Self::Activation => "activation",
            Self::Add => "add",
            Self::Other => "other",
        }
    }

    /// Whether an activation function made it.
    pub fn is_activation(self) -> bool {
        !matches!(self, Self::Add | Self::Other)
    }
}

/// The activation that makes a node's output, if one does.
pub(crate) fn activation(model: &Model, node: usize) -> Option<Kind> {
    match operator(model.node(node)) {
        "Relu" | "ThresholdedRelu" => Some(Kind::Relu),
        "Clip" => Some(Kind::Clip),
        "LeakyRelu" | "PRelu" => Some(Kind::LeakyRelu),
        "HardSwish" => Some(Kind::HardSwish),
        "Swish" | "QuickGelu" => Some(Kind::Silu),
        "Elu" | "Gelu" | "Mish" | "Selu" | "Celu" | "Softplus" | "Softsign" | "Tanh" => Some(Kind::Activation),
        "Mul" => gated(model, node).map(|(kind, _)| kind),
        _ => None,
    }
}

/// For `x * gate(x)`: its kind and the nodes of the gate.
fn gated(model: &Model, mul: usize) -> Option<(Kind, Vec<usize>)> {
    let [a, b] = model.node(mul).input.as_slice() else { return None };
    for (x, end) in [(a, b), (b, a)] {
        let (mut value, mut nodes, mut kind) = (end.as_str(), Vec::new(), None);
        // Written out by old exporters, hard swish is x * clip(x + 3, 0, 6) / 6: four nodes.
        while value != x && nodes.len() < 5 {
            let Some(node) = model.producer(value) else { break };
            let Some(from) = pointwise_input(model, node) else { break };
            match operator(model.node(node)) {
                "Sigmoid" => kind = Some(Kind::Silu),
                "HardSigmoid" | "Clip" => kind = kind.or(Some(Kind::HardSwish)),
                "Erf" => kind = Some(Kind::Activation),
                _ => {}
            }
            nodes.push(node);
            value = from;
        }
        if let (true, Some(kind)) = (value == x, kind) {
            return Some((kind, nodes));
        }
    }
    None
}

/// The one varying input of a node that works value by value.
fn pointwise_input(model: &Model, node: usize) -> Option<&str> {
    let pointwise = matches!(
        operator(model.node(node)),
        "Relu"
            | "Clip"
            | "LeakyRelu"
            | "PRelu"
            | "HardSwish"
            | "Swish"
            | "Elu"
            | "Gelu"
            | "Mish"
            | "Selu"
            | "Celu"
            | "Softplus"
            | "Softsign"
            | "Tanh"
            | "Sigmoid"
            | "HardSigmoid"
            | "Erf"
            | "BatchNormalization"
            | "Identity"
            | "Dropout"
            | "Add"
            | "Sub"
            | "Mul"
            | "Div"
            | "Neg"
            | "Cast"
    );
    let mut varying = model.node(node).input.iter().filter(|value| !value.is_empty() && !model.is_constant(value));
    let first = varying.next()?;
    (pointwise && varying.next().is_none()).then_some(first)
}

/// Nodes that belong to the gate of an activation and make no map of their own.
pub(crate) fn gates(model: &Model) -> HashSet<usize> {
    let muls = (0..model.nodes()).filter(|&node| operator(model.node(node)) == "Mul");
    muls.filter_map(|node| gated(model, node)).flat_map(|(_, nodes)| nodes).collect()
}

/// Whether a node adds two maps that both depend on the input.
pub(crate) fn is_residual_add(model: &Model, node: usize) -> bool {
    let node = model.node(node);
    matches!(operator(node), "Add" | "Sum")
        && node.input.len() >= 2
        && node.input.iter().all(|value| !model.is_constant(value) && model.element_type(value).is_float())
}

/// The activation that alone reads a value, and what it makes.
pub(crate) fn only_activation_behind(model: &Model, value: &str) -> Option<usize> {
    let gates = gates(model);
    let mut readers = model.readers(value).iter().copied().filter(|reader| !gates.contains(reader));
    let reader = readers.next()?;
    (readers.next().is_none() && !model.is_output(value) && activation(model, reader).is_some()).then_some(reader)
}

/// Whether values can never be below 0, as far as operators tell.
pub(crate) fn is_nonnegative(model: &Model, value: &str) -> bool {
    let Some(node) = model.producer(value) else { return false };
    let node = model.node(node);
    match operator(node) {
        "Relu" | "Sigmoid" | "HardSigmoid" | "Softmax" | "Softplus" => true,
        "Clip" => lower_bound(model, node).is_some_and(|bound| bound >= 0.0),
        "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" | "Identity" | "Dropout" | "Reshape"
        | "Flatten" | "Transpose" | "Squeeze" | "Unsqueeze" => {
            node.input.first().is_some_and(|input| is_nonnegative(model, input))
        }
        "Concat" => node.input.iter().all(|input| is_nonnegative(model, input)),
        _ => false,
    }
}

/// The lower bound of a Clip: an attribute until opset 10, then an input.
fn lower_bound(model: &Model, node: &NodeProto) -> Option<f32> {
    if let Some(attribute) = node.attribute.iter().find(|a| a.name.as_deref() == Some("min")) {
        return attribute.f;
    }
    let input = node.input.get(1).filter(|input| !input.is_empty())?;
    if let Some(weight) = model.weight(input) {
        return scalar(&model.graph().initializer[weight]);
    }
    let maker = model.node(model.producer(input)?);
    let attribute = |name: &str| maker.attribute.iter().find(|a| a.name.as_deref() == Some(name));
    attribute("value").and_then(|a| a.t.as_ref()).and_then(scalar).or_else(|| attribute("value_float")?.f)
}

fn scalar(tensor: &TensorProto) -> Option<f32> {
    match &tensor.raw_data {
        Some(raw) => Some(f32::from_le_bytes(raw.borrow().as_slice().try_into().ok()?)),
        None => tensor.float_data.first().copied(),
    }
}

/// Maps that a layer-by-layer accelerator writes to memory: those that something reads which is not fused with what makes
/// them. Activations, normalisation and the last operand of an add are fused; reshapes make no new map.
pub(crate) fn stored_maps(model: &Model, needed: &HashSet<usize>) -> Vec<String> {
    let gates = gates(model);
    let mut stored = Vec::new();
    for node in (0..model.nodes()).filter(|node| needed.contains(node) && !gates.contains(node)) {
        if matches!(
            operator(model.node(node)),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" | "Dropout"
        ) {
            continue;
        }
        let Some(value) = model.node(node).output.first() else { continue };
        if model.is_constant(value) || !model.element_type(value).is_float() || model.is_output(value) {
            continue;
        }
        let readers = model.readers(value).iter().filter(|reader| needed.contains(reader));
        if readers.into_iter().any(|&reader| !is_fused(model, value, node, reader, &gates)) {
            stored.push(value.clone());
        }
    }
    stored
}

fn is_fused(model: &Model, value: &str, maker: usize, reader: usize, gates: &HashSet<usize>) -> bool {
    if gates.contains(&reader) || pointwise_input(model, reader) == Some(value) || gated(model, reader).is_some() {
        return true;
    }
    // Of two operands the later one is still at hand when the sum is made, if a convolution just made it.
    let computed = matches!(operator(model.node(maker)), "Conv" | "Gemm" | "MatMul" | "BatchNormalization");
    let later = |other: &String| model.producer(other).is_none_or(|producer| producer <= maker);
    computed && is_residual_add(model, reader) && model.node(reader).input.iter().all(later)
}

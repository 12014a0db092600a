//! Element types of a graph's values, as far as cutting a graph needs them: a value that crosses a cut becomes the typed
//! input of a model of its own.

use std::collections::HashMap;

use rten_onnx::onnx::{DataType, GraphProto, NodeProto, ValueInfoProto};

use crate::model::operator;

/// As numbered in the ONNX format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ElementType(pub i32);

impl ElementType {
    pub const FLOAT: Self = Self(DataType::FLOAT.0);
    pub const INT64: Self = Self(DataType::INT64.0);
    pub const BOOL: Self = Self(DataType::BOOL.0);

    pub fn is_float(self) -> bool {
        self == Self::FLOAT
    }
}

/// The types of all values. What the file states (inputs, outputs, value_info) counts; the rest follows from operators.
pub(crate) fn infer(graph: &GraphProto) -> HashMap<String, ElementType> {
    let mut types = HashMap::new();
    for tensor in &graph.initializer {
        if let (Some(name), Some(element)) = (&tensor.name, tensor.data_type) {
            types.insert(name.clone(), ElementType(element.0));
        }
    }
    for info in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
        if let (Some(name), Some(element)) = (&info.name, stated(info)) {
            types.insert(name.clone(), element);
        }
    }
    for node in &graph.node {
        let element = result(node, &types);
        for (index, output) in node.output.iter().enumerate() {
            // The second output of these is a position or a mask.
            let element = match (operator(node), index) {
                ("TopK" | "MaxPool", 1) => ElementType::INT64,
                ("Dropout", 1) => ElementType::BOOL,
                _ => element,
            };
            types.entry(output.clone()).or_insert(element);
        }
    }
    types
}

fn stated(info: &ValueInfoProto) -> Option<ElementType> {
    let tensor = info.r#type.as_ref()?.tensor_type.as_ref()?;
    tensor.elem_type.map(|element| ElementType(element.0))
}

/// The type of a node's first output. Most operators give what they are given.
fn result(node: &NodeProto, types: &HashMap<String, ElementType>) -> ElementType {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name.as_deref() == Some(name));
    let of_input = |index: usize| node.input.get(index).and_then(|input| types.get(input)).copied();
    match operator(node) {
        "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" | "NonMaxSuppression" => ElementType::INT64,
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And" | "Or" | "Xor" | "Not" | "IsNaN"
        | "IsInf" => ElementType::BOOL,
        "Cast" => attribute("to").and_then(|a| a.i).map_or(ElementType::FLOAT, |to| ElementType(to as i32)),
        "Constant" | "ConstantOfShape" => match attribute("value").and_then(|a| a.t.as_ref()) {
            Some(tensor) => tensor.data_type.map_or(ElementType::FLOAT, |element| ElementType(element.0)),
            None if attribute("value_int").or(attribute("value_ints")).is_some() => ElementType::INT64,
            None => ElementType::FLOAT,
        },
        "Where" => of_input(1).unwrap_or(ElementType::FLOAT),
        "DequantizeLinear" => ElementType::FLOAT,
        "QuantizeLinear" => of_input(2).unwrap_or(ElementType(DataType::UINT8.0)),
        _ => of_input(0).unwrap_or(ElementType::FLOAT),
    }
}

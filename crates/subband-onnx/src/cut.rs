//! Cutting a graph at tapped values into stages that run one after another.
//!
//! A node belongs to the first stage in which everything it reads is there; whatever reads a tapped value comes a stage
//! after the node that makes it, so between two stages every tap made so far has its decoded map, for all readers.

use std::collections::{BTreeSet, HashMap, HashSet};

use rten_onnx::onnx::{DataType, GraphProto, ModelProto, TypeProto, TypeProtoTensor, ValueInfoProto};

use crate::engine::Segment;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::types::ElementType;

/// What runs between two points where maps are coded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stage {
    nodes: Vec<usize>,
    /// Values that earlier stages or the caller made.
    pub inputs: Vec<String>,
    /// Values that are tapped, read later, or outputs of the network.
    pub outputs: Vec<String>,
    /// Which of `outputs` are taps: position there, number of the tap.
    pub taps: Vec<(usize, usize)>,
    /// Values that nothing reads after this stage.
    pub last_read: Vec<String>,
}

/// Cuts `model` at `taps` and lets it end in `outputs`.
///
/// # Errors
/// `InvalidArgument` for a tap that the model has not, that is an input, output or weight, or that no output depends on.
pub(crate) fn cut(model: &Model, taps: &[String], outputs: &[String]) -> Result<Vec<Stage>> {
    let needed = needed(model, outputs);
    let tap_of: HashMap<&str, usize> = taps.iter().enumerate().map(|(index, tap)| (tap.as_str(), index)).collect();
    for tap in taps {
        check_tap(model, tap, outputs, &needed)?;
    }
    // Stage in which a value is made, and the node's own.
    let mut made: HashMap<&str, usize> = HashMap::new();
    let mut stages: Vec<Stage> = Vec::new();
    for index in 0..model.nodes() {
        if !needed.contains(&index) || is_constant(model, index) {
            continue;
        }
        let ready = |value: &String| match made.get(value.as_str()) {
            Some(stage) => stage + usize::from(tap_of.contains_key(value.as_str())),
            None => 0,
        };
        let stage = model.reads(index).iter().map(ready).max().unwrap_or(0);
        if stages.len() <= stage {
            stages.resize_with(stage + 1, Stage::default);
        }
        stages[stage].nodes.push(index);
        for output in model.node(index).output.iter().filter(|output| !output.is_empty()) {
            made.insert(output, stage);
        }
    }
    for output in outputs {
        if !made.contains_key(output.as_str()) {
            return Err(Error::model(format!("the output `{output}` does not depend on the input")));
        }
    }
    connect(model, &mut stages, &made, &tap_of, outputs);
    Ok(stages)
}

/// Fills in what passes between stages.
fn connect(
    model: &Model,
    stages: &mut [Stage],
    made: &HashMap<&str, usize>,
    tap_of: &HashMap<&str, usize>,
    outputs: &[String],
) {
    let mut last: HashMap<String, usize> = HashMap::new();
    for (at, stage) in stages.iter_mut().enumerate() {
        let mut inputs = BTreeSet::new();
        for value in stage.nodes.iter().flat_map(|&node| model.reads(node)) {
            let from_outside = made.get(value.as_str()).is_none_or(|&stage| stage < at);
            if from_outside && !model.is_constant(value) {
                inputs.insert(value.clone());
                last.insert(value.clone(), at);
            }
        }
        stage.inputs = inputs.into_iter().collect();
    }
    for (at, stage) in stages.iter_mut().enumerate() {
        let values = stage.nodes.iter().flat_map(|&node| &model.node(node).output).filter(|value| !value.is_empty());
        let leaves = |value: &&String| {
            tap_of.contains_key(value.as_str()) || last.get(*value).is_some_and(|&l| l > at) || outputs.contains(value)
        };
        stage.outputs = values.filter(leaves).cloned().collect();
        let taps = stage.outputs.iter().enumerate();
        stage.taps = taps.filter_map(|(at, value)| Some((at, *tap_of.get(value.as_str())?))).collect();
    }
    for (value, at) in last {
        if !outputs.contains(&value) {
            stages[at].last_read.push(value);
        }
    }
}

fn check_tap(model: &Model, tap: &str, outputs: &[String], needed: &HashSet<usize>) -> Result<()> {
    let reason = match model.producer(tap) {
        None if model.weight(tap).is_some() => "it is a weight",
        None if model.inputs().iter().any(|input| input.name == tap) => "it is the network's input",
        None => return Err(Error::argument(format!("the model {} has no value `{tap}`", model.name()))),
        Some(_) if outputs.iter().any(|output| output == tap) => "it is an output of the network: nothing reads it",
        Some(_) if model.is_constant(tap) => "it is the same for every input",
        Some(node) if !needed.contains(&node) || model.readers(tap).iter().all(|reader| !needed.contains(reader)) => {
            "no output depends on it"
        }
        Some(_) if !model.element_type(tap).is_float() => "its values are no f32",
        Some(_) => return Ok(()),
    };
    Err(Error::argument(format!("`{tap}` cannot be coded: {reason}")))
}

/// The nodes that `outputs` depend on.
pub(crate) fn needed(model: &Model, outputs: &[String]) -> HashSet<usize> {
    let mut found = HashSet::new();
    let mut open: Vec<usize> = outputs.iter().filter_map(|output| model.producer(output)).collect();
    while let Some(node) = open.pop() {
        if found.insert(node) {
            open.extend(model.reads(node).iter().filter_map(|value| model.producer(value)));
        }
    }
    found
}

fn is_constant(model: &Model, node: usize) -> bool {
    model.node(node).output.iter().filter(|output| !output.is_empty()).all(|output| model.is_constant(output))
}

impl Stage {
    /// The stage as a model: its nodes, the constants they read, and nothing more.
    pub fn segment(&self, model: &Model) -> Result<Segment> {
        let mut nodes: BTreeSet<usize> = self.nodes.iter().copied().collect();
        let mut weights = BTreeSet::new();
        let mut open: Vec<&String> = self.nodes.iter().flat_map(|&node| model.reads(node)).collect();
        while let Some(value) = open.pop() {
            if let Some(weight) = model.weight(value) {
                weights.insert(weight);
            } else if let (true, Some(node)) = (model.is_constant(value), model.producer(value))
                && nodes.insert(node)
            {
                open.extend(model.reads(node));
            }
        }
        let info = |name: &String| value_info(name, model.element_type(name));
        let graph = GraphProto {
            node: nodes.iter().map(|&node| model.node(node).clone()).collect(),
            initializer: weights.iter().map(|&weight| model.graph().initializer[weight].clone()).collect(),
            input: self.inputs.iter().map(info).collect(),
            output: self.outputs.iter().map(info).collect(),
            ..GraphProto::default()
        };
        let whole = ModelProto { graph: Some(graph), ..model.frame() };
        let bytes = whole.write_buf().map_err(|e| Error::model(format!("cannot write a part of the model: {e}")))?;
        let inputs = self.inputs.iter().map(|name| (name.clone(), model.element_type(name))).collect();
        Ok(Segment { bytes, inputs, outputs: self.outputs.clone() })
    }
}

fn value_info(name: &str, element: ElementType) -> ValueInfoProto {
    let tensor = TypeProtoTensor { elem_type: Some(DataType(element.0)), shape: None };
    let kind = TypeProto { tensor_type: Some(tensor), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(kind) }
}

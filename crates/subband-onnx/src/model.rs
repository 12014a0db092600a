//! An ONNX file as a graph: what makes each value, what reads it, and what it is.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path};

use rten_onnx::onnx::{DataLocation, DataType, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use crate::error::{Error, Result};
use crate::spell_out::spell_out;
use crate::types::{self, ElementType};

/// A model that was read and whose graph hangs together. Weights of separate files are in memory too.
pub struct Model {
    name: String,
    proto: ModelProto,
    /// Per node, every value that it reads, those of its subgraphs included.
    reads: Vec<Vec<String>>,
    producers: HashMap<String, usize>,
    readers: HashMap<String, Vec<usize>>,
    weights: HashMap<String, usize>,
    /// Values that depend on no input of the model, weights apart.
    constants: HashSet<String>,
    types: HashMap<String, ElementType>,
}

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// As in the file.
    pub name: String,
    /// Its axes; `None` for a size that is not fixed. No axes where the file does not say.
    pub shape: Vec<Option<usize>>,
}

impl Port {
    /// Which of the axes are height and width, where it takes images, of which the first axis counts: the last two, or the
    /// second and third of images whose channels, four at most, come last.
    pub(crate) fn spatial(&self) -> Option<[usize; 2]> {
        match self.shape[..] {
            [_, channels, _, width] if channels.is_some_and(|c| c <= 4) || width.is_none_or(|w| w > 4) => Some([2, 3]),
            [_, _, _, Some(_)] => Some([1, 2]),
            _ => None,
        }
    }
}

impl Model {
    /// Reads a file, and the files that hold its weights.
    ///
    /// # Errors
    /// `Io` where a file cannot be read; `Model` where it is no ONNX model, is cut short, or its graph does not hang
    /// together.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned());
        let folder = path.parent().unwrap_or(Path::new("."));
        let in_file = |e: Error| Error::new(e.kind(), format!("{}: {e}", path.display()));
        Self::from_bytes(&name, &bytes, Some(folder)).map_err(in_file)
    }

    /// The same from memory; `folder` is where files with weights lie, if any may be read.
    pub fn from_bytes(name: &str, bytes: &[u8], folder: Option<&Path>) -> Result<Self> {
        let mut proto = ModelProto::parse_buf(bytes)
            .map_err(|e| Error::model(format!("this is no ONNX model, or one cut short ({e})")))?;
        let Some(graph) = &mut proto.graph else {
            return Err(Error::model("this is no ONNX model, or one cut short: there is no graph in it"));
        };
        for tensor in &mut graph.initializer {
            load_external(tensor, folder)?;
        }
        spell_out(graph);
        Self::new(name.to_owned(), proto)
    }

    fn new(name: String, proto: ModelProto) -> Result<Self> {
        let graph = proto.graph.as_ref().expect("the caller has looked");
        let mut weights = HashMap::new();
        for (index, tensor) in graph.initializer.iter().enumerate() {
            check_size(tensor)?;
            weights.insert(tensor.name.clone().unwrap_or_default(), index);
        }
        let mut known: HashSet<String> = weights.keys().cloned().collect();
        known.extend(graph.input.iter().filter_map(|input| input.name.clone()));
        let (mut producers, mut readers) = (HashMap::new(), HashMap::<String, Vec<usize>>::new());
        let mut reads = Vec::with_capacity(graph.node.len());
        let mut constants = HashSet::new();
        for (index, node) in graph.node.iter().enumerate() {
            let read = values_read(node);
            for value in &read {
                if !known.contains(value) {
                    return Err(Error::model(format!(
                        "{} reads `{value}`, which nothing before it makes",
                        title(node)
                    )));
                }
                readers.entry(value.clone()).or_default().push(index);
            }
            let constant = read.iter().all(|v| weights.contains_key(v) || constants.contains(v)) && !is_random(node);
            for value in node.output.iter().filter(|value| !value.is_empty()) {
                if !known.insert(value.clone()) {
                    return Err(Error::model(format!("{} makes `{value}`, which exists already", title(node))));
                }
                producers.insert(value.clone(), index);
                if constant {
                    constants.insert(value.clone());
                }
            }
            reads.push(read);
        }
        if graph.output.is_empty() {
            return Err(Error::model("the graph has no output"));
        }
        for output in &graph.output {
            let output = output.name.as_deref().unwrap_or_default();
            if !known.contains(output) {
                return Err(Error::model(format!("nothing makes the output `{output}`")));
            }
        }
        let types = types::infer(graph);
        Ok(Self { name, reads, producers, readers, weights, constants, types, proto })
    }

    /// The file's name without its ending: what profiles call the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn graph(&self) -> &GraphProto {
        self.proto.graph.as_ref().expect("checked when read")
    }

    /// Everything of the model but its graph.
    pub(crate) fn frame(&self) -> ModelProto {
        ModelProto {
            ir_version: self.proto.ir_version,
            opset_import: self.proto.opset_import.clone(),
            ..ModelProto::default()
        }
    }

    /// Inputs that a caller must give: those that are no weights.
    pub fn inputs(&self) -> Vec<Port> {
        let given = |port: &&ValueInfoProto| !self.weights.contains_key(port.name.as_deref().unwrap_or_default());
        self.graph().input.iter().filter(given).map(port).collect()
    }

    /// Forgets the sizes that the file gives of its inputs' axes, channels apart: an export writes down those of the example it
    /// was made with, though the network may take others. Where it does not, running it fails.
    ///
    /// # Shapes
    /// `[10, 3, 32, 32]` becomes `[?, 3, ?, ?]`, `[1, 224, 224, 3]` becomes `[?, ?, ?, 3]`; of inputs that are no images all
    /// axes are forgotten.
    pub fn with_any_shape(mut self) -> Self {
        let weights = &self.weights;
        let graph = self.proto.graph.as_mut().expect("checked when read");
        for input in &mut graph.input {
            if weights.contains_key(input.name.as_deref().unwrap_or_default()) {
                continue;
            }
            let spatial = port(input).spatial();
            let tensor = input.r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut());
            let Some(shape) = tensor.and_then(|tensor| tensor.shape.as_mut()) else { continue };
            let is_channels = |axis: usize| axis > 0 && spatial.is_some_and(|spatial| !spatial.contains(&axis));
            let forgotten = shape.dim.iter_mut().enumerate().filter(|&(axis, _)| !is_channels(axis));
            forgotten.for_each(|(_, size)| *size = Default::default());
        }
        self
    }

    /// Outputs.
    pub fn outputs(&self) -> Vec<Port> {
        self.graph().output.iter().map(port).collect()
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.reads.len()
    }

    /// The operators that occur, each once, sorted.
    pub fn operators(&self) -> Vec<&str> {
        let mut found: Vec<&str> = self.graph().node.iter().map(operator).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    pub(crate) fn node(&self, index: usize) -> &NodeProto {
        &self.graph().node[index]
    }

    /// Every value that a node reads.
    pub(crate) fn reads(&self, node: usize) -> &[String] {
        &self.reads[node]
    }

    pub(crate) fn producer(&self, value: &str) -> Option<usize> {
        self.producers.get(value).copied()
    }

    pub(crate) fn readers(&self, value: &str) -> &[usize] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn weight(&self, value: &str) -> Option<usize> {
        self.weights.get(value).copied()
    }

    /// Whether a value is the same for every input.
    pub(crate) fn is_constant(&self, value: &str) -> bool {
        self.weights.contains_key(value) || self.constants.contains(value)
    }

    pub(crate) fn is_output(&self, value: &str) -> bool {
        self.graph().output.iter().any(|output| output.name.as_deref() == Some(value))
    }

    pub(crate) fn element_type(&self, value: &str) -> ElementType {
        self.types.get(value).copied().unwrap_or(ElementType::FLOAT)
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("nodes", &self.nodes()).finish()
    }
}

/// A node as messages call it.
pub(crate) fn title(node: &NodeProto) -> String {
    match node.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => format!("{} `{name}`", operator(node)),
        None => format!("{} of `{}`", operator(node), node.output.first().map_or("", String::as_str)),
    }
}

pub(crate) fn operator(node: &NodeProto) -> &str {
    node.op_type.as_deref().unwrap_or_default()
}

/// Inputs of a node, and what its subgraphs (of If, Loop, Scan) read from outside.
fn values_read(node: &NodeProto) -> Vec<String> {
    let mut found: Vec<String> = node.input.iter().filter(|value| !value.is_empty()).cloned().collect();
    for attribute in &node.attribute {
        if let Some(graph) = &attribute.g {
            let mut inside: HashSet<&str> = graph.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
            inside.extend(graph.input.iter().filter_map(|input| input.name.as_deref()));
            for node in &graph.node {
                found.extend(values_read(node).into_iter().filter(|value| !inside.contains(value.as_str())));
                inside.extend(node.output.iter().map(String::as_str));
            }
            let outputs = graph.output.iter().filter_map(|output| output.name.as_deref());
            found.extend(outputs.filter(|value| !inside.contains(value)).map(str::to_owned));
        }
    }
    let mut seen = HashSet::new();
    found.retain(|value| seen.insert(value.clone()));
    found
}

fn is_random(node: &NodeProto) -> bool {
    operator(node).starts_with("Random") || matches!(operator(node), "Bernoulli" | "Multinomial")
}

fn port(info: &ValueInfoProto) -> Port {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(Vec::new(), |shape| {
        shape
            .dim
            .iter()
            .map(|dim| dim.dim_value.and_then(|size| usize::try_from(size).ok()).filter(|&s| s > 0))
            .collect()
    });
    Port { name: info.name.clone().unwrap_or_default(), shape }
}

/// Refuses a tensor whose bytes are not as many as its shape says.
fn check_size(tensor: &TensorProto) -> Result<()> {
    let Some(raw) = &tensor.raw_data else { return Ok(()) };
    let size = match tensor.data_type {
        Some(DataType::FLOAT | DataType::INT32 | DataType::UINT32) => 4,
        Some(DataType::DOUBLE | DataType::INT64 | DataType::UINT64) => 8,
        Some(DataType::INT8 | DataType::UINT8 | DataType::BOOL) => 1,
        Some(DataType::FLOAT16 | DataType::BFLOAT16 | DataType::INT16 | DataType::UINT16) => 2,
        _ => return Ok(()),
    };
    let expected = tensor
        .dims
        .iter()
        .try_fold(size, |product: usize, &dim| usize::try_from(dim).ok().and_then(|dim| product.checked_mul(dim)));
    let found = raw.borrow().len();
    if expected != Some(found) {
        let name = tensor.name.as_deref().unwrap_or_default();
        return Err(Error::model(format!("the weight `{name}` of shape {:?} has {found} bytes", tensor.dims)));
    }
    Ok(())
}

/// Brings a tensor that lies in a file beside the model into memory.
fn load_external(tensor: &mut TensorProto, folder: Option<&Path>) -> Result<()> {
    if tensor.data_location != Some(DataLocation::EXTERNAL) {
        return Ok(());
    }
    let name = tensor.name.clone().unwrap_or_default();
    let entry = |key: &str| {
        tensor.external_data.iter().find(|e| e.key.as_deref() == Some(key)).and_then(|entry| entry.value.as_deref())
    };
    let number = |key: &str| match entry(key) {
        Some(text) => {
            text.parse::<usize>().map(Some).map_err(|_| Error::model(format!("the weight `{name}`: {key} is {text:?}")))
        }
        None => Ok(None),
    };
    let location = Path::new(entry("location").unwrap_or_default());
    // A model must not read what its folder does not hold.
    let inside = location.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = match folder {
        Some(folder) if inside && location.components().next().is_some() => folder.join(location),
        _ => return Err(Error::model(format!("the weight `{name}` lies in {location:?}, not in the model's folder"))),
    };
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let start = number("offset")?.unwrap_or(0);
    let end = number("length")?.map_or(Some(bytes.len()), |length| start.checked_add(length));
    let part = end
        .and_then(|end| bytes.get(start..end))
        .ok_or_else(|| Error::model(format!("the weight `{name}` reaches beyond the end of {}", path.display())))?;
    tensor.raw_data = Some(part.to_vec().into());
    tensor.data_location = None;
    tensor.external_data.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::{Dimension, TensorShapeProto, TypeProto, TypeProtoTensor};

    use super::*;

    /// A ReLU of an input of these axes.
    fn model(axes: &[i64]) -> Model {
        let dim = axes.iter().map(|&size| Dimension { dim_value: Some(size), ..Dimension::default() }).collect();
        let shape = Some(TensorShapeProto { dim });
        let tensor = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape };
        let kind = TypeProto { tensor_type: Some(tensor), ..TypeProto::default() };
        let port = |name: &str| ValueInfoProto { name: Some(name.into()), r#type: Some(kind.clone()) };
        let relu = NodeProto {
            op_type: Some("Relu".into()),
            input: vec!["x".into()],
            output: vec!["y".into()],
            ..NodeProto::default()
        };
        let graph =
            GraphProto { node: vec![relu], input: vec![port("x")], output: vec![port("y")], ..GraphProto::default() };
        let bytes = ModelProto { graph: Some(graph), ..ModelProto::default() }.write_buf().unwrap();
        Model::from_bytes("small", &bytes, None).unwrap()
    }

    #[test]
    fn sizes_are_forgotten_and_channels_kept() {
        for (axes, wanted) in [
            (&[10, 3, 32, 32][..], &[None, Some(3), None, None][..]),
            (&[1, 224, 224, 3], &[None, None, None, Some(3)]),
            (&[1, 64, 7, 7], &[None, Some(64), None, None]),
            (&[8, 50, 192], &[None, None, None]),
        ] {
            assert_eq!(model(axes).with_any_shape().inputs()[0].shape, wanted, "{axes:?}");
        }
    }
}

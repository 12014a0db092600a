//! A model as an accelerator sees it: layers between the maps that pass through memory, with their multiplications.

use std::collections::{BTreeMap, HashMap, HashSet};

use rten_onnx::onnx::NodeProto;
use subband_nn::{Layer, Layers};

use crate::cut::needed;
use crate::engine::{Engine, Value};
use crate::error::Result;
use crate::model::{Model, operator};
use crate::network::{TappedNetwork, image_input};
use crate::pattern;

/// Operators with weights that [`layers`] does not count.
const UNCOUNTED: [&str; 5] = ["LSTM", "GRU", "RNN", "Einsum", "DeformConv"];

/// The layers of `model` for one input of the axes `shape` (without the batch), which is run once, of zeros, to find what
/// sizes its values have. Maps pass through memory as [`candidates`](crate::candidates) assumes for shares of traffic.
///
/// # Errors
/// Those of [`TappedNetwork::new`] and of a run.
pub fn layers(model: &Model, engine: &dyn Engine, shape: &[usize]) -> Result<Layers> {
    let input = image_input(model)?.name;
    let outputs: Vec<String> = model.outputs().into_iter().map(|output| output.name).collect();
    let needed = needed(model, &outputs);
    let stored = pattern::stored_maps(model, &needed);
    let sizes = sizes(model, engine, shape, &needed, &stored)?;
    let mut maps = BTreeMap::from([(input.clone(), shape.to_vec())]);
    maps.extend(
        stored.iter().map(|name| (name.clone(), sizes.get(name).map_or(Vec::new(), |axes| axes[1..].to_vec()))),
    );
    let mut walk = Walk { model, sizes: &sizes, maps: &maps, nodes: HashSet::new(), weights: HashSet::new() };
    let mut layers = Vec::new();
    for map in stored.iter().map(Some).chain([None]) {
        let ends: Vec<&str> = match map {
            Some(map) => vec![map.as_str()],
            None => outputs.iter().map(String::as_str).filter(|&output| !maps.contains_key(output)).collect(),
        };
        let mut layer = Layer { writes: map.cloned(), ..Layer::default() };
        ends.iter().for_each(|end| walk.back(end, &mut layer));
        layer.name = map.cloned().unwrap_or_else(|| outputs.join(", "));
        if map.is_some() || !layer.reads.is_empty() {
            layers.push(layer);
        }
    }
    let operators = model.operators();
    let uncounted = UNCOUNTED.iter().filter(|name| operators.contains(name)).map(|&name| name.to_owned()).collect();
    Ok(Layers { maps, layers, uncounted })
}

/// Collects what makes a value, back to maps in memory. What another layer has made already is at hand.
struct Walk<'a> {
    model: &'a Model,
    sizes: &'a HashMap<String, Vec<usize>>,
    maps: &'a BTreeMap<String, Vec<usize>>,
    nodes: HashSet<usize>,
    weights: HashSet<usize>,
}

impl Walk<'_> {
    fn back(&mut self, end: &str, layer: &mut Layer) {
        let mut open = vec![end.to_owned()];
        while let Some(value) = open.pop() {
            let Some(node) = self.model.producer(&value) else { continue };
            if !self.nodes.insert(node) || matches!(operator(self.model.node(node)), "Shape" | "Size") {
                continue;
            }
            layer.macs += macs(self.model, self.model.node(node), self.sizes);
            for read in self.model.reads(node) {
                if self.model.is_constant(read) {
                    layer.weights += self.constant(read);
                } else if !self.maps.contains_key(read) {
                    open.push(read.clone());
                } else if !layer.reads.contains(read) {
                    layer.reads.push(read.clone());
                }
            }
        }
    }

    /// Numbers that a constant is made of, each counted once for the model.
    fn constant(&mut self, value: &str) -> u64 {
        let (mut numbers, mut open) = (0, vec![value]);
        while let Some(value) = open.pop() {
            match (self.model.weight(value), self.model.producer(value)) {
                (Some(index), _) if self.weights.insert(index) => {
                    let dims = &self.model.graph().initializer[index].dims;
                    numbers += dims.iter().map(|&size| size.max(0) as u64).product::<u64>();
                }
                (None, Some(node)) if self.nodes.insert(node) => {
                    open.extend(self.model.reads(node).iter().map(String::as_str));
                }
                _ => {}
            }
        }
        numbers
    }
}

/// Which input of a node holds the numbers that its weights are multiplied with, and which the weights.
fn operands(node: &NodeProto) -> Option<[usize; 2]> {
    match operator(node) {
        "Conv" | "FusedConv" | "ConvTranspose" | "ConvInteger" | "Gemm" | "MatMul" | "MatMulInteger" => Some([0, 1]),
        "QLinearConv" | "QLinearMatMul" => Some([0, 3]),
        _ => None,
    }
}

/// Multiply-accumulates of a node.
fn macs(model: &Model, node: &NodeProto, sizes: &HashMap<String, Vec<usize>>) -> u64 {
    let Some(operands) = operands(node) else { return 0 };
    let axes =
        |value: Option<&String>| value.and_then(|value| sizes.get(value).cloned().or_else(|| fixed(model, value)));
    let product = |axes: &[usize]| axes.iter().map(|&size| size as u64).product::<u64>();
    let (Some(output), Some(input)) = (axes(node.output.first()), axes(node.input.get(operands[0]))) else { return 0 };
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name.as_deref() == Some(name));
    match operator(node) {
        "Gemm" => {
            let transposed = attribute("transA").and_then(|a| a.i).unwrap_or(0) != 0;
            product(&output) * input.get(usize::from(!transposed)).map_or(0, |&size| size as u64)
        }
        "MatMul" | "MatMulInteger" | "QLinearMatMul" => product(&output) * input.last().map_or(0, |&size| size as u64),
        name => {
            let kernel = match axes(node.input.get(operands[1])) {
                Some(weights) => weights.get(2..).map_or(1, product),
                None => {
                    attribute("kernel_shape").map_or(1, |a| a.ints.iter().map(|&size| size.max(0) as u64).product())
                }
            };
            let groups = attribute("group").and_then(|a| a.i).map_or(1, |groups| groups.max(1) as u64);
            // A convolution gathers for every output, a transposed one scatters every input.
            let (many, channels) = if name == "ConvTranspose" { (&input, &output) } else { (&output, &input) };
            product(many) * (channels.get(1).map_or(0, |&size| size as u64) / groups) * kernel
        }
    }
}

/// The axes of a weight.
fn fixed(model: &Model, value: &str) -> Option<Vec<usize>> {
    if let Some(index) = model.weight(value) {
        return Some(model.graph().initializer[index].dims.iter().map(|&size| size.max(0) as usize).collect());
    }
    let node = model.node(model.producer(value)?);
    match operator(node) {
        "Constant" => {
            let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?;
            Some(tensor.dims.iter().map(|&size| size.max(0) as usize).collect())
        }
        "Identity" | "Cast" | "DequantizeLinear" | "QuantizeLinear" => fixed(model, node.input.first()?),
        _ => None,
    }
}

/// Axes, with a batch of 1, of stored maps and of what convolutions and products read and write.
fn sizes(
    model: &Model,
    engine: &dyn Engine,
    shape: &[usize],
    needed: &HashSet<usize>,
    stored: &[String],
) -> Result<HashMap<String, Vec<usize>>> {
    let input = image_input(model)?.name;
    let mut wanted: Vec<String> = stored.to_vec();
    for &node in needed {
        let node = model.node(node);
        if let Some([data, weights]) = operands(node) {
            wanted.extend(node.output.first().cloned());
            wanted.extend([data, weights].iter().filter_map(|&at| node.input.get(at).cloned()));
        }
    }
    wanted.retain(|value| *value != input && !model.is_constant(value) && model.producer(value).is_some());
    wanted.sort_unstable();
    wanted.dedup();
    let batched: Vec<usize> = std::iter::once(1).chain(shape.iter().copied()).collect();
    let mut sizes = HashMap::from([(input, batched.clone())]);
    if !wanted.is_empty() {
        let network = TappedNetwork::ending_in(model, engine, &[], &wanted)?;
        let zeros = Value::float(batched.clone(), vec![0.0; batched.iter().product()]);
        let found = network.run(zeros, &mut |_, map| Ok(map))?;
        sizes.extend(wanted.into_iter().zip(found.into_iter().map(|value| value.shape)));
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Rten;
    use rten_onnx::onnx::{
        AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, OperatorSetIdProto, TensorProto,
        TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
    };

    fn ints(name: &str, ints: &[i64]) -> AttributeProto {
        AttributeProto {
            name: Some(name.into()),
            ints: ints.to_vec(),
            r#type: Some(AttributeType::INTS),
            ..AttributeProto::default()
        }
    }

    fn int(name: &str, i: i64) -> AttributeProto {
        AttributeProto {
            name: Some(name.into()),
            i: Some(i),
            r#type: Some(AttributeType::INT),
            ..AttributeProto::default()
        }
    }

    fn node(operator: &str, reads: &[&str], makes: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        NodeProto {
            op_type: Some(operator.into()),
            input: reads.iter().map(|&read| read.to_owned()).collect(),
            output: vec![makes.to_owned()],
            attribute,
            ..NodeProto::default()
        }
    }

    fn weight(name: &str, dims: &[i64]) -> TensorProto {
        let count = dims.iter().product::<i64>() as usize;
        TensorProto {
            name: Some(name.into()),
            dims: dims.to_vec(),
            data_type: Some(DataType::FLOAT),
            raw_data: Some(vec![0u8; 4 * count].into()),
            ..TensorProto::default()
        }
    }

    fn port(name: &str, dims: &[i64]) -> ValueInfoProto {
        let dim = |&size: &i64| Dimension { dim_value: Some(size), ..Dimension::default() };
        let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
        let tensor = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape };
        ValueInfoProto {
            name: Some(name.into()),
            r#type: Some(TypeProto { tensor_type: Some(tensor), ..TypeProto::default() }),
        }
    }

    fn model() -> Model {
        let graph = GraphProto {
            node: vec![
                node(
                    "Conv",
                    &["x", "w1", "b1"],
                    "c1",
                    vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[1, 1]), ints("dilations", &[1, 1])],
                ),
                node("Relu", &["c1"], "r1", vec![]),
                // Depthwise, every second pixel.
                node(
                    "Conv",
                    &["r1", "w2"],
                    "c2",
                    vec![int("group", 8), ints("pads", &[0; 4]), ints("strides", &[2, 2]), ints("dilations", &[1, 1])],
                ),
                node("Relu", &["c2"], "r2", vec![]),
                node(
                    "ConvTranspose",
                    &["r2", "w3"],
                    "t",
                    vec![ints("pads", &[0; 4]), ints("strides", &[2, 2]), ints("dilations", &[1, 1])],
                ),
                node("Add", &["t", "r1"], "sum", vec![]),
                node("GlobalAveragePool", &["sum"], "pooled", vec![]),
                node("Flatten", &["pooled"], "flat", vec![]),
                node("Gemm", &["flat", "w4"], "y", vec![int("transB", 1)]),
            ],
            initializer: vec![
                weight("w1", &[8, 3, 3, 3]),
                weight("b1", &[8]),
                weight("w2", &[8, 1, 2, 2]),
                weight("w3", &[8, 8, 2, 2]),
                weight("w4", &[10, 8]),
            ],
            input: vec![port("x", &[1, 3, 8, 8])],
            output: vec![port("y", &[1, 10])],
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { version: Some(13), ..OperatorSetIdProto::default() };
        let whole =
            ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() };
        Model::from_bytes("small", &whole.write_buf().unwrap(), None).unwrap()
    }

    #[test]
    fn a_small_model_by_hand() {
        let found = layers(&model(), &Rten::new(), &[3, 8, 8]).unwrap();
        let rows: Vec<_> =
            found.layers.iter().map(|l| (l.name.as_str(), l.macs, l.weights, l.reads.join(" "))).collect();
        assert_eq!(
            rows,
            [
                ("r1", 8 * 64 * 27, 8 * 27 + 8, "x".to_owned()),
                ("r2", 8 * 16 * 4, 32, "r1".to_owned()),
                ("t", 8 * 16 * 8 * 4, 256, "r2".to_owned()),
                ("sum", 0, 0, "t r1".to_owned()),
                ("pooled", 0, 0, "sum".to_owned()),
                ("y", 80, 80, "pooled".to_owned()),
            ]
        );
        assert_eq!(found.maps["sum"], [8, 8, 8]);
        assert_eq!(found.values("r2"), 8 * 16);
        assert_eq!(found.uncounted, Vec::<String>::new());
    }

    #[test]
    fn resnet_18_as_pytorch_exports_it() {
        let shared = std::env::var_os("SUBBAND_SHARED").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
            std::path::PathBuf::from,
        );
        let path = shared.join("resnet18-imagenet.onnx");
        if !path.exists() {
            eprintln!("skipped: {} is not there", path.display());
            return;
        }
        let found = layers(&Model::read(&path).unwrap(), &Rten::new(), &[3, 224, 224]).unwrap();
        assert_eq!(found.macs(), 1_814_073_344);
    }
}

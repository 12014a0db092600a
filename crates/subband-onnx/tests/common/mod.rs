//! A small network as an ONNX file, and inputs for it.

#![allow(dead_code)]

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};

/// Axes of an input.
pub const INPUT: [usize; 3] = [3, 16, 16];
pub const CLASSES: usize = 4;

/// Numbers in -1..1 that look random.
pub fn noise(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Smooth inputs, one after another: waves of an own direction and phase, and some noise.
pub fn inputs(count: usize) -> Vec<f32> {
    let [channels, height, width] = INPUT;
    let mut values = Vec::new();
    for input in 0..count {
        let of_input = noise(input as u32 + 1, 4 * channels);
        let grain = noise(1_000 + input as u32, channels * height * width);
        for channel in 0..channels {
            let [fx, fy, phase, size] = *of_input[4 * channel..].first_chunk().unwrap();
            for y in 0..height {
                for x in 0..width {
                    let wave = (0.9 * fx * x as f32 + 0.9 * fy * y as f32 + 3.0 * phase).sin();
                    values.push((1.5 + size) * wave + 0.05 * grain[(channel * height + y) * width + x]);
                }
            }
        }
    }
    values
}

/// Convolution, ReLU, and a residual block with a ReLU inside and one behind, pooled and classified:
/// taps `relu0`, `relu1` and `block`. `batch` fixes the batch axis.
pub fn model(batch: Option<i64>) -> Vec<u8> {
    model_named(batch, "relu0")
}

/// The same with another name for `relu0`.
pub fn model_named(batch: Option<i64>, relu0: &str) -> Vec<u8> {
    let mut graph = GraphProto::default();
    let mut node = |operator: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>| {
        graph.node.push(NodeProto {
            name: Some(format!("{operator} of {output}")),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            op_type: Some(operator.to_owned()),
            attribute,
            ..NodeProto::default()
        });
    };
    let same = || vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1]), ints("strides", &[1, 1])];
    node("Conv", &["x", "w0", "b0"], "c0", same());
    node("Relu", &["c0"], relu0, vec![]);
    node("Conv", &[relu0, "w1", "b1"], "c1", same());
    node("Relu", &["c1"], "relu1", vec![]);
    node("Conv", &["relu1", "w2", "b2"], "c2", same());
    node("Add", &["c2", relu0], "sum", vec![]);
    node("Relu", &["sum"], "block", vec![]);
    node("Conv", &["block", "w3", "b3"], "c3", same());
    node("GlobalAveragePool", &["c3"], "pooled", vec![]);
    node("Flatten", &["pooled"], "logits", vec![]);
    let mut weight = |name: &str, dims: &[usize], scale: f32| {
        let seed = name.bytes().fold(7u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let values = noise(seed, dims.iter().product()).into_iter().map(|value| scale * value);
        graph.initializer.push(tensor(name, dims, values.collect()));
    };
    weight("w0", &[16, 3, 3, 3], 0.5);
    weight("b0", &[16], 0.2);
    for name in ["w1", "w2"] {
        weight(name, &[16, 16, 3, 3], 0.2);
    }
    weight("b1", &[16], 0.2);
    weight("b2", &[16], 0.2);
    weight("w3", &[CLASSES, 16, 3, 3], 1.0);
    // So that every class is the answer to some inputs.
    graph.initializer.push(tensor("b3", &[CLASSES], vec![-8.7, 7.1, -1.1, 20.9]));
    let axes = INPUT.map(|size| size as i64);
    graph.input.push(port("x", &[batch, Some(axes[0]), Some(axes[1]), Some(axes[2])]));
    graph.output.push(port("logits", &[batch, Some(CLASSES as i64)]));
    let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(13) };
    let model =
        ModelProto { ir_version: Some(7), opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() };
    model.write_buf().unwrap()
}

fn tensor(name: &str, dims: &[usize], values: Vec<f32>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.iter().map(|&size| size as i64).collect(),
        data_type: Some(DataType::FLOAT),
        raw_data: Some(values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>().into()),
        ..TensorProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        ints: values.to_vec(),
        r#type: Some(AttributeType::INTS),
        ..AttributeProto::default()
    }
}

fn port(name: &str, axes: &[Option<i64>]) -> ValueInfoProto {
    let dim = |size: &Option<i64>| Dimension { dim_value: *size, dim_param: size.is_none().then(|| "N".to_owned()) };
    let shape = TensorShapeProto { dim: axes.iter().map(dim).collect() };
    let tensor = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(shape) };
    let kind = TypeProto { tensor_type: Some(tensor), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(kind) }
}

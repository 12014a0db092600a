//! ONNX files, written byte by byte.

/// A field of a protocol buffer that holds bytes.
fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    let mut out = varint(field << 3 | 2);
    out.extend(varint(content.len() as u64));
    out.extend(content);
    out
}

fn number(field: u64, value: i64) -> Vec<u8> {
    let mut out = varint(field << 3);
    out.extend(varint(value as u64));
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A node; attributes are lists of integers.
pub fn node(operator: &str, reads: &[&str], makes: &str, attributes: &[(&str, &[i64])]) -> Vec<u8> {
    let mut node: Vec<u8> = reads.iter().flat_map(|read| bytes(1, read.as_bytes())).collect();
    node.extend(bytes(2, makes.as_bytes()));
    node.extend(bytes(4, operator.as_bytes()));
    for (name, values) in attributes {
        let mut attribute = bytes(1, name.as_bytes());
        attribute.extend(values.iter().flat_map(|&value| number(8, value)));
        attribute.extend(number(20, 7));
        node.extend(bytes(5, &attribute));
    }
    node
}

pub fn weight(name: &str, dims: &[i64], values: &[f32]) -> Vec<u8> {
    let mut tensor: Vec<u8> = dims.iter().flat_map(|&size| number(1, size)).collect();
    tensor.extend(number(2, 1));
    tensor.extend(bytes(8, name.as_bytes()));
    tensor.extend(bytes(9, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()));
    tensor
}

/// A float tensor of these axes, the first of any size.
fn port(name: &str, dims: &[i64]) -> Vec<u8> {
    let mut shape = bytes(1, &bytes(2, b"N"));
    shape.extend(dims.iter().flat_map(|&size| bytes(1, &number(1, size))));
    let tensor = [number(1, 1), bytes(2, &shape)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// A model with an input and an output, axes without the batch.
pub fn model(nodes: &[Vec<u8>], weights: &[Vec<u8>], input: (&str, &[i64]), output: (&str, &[i64])) -> Vec<u8> {
    let mut graph: Vec<u8> = nodes.iter().flat_map(|node| bytes(1, node)).collect();
    graph.extend(bytes(2, b"graph"));
    graph.extend(weights.iter().flat_map(|weight| bytes(5, weight)));
    graph.extend(bytes(11, &port(input.0, input.1)));
    graph.extend(bytes(12, &port(output.0, output.1)));
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 13))].concat()
}

/// Two convolutions of 3 to 4 and 4 to 4 channels on 16 x 16 with ReLUs, and a classifier of 5 classes; `tap` is the name of
/// the first ReLU's output.
pub fn small(tap: &str) -> Vec<u8> {
    let numbers = |count: usize| -> Vec<f32> { (0..count).map(|i| ((i * 7919 % 23) as f32 - 9.0) / 40.0).collect() };
    model(
        &[
            node("Conv", &["x", "w1"], "c1", &[("pads", &[1, 1, 1, 1]), ("strides", &[1, 1]), ("dilations", &[1, 1])]),
            node("Relu", &["c1"], tap, &[]),
            // What it leaves out is 1.
            node("Conv", &[tap, "w2"], "c2", &[("pads", &[1, 1, 1, 1])]),
            node("Relu", &["c2"], "r2", &[]),
            node("GlobalAveragePool", &["r2"], "p", &[]),
            node("Flatten", &["p"], "f", &[]),
            node("MatMul", &["f", "w3"], "y", &[]),
        ],
        &[
            weight("w1", &[4, 3, 3, 3], &numbers(108)),
            weight("w2", &[4, 4, 3, 3], &numbers(144)),
            weight("w3", &[4, 5], &numbers(20)),
        ],
        ("x", &[3, 16, 16]),
        ("y", &[5]),
    )
}

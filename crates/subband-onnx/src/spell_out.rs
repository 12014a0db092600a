//! What ONNX lets a file leave out and engines want to read: strides and dilations of 1, no padding, and names of nodes for
//! their errors.

use std::collections::HashMap;

use rten_onnx::onnx::{AttributeProto, AttributeType, GraphProto, NodeProto};

/// Writes both into the nodes of `graph`.
pub(crate) fn spell_out(graph: &mut GraphProto) {
    let axes: HashMap<&str, usize> = graph
        .initializer
        .iter()
        .filter_map(|tensor| Some((tensor.name.as_deref()?, tensor.dims.len().checked_sub(2)?)))
        .collect();
    for node in &mut graph.node {
        let operator = node.op_type.clone().unwrap_or_default();
        if node.name.as_ref().is_none_or(String::is_empty) {
            node.name = Some(format!("{operator} of {}", node.output.first().map_or("nothing", String::as_str)));
        }
        let wanted: &[&str] = match operator.as_str() {
            "Conv" | "ConvTranspose" => &["strides", "dilations"],
            "MaxPool" | "AveragePool" | "LpPool" => &["strides"],
            _ => continue,
        };
        let kernel = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some("kernel_shape"));
        let by_weight = || node.input.get(1).and_then(|weight| axes.get(weight.as_str()).copied());
        let Some(axes) = kernel.map(|kernel| kernel.ints.len()).or_else(by_weight) else { continue };
        wanted.iter().for_each(|name| fill(node, name, vec![1; axes]));
        // The two exclude each other.
        if !has(node, "auto_pad") {
            fill(node, "pads", vec![0; 2 * axes]);
        }
    }
}

fn has(node: &NodeProto, name: &str) -> bool {
    node.attribute.iter().any(|attribute| attribute.name.as_deref() == Some(name))
}

fn fill(node: &mut NodeProto, name: &str, ints: Vec<i64>) {
    if has(node, name) {
        return;
    }
    node.attribute.push(AttributeProto {
        name: Some(name.to_owned()),
        ints,
        r#type: Some(AttributeType::INTS),
        ..AttributeProto::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use rten_onnx::onnx::TensorProto;

    fn node(operator: &str, inputs: &[&str], attributes: &[(&str, &[i64])]) -> NodeProto {
        NodeProto {
            op_type: Some(operator.to_owned()),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec!["y".to_owned()],
            attribute: attributes
                .iter()
                .map(|(name, ints)| AttributeProto {
                    name: Some((*name).to_owned()),
                    ints: ints.to_vec(),
                    ..AttributeProto::default()
                })
                .collect(),
            ..NodeProto::default()
        }
    }

    #[test]
    fn defaults_are_written_and_nothing_is_overwritten() {
        let weight = TensorProto { name: Some("w".into()), dims: vec![4, 3, 5], ..TensorProto::default() };
        let mut graph = GraphProto {
            initializer: vec![weight],
            node: vec![
                node("Conv", &["x", "w"], &[]),
                node("Conv", &["x", "v"], &[("kernel_shape", &[3, 3]), ("strides", &[2, 2]), ("auto_pad", &[])]),
                node("MaxPool", &["x"], &[("kernel_shape", &[2, 2])]),
                node("Conv", &["x", "v"], &[]),
                NodeProto { name: Some("its own".into()), ..node("Relu", &["x"], &[]) },
            ],
            ..GraphProto::default()
        };
        spell_out(&mut graph);
        let ints = |at: usize, name: &str| {
            let attribute = graph.node[at].attribute.iter().find(|a| a.name.as_deref() == Some(name));
            attribute.map(|attribute| attribute.ints.clone())
        };
        assert_eq!((ints(0, "strides"), ints(0, "dilations")), (Some(vec![1]), Some(vec![1])));
        assert_eq!((ints(1, "strides"), ints(1, "dilations")), (Some(vec![2, 2]), Some(vec![1, 1])));
        assert_eq!((ints(2, "strides"), ints(2, "dilations")), (Some(vec![1, 1]), None));
        assert_eq!([0, 1, 2].map(|at| ints(at, "pads")), [Some(vec![0; 2]), None, Some(vec![0; 4])]);
        // Of a kernel that is not known nothing can be said.
        assert_eq!(ints(3, "strides"), None);
        let names: Vec<_> = graph.node.iter().map(|node| node.name.as_deref().unwrap()).collect();
        assert_eq!([names[0], names[4]], ["Conv of y", "its own"]);
    }
}

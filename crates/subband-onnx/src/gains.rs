//! How much of an error in a channel the convolutions behind a map pass on, as their weights have it.

use rten_onnx::onnx::{DataType, NodeProto, TensorProto};

use crate::model::{Model, operator};
use crate::pattern::only_activation_behind;

/// Depthwise convolutions that are looked through.
const THROUGH: usize = 2;

/// Of each channel of `value` the sum of the squares of the weights that it is multiplied with in the convolutions that read it.
/// A depthwise convolution keeps channels apart: behind one, times the same of what it makes. `None` where no convolution of
/// `channels` channels with weights in f32 reads it. Other readers are left out of account.
pub(crate) fn gains(model: &Model, value: &str, channels: usize) -> Option<Vec<f64>> {
    of_readers(model, value, channels, THROUGH)
}

fn of_readers(model: &Model, value: &str, channels: usize, through: usize) -> Option<Vec<f64>> {
    let mut all: Option<Vec<f64>> = None;
    for &reader in model.readers(value) {
        let node = model.node(reader);
        if operator(node) != "Conv" || node.input.first().is_none_or(|input| input != value) {
            continue;
        }
        let found = of_convolution(model, node, channels, through)?;
        let all = all.get_or_insert_with(|| vec![0.0; channels]);
        all.iter_mut().zip(found).for_each(|(all, found)| *all += found);
    }
    all.filter(|gains| gains.iter().any(|&gain| gain > 0.0) && gains.iter().all(|gain| gain.is_finite()))
}

fn of_convolution(model: &Model, node: &NodeProto, channels: usize, through: usize) -> Option<Vec<f64>> {
    let tensor = &model.graph().initializer[model.weight(node.input.get(1)?)?];
    let dims: Vec<usize> = tensor.dims.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
    let [outputs, inputs, ref kernel @ ..] = dims[..] else { return None };
    let groups = if inputs > 0 && channels.is_multiple_of(inputs) { channels / inputs } else { return None };
    if outputs == 0 || !outputs.is_multiple_of(groups) {
        return None;
    }
    let (of_group, size) = (outputs / groups, kernel.iter().product::<usize>());
    let weights = floats(tensor).filter(|weights| weights.len() == outputs * inputs * size && size > 0)?;
    let behind =
        if inputs == 1 && groups > 1 && through > 0 { behind(model, node, outputs, through - 1) } else { None };
    let mut gains = vec![0.0; channels];
    for (at, kernel) in weights.chunks_exact(size).enumerate() {
        let (output, input) = (at / inputs, at % inputs);
        let squares: f64 = kernel.iter().map(|&weight| f64::from(weight).powi(2)).sum();
        gains[output / of_group * inputs + input] += squares * behind.as_ref().map_or(1.0, |behind| behind[output]);
    }
    Some(gains)
}

/// The gains of what a node makes, behind its activation where it has one.
fn behind(model: &Model, node: &NodeProto, channels: usize, through: usize) -> Option<Vec<f64>> {
    let made = node.output.first()?;
    let value = match only_activation_behind(model, made) {
        Some(activation) => model.node(activation).output.first()?,
        None => made,
    };
    of_readers(model, value, channels, through)
}

fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != Some(DataType::FLOAT) {
        return None;
    }
    Some(match &tensor.raw_data {
        Some(raw) => raw.borrow().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        None => tensor.float_data.clone(),
    })
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::{GraphProto, ModelProto, ValueInfoProto};

    use super::*;

    fn node(operator: &str, input: [&str; 2], output: &str) -> NodeProto {
        let input = input.into_iter().filter(|value| !value.is_empty()).map(str::to_owned).collect();
        NodeProto { op_type: Some(operator.into()), input, output: vec![output.into()], ..NodeProto::default() }
    }

    fn weight(name: &str, dims: [i64; 4], values: &[f32]) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            dims: dims.to_vec(),
            data_type: Some(DataType::FLOAT),
            raw_data: Some(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()),
            ..TensorProto::default()
        }
    }

    #[test]
    fn by_hand() {
        let port = |name: &str| ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() };
        // Two channels through a depthwise convolution and a ReLU to a convolution of three outputs.
        let graph = GraphProto {
            node: vec![
                node("Conv", ["x", "depthwise"], "apart"),
                node("Relu", ["apart", ""], "shut"),
                node("Conv", ["shut", "dense"], "y"),
            ],
            initializer: vec![
                weight("depthwise", [2, 1, 1, 2], &[1.0, 2.0, 0.0, 3.0]),
                weight("dense", [3, 2, 1, 1], &[1.0, 0.5, 1.0, 0.0, 2.0, -0.5]),
            ],
            input: vec![port("x")],
            output: vec![port("y")],
            ..GraphProto::default()
        };
        let bytes = ModelProto { graph: Some(graph), ..ModelProto::default() }.write_buf().unwrap();
        let model = Model::from_bytes("small", &bytes, None).unwrap();
        assert_eq!(gains(&model, "shut", 2), Some(vec![6.0, 0.5]));
        assert_eq!(gains(&model, "x", 2), Some(vec![5.0 * 6.0, 9.0 * 0.5]));
        assert_eq!(gains(&model, "x", 3), None);
        assert_eq!(gains(&model, "y", 3), None);
    }
}

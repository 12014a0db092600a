//! Both engines give the same. Needs the feature `ort` and ONNX Runtime's library in SUBBAND_ORT_LIBRARY; says so and ends
//! otherwise.

#![cfg(feature = "ort")]

mod common;

use common::{INPUT, inputs, model};
use subband_onnx::{Engine, Model, Ort, Rten, TappedNetwork, Value};

#[test]
fn rten_and_onnx_runtime_agree() {
    let Some(library) = std::env::var_os("SUBBAND_ORT_LIBRARY") else {
        eprintln!("skipped: SUBBAND_ORT_LIBRARY names no library of ONNX Runtime");
        return;
    };
    let model = Model::from_bytes("tiny", &model(None), None).unwrap();
    let names = ["relu0", "relu1", "block"].map(str::to_owned);
    let run = |engine: &dyn Engine| {
        let network = TappedNetwork::new(&model, engine, &names).unwrap();
        let value = Value::float([5, INPUT[0], INPUT[1], INPUT[2]], inputs(5));
        let mut seen = Vec::new();
        let outputs = network.run(value, &mut |_, map| {
            seen.push(map.clone());
            // Something that a decoder could have done.
            let halved = map.floats().unwrap().iter().map(|v| (2.0 * v).round() / 2.0).collect();
            Ok(Value::float(map.shape, halved))
        });
        seen.extend(outputs.unwrap());
        seen
    };
    let (ours, theirs) = (run(&Rten::new()), run(&Ort::load(library.as_ref()).unwrap()));
    assert_eq!(ours.len(), 4);
    for (a, b) in ours.iter().zip(&theirs) {
        assert_eq!(a.shape, b.shape);
        let apart = a.floats().unwrap().iter().zip(b.floats().unwrap()).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-4);
    }
}

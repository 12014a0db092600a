use std::sync::Arc;

use rten::{Model, NodeId, RunOptions, ThreadPool, ValueOrView, ValueView};
use rten_tensor::{Layout, Tensor};

use super::{Data, Engine, Prepared, Segment, Value};
use crate::error::{Error, Result};

/// The pure Rust engine `rten`.
pub struct Rten {
    threads: Arc<ThreadPool>,
}

impl Rten {
    /// One that works with as many threads as rayon's current pool.
    pub fn new() -> Self {
        Self { threads: Arc::new(ThreadPool::with_num_threads(rayon::current_num_threads())) }
    }
}

impl Default for Rten {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Rten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rten")
    }
}

impl Engine for Rten {
    fn name(&self) -> String {
        "rten 0.27".into()
    }

    fn prepare(&self, segment: Segment) -> Result<Box<dyn Prepared>> {
        let Segment { bytes, inputs, outputs } = segment;
        let model = Model::load(bytes).map_err(|e| Error::unsupported(format!("rten cannot run this model: {e}")))?;
        let node = |name: &str| {
            model.node_id(name).map_err(|e| Error::unsupported(format!("rten does not find `{name}`: {e}")))
        };
        let inputs = inputs.iter().map(|(name, _)| node(name)).collect::<Result<_>>()?;
        let outputs = outputs.iter().map(|name| node(name)).collect::<Result<_>>()?;
        Ok(Box::new(RtenSegment { inputs, outputs, threads: self.threads.clone(), model }))
    }
}

struct RtenSegment {
    model: Model,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
    threads: Arc<ThreadPool>,
}

impl Prepared for RtenSegment {
    fn run(&self, inputs: &[&Value]) -> Result<Vec<Value>> {
        // rten holds every integer as 32 bits.
        let as_i32 =
            |values: &[i64]| values.iter().map(|&v| v.clamp(i32::MIN.into(), i32::MAX.into()) as i32).collect();
        let given = self.inputs.iter().zip(inputs).map(|(&id, value)| {
            let given: ValueOrView<'_> = match &value.data {
                Data::Float(values) => ValueView::from_shape(&value.shape, values).map_err(failed)?.into(),
                Data::Int(values) => {
                    let values: Vec<i32> = as_i32(values);
                    Tensor::from_data(value.shape.as_slice(), values).into()
                }
            };
            Ok((id, given))
        });
        let given = given.collect::<Result<Vec<_>>>()?;
        let options = RunOptions::default().with_thread_pool(Some(self.threads.clone()));
        let results = self.model.run(given, &self.outputs, Some(options)).map_err(failed)?;
        results.into_iter().map(convert).collect()
    }
}

fn convert(value: rten::Value) -> Result<Value> {
    let shape = value.shape().to_vec();
    let ints = |values: Vec<i64>| Data::Int(values);
    let data = match value {
        rten::Value::FloatTensor(tensor) => Data::Float(tensor.into_data()),
        rten::Value::Int32Tensor(tensor) => ints(tensor.into_data().into_iter().map(i64::from).collect()),
        rten::Value::Int8Tensor(tensor) => ints(tensor.into_data().into_iter().map(i64::from).collect()),
        rten::Value::UInt8Tensor(tensor) => ints(tensor.into_data().into_iter().map(i64::from).collect()),
        _ => return Err(Error::unsupported("a value that is no tensor crosses a cut")),
    };
    Ok(Value { shape, data })
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::unsupported(format!("rten: {error}"))
}

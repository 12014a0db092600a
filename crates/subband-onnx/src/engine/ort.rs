use std::path::Path;
use std::sync::Mutex;

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorElementType, ValueType};
use rten_onnx::onnx::DataType;

use super::{Data, Engine, Prepared, Segment, TypedInput, Value};
use crate::error::{Error, Result};
use crate::types::ElementType;

/// ONNX Runtime, from a shared library of the user's.
pub struct Ort {
    environment: Environment,
    threads: usize,
}

impl Ort {
    /// Loads the library at `path` (`libonnxruntime.so.*`; PyPI's onnxruntime wheel has it under `onnxruntime/capi`). A
    /// process loads one library: a second call with another path keeps the first.
    ///
    /// # Errors
    /// `InvalidArgument` where it is no such library, or too old.
    pub fn load(path: &Path) -> Result<Self> {
        let fail = |e: &dyn std::fmt::Display| {
            Error::argument(format!("cannot load ONNX Runtime from {}: {e}", path.display()))
        };
        let builder = ort::init_from(path).map_err(|e| fail(&e))?;
        let environment = builder.with_telemetry(false).build().map_err(|e| fail(&e))?;
        Ok(Self { environment, threads: rayon::current_num_threads() })
    }
}

impl std::fmt::Debug for Ort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ort")
    }
}

impl Engine for Ort {
    fn name(&self) -> String {
        "onnxruntime".into()
    }

    fn prepare(&self, segment: Segment) -> Result<Box<dyn Prepared>> {
        let fail = |e: &dyn std::fmt::Display| Error::unsupported(format!("ONNX Runtime cannot run this model: {e}"));
        let builder = Session::builder(&self.environment).map_err(|e| fail(&e))?;
        let builder = builder.with_intra_threads(self.threads).map_err(|e| fail(&e))?;
        // Its threads would wait at full speed while ours code maps.
        let mut builder = builder.with_config_entry("session.intra_op.allow_spinning", "0").map_err(|e| fail(&e))?;
        let session = builder.commit_from_memory(&segment.bytes).map_err(|e| fail(&e))?;
        Ok(Box::new(OrtSegment { session: Mutex::new(session), inputs: segment.inputs, outputs: segment.outputs }))
    }
}

struct OrtSegment {
    /// A run takes the session for itself.
    session: Mutex<Session>,
    inputs: Vec<TypedInput>,
    outputs: Vec<String>,
}

impl Prepared for OrtSegment {
    fn run(&self, inputs: &[&Value]) -> Result<Vec<Value>> {
        let mut given: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for ((name, element), value) in self.inputs.iter().zip(inputs) {
            given.push((name, tensor(value, *element)?.into()));
        }
        let mut session = self.session.lock().expect("a run does not panic");
        let results = session.run(given).map_err(failed)?;
        self.outputs
            .iter()
            .map(|name| results.get(name).ok_or_else(|| failed(format!("no output `{name}`"))).and_then(convert))
            .collect()
    }
}

fn tensor(value: &Value, element: ElementType) -> Result<DynValue> {
    let shape = value.shape.clone();
    let tensor = match (&value.data, DataType(element.0)) {
        (Data::Float(values), _) => Tensor::from_array((shape, values.clone())).map_err(failed)?.into_dyn(),
        (Data::Int(values), DataType::BOOL) => {
            let values: Vec<bool> = values.iter().map(|&v| v != 0).collect();
            Tensor::from_array((shape, values)).map_err(failed)?.into_dyn()
        }
        (Data::Int(values), DataType::INT32) => {
            let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
            Tensor::from_array((shape, values)).map_err(failed)?.into_dyn()
        }
        (Data::Int(values), DataType::UINT8) => {
            let values: Vec<u8> = values.iter().map(|&v| v as u8).collect();
            Tensor::from_array((shape, values)).map_err(failed)?.into_dyn()
        }
        (Data::Int(values), _) => Tensor::from_array((shape, values.clone())).map_err(failed)?.into_dyn(),
    };
    Ok(tensor)
}

fn convert(value: &DynValue) -> Result<Value> {
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(Error::unsupported("a value that is no tensor crosses a cut"));
    };
    macro_rules! ints {
        ($type:ty) => {{
            let (shape, values) = value.try_extract_tensor::<$type>().map_err(failed)?;
            (shape, Data::Int(values.iter().map(|&v| v as i64).collect()))
        }};
    }
    let (shape, data) = match ty {
        TensorElementType::Float32 => {
            let (shape, values) = value.try_extract_tensor::<f32>().map_err(failed)?;
            (shape, Data::Float(values.to_vec()))
        }
        TensorElementType::Int64 => ints!(i64),
        TensorElementType::Int32 => ints!(i32),
        TensorElementType::Uint8 => ints!(u8),
        TensorElementType::Bool => ints!(bool),
        other => return Err(Error::unsupported(format!("a value of type {other:?} crosses a cut"))),
    };
    Ok(Value { shape: shape.iter().map(|&size| size as usize).collect(), data })
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::unsupported(format!("ONNX Runtime: {error}"))
}

//! The seam to whatever runs ONNX: a model in bytes becomes something that maps values to values.

#[cfg(feature = "ort")]
mod ort;
mod rten;

use std::fmt;

#[cfg(feature = "ort")]
pub use ort::Ort;
pub use rten::Rten;

use crate::error::Result;
use crate::types::ElementType;

/// A tensor on its way into or out of an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Its axes; none for a scalar.
    pub shape: Vec<usize>,
    /// Row-major.
    pub data: Data,
}

/// The elements of a [`Value`]. Integers and booleans of all widths are one kind: only shapes and indices are such.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// f32.
    Float(Vec<f32>),
    /// Whole numbers and truth values.
    Int(Vec<i64>),
}

impl Value {
    /// A float tensor.
    ///
    /// # Panics
    /// Where the values are not as many as the shape says.
    pub fn float(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), values.len(), "shape {shape:?}");
        Self { shape, data: Data::Float(values) }
    }

    /// The values of a float tensor.
    pub fn floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Float(values) => Some(values),
            Data::Int(_) => None,
        }
    }
}

impl Value {
    /// Of a batch of float tensors the first so many, or all, and how many those are.
    pub(crate) fn first(&self, inputs: usize) -> (Value, usize) {
        let (batch, values) = (self.shape.first().copied().unwrap_or(0), self.floats().unwrap_or_default());
        let inputs = inputs.min(batch);
        let mut shape = self.shape.clone();
        shape.iter_mut().take(1).for_each(|size| *size = inputs);
        (Value::float(shape, values[..values.len() / batch.max(1) * inputs].to_vec()), inputs)
    }
}

/// An input of a segment: name and element type.
pub(crate) type TypedInput = (String, ElementType);

/// A part of a network as an ONNX model of its own.
#[derive(Debug)]
pub struct Segment {
    pub(crate) bytes: Vec<u8>,
    pub(crate) inputs: Vec<TypedInput>,
    pub(crate) outputs: Vec<String>,
}

/// A program that runs ONNX models.
///
/// Parts of a graph are handed over as models of their own rather than run inside a whole one: an engine's optimizer
/// fuses values away, and ONNX Runtime takes no intermediate values at all.
pub trait Engine: fmt::Debug + Send + Sync {
    /// Its name and version.
    fn name(&self) -> String;

    /// Prepares a segment.
    ///
    /// # Errors
    /// `Unsupported`, naming the operator, where the engine cannot run it.
    fn prepare(&self, segment: Segment) -> Result<Box<dyn Prepared>>;
}

/// A segment that can be run any number of times.
pub trait Prepared: Send + Sync {
    /// Runs it. `inputs` are in the order of the segment's, and so are the results.
    fn run(&self, inputs: &[&Value]) -> Result<Vec<Value>>;
}

//! Errors of the codec as exceptions of `subband._errors`, one class a kind.

use std::fmt::Display;

use pyo3::prelude::*;
use pyo3::types::PyType;
use subband::ErrorKind;

/// Name of the class of a kind.
fn class_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "InvalidArgumentError",
        ErrorKind::NonFinite => "NonFiniteError",
        ErrorKind::Corrupt => "CorruptError",
        ErrorKind::Truncated => "TruncatedError",
        ErrorKind::UnsupportedVersion => "UnsupportedVersionError",
        ErrorKind::WrongProfile => "WrongProfileError",
        ErrorKind::LimitExceeded => "LimitExceededError",
        _ => "SubbandError",
    }
}

fn raise(class: &str, message: String) -> PyErr {
    Python::attach(|py| {
        let class = py.import("subband._errors").and_then(|module| module.getattr(class));
        match class.and_then(|class| Ok(class.cast_into::<PyType>()?)) {
            Ok(class) => PyErr::from_type(class, message),
            Err(error) => error,
        }
    })
}

/// An error of the codec.
pub fn exception(error: subband::Error) -> PyErr {
    raise(class_of(error.kind()), error.to_string())
}

/// An error of the codec in the map with this number of a batch.
pub fn exception_in_batch(number: usize, error: subband::Error) -> PyErr {
    raise(class_of(error.kind()), format!("map {number} of the batch: {error}"))
}

/// An argument that is not allowed.
pub fn invalid(message: impl Display) -> PyErr {
    raise("InvalidArgumentError", message.to_string())
}

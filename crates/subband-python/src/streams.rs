//! Whole tensors.

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use subband::{Compressed, DecompressOptions, ElementsMut, Report};

use crate::arrays::{ArrayArgument, dtype_named, with_output};
use crate::config::{Settings, StreamSettings};
use crate::errors::exception;
use crate::pool;
use crate::profile::{Profile, limits};

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("reports are plain data")
}

fn bytes_and_report(py: Python<'_>, compressed: subband::Result<Compressed>) -> PyResult<(Bound<'_, PyBytes>, String)> {
    let Compressed { bytes, report } = compressed.map_err(exception)?;
    Ok((PyBytes::new(py, &bytes), json::<Report>(&report)))
}

/// The stream of an array, and its report as JSON.
#[pyfunction]
pub fn compress<'py>(
    py: Python<'py>,
    array: ArrayArgument<'py>,
    stream: StreamSettings,
    settings: Settings,
) -> PyResult<(Bound<'py, PyBytes>, String)> {
    let elements = array.elements()?;
    let view = array.view(&elements)?;
    let config = settings.config(&stream)?;
    let tasks = array.tasks(stream.channels_per_chunk);
    bytes_and_report(py, py.detach(|| pool::run(tasks, || subband::compress(&view, &config))))
}

/// The same against a tap of a profile.
#[pyfunction]
pub fn compress_with_profile<'py>(
    py: Python<'py>,
    array: ArrayArgument<'py>,
    stream: StreamSettings,
    profile: Py<Profile>,
    tap: String,
    measure_error: bool,
) -> PyResult<(Bound<'py, PyBytes>, String)> {
    let elements = array.elements()?;
    let view = array.view(&elements)?;
    let options = stream.profile_options(measure_error)?;
    let tasks = array.tasks(stream.channels_per_chunk);
    let profile = &profile.get().0;
    let work = || subband::compress_with_profile(&view, profile, &tap, &options);
    bytes_and_report(py, py.detach(|| pool::run(tasks, work)))
}

/// dtype, shape, whether a profile is needed, and the number of chunks.
#[pyfunction]
pub fn shape_of(
    data: PyReadonlyArray1<'_, u8>,
    max_values: Option<usize>,
) -> PyResult<(&'static str, Vec<usize>, bool, usize)> {
    let found = subband::shape_of(data.as_slice()?, &limits(max_values)).map_err(exception)?;
    Ok((found.dtype.name(), found.shape, found.from_profile, found.chunks))
}

fn options(profile: Option<&Py<Profile>>, max_values: Option<usize>) -> DecompressOptions<'_> {
    let options = DecompressOptions::default().with_limits(limits(max_values));
    match profile {
        Some(profile) => options.with_profile(&profile.get().0),
        None => options,
    }
}

/// Decodes a whole stream of so many `chunks` into a flat array.
#[pyfunction]
pub fn decompress_into(
    py: Python<'_>,
    data: PyReadonlyArray1<'_, u8>,
    out: &Bound<'_, PyAny>,
    dtype: &str,
    chunks: usize,
    profile: Option<Py<Profile>>,
    max_values: Option<usize>,
) -> PyResult<()> {
    let (data, options) = (data.as_slice()?, options(profile.as_ref(), max_values));
    let work = |mut out: ElementsMut<'_>| {
        let work = || subband::decompress_into(data, &mut out, &options);
        py.detach(|| pool::run(chunks, work)).map_err(exception)
    };
    with_output(out, dtype_named(dtype)?, work)
}

/// Decodes ranges of batch items and channels into a flat array.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "they are what a call from Python passes")]
pub fn read_into(
    py: Python<'_>,
    data: PyReadonlyArray1<'_, u8>,
    batch: (usize, usize),
    channels: (usize, usize),
    out: &Bound<'_, PyAny>,
    dtype: &str,
    profile: Option<Py<Profile>>,
    max_values: Option<usize>,
) -> PyResult<()> {
    let (data, options) = (data.as_slice()?, options(profile.as_ref(), max_values));
    let work = |mut out: ElementsMut<'_>| {
        let tasks = if out.len() <= 1 << 16 && batch.1 - batch.0 == 1 && channels.1 - channels.0 == 1 { 1 } else { 2 };
        let work = || subband::read_into(data, batch.0..batch.1, channels.0..channels.1, &mut out, &options);
        py.detach(|| pool::run(tasks, work)).map_err(exception)
    };
    with_output(out, dtype_named(dtype)?, work)
}

/// What a stream holds, as JSON.
#[pyfunction]
pub fn inspect(
    py: Python<'_>,
    data: PyReadonlyArray1<'_, u8>,
    profile: Option<Py<Profile>>,
    max_values: Option<usize>,
) -> PyResult<String> {
    let (data, options) = (data.as_slice()?, options(profile.as_ref(), max_values));
    let info = py.detach(|| pool::run(2, || subband::inspect(data, &options))).map_err(exception)?;
    Ok(json(&info))
}

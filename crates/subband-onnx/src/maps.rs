//! The maps of a batch at a tap, input by input.

use subband_nn::for_each_map;

use crate::engine::{Data, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Planes;

/// Calls `work(state, planes, decoded)` for the map of each input in `map` and returns the value made of what was written
/// to `decoded`, with the results in the order of the inputs.
///
/// # Errors
/// `InvalidArgument` where the map is no batch of `batch` maps of this many planes; the first of `work`.
pub(crate) fn through<S: Send, R: Send>(
    name: &str,
    map: Value,
    batch: usize,
    planes: &Planes,
    states: &mut [S],
    work: impl Fn(&mut S, &[f32], &mut [f32]) -> Result<R> + Sync,
) -> Result<(Value, Vec<R>)> {
    let Data::Float(values) = &map.data else {
        return Err(Error::argument(format!("`{name}` has no f32 values")));
    };
    let size = planes.values();
    if map.shape.first() != Some(&batch) || values.len() != batch * size {
        return Err(Error::argument(format!(
            "`{name}` is {:?} for a batch of {batch}: the profile codes {:?} for each input",
            map.shape, planes.shape
        )));
    }
    let named = |e: Error| match e.kind() {
        ErrorKind::NonFinite => e,
        kind => Error::new(kind, format!("`{name}`: {e}")),
    };
    let mut decoded = vec![0f32; values.len()];
    let results = for_each_map(values, size, &mut decoded, states, |state, map, decoded| {
        if planes.is_plain() {
            return work(state, map, decoded).map_err(named);
        }
        let (mut gathered, mut out) = (Vec::with_capacity(size), vec![0f32; size]);
        planes.gather(map, &mut gathered);
        let result = work(state, &gathered, &mut out).map_err(named)?;
        planes.scatter(&out, decoded);
        Ok(result)
    })?;
    Ok((Value { shape: map.shape, data: Data::Float(decoded) }, results))
}

/// One `T` for each thread of the current pool.
pub(crate) fn one_per_thread<T>(make: impl FnMut() -> T) -> Vec<T> {
    std::iter::repeat_with(make).take(rayon::current_num_threads()).collect()
}

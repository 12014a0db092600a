//! Single maps against a tap of a profile.

use std::sync::{Mutex, PoisonError};

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use rayon::prelude::*;
use subband::{Scratch, TapCodec};

use crate::arrays::with_floats;
use crate::config::effort_named;
use crate::errors::{exception, exception_in_batch, invalid};
use crate::pool;
use crate::profile::Profile;

/// A tap, prepared, with working memory that calls take and give back.
#[pyclass(frozen, module = "subband._native")]
pub struct Codec {
    codec: TapCodec,
    scratch: Mutex<Vec<Scratch>>,
}

impl Codec {
    fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let lock = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = lock().pop().unwrap_or_default();
        let result = work(&mut scratch);
        lock().push(scratch);
        result
    }

    fn check_batch(&self, values: usize, maps: usize) -> PyResult<()> {
        match values == maps * self.codec.values() {
            true => Ok(()),
            false => Err(invalid(format!("{values} values for {maps} maps of {} each", self.codec.values()))),
        }
    }
}

#[pymethods]
impl Codec {
    #[new]
    fn new(profile: Py<Profile>, tap: &str, effort: &str, rdo: f32) -> PyResult<Self> {
        let tap = profile.get().0.tap(tap).map_err(exception)?;
        let effort = effort_named(effort)?;
        let codec = TapCodec::new(tap).and_then(|codec| codec.with_effort(effort).with_rdo(rdo));
        Ok(Codec { codec: codec.map_err(exception)?, scratch: Mutex::new(Vec::new()) })
    }

    /// The packets of `count` maps, one after the other in `maps`.
    fn compress<'py>(
        &self,
        py: Python<'py>,
        maps: PyReadonlyArray1<'py, f32>,
        count: usize,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let maps = maps.as_slice()?;
        self.check_batch(maps.len(), count)?;
        let one = |map: &[f32]| {
            self.with_scratch(|scratch| {
                let mut packet = Vec::new();
                self.codec.compress(map, scratch, &mut packet).map(|_| packet)
            })
        };
        let size = self.codec.values();
        let packets: Vec<_> = py.detach(|| {
            pool::run(count, || match count {
                0 | 1 => maps.chunks(size).map(one).collect(),
                _ => maps.par_chunks(size).map(one).collect(),
            })
        });
        let number_errors = |(number, packet): (usize, subband::Result<Vec<u8>>)| match packet {
            Ok(packet) => Ok(PyBytes::new(py, &packet)),
            Err(error) if count == 1 => Err(exception(error)),
            Err(error) => Err(exception_in_batch(number, error)),
        };
        packets.into_iter().enumerate().map(number_errors).collect()
    }

    /// Decodes packets into `maps`, one after the other.
    fn decompress(&self, py: Python<'_>, packets: Vec<PyBackedBytes>, maps: &Bound<'_, PyAny>) -> PyResult<()> {
        with_floats(maps, |maps| {
            let count = packets.len();
            self.check_batch(maps.len(), count)?;
            let one = |(packet, map): (&PyBackedBytes, &mut [f32])| {
                self.with_scratch(|scratch| self.codec.decompress(packet, scratch, map))
            };
            let size = self.codec.values();
            let results: Vec<_> = py.detach(|| {
                pool::run(count, || match count {
                    0 | 1 => packets.iter().zip(maps.chunks_mut(size)).map(one).collect(),
                    _ => packets.par_iter().zip(maps.par_chunks_mut(size)).map(one).collect(),
                })
            });
            for (number, result) in results.into_iter().enumerate() {
                result
                    .map_err(|error| if count == 1 { exception(error) } else { exception_in_batch(number, error) })?;
            }
            Ok(())
        })
    }
}

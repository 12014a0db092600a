//! Profiles.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use subband::Limits;

use crate::arrays::read_only;
use crate::errors::exception;
use crate::evaluation::Calibrator;

/// A trained codec.
#[pyclass(frozen, module = "subband._native")]
pub struct Profile(pub subband::Profile);

pub fn limits(max_values: Option<usize>) -> Limits {
    max_values.map_or_else(Limits::default, |values| Limits::default().with_max_values(values))
}

#[pymethods]
impl Profile {
    #[staticmethod]
    fn from_bytes(data: &Bound<'_, PyAny>, max_values: Option<usize>) -> PyResult<Self> {
        let data = read_only::<u8>(data)?;
        subband::Profile::from_bytes(data.as_slice()?, &limits(max_values)).map(Profile).map_err(exception)
    }

    /// Of calibrators that have counted.
    #[staticmethod]
    fn of(network: String, calibrators: Vec<Py<Calibrator>>) -> PyResult<Self> {
        let taps = calibrators.iter().map(|calibrator| calibrator.get().finish()).collect::<PyResult<_>>()?;
        subband::Profile::new(network, taps).map(Profile).map_err(exception)
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    fn network(&self) -> &str {
        self.0.network()
    }

    fn hash(&self) -> String {
        self.0.hash().to_string()
    }

    /// JSON: name, shape, coding and what efforts it has tables for, a tap.
    fn taps(&self) -> String {
        let taps = self.0.taps().iter().map(|tap| {
            let mut efforts = vec!["fast"];
            efforts.extend((tap.has_spread_model() || tap.has_activity_model()).then_some("default"));
            efforts.extend(tap.has_mixing_model().then_some("max"));
            serde_json::json!({
                "name": tap.name(),
                "shape": tap.shape(),
                "coding": tap.coding(),
                "tables": tap.table_count(),
                "efforts": efforts,
            })
        });
        serde_json::Value::Array(taps.collect()).to_string()
    }
}

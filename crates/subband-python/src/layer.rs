//! The codec as a layer: the kernels of the trainer.

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use subband::{Extension, Lifting, Subband};
use subband_kernels::{Isa, WaveletQuantize, WaveletQuantizeGradients};

use crate::arrays::with_floats;
use crate::config::wavelet_named;
use crate::errors::{exception, invalid};
use crate::pool;

/// What is not learned.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct LayerSettings {
    wavelet: String,
    levels: u8,
    rounding: f32,
    reconstruction: f32,
    nonnegative: bool,
    noise: Option<u64>,
}

impl LayerSettings {
    fn layer<'a>(&self, shape: [usize; 4], steps: &'a [f32], kept: &'a [f32]) -> PyResult<WaveletQuantize<'a>> {
        let wavelet = wavelet_named(&self.wavelet)?;
        wavelet.validate_levels(self.levels).map_err(exception)?;
        for (name, value) in [("rounding", self.rounding), ("reconstruction", self.reconstruction)] {
            if !(0.0..=0.5).contains(&value) {
                return Err(invalid(format!("{name} is {value}: allowed are 0 to 0.5")));
            }
        }
        let [batch, channels, height, width] = shape;
        let subbands = 3 * usize::from(self.levels) + 1;
        if kept.len() != channels * subbands || (steps.len() != subbands && steps.len() != kept.len()) {
            return Err(invalid(format!(
                "{} steps and {} gates for {channels} channels and {subbands} subbands",
                steps.len(),
                kept.len()
            )));
        }
        let LayerSettings { levels, rounding, reconstruction, nonnegative, noise, .. } = *self;
        Ok(WaveletQuantize {
            batch,
            channels,
            height,
            width,
            wavelet,
            levels,
            steps,
            kept,
            rounding,
            reconstruction,
            nonnegative,
            noise,
        })
    }
}

fn check(name: &str, length: usize, shape: [usize; 4]) -> PyResult<()> {
    match length == shape.iter().product::<usize>() {
        true => Ok(()),
        false => Err(invalid(format!("{name} has {length} values: the shape is {shape:?}"))),
    }
}

/// Writes the decoded form of `x` to `y`; the mean magnitudes of the indices, `[C * S]`.
#[pyfunction]
pub fn quantize_forward<'py>(
    py: Python<'py>,
    x: PyReadonlyArray1<'py, f32>,
    shape: [usize; 4],
    steps: PyReadonlyArray1<'py, f32>,
    kept: PyReadonlyArray1<'py, f32>,
    settings: LayerSettings,
    y: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let (x, steps, kept) = (x.as_slice()?, steps.as_slice()?, kept.as_slice()?);
    let layer = settings.layer(shape, steps, kept)?;
    check("x", x.len(), shape)?;
    with_floats(y, |y| {
        check("y", y.len(), shape)?;
        let means = py.detach(|| pool::run(2, || layer.forward(Isa::best(), x, y)));
        Ok(PyArray1::from_vec(py, means))
    })
}

/// Gradients of the logarithms of the steps, and of the gates.
type ParameterGradients<'py> = (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f32>>);

/// Writes the gradient of `x` to `dx`; those of the logarithms of the steps and of the gates. `y` is only read if maps are
/// never negative.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "they are what the layer has")]
pub fn quantize_backward<'py>(
    py: Python<'py>,
    x: PyReadonlyArray1<'py, f32>,
    y: PyReadonlyArray1<'py, f32>,
    dy: PyReadonlyArray1<'py, f32>,
    shape: [usize; 4],
    steps: PyReadonlyArray1<'py, f32>,
    kept: PyReadonlyArray1<'py, f32>,
    rate_gradient: PyReadonlyArray1<'py, f32>,
    settings: LayerSettings,
    dx: &Bound<'py, PyAny>,
) -> PyResult<ParameterGradients<'py>> {
    let (x, y, dy) = (x.as_slice()?, y.as_slice()?, dy.as_slice()?);
    let (steps, kept, rate_gradient) = (steps.as_slice()?, kept.as_slice()?, rate_gradient.as_slice()?);
    let layer = settings.layer(shape, steps, kept)?;
    check("x", x.len(), shape)?;
    check("dy", dy.len(), shape)?;
    if layer.nonnegative {
        check("y", y.len(), shape)?;
    }
    if rate_gradient.len() != kept.len() {
        return Err(invalid(format!("{} gradients of the rate for {} gates", rate_gradient.len(), kept.len())));
    }
    with_floats(dx, |dx| {
        check("dx", dx.len(), shape)?;
        let (mut dlog_steps, mut dkept) = (vec![0.0; steps.len()], vec![0.0; kept.len()]);
        let to = WaveletQuantizeGradients { dx, dlog_steps: &mut dlog_steps, dkept: &mut dkept };
        py.detach(|| pool::run(2, || layer.backward(Isa::best(), x, y, dy, rate_gradient, to)));
        Ok((PyArray1::from_vec(py, dlog_steps), PyArray1::from_vec(py, dkept)))
    })
}

/// The lifting of a wavelet as JSON, for code that runs where the kernels do not.
#[pyfunction]
pub fn lifting(wavelet: &str) -> PyResult<String> {
    let description = match wavelet_named(wavelet)?.lifting() {
        Lifting::Identity => serde_json::json!({ "kind": "identity" }),
        Lifting::Butterfly { factor, unpaired } => {
            serde_json::json!({ "kind": "butterfly", "factor": factor, "unpaired": unpaired })
        }
        Lifting::Steps { steps, extension, scale, inverse_scale } => serde_json::json!({
            "kind": "steps",
            "steps": steps.iter().map(|step| (step.parity, step.factor, step.terms)).collect::<Vec<_>>(),
            "periodic": extension == Extension::Periodic,
            "scale": scale,
            "inverse_scale": inverse_scale,
        }),
    };
    Ok(description.to_string())
}

/// Coefficients of a plane in each subband, in coding order.
#[pyfunction]
pub fn subband_sizes(levels: u8, height: usize, width: usize) -> PyResult<Vec<usize>> {
    subband::Wavelet::Haar.validate_levels(levels).map_err(exception)?;
    Ok(subband_kernels::subband_sizes(levels, height, width))
}

/// Synthesis gain of each subband, in coding order.
#[pyfunction]
pub fn subband_gains(wavelet: &str, levels: u8) -> PyResult<Vec<f32>> {
    let wavelet = wavelet_named(wavelet)?;
    wavelet.validate_levels(levels).map_err(exception)?;
    let subbands = 3 * usize::from(levels) + 1;
    Ok((0..subbands).map(|at| wavelet.synthesis_gain(&Subband::at(at, levels))).collect())
}

/// Name of each subband, in coding order.
#[pyfunction]
pub fn subband_names(levels: u8) -> PyResult<Vec<String>> {
    subband::Wavelet::Haar.validate_levels(levels).map_err(exception)?;
    Ok((0..3 * usize::from(levels) + 1).map(|at| Subband::at(at, levels).to_string()).collect())
}

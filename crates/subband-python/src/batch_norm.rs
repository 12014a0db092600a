//! The gradient of batch normalisation, of a map that is decoded on the way and gives its place to the gradient.

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use rayon::prelude::*;

use crate::errors::{exception, invalid};
use crate::floats::with_floats_mut;
use crate::packed::Packed;
use crate::pool;

/// Values that are summed in f32: sums of sums are in f64.
const STRETCH: usize = 1024;
const LANES: usize = 16;

/// The sums of `g` and of `g * (x - mean)`.
fn sums(g: &[f32], x: &[f32], mean: f32) -> [f64; 2] {
    let mut all = [0.0; 2];
    for (g, x) in g.chunks(STRETCH).zip(x.chunks(STRETCH)) {
        let mut lanes = [[0.0f32; LANES]; 2];
        let mut add = |g: &[f32], x: &[f32]| {
            let [of_g, of_product] = &mut lanes;
            for (((of_g, of_product), &g), &x) in of_g.iter_mut().zip(of_product).zip(g).zip(x) {
                *of_g += g;
                *of_product += g * (x - mean);
            }
        };
        let ((g, g_rest), (x, x_rest)) = (g.as_chunks::<LANES>(), x.as_chunks::<LANES>());
        g.iter().zip(x).for_each(|(g, x)| add(g, x));
        add(g_rest, x_rest);
        all.iter_mut().zip(&lanes).for_each(|(sum, lanes)| *sum += f64::from(lanes.iter().sum::<f32>()));
    }
    all
}

/// The sums of `g` and of `g * (x - mean)`, a number a channel each.
type Sums<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// Decodes a map x of planes of so many values to `x`; with g the `gradient`, the sums that the gradients of batch normalisation
/// are made of.
#[pyfunction]
pub fn batch_norm_sums<'py>(
    py: Python<'py>,
    packed: &Packed,
    plane: usize,
    gradient: PyReadonlyArray1<'py, f32>,
    mean: PyReadonlyArray1<'py, f32>,
    x: &Bound<'py, PyAny>,
) -> PyResult<Sums<'py>> {
    let (gradient, mean) = (gradient.as_slice()?, mean.as_slice()?);
    let (channels, part) = (mean.len(), packed.part());
    let fits =
        plane > 0 && channels > 0 && part.is_multiple_of(plane) && gradient.len().is_multiple_of(plane * channels);
    if !fits || x.len()? != gradient.len() {
        return Err(invalid(format!("{} values in planes of {plane}, {channels} channels", gradient.len())));
    }
    let first = packed.check(0, gradient.len())?;
    with_floats_mut::<f32, _>(x, |x| {
        let of_part = |number: usize, x: &mut [f32]| {
            packed.decode_part(number, x)?;
            let start = number * part;
            let planes = x.chunks(plane).zip(gradient[start..].chunks(plane)).enumerate();
            Ok(planes.map(|(i, (x, g))| sums(g, x, mean[(start / plane + i) % channels])).collect::<Vec<_>>())
        };
        let found = py.detach(|| packed.fill(first, x, of_part)).map_err(exception)?;
        let mut all = vec![[0.0; 2]; channels];
        for (plane, sums) in found.iter().flatten().enumerate() {
            all[plane % channels].iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
        }
        let [of_g, of_product] = [0, 1].map(|which| all.iter().map(|sums| sums[which]).collect());
        Ok((PyArray1::from_vec(py, of_g), PyArray1::from_vec(py, of_product)))
    })
}

/// Puts `x * slope + offset + gradient * factor` in the place of x, with a number a channel of each; planes have so many values.
#[pyfunction]
pub fn batch_norm_gradient(
    py: Python<'_>,
    x: &Bound<'_, PyAny>,
    plane: usize,
    gradient: PyReadonlyArray1<'_, f32>,
    slope: PyReadonlyArray1<'_, f32>,
    offset: PyReadonlyArray1<'_, f32>,
    factor: PyReadonlyArray1<'_, f32>,
) -> PyResult<()> {
    let gradient = gradient.as_slice()?;
    let (slope, offset, factor) = (slope.as_slice()?, offset.as_slice()?, factor.as_slice()?);
    let channels = slope.len();
    if plane == 0 || channels == 0 || [offset.len(), factor.len()] != [channels; 2] || x.len()? != gradient.len() {
        return Err(invalid("numbers of channels or of values differ"));
    }
    with_floats_mut::<f32, _>(x, |x| {
        let one = |(i, (x, gradient)): (usize, (&mut [f32], &[f32]))| {
            let (slope, offset, factor) = (slope[i % channels], offset[i % channels], factor[i % channels]);
            for (x, g) in x.iter_mut().zip(gradient) {
                *x = *x * slope + offset + g * factor;
            }
        };
        py.detach(|| match pool::is_worth_sharing(x.len()) {
            true => pool::run(2, || x.par_chunks_mut(plane).zip(gradient.par_chunks(plane)).enumerate().for_each(one)),
            false => x.chunks_mut(plane).zip(gradient.chunks(plane)).enumerate().for_each(one),
        });
        Ok(())
    })
}

//! Tensors that autograd saves, compressed in memory.
//!
//! A tensor is cut into parts, each a stream of its own: planes below one another as a single one, so that a part has one long
//! payload, tables that all its planes share, and room in the second cache for all that is done to it. Against the streams of
//! [`crate::streams`], which tell channels apart and give every batch item chunks of its own, small maps are coded several times as
//! fast, at the same bytes within a few per cent.

use std::sync::{Mutex, PoisonError};

use numpy::PyArrayMethods;
use pyo3::prelude::*;
use rayon::prelude::*;
use subband::{
    Config, DType, DecompressOptions, Target, TensorView, Values, Workspace, compress_into, decompress_into,
};

use crate::arrays::{dtype_named, read_only};
use crate::config::{Settings, StreamSettings};
use crate::errors::{exception, invalid};
use crate::floats::{Float, Survey, append_bits, gate, keep_signs, with_floats, with_floats_mut};
use crate::pool;

/// How floats are coded, prepared for many tensors.
#[pyclass(frozen, module = "subband._native")]
pub struct Packer {
    /// By whether a tensor is one-sided: never negative, with zeros among its values.
    configs: [Config; 2],
    /// The step, in standard deviations.
    relative: Option<f32>,
}

#[pymethods]
impl Packer {
    #[new]
    fn new(stream: StreamSettings, settings: Settings, one_sided: Settings, relative: Option<f32>) -> PyResult<Self> {
        Ok(Packer { configs: [settings.config(&stream)?, one_sided.config(&stream)?], relative })
    }

    /// A tensor of rows of so many values, in parts of so many rows; none if it is to be coded lossily and has NaN or infinities.
    fn pack(
        &self,
        py: Python<'_>,
        flat: &Bound<'_, PyAny>,
        dtype: &str,
        width: usize,
        rows: usize,
    ) -> PyResult<Option<Packed>> {
        let dtype = dtype_named(dtype)?;
        let layout = Layout::new(flat.len()?, width, rows)?;
        macro_rules! pack {
            ($t:ty) => {
                with_floats::<$t, _>(flat, |values| py.detach(|| self.packed(values, layout, dtype)).map_err(exception))
            };
        }
        match dtype {
            DType::F32 => pack!(f32),
            DType::F16 => pack!(half::f16),
            DType::Bf16 => pack!(half::bf16),
            other => Err(invalid(format!("dtype {other}: floats are wanted"))),
        }
    }
}

impl Packer {
    fn packed<T: Float>(&self, values: &[T], layout: Layout, dtype: DType) -> subband::Result<Option<Packed>> {
        let lossless = self.configs[0].target == Target::Lossless;
        let (mut step, mut one_sided) = (None, false);
        if !lossless {
            let surveys = layout.map(values, |part| Ok(Survey::of(part)))?;
            let survey = surveys.into_iter().fold(Survey::default(), Survey::join);
            if !survey.finite() {
                return Ok(None);
            }
            one_sided = survey.least() == Some(0.0);
            step = self.relative.map(|relative| (relative * survey.deviation()).clamp(1e-30, 1e30));
        }
        let mut config = self.configs[usize::from(one_sided)].clone();
        if let Some(step) = step {
            config.target = Target::Step(step);
        }
        let streams = layout.map(values, |part| layout.compress(part.len(), T::values(part), &config))?;
        let mut positive = Vec::new();
        if one_sided {
            positive.reserve_exact(layout.mask_bytes() * layout.parts());
            values.chunks(layout.part).for_each(|part| append_bits(part, &mut positive));
        }
        Ok(Some(Packed::new(layout, dtype, streams, positive)))
    }
}

/// How the values of a tensor are cut.
#[derive(Clone, Copy)]
struct Layout {
    values: usize,
    width: usize,
    /// Values of each part but the last.
    part: usize,
}

impl Layout {
    fn new(values: usize, width: usize, rows: usize) -> PyResult<Self> {
        match width.checked_mul(rows) {
            Some(part) if part > 0 && values.is_multiple_of(width) => Ok(Layout { values, width, part }),
            _ => Err(invalid(format!("{values} values in rows of {width} and parts of {rows} rows"))),
        }
    }

    fn parts(&self) -> usize {
        self.values.div_ceil(self.part)
    }

    /// Bytes of a bit a value of a part.
    fn mask_bytes(&self) -> usize {
        self.part.div_ceil(8)
    }

    /// What `work` makes of each part, in order.
    fn map<T: Sync, R: Send>(
        &self,
        values: &[T],
        work: impl Fn(&[T]) -> subband::Result<R> + Sync,
    ) -> subband::Result<Vec<R>> {
        match self.parts() > 1 && pool::threads() > 1 {
            true => pool::run(self.parts(), || values.par_chunks(self.part).map(&work).collect()),
            false => values.chunks(self.part).map(work).collect(),
        }
    }

    /// The stream of a part.
    fn compress<'a>(&self, length: usize, part: impl Into<Values<'a>>, config: &Config) -> subband::Result<Vec<u8>> {
        static WORKSPACES: Mutex<Vec<Workspace>> = Mutex::new(Vec::new());
        let lock = || WORKSPACES.lock().unwrap_or_else(PoisonError::into_inner);
        let part = TensorView::new(part, &[length / self.width, self.width])?;
        let mut workspace = lock().pop().unwrap_or_default();
        let mut stream = Vec::new();
        let done = compress_into(&part, config, &mut workspace, &mut stream);
        lock().push(workspace);
        done.map(|_| stream)
    }
}

/// A tensor, compressed.
#[pyclass(frozen, module = "subband._native")]
pub struct Packed {
    layout: Layout,
    /// U16 stands for integers of 64 bits.
    dtype: DType,
    /// One a part. Together they are a block that goes back to the system as a whole; single ones would leave holes in the heap.
    streams: Vec<u8>,
    /// Where each stream ends.
    ends: Vec<usize>,
    /// A bit a value, each part in whole bytes, of a one-sided tensor that is coded lossily: what came out of a ReLU. Its
    /// gradient asks for nothing but this bit, and a zero that decodes to a little more than zero would let through what must
    /// not pass.
    positive: Vec<u8>,
}

impl Packed {
    fn new(layout: Layout, dtype: DType, parts: Vec<Vec<u8>>, positive: Vec<u8>) -> Self {
        let mut ends = Vec::with_capacity(parts.len());
        let mut end = 0;
        for part in &parts {
            end += part.len();
            ends.push(end);
        }
        Packed { layout, dtype, streams: parts.concat(), ends, positive }
    }

    fn stream(&self, number: usize) -> &[u8] {
        &self.streams[number.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[number]]
    }

    fn mask(&self, number: usize) -> Option<&[u8]> {
        self.positive.chunks(self.layout.mask_bytes()).nth(number)
    }

    /// Values of each part but the last.
    pub fn part(&self) -> usize {
        self.layout.part
    }

    /// What `decode` makes of each of the parts from `first` on that fill `out`, in order.
    pub fn fill<T: Send, R: Send>(
        &self,
        first: usize,
        out: &mut [T],
        decode: impl Fn(usize, &mut [T]) -> subband::Result<R> + Sync,
    ) -> subband::Result<Vec<R>> {
        let parts = out.len().div_ceil(self.layout.part);
        let one = |(number, part): (usize, &mut [T])| decode(first + number, part);
        match parts > 1 && pool::threads() > 1 {
            true => pool::run(parts, || out.par_chunks_mut(self.layout.part).enumerate().map(one).collect()),
            false => out.chunks_mut(self.layout.part).enumerate().map(one).collect(),
        }
    }

    pub fn decode_part<T: Float>(&self, number: usize, out: &mut [T]) -> subband::Result<()> {
        decompress_into(self.stream(number), &mut T::elements(out), &DecompressOptions::default())?;
        if let Some(mask) = self.mask(number) {
            keep_signs(mask, out);
        }
        Ok(())
    }

    /// The first part of those that fill so many values from `start` on.
    pub fn check(&self, start: usize, length: usize) -> PyResult<usize> {
        let Layout { values, part, .. } = self.layout;
        let end = start + length;
        match start.is_multiple_of(part) && (end == values || (end < values && end.is_multiple_of(part))) {
            true => Ok(start / part),
            false => Err(invalid(format!("values {start} to {end} of {values} in parts of {part}"))),
        }
    }
}

#[pymethods]
impl Packed {
    /// Integers that fit 16 bits, as the places of maxima in pooling do; they run along the plane, which `settings` should
    /// foresee. None for others.
    #[staticmethod]
    fn of_integers(
        py: Python<'_>,
        flat: &Bound<'_, PyAny>,
        width: usize,
        rows: usize,
        stream: StreamSettings,
        settings: Settings,
    ) -> PyResult<Option<Packed>> {
        let values = read_only::<i64>(flat)?;
        let (values, layout) = (values.as_slice()?, Layout::new(flat.len()?, width, rows)?);
        let config = settings.config(&stream)?;
        py.detach(|| {
            if !values.iter().all(|&value| u16::try_from(value).is_ok()) {
                return Ok(None);
            }
            let streams = layout.map(values, |part| {
                let narrow: Vec<u16> = part.iter().map(|&value| value as u16).collect();
                layout.compress(narrow.len(), &narrow, &config)
            })?;
            Ok(Some(Packed::new(layout, DType::U16, streams, Vec::new())))
        })
        .map_err(exception)
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.streams.len() + self.positive.len()
    }

    /// Whether it has a bit a value.
    #[getter]
    fn one_sided(&self) -> bool {
        !self.positive.is_empty()
    }

    /// Decodes whole parts to `out`, whose first value has this number in the tensor.
    fn decode(&self, py: Python<'_>, start: usize, out: &Bound<'_, PyAny>) -> PyResult<()> {
        let first = self.check(start, out.len()?)?;
        macro_rules! decode {
            ($t:ty) => {
                with_floats_mut::<$t, _>(out, |out| {
                    let part = |number, part: &mut [$t]| self.decode_part(number, part);
                    py.detach(|| self.fill(first, out, part)).map_err(exception)
                })
            };
        }
        match self.dtype {
            DType::F32 => decode!(f32),
            DType::F16 => decode!(half::f16),
            DType::Bf16 => decode!(half::bf16),
            _ => {
                let out = out.cast::<numpy::PyArray1<i64>>()?;
                let mut out = out.try_readwrite().map_err(invalid)?;
                let out = out.as_slice_mut()?;
                let integers = |number, part: &mut [i64]| {
                    let mut narrow = vec![0u16; part.len()];
                    decompress_into(self.stream(number), &mut (&mut narrow).into(), &DecompressOptions::default())?;
                    part.iter_mut().zip(&narrow).for_each(|(value, &narrow)| *value = narrow.into());
                    Ok(())
                };
                py.detach(|| self.fill(first, out, integers)).map_err(exception)
            }
        }
        .map(drop)
    }

    /// The gradient of a ReLU of which this is the result, one-sided: `gradient` where it is positive, 0 elsewhere.
    fn gate(&self, py: Python<'_>, gradient: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<()> {
        if !self.one_sided() || [gradient.len()?, out.len()?] != [self.layout.values; 2] {
            return Err(invalid("a gate needs a bit a value, and gradients of as many values"));
        }
        macro_rules! gate {
            ($t:ty) => {
                with_floats::<$t, _>(gradient, |gradient| {
                    with_floats_mut::<$t, _>(out, |out| {
                        let one = |number, part: &mut [$t]| {
                            let start = number * self.layout.part;
                            part.copy_from_slice(&gradient[start..start + part.len()]);
                            gate(self.mask(number).expect("there is one a part"), part);
                            Ok(())
                        };
                        py.detach(|| self.fill(0, out, one)).map_err(exception).map(drop)
                    })
                })
            };
        }
        match self.dtype {
            DType::F32 => gate!(f32),
            DType::F16 => gate!(half::f16),
            _ => gate!(half::bf16),
        }
    }
}

//! Counting maps for a profile, and measuring what a profile makes of maps.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use rayon::prelude::*;
use subband::{CodedMap, CodedTaps, Rates, Scratch, TapCalibrator, TapProfile, Totals, Worker};

use crate::arrays::with_floats;
use crate::config::{CodingSettings, effort_named};
use crate::errors::{exception, exception_in_batch, invalid};
use crate::pool;
use crate::profile::Profile;

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the maps of one tap.
#[pyclass(frozen, module = "subband._native")]
pub struct Calibrator {
    values: usize,
    state: Mutex<Counts>,
}

/// What a thread counts with.
type Part = (TapCalibrator, Scratch);

struct Counts {
    /// As it is after the last fit, with nothing counted since.
    fresh: TapCalibrator,
    /// One a thread, at least one.
    parts: Vec<Part>,
}

impl Counts {
    fn from(fresh: TapCalibrator) -> Self {
        Counts { parts: vec![(fresh.clone(), Scratch::default())], fresh }
    }

    /// All that was counted.
    fn sum(&self) -> TapCalibrator {
        let mut sum = self.parts[0].0.clone();
        self.parts[1..].iter().for_each(|(part, _)| sum.merge(part));
        sum
    }
}

#[pymethods]
impl Calibrator {
    #[new]
    fn new(name: &str, shape: [usize; 3], coding: CodingSettings) -> PyResult<Self> {
        let one = TapCalibrator::new(name, shape, coding.coding()?).map_err(exception)?;
        Ok(Calibrator { values: shape.iter().product(), state: Mutex::new(Counts::from(one)) })
    }

    /// Counts maps, one after the other in `maps`, and decodes them into `decoded`; the number of clamped values.
    fn observe(&self, py: Python<'_>, maps: PyReadonlyArray1<'_, f32>, decoded: &Bound<'_, PyAny>) -> PyResult<u64> {
        let maps = maps.as_slice()?;
        with_floats(decoded, |decoded| {
            if maps.len() != decoded.len() || !maps.len().is_multiple_of(self.values) {
                let (maps, decoded) = (maps.len(), decoded.len());
                return Err(invalid(format!("{maps} values into {decoded}, for maps of {} values", self.values)));
            }
            let count = maps.len() / self.values;
            let saturated = py.detach(|| {
                // Outside of the pool: a worker that waits may take up another call, which would wait for this lock.
                let counts = &mut *lock(&self.state);
                pool::run(count, || counts.observe(self.values, maps, decoded))
            });
            saturated.map_err(|(number, error)| exception_in_batch(number, error))
        })
    }

    /// Fits the estimates to what was counted, and starts counting anew.
    fn fit(&self) {
        let mut state = lock(&self.state);
        let mut sum = state.sum();
        sum.fit();
        *state = Counts::from(sum);
    }
}

impl Calibrator {
    pub fn finish(&self) -> PyResult<TapProfile> {
        Ok(lock(&self.state).sum().finish())
    }
}

impl Counts {
    /// Maps of `values` values each.
    fn observe(&mut self, values: usize, maps: &[f32], decoded: &mut [f32]) -> Result<u64, (usize, subband::Error)> {
        let count = maps.len() / values;
        let observe = |part: &mut Part, first: usize, maps: &[f32], decoded: &mut [f32]| {
            let mut saturated = 0;
            for (i, (map, decoded)) in maps.chunks(values).zip(decoded.chunks_mut(values)).enumerate() {
                let stats = part.0.observe(map, &mut part.1, decoded).map_err(|error| (first + i, error))?;
                saturated += stats.saturated;
            }
            Ok(saturated)
        };
        let Counts { fresh, parts } = self;
        if count <= 1 {
            return observe(&mut parts[0], 0, maps, decoded);
        }
        let threads = rayon::current_num_threads().min(count);
        while parts.len() < threads {
            parts.push((fresh.clone(), Scratch::default()));
        }
        let share = count.div_ceil(threads);
        let size = share * values;
        let work = parts.par_iter_mut().zip(maps.par_chunks(size)).zip(decoded.par_chunks_mut(size)).enumerate();
        work.map(|(i, ((part, maps), decoded))| observe(part, i * share, maps, decoded))
            .try_reduce(|| 0, |a, b| Ok(a + b))
    }
}

/// Sends maps through the taps of a profile and counts what becomes of them.
#[pyclass(frozen, module = "subband._native")]
pub struct Evaluator {
    taps: CodedTaps,
    /// Values of a map, by tap.
    values: Vec<usize>,
    profile: Py<Profile>,
    self_contained: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    workers: Vec<Worker>,
    totals: Vec<Totals>,
}

#[pymethods]
impl Evaluator {
    #[new]
    fn new(
        profile: Py<Profile>,
        network: &str,
        sites: Vec<(String, [usize; 3])>,
        effort: &str,
        rdo: f32,
        self_contained: bool,
    ) -> PyResult<Self> {
        let sites = sites.iter().map(|(name, shape)| (name.as_str(), *shape));
        let held = &profile.get().0;
        let taps = CodedTaps::new(network, sites, held).and_then(|taps| taps.with_rdo(rdo)).map_err(exception)?;
        let taps = taps.with_effort(effort_named(effort)?).with_self_contained(self_contained);
        let values = held.taps().iter().map(|tap| tap.shape().iter().product()).collect();
        let totals = vec![Totals::default(); taps.len()];
        let state = Mutex::new(State { workers: Vec::new(), totals });
        Ok(Evaluator { taps, values, profile, self_contained, state })
    }

    /// Codes maps of the tap called `tap`, one after the other in `maps`, and decodes them into `decoded`.
    fn code(
        &self,
        py: Python<'_>,
        tap: &str,
        maps: PyReadonlyArray1<'_, f32>,
        decoded: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let maps = maps.as_slice()?;
        let tap = self.taps.position(tap).ok_or_else(|| invalid(format!("the profile has no tap '{tap}'")))?;
        let size = self.values[tap];
        with_floats(decoded, |decoded| {
            if maps.len() != decoded.len() || !maps.len().is_multiple_of(size) {
                let (maps, decoded) = (maps.len(), decoded.len());
                return Err(invalid(format!("{maps} values into {decoded}, for maps of {size} values")));
            }
            let coded = py.detach(|| {
                // Outside of the pool, as above.
                let state = &mut *lock(&self.state);
                pool::run(2, || self.code_all(state, tap, maps, decoded))
            });
            coded.map_err(|(number, error)| exception_in_batch(number, error))
        })
    }

    /// What the maps took, as JSON; then counting starts anew.
    fn finish(&self) -> PyResult<String> {
        let fresh = State { workers: Vec::new(), totals: vec![Totals::default(); self.taps.len()] };
        let State { mut workers, totals } = std::mem::replace(&mut *lock(&self.state), fresh);
        if workers.is_empty() {
            workers.push(Worker::new(&self.taps));
        }
        let rates = Rates::new(&self.profile.get().0, &totals, workers, self.self_contained);
        serde_json::to_string(&rates).map_err(invalid)
    }
}

impl Evaluator {
    fn code_all(
        &self,
        state: &mut State,
        tap: usize,
        maps: &[f32],
        decoded: &mut [f32],
    ) -> Result<(), (usize, subband::Error)> {
        let count = maps.len() / self.values[tap];
        let State { workers, totals } = state;
        let threads = rayon::current_num_threads().clamp(1, count.max(1));
        while workers.len() < threads {
            workers.push(Worker::new(&self.taps));
        }
        let (size, share) = (self.values[tap], count.div_ceil(threads).max(1));
        let work = workers.par_iter_mut().zip(maps.par_chunks(share * size)).zip(decoded.par_chunks_mut(share * size));
        let coded = work.enumerate().map(|(i, ((worker, maps), decoded))| {
            let maps = maps.chunks(size).zip(decoded.chunks_mut(size)).enumerate();
            let one = |(at, (map, decoded)): (usize, (&[f32], &mut [f32]))| {
                self.taps.code(tap, worker, map, decoded).map_err(|error| (i * share + at, error))
            };
            maps.map(one).collect::<Result<Vec<CodedMap>, _>>()
        });
        for maps in coded.collect::<Result<Vec<_>, _>>()? {
            maps.iter().for_each(|map| totals[tap].add(map));
        }
        Ok(())
    }
}

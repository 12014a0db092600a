//! The threads that work is shared among.
//!
//! They are not rayon's global ones: those do not survive a fork, and a forked worker (of multiprocessing, or of a data loader) that
//! waited for them would wait for ever. A pool belongs to a process; a forked one makes its own.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::errors::invalid;

struct State {
    /// As asked; 0 is one a core.
    threads: usize,
    pool: Option<(u32, Arc<ThreadPool>)>,
}

static STATE: Mutex<State> = Mutex::new(State { threads: 0, pool: None });

fn pool() -> Arc<ThreadPool> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let here = process::id();
    match state.pool.take() {
        Some((process, pool)) if process == here => {
            state.pool = Some((here, pool.clone()));
            return pool;
        }
        // The threads of a parent process: there is nobody to join.
        Some((_, pool)) => std::mem::forget(pool),
        None => {}
    }
    let builder = ThreadPoolBuilder::new().num_threads(state.threads).thread_name(|i| format!("subband-{i}"));
    let pool = Arc::new(builder.build().expect("threads can be started"));
    state.pool = Some((here, pool.clone()));
    pool
}

/// Runs `work`, which is in `tasks` parts, on the pool; a single part on the calling thread, as waking others costs more.
pub fn run<T: Send>(tasks: usize, work: impl FnOnce() -> T + Send) -> T {
    if tasks <= 1 { work() } else { pool().install(work) }
}

/// Whether light work on so many values in memory takes longer than to wake threads, and there are others.
pub fn is_worth_sharing(values: usize) -> bool {
    values > 1 << 18 && threads() > 1
}

/// Sets the number of threads that one call shares its work among; 0 is one a core.
#[pyfunction]
pub fn set_threads(count: i64) -> PyResult<()> {
    let count = usize::try_from(count).ok().filter(|&count| count <= 1024);
    let count = count.ok_or_else(|| invalid("threads: allowed are 0 (one a core) to 1024"))?;
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.threads = count;
    if let Some((process, pool)) = state.pool.take()
        && process != process::id()
    {
        std::mem::forget(pool);
    }
    Ok(())
}

/// The number of threads that one call shares its work among.
#[pyfunction]
pub fn threads() -> usize {
    pool().current_num_threads()
}

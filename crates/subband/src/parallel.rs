//! Work shared among the threads of the current rayon pool, with the same result for any number of them.

use std::sync::Mutex;

use rayon::prelude::*;

use crate::error::Result;

/// Working memory that threads take while they work, and leave for the next time.
#[derive(Debug, Default)]
pub(crate) struct Pool<S>(Mutex<Vec<S>>);

impl<S: Default> Pool<S> {
    pub const fn new() -> Self {
        Pool(Mutex::new(Vec::new()))
    }

    fn take(&self) -> Taken<'_, S> {
        let state = self.0.lock().expect("nothing panics with the lock held").pop();
        Taken { state: state.unwrap_or_default(), pool: self }
    }

    /// All that was used.
    pub fn into_states(self) -> Vec<S> {
        self.0.into_inner().expect("nothing panics with the lock held")
    }
}

/// Of one thread, for now.
struct Taken<'a, S: Default> {
    state: S,
    pool: &'a Pool<S>,
}

impl<S: Default> Drop for Taken<'_, S> {
    fn drop(&mut self) {
        if let Ok(mut states) = self.pool.0.lock() {
            states.push(std::mem::take(&mut self.state));
        }
    }
}

/// Applies `f` to every item, with one `S` a thread; the first error in the order of items wins.
pub(crate) fn map<I: Send, S: Default + Send, T: Send>(
    items: Vec<I>,
    f: impl Fn(&mut S, usize, I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    map_with(&Pool::default(), items, f)
}

/// As [`map`], with states of a pool.
///
/// A single item is done on the calling thread: waking a pool costs more than a small map.
pub(crate) fn map_with<I: Send, S: Default + Send, T: Send>(
    pool: &Pool<S>,
    items: Vec<I>,
    f: impl Fn(&mut S, usize, I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    if items.len() <= 1 || rayon::current_num_threads() == 1 {
        let mut taken = pool.take();
        return items.into_iter().enumerate().map(|(i, item)| f(&mut taken.state, i, item)).collect();
    }
    let results: Vec<Result<T>> = items
        .into_par_iter()
        .enumerate()
        .map_init(|| pool.take(), |taken, (i, item)| f(&mut taken.state, i, item))
        .collect();
    results.into_iter().collect()
}

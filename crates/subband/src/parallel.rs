//! Work shared among the threads of the current rayon pool, with the same result for any number of them.

use rayon::prelude::*;

use crate::error::Result;

/// Applies `f` to every item, with one `S` a thread; the first error in the order of items wins.
///
/// A single item is done on the calling thread: waking a pool costs more than a small map.
pub(crate) fn map<I: Send, S: Default, T: Send>(
    items: Vec<I>,
    f: impl Fn(&mut S, usize, I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    if items.len() <= 1 || rayon::current_num_threads() == 1 {
        let mut state = S::default();
        return items.into_iter().enumerate().map(|(i, item)| f(&mut state, i, item)).collect();
    }
    let results: Vec<Result<T>> =
        items.into_par_iter().enumerate().map_init(S::default, |state, (i, item)| f(state, i, item)).collect();
    results.into_iter().collect()
}

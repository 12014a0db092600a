//! Working memory that is kept from call to call.
//!
//! A step of training asks for the same few blocks thousands of times. Returned to the system, each would be mapped
//! and zeroed again page by page; for the large blocks of a whole step that was a quarter of its time in a prototype.
//! So every thread keeps the blocks it has used; they grow to the largest that it ever needed and are freed when it
//! ends.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use crate::simd::LANES;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A block of floats that starts on a vector boundary. Its content is whatever the last user left.
pub(crate) struct Scratch {
    block: Vec<f32>,
    start: usize,
    len: usize,
}

impl Scratch {
    /// Takes the smallest free block of this thread that holds `len` floats, or grows the largest.
    ///
    /// A block goes back to the thread that drops it. Several may be out at once: rayon may start another task on
    /// this thread while one waits.
    pub(crate) fn take(len: usize) -> Scratch {
        let needed = len + LANES;
        let mut block = FREE.with_borrow_mut(|free| {
            // Sorted by length, see `drop`.
            let fits = free.partition_point(|b| b.len() < needed);
            if fits < free.len() { free.remove(fits) } else { free.pop().unwrap_or_default() }
        });
        if block.len() < needed {
            block = vec![0.0; needed];
        }
        let start = block.as_ptr().align_offset(LANES * size_of::<f32>()).min(LANES);
        Scratch { block, start, len }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        // The thread may be ending, with the list gone already: then the block is simply freed.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            let at = free.partition_point(|b| b.len() < block.len());
            free.insert(at, block);
        });
    }
}

impl Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.block[self.start..][..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.block[self.start..][..self.len]
    }
}

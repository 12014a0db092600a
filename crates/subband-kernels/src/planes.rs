//! A tensor `[batch, channels, plane]` written by tasks that own a channel each.

use std::marker::PhantomData;

/// The planes of a tensor, to be handed out to several threads.
///
/// A channel's planes lie `channels` planes apart, which `chunks_mut` cannot express. Collecting them into a list per
/// channel would: thousands of pushes for maps so small that each plane takes some ten nanoseconds.
pub(crate) struct Planes<'a> {
    first: *mut f32,
    plane: usize,
    count: usize,
    tensor: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for an exclusive slice of floats, which may be sent and split between threads; that no two
// threads get the same part is what `get` demands.
unsafe impl Send for Planes<'_> {}
// SAFETY: as above.
unsafe impl Sync for Planes<'_> {}

impl<'a> Planes<'a> {
    /// # Panics
    /// If the tensor is not made of whole planes.
    pub fn new(tensor: &'a mut [f32], plane: usize) -> Planes<'a> {
        assert_eq!(tensor.len() % plane, 0, "whole planes");
        Planes { first: tensor.as_mut_ptr(), plane, count: tensor.len() / plane, tensor: PhantomData }
    }

    /// Plane `i`.
    ///
    /// # Safety
    /// No other reference to plane `i` may be in use.
    #[expect(clippy::mut_from_ref, reason = "that is the point; see the safety contract")]
    pub unsafe fn get(&self, i: usize) -> &mut [f32] {
        assert!(i < self.count, "plane {i} of {}", self.count);
        // SAFETY: the plane lies within the tensor, which is borrowed for as long as `self` lives; the caller
        // guarantees that nothing else refers to it.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(i * self.plane), self.plane) }
    }
}

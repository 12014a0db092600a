//! The few vector operations the kernels need, over three instruction sets.
//!
//! A kernel is written once, generic over [`Simd`], and compiled once per instruction set. The value `s: impl Simd`
//! is a token without content: it only exists where the CPU has the instructions (see [`crate::Isa`]), so calling an
//! operation through it is safe.
//!
//! A vector has [`LANES`] floats on every instruction set, in as many registers as that takes: one for AVX-512, two
//! for AVX2, four for SSE2 and NEON. So packed layouts are the same everywhere, and what differs is only how many
//! vectors a kernel may keep in registers.
//!
//! # Inlining
//! Every operation and every kernel is `#[inline(always)]`, so that all of it lands inside one function that
//! carries `#[target_feature]`: the `enter` of [`Simd::run`]. An intrinsic that stays outside such a function is
//! still correct but becomes a call that passes its vectors through memory. Two traps follow: a closure handed to rayon is a function
//! of its own, so [`Simd::run`] is called inside it, not around it; and for the same reason kernels, and the vector
//! types, do without closures.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Floats per vector.
pub(crate) const LANES: usize = 16;

/// Code that wants to run on whatever instruction set there is.
pub(crate) trait Kernel {
    type Out;
    /// Must be `#[inline(always)]` in every implementation, see the module's note.
    fn run<S: Simd>(self, s: S) -> Self::Out;
}

pub(crate) trait Simd: Copy + Send + Sync {
    /// How many vectors a kernel accumulates at once, see the conv module's tiles.
    const TILE: usize;
    type V: Copy;

    /// Runs `kernel` with this instruction set enabled, as a function of its own that is never inlined.
    ///
    /// A kernel may itself run an inner kernel this way, to have the registers allocated for that one alone.
    fn run<K: Kernel>(self, kernel: K) -> K::Out;

    fn splat(self, x: f32) -> Self::V;
    /// The first `LANES` values of `from`.
    fn load(self, from: &[f32]) -> Self::V;
    /// As many values as `from` has, at most `LANES`; the other lanes are zero.
    fn load_part(self, from: &[f32]) -> Self::V;
    fn store(self, v: Self::V, to: &mut [f32]);
    /// Stores as many lanes as `to` has room for, at most `LANES`.
    fn store_part(self, v: Self::V, to: &mut [f32]);

    /// [`Simd::load_part`], the faster way if there is a whole vector.
    #[inline(always)]
    fn load_any(self, from: &[f32]) -> Self::V {
        if from.len() == LANES { self.load(from) } else { self.load_part(from) }
    }
    /// [`Simd::store_part`], the faster way if there is room for a whole vector.
    #[inline(always)]
    fn store_any(self, v: Self::V, to: &mut [f32]) {
        if to.len() == LANES { self.store(v, to) } else { self.store_part(v, to) }
    }

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, in one rounding where the instruction set has it.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `max(a, 0)`; NaN stays NaN, so that a diverging network is noticed.
    fn relu(self, a: Self::V) -> Self::V;
    /// `v` where `sign > 0`, else 0.
    fn where_positive(self, sign: Self::V, v: Self::V) -> Self::V;
    /// The sum of the lanes, in a fixed order, the same for every instruction set.
    fn sum(self, v: Self::V) -> f32;
    /// Lane `j` of vector `i` becomes lane `i` of vector `j`.
    fn transpose(self, square: &mut [Self::V; LANES]);
    /// [`Simd::transpose`] from memory to memory, vectors `from_step` and `to_step` apart.
    #[inline(always)]
    fn transpose_rows(self, from: &[f32], from_step: usize, to: &mut [f32], to_step: usize) {
        let mut square = [self.splat(0.0); LANES];
        for (i, v) in square.iter_mut().enumerate() {
            *v = self.load(&from[i * from_step..]);
        }
        self.transpose(&mut square);
        for (i, v) in square.iter().enumerate() {
            self.store(*v, &mut to[i * to_step..]);
        }
    }
}

/// The order in which [`Simd::sum`] adds: halves folded onto each other.
#[inline(always)]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut n = LANES / 2;
    while n > 0 {
        for i in 0..n {
            lanes[i] += lanes[i + n];
        }
        n /= 2;
    }
    lanes[0]
}

/// Asks for `part` of `parts` of `data` to be brought into the second level cache.
///
/// For data that will be needed after what is being worked on: the hardware's own prefetching stops at every page. It
/// saves 3 to 7% on maps that come from memory, and 17% for the weight gradient at stride 2.
#[inline(always)]
pub(crate) fn prefetch_part(data: &[f32], part: usize, parts: usize) {
    let (start, end) = (data.len() * part / parts, data.len() * (part + 1) / parts);
    for line in data[start..end].chunks(LANES) {
        prefetch::<false>(line);
    }
}

/// Asks for the cache line of the first value of `data`, into the first level cache if it is `NEAR`.
#[inline(always)]
pub(crate) fn prefetch<const NEAR: bool>(data: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        // SAFETY: every x86-64 CPU has the instruction, and it takes any address.
        unsafe {
            if NEAR {
                _mm_prefetch::<_MM_HINT_T0>(data.as_ptr().cast());
            } else {
                _mm_prefetch::<_MM_HINT_T1>(data.as_ptr().cast());
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = data;
}

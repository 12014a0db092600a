//! Plain Rust on short arrays, which LLVM turns into the vectors that every target of its architecture has
//! (SSE2 on x86-64, NEON on AArch64).

use std::array::from_fn;

use super::{Kernel, LANES, Simd, fold};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Simd for Portable {
    /// More than there are registers: the tile lives in the first level cache, and a long one still hides the
    /// latency of the additions (measured on SSE2: 34 GFLOP/s with 14 to 16, 15 with 2).
    const TILE: usize = 16;
    type V = [f32; LANES];

    #[inline(never)]
    fn run<K: Kernel>(self, kernel: K) -> K::Out {
        kernel.run(self)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::V {
        *from.first_chunk().expect("a whole vector")
    }
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::V {
        let mut v = [0.0; LANES];
        for (v, x) in v.iter_mut().zip(from) {
            *v = *x;
        }
        v
    }
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32]) {
        *to.first_chunk_mut().expect("room for a whole vector") = v;
    }
    #[inline(always)]
    fn store_part(self, v: Self::V, to: &mut [f32]) {
        for (v, x) in v.iter().zip(to) {
            *x = *v;
        }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn abs(self, a: Self::V) -> Self::V {
        from_fn(|i| a[i].abs())
    }
    /// `f32::trunc` is a call into libm on SSE2. Adding 2^23 leaves no room for a fraction, but rounds to nearest;
    /// from there on all floats are integers.
    #[inline(always)]
    fn trunc(self, a: Self::V) -> Self::V {
        const NO_FRACTION: f32 = (1 << 23) as f32;
        from_fn(|i| {
            let nearest = (a[i] + NO_FRACTION) - NO_FRACTION;
            let below = if nearest > a[i] { nearest - 1.0 } else { nearest };
            if a[i] < NO_FRACTION { below } else { a[i] }
        })
    }
    #[inline(always)]
    fn flip_sign(self, a: Self::V, by: Self::V) -> Self::V {
        from_fn(|i| f32::from_bits(a[i].to_bits() ^ by[i].to_bits() & (1 << 31)))
    }
    /// Two roundings: without the CPU feature `f32::mul_add` is a call into libm.
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn relu(self, a: Self::V) -> Self::V {
        from_fn(|i| if a[i] < 0.0 { 0.0 } else { a[i] })
    }
    #[inline(always)]
    fn where_positive(self, sign: Self::V, v: Self::V) -> Self::V {
        from_fn(|i| if sign[i] > 0.0 { v[i] } else { 0.0 })
    }
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        fold(v)
    }
    #[inline(always)]
    fn transpose(self, square: &mut [Self::V; LANES]) {
        let from = *square;
        for (i, row) in square.iter_mut().enumerate() {
            *row = from_fn(|j| from[j][i]);
        }
    }
}

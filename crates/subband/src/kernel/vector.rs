//! Vectors of floats for kernels that move samples between lanes. The plain form is a single float.

/// A vector of `N` floats.
///
/// # Safety
/// Methods of a vector type are only called in functions compiled for its instruction set, and pointers are to `N` floats.
pub(super) unsafe trait Vector: Copy {
    const N: usize;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn splat(x: f32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `2 N` floats to their even and odd ones.
    unsafe fn deinterleave(self, next: Self) -> (Self, Self);
    /// Undoes `deinterleave`.
    unsafe fn interleave(self, odd: Self) -> (Self, Self);
    /// The larger of each and 0; 0 for NaN and -0.0.
    unsafe fn clamp_at_zero(self) -> Self;
}

// SAFETY: no instruction set is needed.
unsafe impl Vector for f32 {
    const N: usize = 1;
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { *from }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { *to = self }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        x
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self - other
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self * other
    }
    #[inline(always)]
    unsafe fn deinterleave(self, next: Self) -> (Self, Self) {
        (self, next)
    }
    #[inline(always)]
    unsafe fn interleave(self, odd: Self) -> (Self, Self) {
        (self, odd)
    }
    #[inline(always)]
    unsafe fn clamp_at_zero(self) -> Self {
        if self > 0.0 { self } else { 0.0 }
    }
}

/// Eight floats without an instruction set of their own, for kernels that want vectors of eight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eight([f32; 8]);

// SAFETY: no instruction set is needed.
unsafe impl Vector for Eight {
    const N: usize = 8;
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Eight(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Eight([x; 8])
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Eight(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Eight(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Eight(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
    #[inline(always)]
    unsafe fn deinterleave(self, next: Self) -> (Self, Self) {
        let at = |i: usize| if i < 8 { self.0[i] } else { next.0[i - 8] };
        (Eight(std::array::from_fn(|i| at(2 * i))), Eight(std::array::from_fn(|i| at(2 * i + 1))))
    }
    #[inline(always)]
    unsafe fn interleave(self, odd: Self) -> (Self, Self) {
        let at = |i: usize| if i.is_multiple_of(2) { self.0[i / 2] } else { odd.0[i / 2] };
        (Eight(std::array::from_fn(at)), Eight(std::array::from_fn(|i| at(i + 8))))
    }
    #[inline(always)]
    unsafe fn clamp_at_zero(self) -> Self {
        Eight(self.0.map(|x| if x > 0.0 { x } else { 0.0 }))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    macro_rules! vector {
        (
            $type:ty, $n:literal, $load:ident, $store:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $max:ident,
            |$a:ident, $b:ident| $deinterleave:expr, |$even:ident, $odd:ident| $interleave:expr
        ) => {
            // SAFETY (all methods): the trait's condition.
            unsafe impl Vector for $type {
                const N: usize = $n;
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn splat(x: f32) -> Self {
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                unsafe fn sub(self, other: Self) -> Self {
                    unsafe { $sub(self, other) }
                }
                #[inline(always)]
                unsafe fn mul(self, other: Self) -> Self {
                    unsafe { $mul(self, other) }
                }
                #[inline(always)]
                unsafe fn deinterleave(self, next: Self) -> (Self, Self) {
                    let ($a, $b) = (self, next);
                    unsafe { $deinterleave }
                }
                #[inline(always)]
                unsafe fn interleave(self, odd: Self) -> (Self, Self) {
                    let ($even, $odd) = (self, odd);
                    unsafe { $interleave }
                }
                #[inline(always)]
                unsafe fn clamp_at_zero(self) -> Self {
                    // The second operand is the result where the first is NaN or both are zero.
                    unsafe { $max(self, $splat(0.0)) }
                }
            }
        };
    }

    vector!(
        __m128,
        4,
        _mm_loadu_ps,
        _mm_storeu_ps,
        _mm_set1_ps,
        _mm_add_ps,
        _mm_sub_ps,
        _mm_mul_ps,
        _mm_max_ps,
        |a, b| (_mm_shuffle_ps::<0x88>(a, b), _mm_shuffle_ps::<0xdd>(a, b)),
        |even, odd| (_mm_unpacklo_ps(even, odd), _mm_unpackhi_ps(even, odd))
    );

    vector!(
        __m256,
        8,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_max_ps,
        |a, b| {
            // Halves of both side by side, then as with 4 floats.
            let (low, high) = (_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
            (_mm256_shuffle_ps::<0x88>(low, high), _mm256_shuffle_ps::<0xdd>(low, high))
        },
        |even, odd| {
            let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        }
    );

    vector!(
        __m512,
        16,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_max_ps,
        |a, b| {
            let even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
            let odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        },
        |even, odd| {
            let low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
            let high = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
            (_mm512_permutex2var_ps(even, low, odd), _mm512_permutex2var_ps(even, high, odd))
        }
    );
}

//! AVX2 with FMA, and AVX-512.
//!
//! Arithmetic intrinsics are safe to call where the feature is enabled, which these generic functions do not say:
//! hence one `unsafe` block each, all for the one reason that a value of the token type proves the feature.

use std::arch::x86_64::*;

use super::{Kernel, LANES, Simd, fold};

/// Proof of AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// Proof of AVX-512 F.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Avx2 {
    pub(crate) fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

impl Avx512 {
    pub(crate) fn new() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }
}

/// The `Simd` methods that are one arithmetic intrinsic per register.
macro_rules! lanewise {
    ($apply:ident: $($name:ident($($arg:ident),*) = $op:expr;)*) => { $(
        #[inline(always)]
        fn $name(self, $($arg: Self::V),*) -> Self::V {
            // SAFETY: `self` proves that the CPU has the instructions.
            unsafe { $apply!($op; $($arg),*) }
        }
    )* };
}

macro_rules! single {
    ($op:expr; $($arg:ident),*) => { ($op)($($arg),*) };
}

macro_rules! pair {
    ($op:expr; $($arg:ident),*) => { [($op)($($arg[0]),*), ($op)($($arg[1]),*)] };
}

impl Simd for Avx512 {
    /// 16 of 32 registers; 4 would hide the latency, more saves loads.
    const TILE: usize = 16;
    type V = __m512;

    #[inline(never)]
    fn run<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn enter<K: Kernel>(s: Avx512, kernel: K) -> K::Out {
            kernel.run(s)
        }
        // SAFETY: `self` proves AVX-512 F, which implies AVX2 and FMA.
        unsafe { enter(self, kernel) }
    }

    lanewise! { single:
        add(a, b) = _mm512_add_ps;
        sub(a, b) = _mm512_sub_ps;
        mul(a, b) = _mm512_mul_ps;
        abs(a) = abs16;
        trunc(a) = trunc16;
        flip_sign(a, by) = flip_sign16;
        fma(a, b, c) = _mm512_fmadd_ps;
        relu(a) = relu16;
        where_positive(sign, v) = where_positive16;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        let from = &from[..LANES];
        // SAFETY: `from` has 16 values, the load needs no alignment, and `self` proves AVX-512.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> __m512 {
        // SAFETY: the mask admits at most `from.len()` values, the rest is not read, and `self` proves AVX-512.
        unsafe { _mm512_maskz_loadu_ps(first_bits(from.len()), from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m512, to: &mut [f32]) {
        let to = &mut to[..LANES];
        // SAFETY: `to` has room for 16 values, the store needs no alignment, and `self` proves AVX-512.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn store_part(self, v: __m512, to: &mut [f32]) {
        // SAFETY: the mask admits at most `to.len()` values, the rest is not written, and `self` proves AVX-512.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first_bits(to.len()), v) }
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(v, &mut lanes);
        fold(lanes)
    }
    /// Pairs, then fours (both within 128 bits), then the 4 x 4 square of 128-bit blocks.
    #[inline(always)]
    fn transpose(self, t: &mut [__m512; LANES]) {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            for i in (0..16).step_by(2) {
                let (a, b) = (t[i], t[i + 1]);
                t[i] = _mm512_unpacklo_ps(a, b);
                t[i + 1] = _mm512_unpackhi_ps(a, b);
            }
            for i in [0, 4, 8, 12] {
                let (a, b, c, d) = (t[i], t[i + 1], t[i + 2], t[i + 3]);
                t[i] = _mm512_shuffle_ps::<0x44>(a, c);
                t[i + 1] = _mm512_shuffle_ps::<0xEE>(a, c);
                t[i + 2] = _mm512_shuffle_ps::<0x44>(b, d);
                t[i + 3] = _mm512_shuffle_ps::<0xEE>(b, d);
            }
            for i in 0..4 {
                let (a, b, c, d) = (t[i], t[i + 4], t[i + 8], t[i + 12]);
                let even_ab = _mm512_shuffle_f32x4::<0x88>(a, b);
                let even_cd = _mm512_shuffle_f32x4::<0x88>(c, d);
                let odd_ab = _mm512_shuffle_f32x4::<0xDD>(a, b);
                let odd_cd = _mm512_shuffle_f32x4::<0xDD>(c, d);
                t[i] = _mm512_shuffle_f32x4::<0x88>(even_ab, even_cd);
                t[i + 4] = _mm512_shuffle_f32x4::<0x88>(odd_ab, odd_cd);
                t[i + 8] = _mm512_shuffle_f32x4::<0xDD>(even_ab, even_cd);
                t[i + 12] = _mm512_shuffle_f32x4::<0xDD>(odd_ab, odd_cd);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn relu16(a: __m512) -> __m512 {
    // Of two operands of which one is NaN, this gives the second.
    _mm512_max_ps(_mm512_setzero_ps(), a)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn where_positive16(sign: __m512, v: __m512) -> __m512 {
    _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(sign, _mm512_setzero_ps()), v)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn abs16(a: __m512) -> __m512 {
    _mm512_abs_ps(a)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn trunc16(a: __m512) -> __m512 {
    _mm512_roundscale_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(a)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn flip_sign16(a: __m512, by: __m512) -> __m512 {
    // The logic of floats would want AVX-512 DQ.
    let sign = _mm512_and_si512(_mm512_castps_si512(by), _mm512_set1_epi32(i32::MIN));
    _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), sign))
}

/// Ones in the first `min(n, 16)` bits.
#[inline(always)]
fn first_bits(n: usize) -> u16 {
    ((1u32 << n.min(LANES)) - 1) as u16
}

impl Simd for Avx2 {
    /// 8 of 16 registers, which just hides the latency of 4 cycles at two operations a cycle.
    const TILE: usize = 4;
    type V = [__m256; 2];

    #[inline(never)]
    fn run<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "avx2,fma")]
        fn enter<K: Kernel>(s: Avx2, kernel: K) -> K::Out {
            kernel.run(s)
        }
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { enter(self, kernel) }
    }

    lanewise! { pair:
        add(a, b) = _mm256_add_ps;
        sub(a, b) = _mm256_sub_ps;
        mul(a, b) = _mm256_mul_ps;
        abs(a) = abs8;
        trunc(a) = trunc8;
        flip_sign(a, by) = flip_sign8;
        fma(a, b, c) = _mm256_fmadd_ps;
        relu(a) = relu8;
        where_positive(sign, v) = where_positive8;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        // SAFETY: `self` proves AVX2.
        unsafe { [_mm256_set1_ps(x); 2] }
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::V {
        let from = &from[..LANES];
        // SAFETY: `from` has 16 values, the loads need no alignment, and `self` proves AVX2.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from[8..].as_ptr())] }
    }
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::V {
        let mut lanes = [0.0; LANES];
        for (lane, x) in lanes.iter_mut().zip(from) {
            *lane = *x;
        }
        self.load(&lanes)
    }
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32]) {
        let to = &mut to[..LANES];
        // SAFETY: `to` has room for 16 values, the stores need no alignment, and `self` proves AVX2.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
            _mm256_storeu_ps(to[8..].as_mut_ptr(), v[1]);
        }
    }
    #[inline(always)]
    fn store_part(self, v: Self::V, to: &mut [f32]) {
        let mut lanes = [0.0; LANES];
        self.store(v, &mut lanes);
        // Eights are what the maps of the common networks end with.
        let (eights, rest) = to.split_at_mut(to.len().min(LANES) / 8 * 8);
        for (to, from) in eights.chunks_exact_mut(8).zip(lanes.chunks_exact(8)) {
            to.copy_from_slice(from);
        }
        for (to, from) in rest.iter_mut().zip(&lanes[eights.len()..]) {
            *to = *from;
        }
    }
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(v, &mut lanes);
        fold(lanes)
    }
    /// The four 8 x 8 quarters, of which two change places.
    #[inline(always)]
    fn transpose(self, t: &mut [Self::V; LANES]) {
        for rows in [0, 8] {
            for half in [0, 1] {
                let mut quarter = [t[rows][half]; 8];
                for i in 0..8 {
                    quarter[i] = t[rows + i][half];
                }
                // SAFETY: `self` proves AVX2.
                quarter = unsafe { transpose8(quarter) };
                for i in 0..8 {
                    t[rows + i][half] = quarter[i];
                }
            }
        }
        for i in 0..8 {
            let corner = t[i][1];
            t[i][1] = t[i + 8][0];
            t[i + 8][0] = corner;
        }
    }
    /// Each quarter straight to its place: the square does not fit into the registers.
    ///
    /// The side whose vectors lie far apart sees eight of them whole, then the other eight: planes of a power of two
    /// compete for the eight lines that each set of the first level cache has.
    #[inline(always)]
    fn transpose_rows(self, from: &[f32], from_step: usize, to: &mut [f32], to_step: usize) {
        let last = LANES - 1;
        assert!(from.len() >= last * from_step + LANES && to.len() >= last * to_step + LANES, "16 vectors");
        for outer in [0, 8] {
            for inner in [0, 8] {
                let (row, col) = if from_step > to_step { (outer, inner) } else { (inner, outer) };
                // SAFETY: the quarter is 8 values each of vectors `row` to `row + 7` of `from` and `col` to `col + 7`
                // of `to`, which have 16 vectors of 16 values as asserted. `self` proves AVX2.
                unsafe {
                    let from = from.as_ptr().add(row * from_step + col);
                    let to = to.as_mut_ptr().add(col * to_step + row);
                    transpose_quarter(from, from_step, to, to_step);
                }
            }
        }
    }
}

/// # Safety
/// From `from` on 8 vectors of 8 values, `from_step` apart, can be read, and from `to` on, `to_step` apart, written.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transpose_quarter(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
    let mut t = [_mm256_setzero_ps(); 8];
    for (i, v) in t.iter_mut().enumerate() {
        // SAFETY: as the caller guarantees; the load needs no alignment.
        *v = unsafe { _mm256_loadu_ps(from.add(i * from_step)) };
    }
    for (i, v) in transpose8(t).iter().enumerate() {
        // SAFETY: as the caller guarantees; the store needs no alignment.
        unsafe { _mm256_storeu_ps(to.add(i * to_step), *v) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn relu8(a: __m256) -> __m256 {
    // Of two operands of which one is NaN, this gives the second.
    _mm256_max_ps(_mm256_setzero_ps(), a)
}

#[inline]
#[target_feature(enable = "avx2")]
fn where_positive8(sign: __m256, v: __m256) -> __m256 {
    _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(sign, _mm256_setzero_ps()), v)
}

#[inline]
#[target_feature(enable = "avx2")]
fn abs8(a: __m256) -> __m256 {
    _mm256_andnot_ps(_mm256_set1_ps(-0.0), a)
}

#[inline]
#[target_feature(enable = "avx2")]
fn trunc8(a: __m256) -> __m256 {
    _mm256_round_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(a)
}

#[inline]
#[target_feature(enable = "avx2")]
fn flip_sign8(a: __m256, by: __m256) -> __m256 {
    _mm256_xor_ps(a, _mm256_and_ps(by, _mm256_set1_ps(-0.0)))
}

/// Pairs, then fours (both within 128 bits), then halves.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose8(mut t: [__m256; 8]) -> [__m256; 8] {
    for i in (0..8).step_by(2) {
        let (a, b) = (t[i], t[i + 1]);
        t[i] = _mm256_unpacklo_ps(a, b);
        t[i + 1] = _mm256_unpackhi_ps(a, b);
    }
    for i in [0, 4] {
        let (a, b, c, d) = (t[i], t[i + 1], t[i + 2], t[i + 3]);
        t[i] = _mm256_shuffle_ps::<0x44>(a, c);
        t[i + 1] = _mm256_shuffle_ps::<0xEE>(a, c);
        t[i + 2] = _mm256_shuffle_ps::<0x44>(b, d);
        t[i + 3] = _mm256_shuffle_ps::<0xEE>(b, d);
    }
    for i in 0..4 {
        let (a, b) = (t[i], t[i + 4]);
        t[i] = _mm256_permute2f128_ps::<0x20>(a, b);
        t[i + 4] = _mm256_permute2f128_ps::<0x31>(a, b);
    }
    t
}

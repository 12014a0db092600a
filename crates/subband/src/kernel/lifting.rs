//! Levels of the lifting transforms of eight planes abreast: a sample is a vector of the same sample of eight planes.
//!
//! So rows are as easy as columns, borders cost no more than the rest, and planes as small as 4x4 fill vectors. A sweep over
//! a signal does all steps of the lifting in registers: every sample is loaded and stored once, where the plain form
//! (`wavelet::lifting`) passes over a signal once a step.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m256;
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::isa::{Isa, Level};
use super::planes_abreast::{ABREAST, interleave, separate};
use super::vector::{Eight, Vector};
use crate::wavelet::Wavelet;
use crate::wavelet::constants::{
    ALPHA, BETA, DB2_A, DB2_B, DB2_HIGH, DB2_LOW, DELTA, GAMMA, HIGH_SCALE, LOW_SCALE, PREDICT_53, SQRT_3, UPDATE_53,
};

/// Working memory for planes abreast; grows to the largest seen.
#[derive(Debug, Default)]
pub(crate) struct AbreastScratch {
    /// A row of the planes.
    line: Vec<f32>,
    /// Rows after the horizontal transform.
    rows: Vec<f32>,
    /// LL of the level before, or of this one.
    region: Vec<f32>,
    /// HL, LH and HH of a level.
    details: Vec<f32>,
}

/// A level of some planes: the size of what it transforms, and how many planes there are, up to [`ABREAST`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct AbreastLevel {
    pub wavelet: Wavelet,
    pub size: [usize; 2],
    pub planes: usize,
}

impl AbreastLevel {
    fn halves(&self) -> [[usize; 2]; 2] {
        self.size.map(|size| [size.div_ceil(2), size / 2])
    }

    fn reserve(&self, scratch: &mut AbreastScratch) {
        let [height, width] = self.size;
        let AbreastScratch { line, rows, region, details } = scratch;
        for (buffer, needed) in
            [(line, width), (rows, height * width), (region, height * width), (details, height * width)]
        {
            if buffer.len() < needed * ABREAST {
                buffer.resize(needed * ABREAST, 0.0);
            }
        }
    }
}

/// One level: from the planes, one after the other, or the region in `scratch` that the level before left there, to the
/// region, which is LL, and the blocks of HL, LH and HH, each of all planes one after the other.
pub(crate) fn abreast_forward(
    isa: Isa,
    level: AbreastLevel,
    planes: Option<&[f32]>,
    scratch: &mut AbreastScratch,
    blocks: [&mut [f32]; 3],
) {
    level.reserve(scratch);
    #[cfg(target_arch = "x86_64")]
    if isa.level() >= Level::Avx2 {
        #[target_feature(enable = "avx2")]
        fn avx2(
            isa: Isa,
            level: AbreastLevel,
            planes: Option<&[f32]>,
            scratch: &mut AbreastScratch,
            blocks: [&mut [f32]; 3],
        ) {
            forward::<__m256>(isa, level, planes, scratch, blocks);
        }
        // SAFETY: the `Isa` of a level only exists where the CPU has its features.
        return unsafe { avx2(isa, level, planes, scratch, blocks) };
    }
    let _ = Level::Avx2;
    forward::<Eight>(isa, level, planes, scratch, blocks);
}

/// Undoes [`abreast_forward`]: `planes` is where the finest level goes, others go to the region.
pub(crate) fn abreast_inverse(
    isa: Isa,
    level: AbreastLevel,
    blocks: [&[f32]; 3],
    scratch: &mut AbreastScratch,
    planes: Option<&mut [f32]>,
) {
    level.reserve(scratch);
    #[cfg(target_arch = "x86_64")]
    if isa.level() >= Level::Avx2 {
        #[target_feature(enable = "avx2")]
        fn avx2(
            isa: Isa,
            level: AbreastLevel,
            blocks: [&[f32]; 3],
            scratch: &mut AbreastScratch,
            planes: Option<&mut [f32]>,
        ) {
            inverse::<__m256>(isa, level, blocks, scratch, planes);
        }
        // SAFETY: the `Isa` of a level only exists where the CPU has its features.
        return unsafe { avx2(isa, level, blocks, scratch, planes) };
    }
    let _ = Level::Avx2;
    inverse::<Eight>(isa, level, blocks, scratch, planes);
}

/// The blocks of LL of the last level, from the region.
pub(crate) fn separate_approximation(isa: Isa, planes: usize, scratch: &AbreastScratch, blocks: &mut [f32]) {
    separate(isa, planes, &scratch.region, blocks, blocks.len() / planes);
}

/// Undoes [`separate_approximation`].
pub(crate) fn interleave_approximation(isa: Isa, planes: usize, blocks: &[f32], scratch: &mut AbreastScratch) {
    let length = blocks.len() / planes;
    if scratch.region.len() < length * ABREAST {
        scratch.region.resize(length * ABREAST, 0.0);
    }
    interleave(isa, planes, blocks, length, &mut scratch.region);
}

/// Samples of a signal lie `stride` floats apart from `start` on, in the float buffer of that number.
#[derive(Debug, Clone, Copy)]
struct Signal {
    start: usize,
    stride: usize,
}

#[inline(always)]
fn forward<V: Vector>(
    isa: Isa,
    level: AbreastLevel,
    planes: Option<&[f32]>,
    scratch: &mut AbreastScratch,
    blocks: [&mut [f32]; 3],
) {
    let AbreastScratch { line, rows, region, details } = scratch;
    let ([height, width], [[low_height, high_height], [low_width, high_width]]) = (level.size, level.halves());
    let plane = height * width;
    for y in 0..height {
        let source = match planes {
            Some(planes) => {
                interleave(isa, level.planes, &planes[y * width..], plane, &mut line[..width * ABREAST]);
                &line[..width * ABREAST]
            }
            None => &region[y * width * ABREAST..][..width * ABREAST],
        };
        let row = &mut rows[y * width * ABREAST..][..width * ABREAST];
        if width == 1 {
            row.copy_from_slice(source);
            continue;
        }
        let (low, high) = row.split_at_mut(low_width * ABREAST);
        let along = Signal { start: 0, stride: ABREAST };
        split::<V>(level.wavelet, width, source, along, low, along, high, along);
    }
    let rows = &rows[..plane * ABREAST];
    let (hl, rest) = details.split_at_mut(low_height * high_width * ABREAST);
    let (lh, hh) = rest.split_at_mut(high_height * low_width * ABREAST);
    if height == 1 {
        region[..low_width * ABREAST].copy_from_slice(&rows[..low_width * ABREAST]);
        hl.copy_from_slice(&rows[low_width * ABREAST..]);
    } else {
        for x in 0..width {
            let source = Signal { start: x * ABREAST, stride: width * ABREAST };
            let (low, high, at, across) = if x < low_width {
                (&mut region[..], &mut lh[..], x, low_width)
            } else {
                (&mut hl[..], &mut hh[..], x - low_width, high_width)
            };
            let target = Signal { start: at * ABREAST, stride: across * ABREAST };
            split::<V>(level.wavelet, height, rows, source, low, target, high, target);
        }
    }
    for (block, details) in blocks.into_iter().zip([&*hl, &*lh, &*hh]) {
        separate(isa, level.planes, details, block, block.len() / level.planes);
    }
}

#[inline(always)]
fn inverse<V: Vector>(
    isa: Isa,
    level: AbreastLevel,
    blocks: [&[f32]; 3],
    scratch: &mut AbreastScratch,
    mut planes: Option<&mut [f32]>,
) {
    let AbreastScratch { line, rows, region, details } = scratch;
    let ([height, width], [[low_height, high_height], [low_width, high_width]]) = (level.size, level.halves());
    let plane = height * width;
    let (hl, rest) = details.split_at_mut(low_height * high_width * ABREAST);
    let (lh, hh) = rest.split_at_mut(high_height * low_width * ABREAST);
    for (block, details) in blocks.into_iter().zip([&mut *hl, &mut *lh, &mut *hh]) {
        interleave(isa, level.planes, block, block.len() / level.planes, details);
    }
    let rows = &mut rows[..plane * ABREAST];
    if height == 1 {
        rows[..low_width * ABREAST].copy_from_slice(&region[..low_width * ABREAST]);
        rows[low_width * ABREAST..].copy_from_slice(hl);
    } else {
        for x in 0..width {
            let target = Signal { start: x * ABREAST, stride: width * ABREAST };
            let (low, high, at, across) = if x < low_width {
                (&region[..], &lh[..], x, low_width)
            } else {
                (&hl[..], &hh[..], x - low_width, high_width)
            };
            let source = Signal { start: at * ABREAST, stride: across * ABREAST };
            join::<V>(level.wavelet, height, low, source, high, source, rows, target);
        }
    }
    for y in 0..height {
        let row = &rows[y * width * ABREAST..][..width * ABREAST];
        let target = match planes {
            Some(_) => &mut line[..width * ABREAST],
            None => &mut region[y * width * ABREAST..][..width * ABREAST],
        };
        if width == 1 {
            target.copy_from_slice(row);
        } else {
            let (low, high) = row.split_at(low_width * ABREAST);
            let along = Signal { start: 0, stride: ABREAST };
            join::<V>(level.wavelet, width, low, along, high, along, target, along);
        }
        if let Some(planes) = &mut planes {
            separate(isa, level.planes, &line[..width * ABREAST], &mut planes[y * width..], plane);
        }
    }
}

/// Reads and writes the samples of a signal.
#[derive(Clone, Copy)]
struct Source<V> {
    at: *const f32,
    stride: usize,
    count: usize,
    vector: std::marker::PhantomData<V>,
}

/// As [`Source`].
struct Target<V> {
    at: *mut f32,
    stride: usize,
    count: usize,
    vector: std::marker::PhantomData<V>,
}

impl<V: Vector> Source<V> {
    /// Checks that all samples are there.
    #[inline(always)]
    fn new(buffer: &[f32], Signal { start, stride }: Signal, count: usize) -> Self {
        assert!(V::N == ABREAST && (count == 0 || start + (count - 1) * stride + ABREAST <= buffer.len()));
        Source { at: buffer[start..].as_ptr(), stride, count, vector: std::marker::PhantomData }
    }

    /// # Safety
    /// The caller is compiled for the instruction set of `V`, and there are more than `i` samples.
    #[inline(always)]
    unsafe fn get(self, i: usize) -> V {
        debug_assert!(i < self.count);
        // SAFETY: the caller's, and `new` has checked the samples.
        unsafe { V::load(self.at.add(i * self.stride)) }
    }
}

impl<V: Vector> Target<V> {
    #[inline(always)]
    fn new(buffer: &mut [f32], Signal { start, stride }: Signal, count: usize) -> Self {
        assert!(V::N == ABREAST && (count == 0 || start + (count - 1) * stride + ABREAST <= buffer.len()));
        Target { at: buffer[start..].as_mut_ptr(), stride, count, vector: std::marker::PhantomData }
    }

    /// # Safety
    /// As of [`Source::get`].
    #[inline(always)]
    unsafe fn put(&mut self, i: usize, value: V) {
        debug_assert!(i < self.count);
        // SAFETY: as of `Source::get`.
        unsafe { value.store(self.at.add(i * self.stride)) }
    }
}

/// Splits a signal of `n >= 2` samples.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "three signals, each a buffer and a place")]
fn split<V: Vector>(
    wavelet: Wavelet,
    n: usize,
    source: &[f32],
    from: Signal,
    low: &mut [f32],
    low_at: Signal,
    high: &mut [f32],
    high_at: Signal,
) {
    let x = Source::<V>::new(source, from, n);
    let low = Target::<V>::new(low, low_at, n.div_ceil(2));
    let high = Target::<V>::new(high, high_at, n / 2);
    // SAFETY: the caller of `forward` is compiled for the instruction set of `V`; there are 2 samples or more.
    unsafe {
        match wavelet {
            Wavelet::LeGall53 => split_53(x, low, high),
            Wavelet::Cdf97 => split_97(x, low, high),
            Wavelet::Db2 => split_db2(x, low, high),
            Wavelet::None | Wavelet::Haar => unreachable!("they have other kernels"),
        }
    }
}

/// Undoes [`split`].
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "three signals, each a buffer and a place")]
fn join<V: Vector>(
    wavelet: Wavelet,
    n: usize,
    low: &[f32],
    low_at: Signal,
    high: &[f32],
    high_at: Signal,
    target: &mut [f32],
    to: Signal,
) {
    let low = Source::<V>::new(low, low_at, n.div_ceil(2));
    let high = Source::<V>::new(high, high_at, n / 2);
    let x = Target::<V>::new(target, to, n);
    // SAFETY: as in `split`.
    unsafe {
        match wavelet {
            Wavelet::LeGall53 => join_53(low, high, x),
            Wavelet::Cdf97 => join_97(low, high, x),
            Wavelet::Db2 => join_db2(low, high, x),
            Wavelet::None | Wavelet::Haar => unreachable!("they have other kernels"),
        }
    }
}

// The sweeps. Names are those of the samples after a step: s and d, s1 and d1, s2 and d2, and `before` is of the pair
// before. Safety of all: the caller is compiled for the instruction set of `V`, and there are 2 samples or more.

/// `x + factor * (left + right)`.
#[inline(always)]
unsafe fn lift<V: Vector>(x: V, factor: f32, left: V, right: V) -> V {
    // SAFETY: the caller's.
    unsafe { x.add(V::splat(factor).mul(left.add(right))) }
}

/// `x - factor * (left + right)`.
#[inline(always)]
unsafe fn unlift<V: Vector>(x: V, factor: f32, left: V, right: V) -> V {
    // SAFETY: the caller's.
    unsafe { x.sub(V::splat(factor).mul(left.add(right))) }
}

#[inline(always)]
unsafe fn split_53<V: Vector>(x: Source<V>, mut low: Target<V>, mut high: Target<V>) {
    // SAFETY: the caller's.
    unsafe {
        let (low_scale, high_scale) = (V::splat(SQRT_2), V::splat(FRAC_1_SQRT_2));
        let mut s = x.get(0);
        let mut before = s;
        for i in 0..high.count {
            let next = if i + 1 < low.count { x.get(2 * i + 2) } else { s };
            let d1 = lift(x.get(2 * i + 1), PREDICT_53, s, next);
            let s1 = lift(s, UPDATE_53, if i == 0 { d1 } else { before }, d1);
            low.put(i, s1.mul(low_scale));
            high.put(i, d1.mul(high_scale));
            (s, before) = (next, d1);
        }
        if low.count > high.count {
            low.put(high.count, lift(s, UPDATE_53, before, before).mul(low_scale));
        }
    }
}

#[inline(always)]
unsafe fn join_53<V: Vector>(low: Source<V>, high: Source<V>, mut x: Target<V>) {
    // SAFETY: the caller's.
    unsafe {
        let (low_scale, high_scale) = (V::splat(FRAC_1_SQRT_2), V::splat(SQRT_2));
        let mut s_before = V::splat(0.0);
        let mut before = s_before;
        for i in 0..high.count {
            let d1 = high.get(i).mul(high_scale);
            let s = unlift(low.get(i).mul(low_scale), UPDATE_53, if i == 0 { d1 } else { before }, d1);
            if i > 0 {
                x.put(2 * i - 1, unlift(before, PREDICT_53, s_before, s));
            }
            x.put(2 * i, s);
            (s_before, before) = (s, d1);
        }
        let last = 2 * high.count;
        let mut s = s_before;
        if low.count > high.count {
            s = unlift(low.get(high.count).mul(low_scale), UPDATE_53, before, before);
            x.put(last, s);
        }
        x.put(last - 1, unlift(before, PREDICT_53, s_before, s));
    }
}

/// The last two steps of 9/7, for the pair before the one that the first two were done for.
#[inline(always)]
unsafe fn finish_97<V: Vector>(
    i: usize,
    [s1, d1, s1_next]: [V; 3],
    d2_before: &mut V,
    low: &mut Target<V>,
    high: &mut Target<V>,
) {
    // SAFETY: the caller's.
    unsafe {
        let d2 = lift(d1, GAMMA, s1, s1_next);
        let s2 = lift(s1, DELTA, if i == 0 { d2 } else { *d2_before }, d2);
        low.put(i, s2.mul(V::splat(LOW_SCALE)));
        high.put(i, d2.mul(V::splat(HIGH_SCALE)));
        *d2_before = d2;
    }
}

#[inline(always)]
unsafe fn split_97<V: Vector>(x: Source<V>, mut low: Target<V>, mut high: Target<V>) {
    // SAFETY: the caller's.
    unsafe {
        let mut s = x.get(0);
        let (mut s1_before, mut d1_before, mut d2_before) = (s, s, s);
        for i in 0..high.count {
            let next = if i + 1 < low.count { x.get(2 * i + 2) } else { s };
            let d1 = lift(x.get(2 * i + 1), ALPHA, s, next);
            let s1 = lift(s, BETA, if i == 0 { d1 } else { d1_before }, d1);
            if i > 0 {
                finish_97(i - 1, [s1_before, d1_before, s1], &mut d2_before, &mut low, &mut high);
            }
            (s, s1_before, d1_before) = (next, s1, d1);
        }
        let last = high.count - 1;
        if low.count > high.count {
            let s1 = lift(s, BETA, d1_before, d1_before);
            finish_97(last, [s1_before, d1_before, s1], &mut d2_before, &mut low, &mut high);
            low.put(high.count, lift(s1, DELTA, d2_before, d2_before).mul(V::splat(LOW_SCALE)));
        } else {
            finish_97(last, [s1_before, d1_before, s1_before], &mut d2_before, &mut low, &mut high);
        }
    }
}

/// The middle two steps of 9/7 backwards for pair i, and the last two for what they complete.
#[inline(always)]
unsafe fn unfinish_97<V: Vector>(i: usize, [s1, d2, s1_next]: [V; 3], before: &mut [V; 2], x: &mut Target<V>) {
    // SAFETY: the caller's.
    unsafe {
        let [s_before, d1_before] = *before;
        let d1 = unlift(d2, GAMMA, s1, s1_next);
        let s = unlift(s1, BETA, if i == 0 { d1 } else { d1_before }, d1);
        if i > 0 {
            x.put(2 * i - 1, unlift(d1_before, ALPHA, s_before, s));
        }
        x.put(2 * i, s);
        *before = [s, d1];
    }
}

#[inline(always)]
unsafe fn join_97<V: Vector>(low: Source<V>, high: Source<V>, mut x: Target<V>) {
    // SAFETY: the caller's.
    unsafe {
        let (low_scale, high_scale) = (V::splat(HIGH_SCALE), V::splat(LOW_SCALE));
        let zero = V::splat(0.0);
        let (mut s1_before, mut d2_before, mut before) = (zero, zero, [zero; 2]);
        for i in 0..high.count {
            let d2 = high.get(i).mul(high_scale);
            let s1 = unlift(low.get(i).mul(low_scale), DELTA, if i == 0 { d2 } else { d2_before }, d2);
            if i > 0 {
                unfinish_97(i - 1, [s1_before, d2_before, s1], &mut before, &mut x);
            }
            (s1_before, d2_before) = (s1, d2);
        }
        let last = high.count - 1;
        if low.count > high.count {
            let s1 = unlift(low.get(high.count).mul(low_scale), DELTA, d2_before, d2_before);
            unfinish_97(last, [s1_before, d2_before, s1], &mut before, &mut x);
            let [s_before, d1] = before;
            let s = unlift(s1, BETA, d1, d1);
            x.put(2 * last + 1, unlift(d1, ALPHA, s_before, s));
            x.put(2 * last + 2, s);
        } else {
            unfinish_97(last, [s1_before, d2_before, s1_before], &mut before, &mut x);
            let [s, d1] = before;
            x.put(2 * last + 1, unlift(d1, ALPHA, s, s));
        }
    }
}

/// The first step of pair i.
#[inline(always)]
unsafe fn first_db2<V: Vector>(x: Source<V>, i: usize) -> V {
    // SAFETY: the caller's.
    unsafe { x.get(2 * i).add(V::splat(SQRT_3).mul(x.get(2 * i + 1))) }
}

/// The first step backwards of pair i, which is before the pair `next`.
#[inline(always)]
unsafe fn last_db2<V: Vector>(low: Source<V>, high: Source<V>, i: usize, next: usize) -> V {
    // SAFETY: the caller's.
    unsafe { low.get(i).mul(V::splat(DB2_HIGH)).add(high.get(next).mul(V::splat(DB2_LOW))) }
}

/// `a * here + b * before`.
#[inline(always)]
unsafe fn mixed<V: Vector>(here: V, before: V) -> V {
    // SAFETY: the caller's.
    unsafe { V::splat(DB2_A).mul(here).add(V::splat(DB2_B).mul(before)) }
}

#[inline(always)]
unsafe fn split_db2<V: Vector>(x: Source<V>, mut low: Target<V>, mut high: Target<V>) {
    // SAFETY: the caller's.
    unsafe {
        let pairs = high.count;
        let mut before = first_db2(x, pairs - 1);
        let mut first = before;
        for i in 0..pairs {
            let s1 = first_db2(x, i);
            let d1 = x.get(2 * i + 1).sub(mixed(s1, before));
            if i == 0 {
                first = d1;
            } else {
                low.put(i - 1, before.sub(d1).mul(V::splat(DB2_LOW)));
            }
            high.put(i, d1.mul(V::splat(DB2_HIGH)));
            before = s1;
        }
        low.put(pairs - 1, before.sub(first).mul(V::splat(DB2_LOW)));
        if low.count > pairs {
            low.put(pairs, x.get(2 * pairs).mul(V::splat(SQRT_2)));
        }
    }
}

#[inline(always)]
unsafe fn join_db2<V: Vector>(low: Source<V>, high: Source<V>, mut x: Target<V>) {
    // SAFETY: the caller's.
    unsafe {
        let pairs = high.count;
        let last = last_db2(low, high, pairs - 1, 0);
        let mut before = last;
        for i in 0..pairs {
            let s1 = if i + 1 < pairs { last_db2(low, high, i, i + 1) } else { last };
            let d = high.get(i).mul(V::splat(DB2_LOW)).add(mixed(s1, before));
            x.put(2 * i, s1.sub(V::splat(SQRT_3).mul(d)));
            x.put(2 * i + 1, d);
            before = s1;
        }
        if low.count > pairs {
            x.put(2 * pairs, low.get(pairs).mul(V::splat(FRAC_1_SQRT_2)));
        }
    }
}

//! A level of the 2-D Haar transform: rows and columns of two rows at once, in registers.
//!
//! The plain way through `wavelet::separable` passes over a level five times. Here a pair of rows is read once and its four
//! subbands are written once. Columns go sixteen, eight, four and one at a time, so that planes 8 wide have vectors too.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m128, __m256, __m512};
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::isa::{Isa, Level};
use super::vector::Vector;

/// Planes to the blocks of LL, HL, LH and HH. All planes lie one after the other, and so do all blocks of a subband.
pub(crate) fn haar_forward(isa: Isa, [height, width]: [usize; 2], planes: &[f32], blocks: [&mut [f32]; 4]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2(size: [usize; 2], planes: &[f32], blocks: [&mut [f32]; 4]) {
            forward(size, planes, blocks, |rows, mut blocks| {
                let at = forward_columns::<__m256>(rows, &mut blocks, 0);
                let at = forward_columns::<__m128>(rows, &mut blocks, at);
                forward_columns::<f32>(rows, &mut blocks, at);
            });
        }
        #[target_feature(enable = "avx512f,avx512vl,avx2")]
        fn avx512(size: [usize; 2], planes: &[f32], blocks: [&mut [f32]; 4]) {
            forward(size, planes, blocks, |rows, mut blocks| {
                let at = forward_columns::<__m512>(rows, &mut blocks, 0);
                let at = forward_columns::<__m256>(rows, &mut blocks, at);
                let at = forward_columns::<__m128>(rows, &mut blocks, at);
                forward_columns::<f32>(rows, &mut blocks, at);
            });
        }
        match isa.level() {
            // SAFETY: the `Isa` of a level only exists where the CPU has its features.
            Level::Avx512 => return unsafe { avx512([height, width], planes, blocks) },
            Level::Avx2 => return unsafe { avx2([height, width], planes, blocks) },
            Level::Portable => {}
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    forward([height, width], planes, blocks, |rows, mut blocks| {
        forward_columns::<f32>(rows, &mut blocks, 0);
    });
}

/// Undoes [`haar_forward`]; with `clamp` negative values become 0 then.
pub(crate) fn haar_inverse(
    isa: Isa,
    [height, width]: [usize; 2],
    blocks: [&[f32]; 4],
    planes: &mut [f32],
    clamp: bool,
) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<const CLAMP: bool>(size: [usize; 2], blocks: [&[f32]; 4], planes: &mut [f32]) {
            inverse(size, blocks, planes, CLAMP, |blocks, mut rows| {
                let at = inverse_columns::<__m256, CLAMP>(blocks, &mut rows, 0);
                let at = inverse_columns::<__m128, CLAMP>(blocks, &mut rows, at);
                inverse_columns::<f32, CLAMP>(blocks, &mut rows, at);
            });
        }
        #[target_feature(enable = "avx512f,avx512vl,avx2")]
        fn avx512<const CLAMP: bool>(size: [usize; 2], blocks: [&[f32]; 4], planes: &mut [f32]) {
            inverse(size, blocks, planes, CLAMP, |blocks, mut rows| {
                let at = inverse_columns::<__m512, CLAMP>(blocks, &mut rows, 0);
                let at = inverse_columns::<__m256, CLAMP>(blocks, &mut rows, at);
                let at = inverse_columns::<__m128, CLAMP>(blocks, &mut rows, at);
                inverse_columns::<f32, CLAMP>(blocks, &mut rows, at);
            });
        }
        match (isa.level(), clamp) {
            // SAFETY: the `Isa` of a level only exists where the CPU has its features.
            (Level::Avx512, true) => return unsafe { avx512::<true>([height, width], blocks, planes) },
            (Level::Avx512, false) => return unsafe { avx512::<false>([height, width], blocks, planes) },
            (Level::Avx2, true) => return unsafe { avx2::<true>([height, width], blocks, planes) },
            (Level::Avx2, false) => return unsafe { avx2::<false>([height, width], blocks, planes) },
            (Level::Portable, _) => {}
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    inverse([height, width], blocks, planes, clamp, |blocks, mut rows| {
        match clamp {
            true => inverse_columns::<f32, true>(blocks, &mut rows, 0),
            false => inverse_columns::<f32, false>(blocks, &mut rows, 0),
        };
    });
}

/// Widths and heights of LL and of the other half.
fn halves(size: usize) -> (usize, usize) {
    (size.div_ceil(2), size / 2)
}

/// Goes over pairs of rows; whole pairs of columns are left to `columns`.
#[inline(always)]
fn forward(
    [height, width]: [usize; 2],
    planes: &[f32],
    blocks: [&mut [f32]; 4],
    columns: impl Fn([&[f32]; 2], [&mut [f32]; 4]),
) {
    let ((low, high), pairs) = (halves(width), height / 2);
    let [mut ll, mut hl, mut lh, mut hh] = blocks;
    for plane in planes.chunks_exact(height * width) {
        let (whole, last) = plane.split_at(pairs * 2 * width);
        for rows in whole.chunks_exact(2 * width) {
            let (even, odd) = rows.split_at(width);
            let blocks = [take(&mut ll, low), take(&mut hl, high), take(&mut lh, low), take(&mut hh, high)];
            if width % 2 == 1 {
                // The unpaired column: as it is in a plane one wide, else times sqrt(2).
                let factor = if width == 1 { 1.0 } else { SQRT_2 };
                let (above, below) = (even[width - 1] * factor, odd[width - 1] * factor);
                blocks[0][low - 1] = (above + below) * FRAC_1_SQRT_2;
                blocks[2][low - 1] = (below - above) * FRAC_1_SQRT_2;
            }
            columns([even, odd], blocks);
        }
        if height % 2 == 1 {
            // The unpaired row likewise.
            let factor = if height == 1 { 1.0 } else { SQRT_2 };
            let (ll, hl) = (take(&mut ll, low), take(&mut hl, high));
            for x in 0..high {
                ll[x] = (last[2 * x] + last[2 * x + 1]) * FRAC_1_SQRT_2 * factor;
                hl[x] = (last[2 * x + 1] - last[2 * x]) * FRAC_1_SQRT_2 * factor;
            }
            if width % 2 == 1 {
                ll[low - 1] = last[width - 1] * if width == 1 { 1.0 } else { SQRT_2 } * factor;
            }
        }
    }
}

/// Undoes [`forward`].
#[inline(always)]
fn inverse(
    [height, width]: [usize; 2],
    blocks: [&[f32]; 4],
    planes: &mut [f32],
    clamp: bool,
    columns: impl Fn([&[f32]; 4], [&mut [f32]; 2]),
) {
    let ((low, high), pairs) = (halves(width), height / 2);
    let [mut ll, mut hl, mut lh, mut hh] = blocks;
    let bounded = |value: f32| if !clamp || value > 0.0 { value } else { 0.0 };
    for plane in planes.chunks_exact_mut(height * width) {
        let (whole, last) = plane.split_at_mut(pairs * 2 * width);
        for rows in whole.chunks_exact_mut(2 * width) {
            let (even, odd) = rows.split_at_mut(width);
            let blocks = [shift(&mut ll, low), shift(&mut hl, high), shift(&mut lh, low), shift(&mut hh, high)];
            if width % 2 == 1 {
                let factor = if width == 1 { 1.0 } else { FRAC_1_SQRT_2 };
                let (mean, difference) = (blocks[0][low - 1], blocks[2][low - 1]);
                even[width - 1] = bounded((mean - difference) * FRAC_1_SQRT_2 * factor);
                odd[width - 1] = bounded((mean + difference) * FRAC_1_SQRT_2 * factor);
            }
            columns(blocks, [even, odd]);
        }
        if height % 2 == 1 {
            let factor = if height == 1 { 1.0 } else { FRAC_1_SQRT_2 };
            let (ll, hl) = (shift(&mut ll, low), shift(&mut hl, high));
            for x in 0..high {
                let (mean, difference) = (ll[x] * factor, hl[x] * factor);
                last[2 * x] = bounded((mean - difference) * FRAC_1_SQRT_2);
                last[2 * x + 1] = bounded((mean + difference) * FRAC_1_SQRT_2);
            }
            if width % 2 == 1 {
                last[width - 1] = bounded(ll[low - 1] * factor * if width == 1 { 1.0 } else { FRAC_1_SQRT_2 });
            }
        }
    }
}

/// The first `length` values, which `rest` loses.
#[inline(always)]
fn take<'a>(rest: &mut &'a mut [f32], length: usize) -> &'a mut [f32] {
    rest.split_off_mut(..length).expect("blocks are as large as the planes")
}

#[inline(always)]
fn shift<'a>(rest: &mut &'a [f32], length: usize) -> &'a [f32] {
    rest.split_off(..length).expect("blocks are as large as the planes")
}

/// Transforms pairs of columns from `at` on, as many as fit in whole vectors; returns where it ended.
#[inline(always)]
fn forward_columns<V: Vector>([even, odd]: [&[f32]; 2], blocks: &mut [&mut [f32]; 4], mut at: usize) -> usize {
    let end = blocks[1].len();
    assert!(blocks.iter().all(|block| block.len() >= end) && even.len() >= 2 * end && odd.len() >= 2 * end);
    let [ll, hl, lh, hh] = blocks.each_mut().map(|block| block.as_mut_ptr());
    let (even, odd) = (even.as_ptr(), odd.as_ptr());
    while at + V::N <= end {
        // SAFETY: columns up to `at + N` of the blocks, and twice as many of the rows, are there. The instruction set is
        // that of the caller.
        unsafe {
            let half = V::splat(FRAC_1_SQRT_2);
            let (low_above, high_above) = split::<V>(even.add(2 * at));
            let (low_below, high_below) = split::<V>(odd.add(2 * at));
            low_above.add(low_below).mul(half).store(ll.add(at));
            high_above.add(high_below).mul(half).store(hl.add(at));
            low_below.sub(low_above).mul(half).store(lh.add(at));
            high_below.sub(high_above).mul(half).store(hh.add(at));
        }
        at += V::N;
    }
    at
}

/// Undoes [`forward_columns`].
#[inline(always)]
fn inverse_columns<V: Vector, const CLAMP: bool>(
    blocks: [&[f32]; 4],
    [even, odd]: &mut [&mut [f32]; 2],
    mut at: usize,
) -> usize {
    let end = blocks[1].len();
    assert!(blocks.iter().all(|block| block.len() >= end) && even.len() >= 2 * end && odd.len() >= 2 * end);
    let [ll, hl, lh, hh] = blocks.map(|block| block.as_ptr());
    let (even, odd) = (even.as_mut_ptr(), odd.as_mut_ptr());
    while at + V::N <= end {
        // SAFETY: as in `forward_columns`.
        unsafe {
            let (low_above, low_below) = join(V::load(ll.add(at)), V::load(lh.add(at)));
            let (high_above, high_below) = join(V::load(hl.add(at)), V::load(hh.add(at)));
            join_row::<V, CLAMP>(low_above, high_above, even.add(2 * at));
            join_row::<V, CLAMP>(low_below, high_below, odd.add(2 * at));
        }
        at += V::N;
    }
    at
}

// Functions and not closures, which would not be inlined: then vectors go through memory, at a fifth of the speed.

/// The low-pass and high-pass samples of `2 N` samples.
///
/// # Safety
/// They are there, and the caller is compiled for the instruction set of `V`.
#[inline(always)]
unsafe fn split<V: Vector>(row: *const f32) -> (V, V) {
    // SAFETY: the caller's.
    unsafe {
        let half = V::splat(FRAC_1_SQRT_2);
        let (left, right) = V::load(row).deinterleave(V::load(row.add(V::N)));
        (left.add(right).mul(half), right.sub(left).mul(half))
    }
}

/// The even and odd samples of low-pass and high-pass ones.
///
/// # Safety
/// The caller is compiled for the instruction set of `V`.
#[inline(always)]
unsafe fn join<V: Vector>(mean: V, difference: V) -> (V, V) {
    // SAFETY: the caller's.
    unsafe {
        let half = V::splat(FRAC_1_SQRT_2);
        (mean.sub(difference).mul(half), mean.add(difference).mul(half))
    }
}

/// As [`join`], to `2 N` samples of a row.
///
/// # Safety
/// There is room for them, and the caller is compiled for the instruction set of `V`.
#[inline(always)]
unsafe fn join_row<V: Vector, const CLAMP: bool>(low: V, high: V, row: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        let (mut left, mut right) = join(low, high);
        if CLAMP {
            (left, right) = (left.clamp_at_zero(), right.clamp_at_zero());
        }
        let (first, second) = left.interleave(right);
        first.store(row);
        second.store(row.add(V::N));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wavelet::{PlaneScratch, SubbandLayout, Wavelet, forward_f32, inverse_f32};

    /// Against the plain transform, bit for bit, on sizes around those of vectors, with values beyond all bounds.
    #[test]
    fn gives_the_bits_of_the_plain_transform() {
        let specials = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -f32::MAX, 1e-40, -0.0, 3e38];
        for (height, width) in (1..=9).flat_map(|h| (1..=70).map(move |w| (h, w))).chain([(37, 16), (70, 33)]) {
            let layout = SubbandLayout::new(height, width, 1);
            let size = height * width;
            let planes: Vec<f32> = (0..2 * size)
                .map(|i| if i % 31 == 17 { specials[i / 31 % 7] } else { ((i * 7919) % 2003) as f32 / 97.0 - 9.0 })
                .collect();
            let mut plain = vec![0.0; 2 * size];
            let mut scratch = PlaneScratch::default();
            for (plane, out) in planes.chunks_exact(size).zip(plain.chunks_exact_mut(size)) {
                forward_f32(Wavelet::Haar, &layout, plane, &mut scratch, out);
            }
            let block = |plane: usize, subband: usize| {
                let range = layout.blocks[subband].range();
                range.start + plane * size..range.end + plane * size
            };
            for isa in Isa::available() {
                let mut blocks: Vec<Vec<f32>> = layout.blocks.iter().map(|block| vec![0.0; 2 * block.len()]).collect();
                let [ll, hl, lh, hh] = &mut blocks[..] else { unreachable!() };
                haar_forward(isa, [height, width], &planes, [ll, hl, lh, hh]);
                for (subband, got) in blocks.iter().enumerate() {
                    let expected = [block(0, subband), block(1, subband)].map(|range| &plain[range]).concat();
                    assert_eq!(bits(got), bits(&expected), "{isa:?} {height}x{width} subband {subband}");
                }
                for clamp in [false, true] {
                    let mut expected = vec![0.0; 2 * size];
                    for (coefficients, out) in plain.chunks_exact(size).zip(expected.chunks_exact_mut(size)) {
                        inverse_f32(Wavelet::Haar, &layout, coefficients, &mut scratch, out);
                    }
                    if clamp {
                        expected.iter_mut().for_each(|value| *value = if *value > 0.0 { *value } else { 0.0 });
                    }
                    let mut decoded = vec![0.0; 2 * size];
                    let [ll, hl, lh, hh] = &blocks[..] else { unreachable!() };
                    haar_inverse(isa, [height, width], [ll, hl, lh, hh], &mut decoded, clamp);
                    assert_eq!(bits(&decoded), bits(&expected), "{isa:?} {height}x{width} inverse");
                }
            }
        }
    }

    /// NaNs are alike: which of two operands' payload survives is the compiler's choice.
    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }).collect()
    }
}

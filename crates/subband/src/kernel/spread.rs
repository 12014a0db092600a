//! Estimates of a spread model and what they look at (`spread`): flat loops over places and channels without a branch, which
//! the compiler vectorises. A weight and a row of levels take a load, a multiplication and an addition for 16 indices.

use crate::entropy::level;
use crate::kernel::multiversion;
use crate::spread::{BIN_SHIFT, BINS, FIRST_BIN};

/// The approximation's rows above a place, of it and below it, each one place longer on both sides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApproximationRows<'a> {
    pub above: &'a [i32],
    pub here: &'a [i32],
    pub below: &'a [i32],
}

multiversion! {
    /// `sum += weight * level`.
    pub(crate) fn add_levels(weight: i16, levels: &[u8], sums: &mut [i16]) = plain_add_levels;
    /// `sum += weight * |signed level|`.
    pub(crate) fn add_signed_levels(weight: i16, levels: &[i8], sums: &mut [i16]) = plain_add_signed_levels;
    /// Adds each place of `parents`, of `channels` sums, to two places of `sums`; the last may have one only.
    pub(crate) fn add_twice(channels: usize, parents: &[i16], sums: &mut [i16]) = plain_add_twice;
    /// The bin of `sum + weight * level`.
    pub(crate) fn bins_of(sums: &[i16], weight: i16, levels: &[u8], bins: &mut [u8]) = plain_bins_of;
    /// One place of the approximation, of all channels, to the four places that it covers a level below: top left, top
    /// right, bottom left, bottom right. `details` are those of HL, LH and HH there with their scales.
    pub(crate) fn refine(
        coarse: &[i32],
        details: [&[i16]; 3],
        scales: [&[i32]; 3],
        range: [i32; 2],
        finer: [&mut [i32]; 4],
    ) = plain_refine;
    /// Heights and signed levels of the slopes X, Y and D of a row.
    pub(crate) fn shape_of(
        channels: usize,
        rows: ApproximationRows<'_>,
        heights: &mut [u8],
        slopes: [&mut [i8]; 3],
    ) = plain_shape_of;
}

#[inline(always)]
fn plain_add_levels(weight: i16, levels: &[u8], sums: &mut [i16]) {
    for (sum, &level) in sums.iter_mut().zip(levels) {
        *sum = sum.wrapping_add(weight.wrapping_mul(i16::from(level)));
    }
}

#[inline(always)]
fn plain_add_signed_levels(weight: i16, levels: &[i8], sums: &mut [i16]) {
    for (sum, &level) in sums.iter_mut().zip(levels) {
        *sum = sum.wrapping_add(weight.wrapping_mul(i16::from(level).wrapping_abs()));
    }
}

#[inline(always)]
fn plain_add_twice(channels: usize, parents: &[i16], sums: &mut [i16]) {
    for (pair, parents) in sums.chunks_mut(2 * channels).zip(parents.chunks_exact(channels)) {
        for sums in pair.chunks_exact_mut(channels) {
            sums.iter_mut().zip(parents).for_each(|(sum, &parent)| *sum = sum.wrapping_add(parent));
        }
    }
}

#[inline(always)]
pub(super) fn plain_bins_of(sums: &[i16], weight: i16, levels: &[u8], bins: &mut [u8]) {
    for ((bin, &sum), &level) in bins.iter_mut().zip(sums).zip(levels) {
        *bin = bin_of(sum.wrapping_add(weight.wrapping_mul(i16::from(level))));
    }
}

/// The bin of an estimate.
#[inline(always)]
pub(super) fn bin_of(estimate: i16) -> u8 {
    ((estimate >> BIN_SHIFT) - FIRST_BIN).clamp(0, BINS as i16 - 1) as u8
}

#[inline(always)]
fn plain_refine(
    coarse: &[i32],
    details: [&[i16]; 3],
    scales: [&[i32]; 3],
    [lowest, highest]: [i32; 2],
    finer: [&mut [i32]; 4],
) {
    let count = coarse.len();
    let details = details.map(|row| &row[..count]);
    let scales = scales.map(|row| &row[..count]);
    let finer = finer.map(|row| &mut row[..count]);
    let [top_left, top_right, bottom_left, bottom_right] = finer;
    for i in 0..count {
        let [a, b, c] = [0, 1, 2].map(|which| i32::from(details[which][i]) * scales[which][i]);
        let half = |sum: i32| (sum >> 1).clamp(lowest, highest);
        top_left[i] = half(coarse[i] - a - b + c);
        top_right[i] = half(coarse[i] + a - b - c);
        bottom_left[i] = half(coarse[i] - a + b - c);
        bottom_right[i] = half(coarse[i] + a + b + c);
    }
}

#[inline(always)]
fn plain_shape_of(channels: usize, rows: ApproximationRows<'_>, heights: &mut [u8], slopes: [&mut [i8]; 3]) {
    let count = heights.len();
    let [xs, ys, ds] = slopes.map(|row| &mut row[..count]);
    let west = &rows.here[..count];
    let here = &rows.here[channels..channels + count];
    let east = &rows.here[2 * channels..2 * channels + count];
    let [north_west, south_west] = [rows.above, rows.below].map(|row| &row[..count]);
    let [north, south] = [rows.above, rows.below].map(|row| &row[channels..channels + count]);
    let [north_east, south_east] = [rows.above, rows.below].map(|row| &row[2 * channels..2 * channels + count]);
    for i in 0..count {
        heights[i] = level(here[i].unsigned_abs() >> 2) as u8;
        xs[i] = signed(east[i] - west[i]);
        ys[i] = signed(south[i] - north[i]);
        ds[i] = signed(south_east[i] + north_west[i] - south_west[i] - north_east[i]);
    }
}

/// Signed level of a quarter of a slope.
#[inline(always)]
fn signed(slope: i32) -> i8 {
    let level = level(slope.unsigned_abs() >> 2) as i8;
    if slope < 0 { -level } else { level }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Isa;

    /// All results for made-up rows, one after the other.
    fn results(isa: Isa, channels: usize, places: usize, seed: u32) -> Vec<i32> {
        let mut state = seed;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as i32
        };
        let count = channels * places;
        let mut row =
            |range: i32, count: usize| -> Vec<i32> { (0..count).map(|_| random() % (2 * range) - range).collect() };
        let bytes = |row: Vec<i32>| -> Vec<u8> { row.into_iter().map(|v| v.unsigned_abs() as u8).collect() };
        let shorts = |row: Vec<i32>| -> Vec<i16> { row.into_iter().map(|v| v as i16).collect() };
        let levels = bytes(row(64, count));
        let signed: Vec<i8> = row(64, count).into_iter().map(|v| v as i8).collect();
        let mut sums = shorts(row(5000, count));
        add_levels(isa, -37, &levels, &mut sums);
        add_signed_levels(isa, 91, &signed, &mut sums);
        add_twice(isa, channels, &shorts(row(3000, channels * places.div_ceil(2))), &mut sums);
        let mut bins = vec![0; count];
        bins_of(isa, &sums, 55, &levels, &mut bins);
        let mut all: Vec<i32> = sums.iter().map(|&v| v.into()).chain(bins.iter().map(|&v| v.into())).collect();
        let details = [0; 3].map(|_| shorts(row(4095, channels)));
        let scales =
            [0; 3].map(|_| bytes(row(255, channels)).iter().map(|&v| i32::from(v) * 257).collect::<Vec<i32>>());
        let coarse = row(1 << 20, channels);
        let mut finer = [0; 4].map(|_| vec![0; channels]);
        refine(
            isa,
            &coarse,
            details.each_ref().map(Vec::as_slice),
            scales.each_ref().map(Vec::as_slice),
            [0, 1 << 20],
            finer.each_mut().map(Vec::as_mut_slice),
        );
        all.extend(finer.iter().flatten());
        let rows = [0; 3].map(|_| row(1 << 20, channels * (places + 2)));
        let mut heights = vec![0; count];
        let mut slopes = [0; 3].map(|_| vec![0; count]);
        let [above, here, below] = rows.each_ref().map(Vec::as_slice);
        let rows = ApproximationRows { above, here, below };
        shape_of(isa, channels, rows, &mut heights, slopes.each_mut().map(Vec::as_mut_slice));
        all.extend(heights.iter().map(|&v| i32::from(v)));
        all.extend(slopes.iter().flatten().map(|&v: &i8| i32::from(v)));
        all
    }

    #[test]
    fn every_instruction_set_does_the_same() {
        for channels in [1, 2, 3, 15, 16, 17, 40] {
            for places in [1, 2, 5, 8] {
                let plain = results(Isa::available().next().unwrap(), channels, places, channels as u32);
                for isa in Isa::available() {
                    assert_eq!(results(isa, channels, places, channels as u32), plain, "{isa:?} {channels} {places}");
                }
            }
        }
    }

    #[test]
    fn by_hand() {
        let mut bins = [0; 4];
        plain_bins_of(&[0, -1, 32, i16::MIN], 8, &[0, 0, 4, 0], &mut bins);
        assert_eq!(bins, [48, 47, 50, 0]);
        let mut finer = [[0]; 4];
        plain_refine(&[64], [&[1], &[0], &[-2]], [&[16]; 3], [0, 1 << 20], finer.each_mut().map(|row| &mut row[..]));
        assert_eq!(finer, [[8], [56], [40], [24]]);
    }
}

//! Winograd's F(2x2, 3x3): kernels of 3 x 3 at stride 1 and padding 1 with 4 multiplications per output pixel
//! and channel instead of 9.
//!
//! # Derivation
//! Two neighbouring outputs of a kernel of three taps `g` read four inputs `d`. With
//! ```text
//!       1  0 -1  0          1    0    0
//! BT =  0  1  1  0     G = 1/2  1/2  1/2     AT = 1  1  1  0
//!       0 -1  1  0         1/2 -1/2  1/2          0  1 -1 -1
//!       0  1  0 -1          0    0    1
//! ```
//! they are `AT ((G g) * (BT d))`, `*` value by value: 4 products instead of 6 (Winograd 1980; Lavin and Gray 2016).
//! In two dimensions, for a *tile* of 2 x 2 outputs, `AT ((G g GT) * (BT d B)) A`: 16 products, one for each
//! *frequency*, instead of 36. Summing over channels commutes with all that, so that the products become 16 matrix
//! products: for each frequency, `m[tile][out_channel] = sum over c of v[tile][c] * u[c][out_channel]`, with `v` the
//! transformed inputs and `u` the transformed weights.
//!
//! The gradient of the weights is the transpose of this map: `GT ((BT d B) * (A dy AT)) G`, with sums over the tiles
//! of all images in the middle, again 16 matrix products and the same `v`.
//!
//! # Layout
//! All transforms work on 16 channels in the lanes of a vector, so they are plain additions of vectors. Channels come
//! into the lanes by transposing squares of 16 planes x 16 pixels, which needs no copy with a border: the first and
//! last column of a map are treated apart, and rows outside are rows of zeros.
//!
//! A block of tiles (some rows of one image, or some small images) passes through all steps while it is in the second
//! level cache; [`Tiling`] says how large it is.
//!
//! # Rounding
//! The transforms only add, and halve weights. The error stays within four times that of the direct sum (tested). A NaN
//! or an infinity in the input spoils the tiles that read it, up to 4 x 4 outputs of every channel instead of 3 x 3.

mod multiply;
mod transform;
mod weight_gradient;

use std::ops::Range;

use rayon::prelude::*;

use super::direct::{Direct, Part};
use super::store::{Block, Square};
use super::{ConvShape, Epilogue, weights};
use crate::Isa;
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd, prefetch_part};
use multiply::Multiply;
use transform::{FromSums, Interleave, TransformInput, TransformWeights};

pub(super) use weight_gradient::run as weight_gradient;

/// Values of a transformed tile.
const FREQUENCIES: usize = 16;

/// Floats of transformed inputs that a task keeps at once.
const INPUT_FLOATS: usize = 16 << 10;

/// Tiles of a block at least: for each block all weights pass by.
const MIN_TILES: usize = 48;

/// Floats of pixels that a task brings into the lanes at once.
const LANES_FLOATS: usize = 24 << 10;

/// Whether this is a convolution the method is for, and its sizes are such that it is faster: the lanes are not mostly
/// empty, and there are enough tiles to make up for the transform of the weights.
pub(super) fn suits(shape: &ConvShape) -> bool {
    [shape.kernel, shape.stride, shape.padding] == [3, 1, 1]
        && shape.in_channels.min(shape.out_channels) >= LANES / 2
        && shape.batch * shape.height.div_ceil(2) * shape.width.div_ceil(2) >= 2 * LANES
}

/// How maps are cut into tiles of 2 x 2 pixels and blocks of tiles.
///
/// The tiles of a block are numbered `[image][row][column]`; transformed maps are
/// `[frequency][16-channel block][tile][16]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    channels: usize,
    height: usize,
    width: usize,
    /// Tiles of a map.
    rows: usize,
    cols: usize,
    /// A block: rows of tiles of how many images; one image if not all rows.
    band: usize,
    images: usize,
    /// Rows of tiles whose pixels are brought into the lanes at once, a multiple of `band` unless all: more than those
    /// of a block, because each time two rows of pixels more are needed.
    strip: usize,
    /// Tiles that a block has room for, a few more than it has.
    capacity: usize,
}

impl Tiling {
    /// With blocks of about `floats` transformed values.
    fn new([channels, height, width]: [usize; 3], floats: usize) -> Tiling {
        let (rows, cols) = (height.div_ceil(2), width.div_ceil(2));
        let lanes = channels.next_multiple_of(LANES);
        let tiles = (floats / (FREQUENCIES * lanes)).max(MIN_TILES);
        let bands = (rows * cols).div_ceil(tiles).min(rows);
        let band = rows.div_ceil(bands);
        let images = if bands == 1 { (tiles / (rows * cols)).max(1) } else { 1 };
        let strip = (LANES_FLOATS / (2 * width * lanes) / band).max(1) * band;
        let capacity = images * band * cols + LANES;
        Tiling { channels, height, width, rows, cols, band, images, strip: strip.min(rows), capacity }
    }

    /// The same with other channels.
    fn with_channels(self, channels: usize) -> Tiling {
        Tiling { channels, ..self }
    }

    /// From one frequency to the next: a cache line more than the tiles, because frequencies a power of two apart
    /// would compete for the same few lines of the first level cache.
    fn pitch(&self) -> usize {
        (self.channels.div_ceil(LANES) * self.capacity + 1) * LANES
    }

    fn transformed_len(&self) -> usize {
        FREQUENCIES * self.pitch()
    }

    fn lanes_len(&self) -> usize {
        self.images * (2 * self.strip + 2) * self.width * self.channels.next_multiple_of(LANES)
    }

    fn map_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// The pixels of some rows of tiles.
    fn pixels(&self, rows: &Range<usize>) -> Range<usize> {
        2 * rows.start * self.width..(2 * rows.end).min(self.height) * self.width
    }

    /// Strips, and the blocks of a strip counted from its first row.
    fn strips(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Tiling { rows, strip, .. } = *self;
        (0..rows).step_by(strip).map(move |first| first..(first + strip).min(rows))
    }

    fn bands(&self, strip: &Range<usize>) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
        let (rows, band) = (strip.len(), self.band);
        (0..rows).step_by(band).map(move |first| first..(first + band).min(rows))
    }
}

/// Forward or input gradient.
pub(super) fn run(isa: Isa, map: &Direct, source: &[f32], w: &[f32], epilogue: Epilogue<'_>, target: &mut [f32]) {
    if target.is_empty() {
        return;
    }
    let mut taps = map.taps.clone();
    taps[0].sort_by_key(|tap| (tap.dy, tap.dx));
    let channels = map.weights.channels;
    let blocks = map.weights.lanes.div_ceil(LANES);
    let mut packed = Scratch::take(blocks * channels * taps[0].len() * LANES);
    weights::pack(&map.weights, &taps, w, &mut packed);
    let block_len = FREQUENCIES * channels.next_multiple_of(LANES) * LANES;
    let mut transformed = Scratch::take(blocks * block_len);
    transformed
        .par_chunks_exact_mut(block_len)
        .zip(packed.par_chunks_exact(channels * taps[0].len() * LANES))
        .for_each(|(to, taps)| isa.run(TransformWeights { taps, to }));
    drop(packed);

    let tiling = Tiling::new(map.source, INPUT_FLOATS);
    map.each_part(tiling.images, target, |part, target| {
        let weights = &transformed[part.channel / LANES * block_len..];
        isa.run(Walk {
            tiling: &tiling,
            weights,
            block_len,
            epilogue,
            source: map.source_from(source, part.image),
            part,
            target,
        });
    });
}

/// The convolution of a part of the target.
struct Walk<'a> {
    tiling: &'a Tiling,
    /// Transformed, from the part's first channel on.
    weights: &'a [f32],
    block_len: usize,
    epilogue: Epilogue<'a>,
    /// From the part's first image on.
    source: &'a [f32],
    part: Part,
    target: &'a mut [f32],
}

impl Kernel for Walk<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Walk { tiling, weights, block_len, epilogue, source, part, target } = self;
        let plane = tiling.height * tiling.width;
        let (source_len, target_len) = (tiling.map_len(), part.channels * plane);
        let mut lanes = Scratch::take(tiling.lanes_len());
        // What is past the last tile is multiplied too, whatever it is.
        let mut inputs = Scratch::take(tiling.transformed_len());
        let mut sums = Scratch::take(tiling.capacity * multiply::TILE_STEP);
        let blocks = part.channels.div_ceil(LANES);
        for (i, target) in target.chunks_mut(tiling.images * target_len).enumerate() {
            let first = i * tiling.images;
            let images = target.len() / target_len;
            let maps = &source[first * source_len..][..images * source_len];
            let next_maps = (first + images) * source_len..(first + images + tiling.images) * source_len;
            let next_maps = source.get(next_maps).unwrap_or(&[]);
            for strip in tiling.strips() {
                s.run(Interleave { tiling, maps, rows: strip.clone(), to: &mut lanes });
                // The planes of a strip are scattered; they are left to the hardware.
                let next_maps = if strip.len() == tiling.rows { next_maps } else { &[] };
                let bands = tiling.bands(&strip);
                let steps = bands.len() * blocks * FREQUENCIES;
                for (b, band) in bands.enumerate() {
                    let (lanes, strip_rows) = (&lanes, strip.len());
                    let rows = strip.start + band.start..strip.start + band.end;
                    let pixels = tiling.pixels(&rows);
                    let tiles = images * rows.len() * tiling.cols;
                    s.run(TransformInput { tiling, lanes, strip: strip_rows, images, rows: band, to: &mut inputs });
                    for block in 0..blocks {
                        let weights = &weights[block * block_len..][..block_len];
                        let channel = block * LANES;
                        let channels = LANES.min(part.channels - channel);
                        for (f, weights) in weights.chunks_exact(block_len / FREQUENCIES).enumerate() {
                            let step = (b * blocks + block) * FREQUENCIES + f;
                            prefetch_part(next_maps, step, steps);
                            if f < channels {
                                for target in target.chunks_exact(target_len) {
                                    prefetch_part(&target[(channel + f) * plane..][pixels.clone()], 0, 1);
                                }
                            }
                            let (inputs, sums) = (&inputs[f * tiling.pitch()..], &mut sums[f * LANES..]);
                            s.run(Multiply { inputs, step: tiling.capacity * LANES, weights, tiles, sums });
                        }
                        for (i, target) in target.chunks_exact_mut(target_len).enumerate() {
                            s.run(FromSums {
                                tiling,
                                rows: rows.clone(),
                                sums: &sums[i * rows.len() * tiling.cols * multiply::TILE_STEP..],
                                block: Block {
                                    epilogue,
                                    first_channel: part.channel + channel,
                                    channels,
                                    plane,
                                    target: &mut target[channel * plane..],
                                    whole: part.whole + (first + i) * target_len + channel * plane,
                                    turned: Square([0.0; LANES * LANES]),
                                },
                            });
                        }
                    }
                }
            }
        }
    }
}

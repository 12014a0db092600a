//! The walk over the target of a [`Direct`] convolution: windows, blocks of 16 channels, rows, tiles.

use super::Epilogue;
use super::direct::{Direct, Part, Plan};
use super::store::{Block, Square};
use super::tile::Convolve;
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd, prefetch_part};

/// A part of the target and what it is computed from.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub direct: &'a Direct,
    pub plan: &'a Plan,
    /// Packed, from the task's first channel on.
    pub weights: &'a [f32],
    pub epilogue: Epilogue<'a>,
    /// From the task's first image on.
    pub source: &'a [f32],
    pub part: Part,
}

/// A task with its target, `[images][channels][height][width]`.
pub(super) struct Walk<'a> {
    pub task: Task<'a>,
    pub target: &'a mut [f32],
}

impl Kernel for Walk<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Walk { task, target } = self;
        // Short rows go two at a time, to fill the tile.
        match (S::TILE, task.direct.phases, task.direct.step, task.plan.cols) {
            (16, 1, 1, 16) => walk::<S, 1, 1, 1, 16>(s, &task, target),
            (16, 1, 1, 14) => walk::<S, 1, 1, 1, 14>(s, &task, target),
            (16, 1, 1, 8) => walk::<S, 1, 1, 2, 8>(s, &task, target),
            (16, 1, 1, 7) => walk::<S, 1, 1, 2, 7>(s, &task, target),
            (16, 1, 2, 16) => walk::<S, 1, 2, 1, 16>(s, &task, target),
            (16, 1, 2, 14) => walk::<S, 1, 2, 1, 14>(s, &task, target),
            (16, 1, 2, 8) => walk::<S, 1, 2, 2, 8>(s, &task, target),
            (16, 1, 2, 7) => walk::<S, 1, 2, 2, 7>(s, &task, target),
            (16, 2, 1, 8) => walk::<S, 2, 1, 1, 8>(s, &task, target),
            (16, 2, 1, 7) => walk::<S, 2, 1, 1, 7>(s, &task, target),
            (4, 1, 1, 4) => walk::<S, 1, 1, 1, 4>(s, &task, target),
            (4, 1, 2, 4) => walk::<S, 1, 2, 1, 4>(s, &task, target),
            (4, 2, 1, 4) => walk::<S, 2, 1, 1, 4>(s, &task, target),
            other => unreachable!("no tile for {other:?}"),
        }
    }
}

#[inline(always)]
fn walk<S: Simd, const PHASES: usize, const STEP: usize, const ROWS: usize, const COLS: usize>(
    s: S,
    task: &Task<'_>,
    target: &mut [f32],
) {
    let plan = task.plan;
    let [_, height, width] = task.direct.target;
    let source_len: usize = task.direct.source.iter().product();
    let target_len = task.part.channels * height * width;
    let window_len = plan.window.len();
    let blocks = task.part.channels.div_ceil(LANES);
    let phase_rows = height.div_ceil(PHASES);

    // What the tiles have summed and is to be stored: a vector of channels per pixel. Twice as long as is used, so that
    // the last of two rows of 8 has 16 pixels after it as well.
    let mut tile = Square([0.0; 2 * LANES * LANES]);
    let mut windows = Scratch::take(plan.group.min(target.len() / target_len) * window_len);
    windows.fill(0.0);
    for (g, target) in target.chunks_mut(plan.group * target_len).enumerate() {
        let first_image = g * plan.group;
        let images = target.len() / target_len;
        for band in (0..phase_rows).step_by(plan.band) {
            let band_end = (band + plan.band).min(phase_rows);
            for (i, window) in windows.chunks_exact_mut(window_len).take(images).enumerate() {
                let source = &task.source[(first_image + i) * source_len..][..source_len];
                plan.window.fill(s, source, band * STEP, window);
            }
            for block in 0..blocks {
                let weights = &task.weights[block * plan.block_len..][..plan.block_len];
                for (i, window) in windows.chunks_exact(window_len).take(images).enumerate() {
                    // What this place in `windows` will hold next, if that is a whole image.
                    let next = (first_image + images + i) * source_len;
                    let next_source = task.source.get(next..next + source_len).unwrap_or(&[]);
                    let next_source = if plan.band == phase_rows { next_source } else { &[] };
                    let first = block * LANES * height * width;
                    let mut out = Block {
                        epilogue: task.epilogue,
                        first_channel: task.part.channel + block * LANES,
                        channels: LANES.min(task.part.channels - block * LANES),
                        plane: height * width,
                        target: &mut target[i * target_len + first..],
                        whole: task.part.whole + (first_image + i) * target_len + first,
                        turned: Square([0.0; LANES * LANES]),
                    };
                    let mut row = band;
                    while row < band_end {
                        prefetch_part(
                            next_source,
                            (block * phase_rows + row) / ROWS,
                            (blocks * phase_rows).div_ceil(ROWS),
                        );
                        let window = &window[(row - band) * STEP * plan.window.pitch..];
                        if ROWS > 1 && row + ROWS <= band_end {
                            walk_rows::<S, PHASES, STEP, ROWS, COLS>(
                                s,
                                task,
                                window,
                                weights,
                                row,
                                &mut tile.0,
                                &mut out,
                            );
                            row += ROWS;
                        } else {
                            walk_rows::<S, PHASES, STEP, 1, COLS>(s, task, window, weights, row, &mut tile.0, &mut out);
                            row += 1;
                        }
                    }
                }
            }
        }
    }
}

/// All columns of `ROWS` rows of the target, or of one row of each phase.
#[inline(always)]
fn walk_rows<S: Simd, const PHASES: usize, const STEP: usize, const ROWS: usize, const COLS: usize>(
    s: S,
    task: &Task<'_>,
    window: &[f32],
    weights: &[f32],
    row: usize,
    tile: &mut [f32],
    out: &mut Block<'_>,
) {
    let [_, height, width] = task.direct.target;
    // As many tiles as fill the square that is transposed at the end.
    let tiles = LANES / (PHASES * ROWS * COLS);
    let mut weights = weights;
    for phase_row in 0..PHASES.min(height - row * PHASES) {
        let taps = &task.plan.offsets[phase_row * PHASES..][..PHASES];
        let mut phase_weights = [weights; PHASES];
        for (phase, taps) in taps.iter().enumerate() {
            (phase_weights[phase], weights) = weights.split_at(taps.len() * LANES);
        }
        for first_col in (0..width).step_by(PHASES * COLS * tiles) {
            let at = (row * PHASES + phase_row) * width + first_col;
            let cols = (width - first_col).min(PHASES * COLS * tiles);
            out.prefetch(at);
            for t in 0..tiles.min(cols.div_ceil(PHASES * COLS)) {
                let col = first_col / PHASES + t * COLS;
                for phase in 0..PHASES {
                    s.run(Convolve::<STEP, ROWS, COLS, PHASES> {
                        x: &window[col * STEP..],
                        row_step: STEP * task.plan.window.pitch,
                        taps: &taps[phase],
                        weights: phase_weights[phase],
                        out: &mut tile[(t * COLS * PHASES + phase) * LANES..],
                    });
                }
            }
            if ROWS == 1 || width == COLS {
                // Whole rows lie one after the other.
                out.store(s, tile, at, ROWS * cols);
            } else {
                for r in 0..ROWS {
                    out.store(s, &tile[r * COLS * LANES..], at + r * width, cols);
                }
            }
        }
    }
}

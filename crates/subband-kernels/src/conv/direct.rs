//! The forward pass and the gradient of the input, which are one walk over the map.
//!
//! Forward: output pixel `(y, x)` sums, over the taps `(r, s)` of the kernel, input pixel
//! `(y * stride + r - padding, x * stride + s - padding)`.
//!
//! Backward: input pixel `(y, x)` sums, over the taps with `y + padding - r` and `x + padding - s` divisible by the
//! stride, output pixel `((y + padding - r) / stride, (x + padding - s) / stride)`. At stride 1 these are all taps.
//! At stride 2 the pixels fall into four *phases*, even and odd rows by even and odd columns; each has its own share
//! of the taps and is a convolution of stride 1 on its own, so that no product with an inserted zero is computed.
//!
//! Both are therefore: for each phase a list of taps with a displacement, a step over the source per target pixel of
//! the phase (the stride forward, 1 backward), and targets `phases` apart.

use rayon::prelude::*;

use super::weights::{self, Layout};
use super::window::Window;
use super::tile::Convolve;
use super::{ConvShape, Epilogue};
use crate::Isa;
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd};

/// One row and column of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    /// `row * kernel + column`.
    pub index: usize,
    /// The source pixel, relative to `step` times the target pixel's row and column within the phase.
    pub dy: isize,
    pub dx: isize,
}

pub(super) struct Direct {
    batch: usize,
    /// Channels, height and width of the map that is read and of the one that is written.
    source: [usize; 3],
    target: [usize; 3],
    step: usize,
    /// 1, or 2 for two by two phases.
    phases: usize,
    /// `phases * phases` lists, the phases of one row next to each other.
    taps: Vec<Vec<Tap>>,
    weights: Layout,
}

/// Floats of source windows that a task keeps around: they are read once for each 16 channels of the target, and fit
/// into half of the second level cache (1 MiB on the CPUs this was measured on).
const WINDOW_FLOATS: usize = 128 << 10;

impl Direct {
    pub fn forward(shape: &ConvShape) -> Direct {
        let k2 = shape.kernel * shape.kernel;
        let padding = shape.padding as isize;
        let taps = (0..k2).map(|index| Tap {
            index,
            dy: (index / shape.kernel) as isize - padding,
            dx: (index % shape.kernel) as isize - padding,
        });
        Direct {
            batch: shape.batch,
            source: [shape.in_channels, shape.height, shape.width],
            target: [shape.out_channels, shape.out_height(), shape.out_width()],
            step: shape.stride,
            phases: 1,
            taps: vec![taps.collect()],
            weights: Layout {
                lanes: shape.out_channels,
                lane_stride: shape.in_channels * k2,
                channels: shape.in_channels,
                channel_stride: k2,
            },
        }
    }

    pub fn input_gradient(shape: &ConvShape) -> Direct {
        let k2 = shape.kernel * shape.kernel;
        let stride = shape.stride;
        let phase_taps = |phase: usize| {
            (0..k2).filter_map(move |index| {
                let dy = (phase / stride + shape.padding) as isize - (index / shape.kernel) as isize;
                let dx = (phase % stride + shape.padding) as isize - (index % shape.kernel) as isize;
                let stride = stride as isize;
                (dy % stride == 0 && dx % stride == 0).then_some(Tap { index, dy: dy / stride, dx: dx / stride })
            })
        };
        Direct {
            batch: shape.batch,
            source: [shape.out_channels, shape.out_height(), shape.out_width()],
            target: [shape.in_channels, shape.height, shape.width],
            step: 1,
            phases: stride,
            taps: (0..stride * stride).map(|phase| phase_taps(phase).collect()).collect(),
            weights: Layout {
                lanes: shape.in_channels,
                lane_stride: k2,
                channels: shape.out_channels,
                channel_stride: shape.in_channels * k2,
            },
        }
    }

    pub fn run(&self, isa: Isa, source: &[f32], w: &[f32], epilogue: Epilogue<'_>, target: &mut [f32]) {
        if target.is_empty() {
            return;
        }
        let all_taps: usize = self.taps.iter().map(Vec::len).sum();
        let block_len = all_taps * self.weights.channels * LANES;
        let blocks = self.weights.lanes.div_ceil(LANES);
        let mut packed = Scratch::take(blocks * block_len);
        weights::pack(&self.weights, &self.taps, w, &mut packed);

        let plan = Plan::new(self, isa);
        let threads = rayon::current_num_threads();
        let [channels, height, width] = self.target;
        let plane = height * width;

        // A task takes some images, or if there are too few of them, some channels of one. How the work is cut
        // does not change a value: every sum is one task's.
        let images = (WINDOW_FLOATS / 4 / plan.window.len()).clamp(1, (self.batch / (4 * threads)).max(1));
        let channels_at_once = match self.batch {
            batch if batch >= 2 * threads => channels,
            batch => LANES * (blocks * batch).div_ceil(2 * threads),
        };
        let images_len = images * self.source.iter().product::<usize>();
        target.par_chunks_mut(images * channels * plane).enumerate().for_each(|(i, target)| {
            let source = &source[i * images_len..];
            let at = i * images * channels * plane;
            if images > 1 || channels_at_once >= channels {
                let task = Task { direct: self, plan: &plan, packed: &packed, epilogue, source, first_block: 0, at };
                isa.run(Run { task, channels, target });
            } else {
                target.par_chunks_mut(channels_at_once * plane).enumerate().for_each(|(j, target)| {
                    let first_block = j * channels_at_once / LANES;
                    let at = at + j * channels_at_once * plane;
                    let task = Task { direct: self, plan: &plan, packed: &packed, epilogue, source, first_block, at };
                    isa.run(Run { task, channels: target.len() / plane, target });
                });
            }
        });
    }
}

/// Sizes that follow from a shape and an instruction set.
struct Plan {
    /// Columns of one tile.
    cols: usize,
    /// Rows of the target (of one phase) that a window serves.
    band: usize,
    window: Window,
    /// For each phase, where in a window its taps are: `[channel][tap of the phase]`.
    offsets: Vec<Vec<usize>>,
}

impl Plan {
    fn new(direct: &Direct, isa: Isa) -> Plan {
        struct Widths {
            phases: usize,
        }
        /// Columns per tile that the walk below is compiled for, the longest first.
        impl Kernel for Widths {
            type Out = &'static [usize];
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> &'static [usize] {
                match (S::TILE, self.phases) {
                    (16, 1) => &[16, 14, 8, 7],
                    (16, _) => &[8, 7],
                    _ => &[4],
                }
            }
        }
        let [channels, height, width] = direct.source;
        let target_rows = direct.target[1].div_ceil(direct.phases);
        let target_cols = direct.target[2].div_ceil(direct.phases);
        let widths = isa.run(Widths { phases: direct.phases });
        let &cols = widths.iter().min_by_key(|&&cols| target_cols.next_multiple_of(cols)).expect("a width");

        let displacements = || direct.taps.iter().flatten().flat_map(|tap| [tap.dy, tap.dx]);
        let margin = displacements().min().unwrap_or(0).min(0).unsigned_abs();
        let reach = margin + displacements().max().unwrap_or(0).max(0).unsigned_abs() + 1;
        let pitch = ((target_cols.next_multiple_of(cols) - 1) * direct.step + reach).max(margin + width);

        let band_floats = |rows: usize| channels * ((rows - 1) * direct.step + reach) * pitch;
        let bands = band_floats(target_rows).div_ceil(WINDOW_FLOATS);
        // Even, so that tiles of two rows find two.
        let band = target_rows.div_ceil(bands).next_multiple_of(2).min(target_rows);
        let rows = (band - 1) * direct.step + reach;
        let window = Window { channels, height, width, margin, rows, pitch };

        let offset = |channel: usize, tap: &Tap| {
            let row = tap.dy + margin as isize;
            let col = tap.dx + margin as isize;
            channel * window.plane() + row as usize * pitch + col as usize
        };
        let offsets =
            direct.taps.iter().map(|taps| (0..channels).flat_map(|c| taps.iter().map(move |tap| offset(c, tap))).collect());
        Plan { cols, band, window, offsets: offsets.collect() }
    }
}

#[derive(Clone, Copy)]
struct Task<'a> {
    direct: &'a Direct,
    plan: &'a Plan,
    packed: &'a [f32],
    epilogue: Epilogue<'a>,
    /// From the task's first image on.
    source: &'a [f32],
    first_block: usize,
    /// Where in the whole target the task's part begins.
    at: usize,
}

/// A task with its part of the target, `[images][channels][height][width]`.
struct Run<'a> {
    task: Task<'a>,
    channels: usize,
    target: &'a mut [f32],
}

impl Kernel for Run<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let direct = self.task.direct;
        // Short rows go two at a time, to fill the tile. Combinations that an instruction set does not choose are
        // not compiled for it.
        match (S::TILE, direct.phases, direct.step, self.task.plan.cols) {
            (16, 1, 1, 16) => self.walk::<S, 1, 1, 1, 16>(s),
            (16, 1, 1, 14) => self.walk::<S, 1, 1, 1, 14>(s),
            (16, 1, 1, 8) => self.walk::<S, 1, 1, 2, 8>(s),
            (16, 1, 1, 7) => self.walk::<S, 1, 1, 2, 7>(s),
            (16, 1, 2, 16) => self.walk::<S, 1, 2, 1, 16>(s),
            (16, 1, 2, 14) => self.walk::<S, 1, 2, 1, 14>(s),
            (16, 1, 2, 8) => self.walk::<S, 1, 2, 2, 8>(s),
            (16, 1, 2, 7) => self.walk::<S, 1, 2, 2, 7>(s),
            (16, 2, 1, 8) => self.walk::<S, 2, 1, 1, 8>(s),
            (16, 2, 1, 7) => self.walk::<S, 2, 1, 1, 7>(s),
            (4, 1, 1, 4) => self.walk::<S, 1, 1, 1, 4>(s),
            (4, 1, 2, 4) => self.walk::<S, 1, 2, 1, 4>(s),
            (4, 2, 1, 4) => self.walk::<S, 2, 1, 1, 4>(s),
            other => unreachable!("no tile for {other:?}"),
        }
    }
}

impl Run<'_> {
    #[inline(always)]
    fn walk<S: Simd, const PHASES: usize, const STEP: usize, const ROWS: usize, const COLS: usize>(self, s: S) {
        let Run { task, channels, target } = self;
        let Task { direct, plan, .. } = task;
        let [_, height, width] = direct.target;
        let source_len: usize = direct.source.iter().product();
        let window_len = plan.window.len();
        let block_len = direct.taps.iter().map(Vec::len).sum::<usize>() * direct.weights.channels * LANES;
        let images = target.len() / (channels * height * width);
        let phase_rows = height.div_ceil(PHASES);

        let mut windows = Scratch::take(images * window_len);
        windows.fill(0.0);
        for band in (0..phase_rows).step_by(plan.band) {
            let band_end = (band + plan.band).min(phase_rows);
            for (window, image) in windows.chunks_exact_mut(window_len).zip(task.source.chunks_exact(source_len)) {
                plan.window.fill(s, image, band * STEP, window);
            }
            for block in 0..channels.div_ceil(LANES) {
                let weights = &task.packed[(task.first_block + block) * block_len..][..block_len];
                for (i, window) in windows.chunks_exact(window_len).enumerate() {
                    let mut out = Block {
                        epilogue: task.epilogue,
                        first_channel: (task.first_block + block) * LANES,
                        channels: LANES.min(channels - block * LANES),
                        plane: height * width,
                        target: &mut *target,
                        first: (i * channels + block * LANES) * height * width,
                        whole: task.at,
                        tile: Tile([0.0; 2 * LANES * LANES]),
                    };
                    let mut row = band;
                    while row < band_end {
                        let window = &window[(row - band) * STEP * plan.window.pitch..];
                        if ROWS > 1 && row + ROWS <= band_end {
                            walk_rows::<S, PHASES, STEP, ROWS, COLS>(s, direct, plan, window, weights, row, &mut out);
                            row += ROWS;
                        } else {
                            walk_rows::<S, PHASES, STEP, 1, COLS>(s, direct, plan, window, weights, row, &mut out);
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
    direct: &Direct,
    plan: &Plan,
    window: &[f32],
    weights: &[f32],
    row: usize,
    out: &mut Block<'_>,
) {
    let [_, height, width] = direct.target;
    let row_step = STEP * plan.window.pitch;
    // As many tiles as fill the square that is transposed at the end.
    let tiles = LANES / (PHASES * ROWS * COLS);
    let mut weights = weights;
    for phase_row in 0..PHASES.min(height - row * PHASES) {
        let mut phase_weights = [weights; PHASES];
        let offsets = &plan.offsets[phase_row * PHASES..][..PHASES];
        for (phase, offsets) in offsets.iter().enumerate() {
            (phase_weights[phase], weights) = weights.split_at(offsets.len() * LANES);
        }
        for first_col in (0..width).step_by(PHASES * COLS * tiles) {
            for t in 0..tiles {
                let col = first_col / PHASES + t * COLS;
                if col * PHASES >= width {
                    break;
                }
                for phase in 0..PHASES {
                    s.run(Convolve::<STEP, ROWS, COLS, PHASES> {
                        x: &window[col * STEP..],
                        row_step,
                        taps: &offsets[phase],
                        weights: phase_weights[phase],
                        out: &mut out.tile.0[(t * COLS * PHASES + phase) * LANES..],
                    });
                }
            }
            let at = (row * PHASES + phase_row) * width + first_col;
            let cols = (width - first_col).min(PHASES * COLS * tiles);
            if ROWS == 1 || width == COLS {
                // Whole rows lie one after the other.
                out.store(s, 0, at, ROWS * cols);
            } else {
                for r in 0..ROWS {
                    out.store(s, r * COLS, at + r * width, cols);
                }
            }
        }
    }
}

/// Where the results of 16 channels go.
struct Block<'a> {
    epilogue: Epilogue<'a>,
    first_channel: usize,
    /// At most 16.
    channels: usize,
    plane: usize,
    target: &'a mut [f32],
    /// Of the block's first channel in `target`.
    first: usize,
    /// Of `target` in the whole tensor.
    whole: usize,
    /// What the tiles have summed and is to be stored: a vector of channels per pixel.
    tile: Tile,
}

/// Twice as long as is used, so that the last of two rows of 8 has 16 pixels after it as well.
#[repr(align(64))]
struct Tile([f32; 2 * LANES * LANES]);

impl Block<'_> {
    /// Stores `len` pixels of the tile, from `pixel` on, to pixel `at` of each plane.
    #[inline(always)]
    fn store<S: Simd>(&mut self, s: S, pixel: usize, at: usize, len: usize) {
        let mut square = [s.splat(0.0); LANES];
        for (v, from) in square.iter_mut().zip(self.tile.0[pixel * LANES..].chunks_exact(LANES)) {
            *v = s.load(from);
        }
        if let Some(bias) = self.epilogue.bias {
            let bias = s.load_part(&bias[self.first_channel..][..self.channels]);
            for v in &mut square {
                *v = s.add(*v, bias);
            }
        }
        s.transpose(&mut square);
        for (channel, v) in square.iter().enumerate().take(self.channels) {
            let at = self.first + channel * self.plane + at;
            let mut v = *v;
            if let Some(residual) = self.epilogue.residual {
                v = s.add(v, s.load_any(&residual[self.whole + at..][..len]));
            }
            if self.epilogue.relu {
                v = s.relu(v);
            }
            let to = &mut self.target[at..][..len];
            s.store_any(v, to);
        }
    }
}

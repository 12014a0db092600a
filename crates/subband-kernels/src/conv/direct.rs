//! What the forward pass and the gradient of the input have in common: everything but the taps.
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
//! the phase (the stride forward, 1 backward), and targets `phases` apart. [`super::walk`] carries it out.

use rayon::prelude::*;

use super::walk::{Task, Walk};
use super::weights::{self, Layout};
use super::window::Window;
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
    pub source: [usize; 3],
    pub target: [usize; 3],
    pub step: usize,
    /// 1, or 2 for two by two phases.
    pub phases: usize,
    /// `phases * phases` lists, the phases of one row next to each other.
    pub taps: Vec<Vec<Tap>>,
    pub weights: Layout,
}

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
        let plan = Plan::new(self, isa);
        let blocks = self.weights.lanes.div_ceil(LANES);
        let mut packed = Scratch::take(blocks * plan.block_len);
        weights::pack(&self.weights, &self.taps, w, &mut packed);

        self.each_part(plan.group, target, |part, target| {
            let weights = &packed[part.channel / LANES * plan.block_len..];
            let source = self.source_from(source, part.image);
            let task = Task { direct: self, plan: &plan, weights, epilogue, source, part };
            isa.run(Walk { task, target });
        });
    }

    /// Hands out the target to tasks: each takes some images, `group` at least if there are enough, or if there are
    /// too few of them, some channels of one. How the work is cut does not change a value: every sum is one task's.
    pub fn each_part(&self, group: usize, target: &mut [f32], run: impl Fn(Part, &mut [f32]) + Sync) {
        let blocks = self.target[0].div_ceil(LANES);
        let threads = rayon::current_num_threads();
        let images = group * (self.batch / (8 * threads * group)).max(1);
        let channels = match self.batch {
            batch if batch >= 2 * threads => self.target[0],
            batch => (LANES * (blocks * batch).div_ceil(2 * threads)).min(self.target[0]),
        };
        let target_len = self.target.iter().product::<usize>();
        let plane = self.target[1] * self.target[2];
        if channels == self.target[0] {
            target.par_chunks_mut(images * target_len).enumerate().for_each(|(i, target)| {
                let image = i * images;
                run(Part { image, channel: 0, channels, whole: image * target_len }, target);
            });
        } else {
            target.par_chunks_mut(target_len).enumerate().for_each(|(image, target)| {
                target.par_chunks_mut(channels * plane).enumerate().for_each(|(i, target)| {
                    let channel = i * channels;
                    let whole = image * target_len + channel * plane;
                    run(Part { image, channel, channels: target.len() / plane, whole }, target);
                });
            });
        }
    }

    pub fn source_from<'s>(&self, source: &'s [f32], image: usize) -> &'s [f32] {
        &source[image * self.source.iter().product::<usize>()..]
    }
}

/// Some images, or some channels of one image, of the target.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// The first.
    pub image: usize,
    /// The first channel, a multiple of 16, and their number.
    pub channel: usize,
    pub channels: usize,
    /// Where in the whole target the part begins.
    pub whole: usize,
}

/// Sizes that follow from a shape and an instruction set.
pub(super) struct Plan {
    /// Columns of one tile.
    pub cols: usize,
    /// Images whose windows a task keeps at once.
    pub group: usize,
    /// Rows of the target (of one phase) that a window serves.
    pub band: usize,
    pub window: Window,
    /// For each phase, where in a window its taps are: `[channel][tap of the phase]`.
    pub offsets: Vec<Vec<usize>>,
    /// Packed weights of 16 channels.
    pub block_len: usize,
}

/// Floats of the windows that a task keeps at once. They are read once for each 16 channels of the target, and
/// should stay in the second level cache meanwhile (1 MiB on the CPUs this was measured on).
const WINDOW_FLOATS: usize = 128 << 10;

impl Plan {
    fn new(direct: &Direct, isa: Isa) -> Plan {
        let [channels, height, width] = direct.source;
        let target_rows = direct.target[1].div_ceil(direct.phases);
        let target_cols = direct.target[2].div_ceil(direct.phases);
        let widths = isa.run(TileWidths { phases: direct.phases });
        let &cols = widths.iter().min_by_key(|&&cols| target_cols.next_multiple_of(cols)).expect("a width");

        let displacements = || direct.taps.iter().flatten().flat_map(|tap| [tap.dy, tap.dx]);
        let margin = displacements().min().unwrap_or(0).min(0).unsigned_abs();
        let reach = margin + displacements().max().unwrap_or(0).max(0).unsigned_abs() + 1;
        let pitch = ((target_cols.next_multiple_of(cols) - 1) * direct.step + reach).max(margin + width);

        let rows_for = |band: usize| (band - 1) * direct.step + reach;
        let bands = (channels * rows_for(target_rows) * pitch).div_ceil(WINDOW_FLOATS);
        // Even, so that tiles of two rows find two.
        let band = target_rows.div_ceil(bands).next_multiple_of(2).min(target_rows);
        let window = Window { channels, height, width, margin, rows: rows_for(band), pitch };

        let offset = |channel: usize, tap: &Tap| {
            let row = tap.dy + margin as isize;
            let col = tap.dx + margin as isize;
            channel * window.plane() + row as usize * pitch + col as usize
        };
        let offsets: Vec<Vec<usize>> = direct
            .taps
            .iter()
            .map(|taps| (0..channels).flat_map(|c| taps.iter().map(move |tap| offset(c, tap))).collect())
            .collect();
        Plan {
            cols,
            // Several small maps make better use of a block of weights than one.
            group: (WINDOW_FLOATS / 4 / window.len()).max(1),
            band,
            window,
            block_len: offsets.iter().map(Vec::len).sum::<usize>() * LANES,
            offsets,
        }
    }
}

/// The columns per tile that [`Walk`] is compiled for, the widest first.
struct TileWidths {
    phases: usize,
}

impl Kernel for TileWidths {
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

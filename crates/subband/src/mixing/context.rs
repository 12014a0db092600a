//! What networks look at: rows of channels, one for each place and each thing known of it.

use crate::entropy::{level, signed_level};
use crate::plane::PlaneQuantizer;
use crate::wavelet::SubbandLayout;

/// Most inputs of a network.
const MAX_INPUTS: usize = 31;
/// Sums over channels that a network has besides that of the channels before.
pub(super) const SUMS: usize = 3;
/// Most rows that are added up for a sum.
const SUM_ROWS: usize = 3;

/// Kinds of rows of the approximation at a level.
const KINDS: usize = 7;
const OWN: usize = 0;
const SLOPES: [usize; 3] = [1, 2, 3];
const SIGNED_SLOPES: [usize; 3] = [4, 5, 6];

/// A place and those beside it, as differences of y and x.
const CROSS: [(isize, isize); 5] = [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)];

/// Rows that a network looks at for one position, as starts in [`Context::rows`].
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub count: usize,
    pub rows: [usize; MAX_INPUTS],
    pub sums: [[usize; SUM_ROWS]; SUMS],
    /// The row that the sum over channels before is made of.
    pub own: usize,
}

impl Default for Inputs {
    fn default() -> Self {
        Inputs { count: 0, rows: [0; MAX_INPUTS], sums: [[0; SUM_ROWS]; SUMS], own: 0 }
    }
}

impl Inputs {
    fn clear(&mut self) {
        self.count = 0;
        self.sums = [[0; SUM_ROWS]; SUMS];
    }

    fn push(&mut self, row: usize) {
        self.rows[self.count] = row;
        self.count += 1;
    }

    pub fn rows(&self) -> &[usize] {
        &self.rows[..self.count]
    }
}

/// Rows of a map.
#[derive(Debug, Default)]
pub(super) struct Context {
    channels: usize,
    pub rows: Vec<i16>,
    /// Approximation at the level in work, in 16ths of the step of LL: by place, then channel.
    approximation: Vec<i32>,
    finer: Vec<i32>,
    signs: usize,
    /// Where the rows of each level's approximation begin, by level.
    levels: Vec<usize>,
}

impl Context {
    pub fn reset(&mut self, layout: &SubbandLayout, channels: usize) {
        self.channels = channels;
        self.signs = 1 + layout.plane();
        let mut rows = 1 + 2 * layout.plane();
        self.levels.clear();
        self.levels.push(0);
        for level in 1..=layout.levels {
            self.levels.push(rows);
            let (h, w) = grid(layout, level);
            rows += KINDS * h * w;
        }
        self.rows.clear();
        self.rows.resize(rows * channels, 0);
    }

    /// Takes over all indices of a map.
    pub fn set_all(&mut self, layout: &SubbandLayout, values: &[i32]) {
        for block in &layout.blocks {
            let of_subband = &values[block.offset * self.channels..][..block.len() * self.channels];
            for (slot, of_slot) in of_subband.chunks_exact(block.len().max(1)).enumerate() {
                for (place, &index) in of_slot.iter().enumerate() {
                    let row = (1 + block.offset + place) * self.channels;
                    self.rows[row + slot] = level(index.unsigned_abs());
                    self.rows[row + layout.plane() * self.channels + slot] = signed_level(index);
                }
            }
        }
    }

    /// Takes over the magnitude of an index at the position of `inputs` and returns its level.
    #[inline]
    pub fn set_magnitude(&mut self, inputs: &Inputs, slot: usize, magnitude: u32) -> i16 {
        let level = level(magnitude);
        self.rows[inputs.own + slot] = level;
        level
    }

    /// Takes over the level with its sign.
    #[inline]
    pub fn set_sign(&mut self, inputs: &Inputs, slot: usize, signed_level: i16) {
        self.rows[inputs.own + slot] = signed_level;
    }

    /// Makes the approximation's rows for the level of a subband; all coarser subbands are known. `scales` has for each
    /// subband its step in 16ths of that of LL.
    pub fn begin_subband(&mut self, quantizer: &PlaneQuantizer, scales: &[u16], values: &[i32], subband: usize) {
        if subband % 3 != 1 {
            return;
        }
        let layout = &quantizer.layout;
        let channels = self.channels;
        let depth = layout.levels - ((subband - 1) / 3) as u8;
        let (height, width) = grid(layout, depth);
        self.finer.clear();
        self.finer.resize(height * width * channels, 0);
        if subband == 1 {
            for slot in 0..channels {
                for place in 0..height * width {
                    self.finer[place * channels + slot] =
                        (values[slot * height * width + place] * 16).clamp(-(1 << 20), 1 << 20);
                }
            }
        } else {
            let (_, coarse_width) = grid(layout, depth + 1);
            let details = [subband - 3, subband - 2, subband - 1].map(|b| (layout.blocks[b], i64::from(scales[b])));
            for y in 0..height {
                for x in 0..width {
                    let coarse = ((y / 2) * coarse_width + x / 2) * channels;
                    let place = (y * width + x) * channels;
                    for slot in 0..channels {
                        let detail = |which: usize| {
                            let (block, scale) = details[which];
                            if y / 2 < block.height && x / 2 < block.width {
                                let at = block.offset * channels + slot * block.len() + (y / 2) * block.width + x / 2;
                                values[at] as i64 * scale
                            } else {
                                0
                            }
                        };
                        let sx = if x % 2 == 0 { -1 } else { 1 };
                        let sy = if y % 2 == 0 { -1 } else { 1 };
                        let sum = self.approximation[coarse + slot] as i64
                            + sx * detail(0)
                            + sy * detail(1)
                            + sx * sy * detail(2);
                        let lowest = if quantizer.coding.nonnegative { 0 } else { -(1 << 20) };
                        self.finer[place + slot] = (sum >> 1).clamp(lowest, 1 << 20) as i32;
                    }
                }
            }
        }
        std::mem::swap(&mut self.finer, &mut self.approximation);
        let first = self.levels[depth as usize];
        let places = height * width;
        for y in 0..height {
            for x in 0..width {
                let at = |y: usize, x: usize| (y.min(height - 1) * width + x.min(width - 1)) * channels;
                let (n, s, w, e) = (y.saturating_sub(1), y + 1, x.saturating_sub(1), x + 1);
                let place = y * width + x;
                let a = &self.approximation;
                for slot in 0..channels {
                    let gx = a[at(y, e) + slot] - a[at(y, w) + slot];
                    let gy = a[at(s, x) + slot] - a[at(n, x) + slot];
                    let gxy = a[at(s, e) + slot] + a[at(n, w) + slot] - a[at(s, w) + slot] - a[at(n, e) + slot];
                    let row = |kind: usize| (first + kind * places + place) * channels + slot;
                    self.rows[row(OWN)] = signed_level(a[place * channels + slot] >> 2);
                    for (kind, slope) in [gx, gy, gxy].into_iter().enumerate() {
                        let quarters = slope / 4;
                        self.rows[row(SLOPES[kind])] = level(quarters.unsigned_abs());
                        self.rows[row(SIGNED_SLOPES[kind])] = signed_level(quarters);
                    }
                }
            }
        }
    }

    /// Inputs of the networks for magnitudes and signs at a position.
    pub fn inputs(&self, layout: &SubbandLayout, subband: usize, y: usize, x: usize, m: &mut Inputs, s: &mut Inputs) {
        let blocks = &layout.blocks;
        let channels = self.channels;
        m.clear();
        s.clear();
        // Place of a position, or none.
        let place = |number: usize, y: usize, dy: isize, x: usize, dx: isize| {
            let (y, x) = (y as isize + dy, x as isize + dx);
            let block = blocks[number];
            let inside = y >= 0 && x >= 0 && (y as usize) < block.height && (x as usize) < block.width;
            inside.then(|| block.offset + y as usize * block.width + x as usize)
        };
        let level_row = |place: Option<usize>| place.map_or(0, |place| (1 + place) * channels);
        let signed_row = |place: Option<usize>| place.map_or(0, |place| (self.signs + place) * channels);
        let own = place(subband, y, 0, x, 0);
        (m.own, s.own) = (level_row(own), signed_row(own));
        let neighbours =
            [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)].map(|(dy, dx)| place(subband, y, dy, x, dx));
        neighbours.iter().for_each(|&place| m.push(level_row(place)));
        neighbours[..4].iter().for_each(|&place| s.push(signed_row(place)));
        m.sums[0] = [level_row(neighbours[0]), level_row(neighbours[1]), 0];
        s.sums[0] = [signed_row(neighbours[0]), signed_row(neighbours[1]), 0];
        if subband == 0 {
            return;
        }
        let orientation = (subband - 1) % 3;
        let depth = layout.levels as usize - (subband - 1) / 3;
        let mut others = [0; SUM_ROWS];
        // Subbands of the level that come before.
        for before in 1..=orientation {
            for (dy, dx) in CROSS {
                let sibling = place(subband - before, y, dy, x, dx);
                m.push(level_row(sibling));
                s.push(signed_row(sibling));
            }
            others[before - 1] = level_row(place(subband - before, y, 0, x, 0));
        }
        if subband > 3 {
            let first = subband - 3 - orientation;
            for (dy, dx) in CROSS {
                m.push(level_row(place(subband - 3, y / 2, dy, x / 2, dx)));
            }
            for number in first..first + 3 {
                let parent = place(number, y / 2, 0, x / 2, 0);
                if number != subband - 3 {
                    m.push(level_row(parent));
                }
                s.push(signed_row(parent));
            }
            others[2] = level_row(place(subband - 3, y / 2, 0, x / 2, 0));
        }
        m.sums[1] = others;
        let (height, width) = grid(layout, depth as u8);
        let first = self.levels[depth];
        let row = |kind: usize, y: usize, x: usize| {
            (first + kind * height * width + y.min(height - 1) * width + x.min(width - 1)) * channels
        };
        m.sums[2] = [row(OWN, y, x), 0, 0];
        let (north, west) = (y.saturating_sub(1), x.saturating_sub(1));
        for (y, x) in [(y, x), (y, x + 1), (y + 1, x), (y, west), (north, x)] {
            m.push(row(OWN, y, x));
            s.push(row(OWN, y, x));
        }
        SLOPES.iter().for_each(|&kind| m.push(row(kind, y, x)));
        SIGNED_SLOPES.iter().for_each(|&kind| s.push(row(kind, y, x)));
        s.push(level_row(own));
        s.sums[1] = [row(SIGNED_SLOPES[orientation], y, x), 0, 0];
        if orientation > 0 {
            s.sums[2] = [signed_row(place(subband - 1, y, 0, x, 0)), 0, 0];
        }
    }
}

/// Numbers of inputs of the networks of a subband, for magnitudes and for signs.
pub(super) fn input_counts(subband: usize) -> (usize, usize) {
    if subband == 0 {
        return (6, 4);
    }
    let before = CROSS.len() * ((subband - 1) % 3);
    let (parents, signed_parents) = if subband > 3 { (CROSS.len() + 2, 3) } else { (0, 0) };
    let approximation = CROSS.len() + SLOPES.len();
    (6 + before + parents + approximation, 4 + before + signed_parents + approximation + 1)
}

/// Height and width of the approximation at a level.
fn grid(layout: &SubbandLayout, level: u8) -> (usize, usize) {
    let shrunk = |size: usize| size.div_ceil(1 << level);
    (shrunk(layout.height), shrunk(layout.width))
}

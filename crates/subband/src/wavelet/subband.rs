//! Subbands of a plane: their order, sizes and places in the coefficient buffer (FORMAT.md, "Subbands").

use std::fmt;

/// Which filters made a subband; the first letter is the horizontal direction, so `HL` is high-pass
/// along x (it answers to vertical edges).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[allow(missing_docs)]
pub enum Orientation {
    LL,
    HL,
    LH,
    HH,
}

/// A subband by name: level (1 = finest) and orientation. Level 0 is the untransformed plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Subband {
    /// Decomposition level, 1 = finest; 0 where there is no transform.
    pub level: u8,
    /// Filters along x and y.
    pub orientation: Orientation,
}

impl Subband {
    /// The subband at a position of the coding order: LL first, then HL, LH, HH from the coarsest
    /// level to the finest.
    pub fn at(index: usize, levels: u8) -> Subband {
        if index == 0 {
            return Subband { level: levels, orientation: Orientation::LL };
        }
        let orientation = [Orientation::HL, Orientation::LH, Orientation::HH][(index - 1) % 3];
        Subband { level: levels - ((index - 1) / 3) as u8, orientation }
    }
}

impl fmt::Display for Subband {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.orientation, self.level)
    }
}

/// Number of subbands of a transform of `levels` levels.
pub(crate) const fn subband_count(levels: u8) -> usize {
    3 * levels as usize + 1
}

/// Size and place of one subband of a plane in its coefficient buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubbandBlock {
    pub height: usize,
    pub width: usize,
    /// Position of the first coefficient in the buffer of the plane.
    pub offset: usize,
}

impl SubbandBlock {
    pub fn len(&self) -> usize {
        self.height * self.width
    }

    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// Where the coefficients of a plane lie: one row-major block a subband, in coding order.
///
/// The non-expansive split of n samples is ceil(n/2) low-pass and floor(n/2) high-pass ones, so a
/// dimension of size 1 has empty high-pass blocks; the blocks always add up to the plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubbandLayout {
    pub height: usize,
    pub width: usize,
    pub levels: u8,
    /// `subband_count(levels)` blocks.
    pub blocks: Vec<SubbandBlock>,
}

impl SubbandLayout {
    pub fn new(height: usize, width: usize, levels: u8) -> Self {
        let sizes: Vec<(usize, usize)> =
            (0..=levels).map(|level| (shrunk(height, level), shrunk(width, level))).collect();
        let mut blocks = Vec::with_capacity(subband_count(levels));
        let mut offset = 0;
        let mut push = |height: usize, width: usize| {
            blocks.push(SubbandBlock { height, width, offset });
            offset += height * width;
        };
        let (low_height, low_width) = sizes[levels as usize];
        push(low_height, low_width);
        for level in (1..=levels as usize).rev() {
            let (height, width) = sizes[level - 1];
            let (low_height, low_width) = sizes[level];
            push(low_height, width - low_width);
            push(height - low_height, low_width);
            push(height - low_height, width - low_width);
        }
        SubbandLayout { height, width, levels, blocks }
    }

    pub fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Height and width of the region that the step from `level - 1` to `level` transforms.
    pub fn region(&self, level: u8) -> (usize, usize) {
        (shrunk(self.height, level - 1), shrunk(self.width, level - 1))
    }
}

/// `size` after `level` low-pass splits.
fn shrunk(size: usize, level: u8) -> usize {
    (0..level).fold(size, |size, _| size.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_tile_the_plane() {
        let layout = SubbandLayout::new(7, 5, 2);
        let sizes: Vec<_> = layout.blocks.iter().map(|b| (b.height, b.width, b.offset)).collect();
        assert_eq!(sizes, [(2, 2, 0), (2, 1, 4), (2, 2, 6), (2, 1, 10), (4, 2, 12), (3, 3, 20), (3, 2, 29)]);
        assert_eq!(layout.blocks.last().unwrap().range().end, 35);
    }

    #[test]
    fn names_follow_the_coding_order() {
        let names: Vec<String> = (0..7).map(|i| Subband::at(i, 2).to_string()).collect();
        assert_eq!(names, ["LL2", "HL2", "LH2", "HH2", "HL1", "LH1", "HH1"]);
    }
}

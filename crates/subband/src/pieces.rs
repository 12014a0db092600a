//! What is transformed at a time: small planes several together, large ones in strips of rows where the wavelet does not reach
//! beyond, so that values, coefficients and indices stay in the first cache.

use std::ops::Range;

use crate::kernel::ABREAST;
use crate::wavelet::{Subband, SubbandLayout, Wavelet};

/// Values transformed at a time.
const VALUES_AT_A_TIME: usize = 4096;
/// Larger planes are not lifted several abreast, which would take all caches.
const MAX_ABREAST: usize = 1 << 18;

/// What is transformed at a time: some planes of a chunk, or some rows of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Planes, from 0 for the first of the chunk.
    pub slots: Range<usize>,
    pub rows: Range<usize>,
}

/// How planes are cut into strips of rows.
#[derive(Debug, Clone)]
struct Strips {
    /// Of all but the last, a multiple of `1 << levels`.
    rows: usize,
    layout: SubbandLayout,
    last: SubbandLayout,
    count: usize,
}

impl Strips {
    /// `None` where whole planes are as well.
    fn new(plane: &SubbandLayout) -> Option<Self> {
        if plane.plane() <= 2 * VALUES_AT_A_TIME {
            return None;
        }
        let unit = 1 << plane.levels;
        let most = (VALUES_AT_A_TIME / plane.width).max(unit);
        let rows = plane.height.div_ceil(plane.height.div_ceil(most)).next_multiple_of(unit);
        // A rest of so few rows that it would be a single one before the last level is transformed as such, which it is not
        // in the plane: it belongs to the strip before.
        let rest = plane.height % rows;
        let count = plane.height / rows + usize::from(rest > unit / 2);
        let layout = |rows| SubbandLayout::new(rows, plane.width, plane.levels);
        let last = plane.height.checked_sub(rows * count.checked_sub(1)?)?;
        (count > 1).then(|| Strips { rows, layout: layout(rows), last: layout(last), count })
    }
}

/// How chunks of planes of one size are cut into pieces.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    plane: SubbandLayout,
    at_a_time: usize,
    strips: Option<Strips>,
}

impl Pieces {
    pub fn new(plane: &SubbandLayout, wavelet: Wavelet) -> Self {
        let together = wavelet == Wavelet::Haar || plane.levels == 0;
        let abreast = if plane.plane() <= MAX_ABREAST { ABREAST } else { 1 };
        Pieces {
            plane: plane.clone(),
            at_a_time: if together { (VALUES_AT_A_TIME / plane.plane().max(1)).max(1) } else { abreast },
            strips: Strips::new(plane).filter(|_| together),
        }
    }

    /// With planes in one piece, however large.
    pub fn with_whole_planes(self) -> Self {
        Pieces { strips: None, ..self }
    }

    /// The pieces of so many planes, in order.
    pub fn of(&self, planes: usize) -> impl Iterator<Item = Piece> + '_ {
        let strips = self.strips.as_ref().map_or(1, |strips| strips.count);
        (0..planes).step_by(self.at_a_time).flat_map(move |slot| {
            let slots = slot..(slot + self.at_a_time).min(planes);
            (0..strips).map(move |number| Piece { slots: slots.clone(), rows: self.rows(number) })
        })
    }

    /// Each plane a piece.
    pub fn whole(&self, planes: usize) -> impl Iterator<Item = Piece> + '_ {
        (0..planes).map(|slot| Piece { slots: slot..slot + 1, rows: 0..self.plane.height })
    }

    fn rows(&self, strip: usize) -> Range<usize> {
        match &self.strips {
            Some(strips) if strip + 1 < strips.count => strip * strips.rows..(strip + 1) * strips.rows,
            Some(strips) => strip * strips.rows..self.plane.height,
            None => 0..self.plane.height,
        }
    }

    /// Where the values of a piece are among those of the planes.
    pub fn values(&self, piece: &Piece) -> Range<usize> {
        let (plane, width) = (self.plane.plane(), self.plane.width);
        piece.slots.start * plane + piece.rows.start * width..(piece.slots.end - 1) * plane + piece.rows.end * width
    }

    /// The layout of the planes of a piece, as if they were no larger.
    pub fn layout(&self, piece: &Piece) -> &SubbandLayout {
        match &self.strips {
            Some(strips) if piece.rows.len() == strips.rows => &strips.layout,
            Some(strips) if piece.rows.len() == strips.last.height => &strips.last,
            _ => &self.plane,
        }
    }

    /// Where the indices of a subband are, in a chunk of so many channels, for some of the planes of a piece.
    pub fn range(&self, subband: usize, channels: usize, piece: &Piece, slots: Range<usize>) -> Range<usize> {
        let block = self.plane.blocks[subband];
        let row = piece.rows.start >> Subband::at(subband, self.plane.levels).level;
        let start = block.offset * channels + (piece.slots.start + slots.start) * block.len() + row * block.width;
        start..start + slots.len() * self.layout(piece).blocks[subband].len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces have every value and every index once, in order, and no strip has a single row before the last level.
    #[test]
    fn pieces_tile_a_chunk() {
        for (height, width) in [(1, 1), (8, 8), (33, 31), (112, 112), (113, 200), (1000, 9), (57, 400), (3, 5000)] {
            for (levels, wavelet) in [(0, Wavelet::None), (1, Wavelet::Haar), (3, Wavelet::Haar), (5, Wavelet::Haar)] {
                let layout = SubbandLayout::new(height, width, levels);
                let pieces = Pieces::new(&layout, wavelet);
                let channels = 5;
                let mut next = 0;
                let mut seen = vec![0; layout.plane() * channels];
                for piece in pieces.of(channels) {
                    let values = pieces.values(&piece);
                    assert_eq!(values.start, next);
                    next = values.end;
                    let own = pieces.layout(&piece);
                    assert_eq!(own.height, piece.rows.len());
                    assert!(piece.rows.len() == height || levels == 0 || own.region(levels).0 > 1);
                    for subband in 0..layout.blocks.len() {
                        let range = pieces.range(subband, channels, &piece, 0..piece.slots.len());
                        seen[range].iter_mut().for_each(|seen| *seen += 1);
                    }
                }
                assert_eq!(next, layout.plane() * channels, "{height}x{width} {levels}");
                assert!(seen.iter().all(|&seen| seen == 1), "{height}x{width} {levels}");
            }
        }
    }
}

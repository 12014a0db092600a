//! How the axes of a map become the planes that are coded.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// How a map of one input is seen as planes `[C, H, W]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// By its axes: `[C, H, W]` as it is; more axes before the last two are all channels. Maps of two axes are refused,
    /// since lines and tokens look alike.
    #[default]
    Auto,
    /// `[C, L]`: every channel is a line of L values, a plane of height 1.
    Lines,
    /// `[T, C]`, tokens of a transformer: every channel is a plane of T values, square where T is a square, else of
    /// height 1 (as with a class token).
    Tokens,
}

impl Layout {
    /// How a map of axes `shape` (without the batch) is coded.
    ///
    /// # Errors
    /// `InvalidArgument`, with the reason, for shapes that no layout fits.
    pub fn planes(self, name: &str, shape: &[usize]) -> Result<Planes> {
        let refuse =
            |reason: &str| Err(Error::argument(format!("`{name}` of shape {shape:?} cannot be coded: {reason}")));
        if shape.contains(&0) {
            return refuse("an axis is empty");
        }
        match (self, shape) {
            (Self::Tokens, &[tokens, channels]) => {
                let side = tokens.isqrt();
                let [height, width] = if side * side == tokens { [side, side] } else { [1, tokens] };
                Ok(Planes { shape: [channels, height, width], transposed: true })
            }
            (Self::Lines, &[channels, length]) => Ok(Planes { shape: [channels, 1, length], transposed: false }),
            (Self::Auto, [_, _]) => {
                refuse("say with --layout whether its axes are tokens (a transformer's [T, C]) or lines ([C, L])")
            }
            (_, [before @ .., height, width]) if !before.is_empty() => {
                Ok(Planes { shape: [before.iter().product(), *height, *width], transposed: false })
            }
            _ => refuse("it has fewer than two axes beside the batch"),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Lines => "lines",
            Self::Tokens => "tokens",
        })
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Auto, Self::Lines, Self::Tokens]
            .into_iter()
            .find(|layout| layout.to_string() == text)
            .ok_or_else(|| Error::argument(format!("layout `{text}` is unknown: there are auto, lines and tokens")))
    }
}

/// The planes of one input's map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planes {
    /// `[C, H, W]`.
    pub shape: [usize; 3],
    /// Whether channels are the last axis of the map, and not the first.
    transposed: bool,
}

impl Planes {
    /// Number of values.
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the map's values are in the order of the planes.
    pub(crate) fn is_plain(&self) -> bool {
        !self.transposed
    }

    /// The map's values in the order of the planes.
    pub(crate) fn gather(&self, map: &[f32], planes: &mut Vec<f32>) {
        let channels = self.shape[0];
        planes.clear();
        planes.extend((0..channels).flat_map(|channel| map[channel..].iter().step_by(channels)));
    }

    /// The inverse of [`gather`](Self::gather).
    pub(crate) fn scatter(&self, planes: &[f32], map: &mut [f32]) {
        let channels = self.shape[0];
        let size = map.len() / channels;
        for (channel, plane) in planes.chunks_exact(size).enumerate() {
            for (value, &of_plane) in map[channel..].iter_mut().step_by(channels).zip(plane) {
                *value = of_plane;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_by_hand() {
        let planes = |layout: Layout, shape: &[usize]| layout.planes("x", shape).map(|planes| planes.shape);
        assert_eq!(planes(Layout::Auto, &[8, 5, 7]).unwrap(), [8, 5, 7]);
        assert_eq!(planes(Layout::Auto, &[8, 3, 5, 7]).unwrap(), [24, 5, 7]);
        assert_eq!(planes(Layout::Lines, &[8, 5]).unwrap(), [8, 1, 5]);
        assert_eq!(planes(Layout::Tokens, &[49, 6]).unwrap(), [6, 7, 7]);
        assert_eq!(planes(Layout::Tokens, &[50, 6]).unwrap(), [6, 1, 50]);
        assert!(planes(Layout::Auto, &[50, 6]).unwrap_err().to_string().contains("--layout"));
        assert!(planes(Layout::Auto, &[6]).is_err() && planes(Layout::Auto, &[6, 0, 2]).is_err());
    }

    #[test]
    fn tokens_become_planes_and_come_back() {
        let planes = Layout::Tokens.planes("x", &[4, 2]).unwrap();
        let map = [0., 10., 1., 11., 2., 12., 3., 13.];
        let mut gathered = Vec::new();
        planes.gather(&map, &mut gathered);
        assert_eq!(gathered, [0., 1., 2., 3., 10., 11., 12., 13.]);
        let mut back = [0.0; 8];
        planes.scatter(&gathered, &mut back);
        assert_eq!(back, map);
    }
}

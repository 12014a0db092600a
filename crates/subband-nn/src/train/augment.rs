use crate::data::Batch;
use crate::rng::Rng;

/// Shifts every image by up to `padding` pixels either way, black coming in at the borders, and mirrors half of them:
/// the usual random crop out of a padded image and horizontal flip.
///
/// Each image draws from a stream of its own (`stream` names the batch), so the result does not depend on threads.
pub(super) fn augment(batch: &mut Batch, padding: usize, flip: bool, seed: u64, stream: [u64; 2]) {
    let [channels, height, width] = batch.shape;
    let plane = height * width;
    let mut source = vec![0u8; channels * plane];
    for (index, image) in batch.pixels.chunks_exact_mut(channels * plane).enumerate() {
        let mut rng = Rng::for_stream(seed, &[stream[0], stream[1], index as u64]);
        let down = rng.below(2 * padding + 1) as isize - padding as isize;
        let right = rng.below(2 * padding + 1) as isize - padding as isize;
        let mirror = rng.coin() && flip;
        source.copy_from_slice(image);
        for (from, to) in source.chunks_exact(plane).zip(image.chunks_exact_mut(plane)) {
            shift(from, to, width, down, right);
            if mirror {
                to.chunks_exact_mut(width).for_each(<[u8]>::reverse);
            }
        }
    }
}

/// `to[y][x] = from[y + down][x + right]`, zero outside.
fn shift(from: &[u8], to: &mut [u8], width: usize, down: isize, right: isize) {
    to.fill(0);
    let first = (-right).max(0) as usize;
    let end = (width as isize - right.max(0)).max(0) as usize;
    for (y, row) in to.chunks_exact_mut(width).enumerate() {
        let source = (y as isize + down) * width as isize;
        if source < 0 || source as usize >= from.len() || first >= end {
            continue;
        }
        let start = (source + first as isize + right) as usize;
        row[first..end].copy_from_slice(&from[start..start + end - first]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_bring_in_black() {
        let from = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        let shifted = |down, right| {
            let mut to = [99; 9];
            shift(&from, &mut to, 3, down, right);
            to
        };
        assert_eq!(shifted(0, 0), from);
        assert_eq!(shifted(1, 0), [4, 5, 6, 7, 8, 9, 0, 0, 0]);
        assert_eq!(shifted(-1, 1), [0, 0, 0, 2, 3, 0, 5, 6, 0]);
        assert_eq!(shifted(0, -2), [0, 0, 1, 0, 0, 4, 0, 0, 7]);
        assert_eq!(shifted(3, 0), [0; 9]);
        assert_eq!(shifted(0, 4), [0; 9]);
    }

    #[test]
    fn the_same_stream_gives_the_same_images() {
        let run = |stream| {
            let mut batch = Batch::with_capacity([1, 4, 4], 8);
            batch.pixels = (0..128).collect();
            batch.labels = vec![0; 8];
            augment(&mut batch, 2, true, 5, stream);
            batch.pixels
        };
        assert_eq!(run([1, 2]), run([1, 2]));
        assert_ne!(run([1, 2]), run([1, 3]));
    }
}

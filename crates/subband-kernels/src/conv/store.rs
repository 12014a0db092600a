//! The way from registers, 16 channels to a vector, into the planes of the target.

use super::Epilogue;
use crate::simd::{LANES, Simd, prefetch};

/// Where the results of 16 channels of one image go.
pub(super) struct Block<'a> {
    pub epilogue: Epilogue<'a>,
    pub first_channel: usize,
    /// At most 16.
    pub channels: usize,
    pub plane: usize,
    /// From the block's first channel on.
    pub target: &'a mut [f32],
    /// Of `target` in the whole tensor.
    pub whole: usize,
    /// What `store` works on: a vector of pixels per channel.
    pub turned: Square<{ LANES * LANES }>,
}

/// Room for `N` floats that starts with a cache line.
#[repr(align(64))]
pub(super) struct Square<const N: usize>(pub [f32; N]);

impl Block<'_> {
    /// Fetches the cache lines that `store` will write after the next tile.
    #[inline(always)]
    pub fn prefetch(&self, at: usize) {
        for channel in 0..self.channels {
            prefetch::<true>(&self.target[channel * self.plane + at..]);
        }
    }

    /// Stores `len`, at most 16, of the 16 `pixels`, a vector of channels each, to pixel `at` of each plane.
    #[inline(always)]
    pub fn store<S: Simd>(&mut self, s: S, pixels: &[f32], at: usize, len: usize) {
        if let Epilogue { bias: None, residual: None, relu: false } = self.epilogue
            && [self.channels, len] == [LANES, LANES]
        {
            s.transpose_rows(pixels, LANES, &mut self.target[at..], self.plane);
            return;
        }
        let mut square = [s.splat(0.0); LANES];
        for (v, from) in square.iter_mut().zip(pixels[..LANES * LANES].chunks_exact(LANES)) {
            *v = s.load(from);
        }
        if let Some(bias) = self.epilogue.bias {
            let bias = s.load_part(&bias[self.first_channel..][..self.channels]);
            for v in &mut square {
                *v = s.add(*v, bias);
            }
        }
        s.transpose(&mut square);
        // By way of memory, so that the loop over the channels need not be unrolled.
        for (v, to) in square.iter().zip(self.turned.0.chunks_exact_mut(LANES)) {
            s.store(*v, to);
        }
        for (channel, pixels) in self.turned.0.chunks_exact(LANES).take(self.channels).enumerate() {
            let at = channel * self.plane + at;
            let mut v = s.load(pixels);
            if let Some(residual) = self.epilogue.residual {
                v = s.add(v, s.load_any(&residual[self.whole + at..][..len]));
            }
            if self.epilogue.relu {
                v = s.relu(v);
            }
            s.store_any(v, &mut self.target[at..][..len]);
        }
    }
}

//! Blosc2 with its bit shuffle in front of zstd or LZ4.

use blosc2_sys as sys;

/// The compressor behind the bit shuffle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blosc2Codec {
    /// Level 5 of Blosc2.
    Zstd,
    /// LZ4.
    Lz4,
}

/// Contexts to compress and to decompress, of one thread.
#[derive(Debug)]
pub struct Blosc2 {
    compressor: *mut sys::blosc2_context,
    decompressor: *mut sys::blosc2_context,
}

// SAFETY: the contexts belong to this object alone, use no thread-local state, and are used through `&mut self`.
unsafe impl Send for Blosc2 {}

impl Blosc2 {
    /// For elements of `size` bytes. None where Blosc2 cannot make a context.
    pub fn new(codec: Blosc2Codec, size: usize) -> Option<Self> {
        // SAFETY: both contexts come from parameters that Blosc2 itself gives, with numbers of it changed; null is checked.
        unsafe {
            sys::blosc2_init();
            let mut parameters = sys::blosc2_get_blosc2_cparams_defaults();
            parameters.compcode = match codec {
                Blosc2Codec::Zstd => sys::BLOSC_ZSTD,
                Blosc2Codec::Lz4 => sys::BLOSC_LZ4,
            } as u8;
            parameters.clevel = 5;
            parameters.typesize = i32::try_from(size).ok()?;
            parameters.nthreads = 1;
            parameters.filters = [0; 6];
            parameters.filters[5] = sys::BLOSC_BITSHUFFLE as u8;
            let new = Self {
                compressor: sys::blosc2_create_cctx(parameters),
                decompressor: sys::blosc2_create_dctx(sys::blosc2_get_blosc2_dparams_defaults()),
            };
            (!new.compressor.is_null() && !new.decompressor.is_null()).then_some(new)
        }
    }

    /// Appends the compressed bytes to `out`; false where Blosc2 fails, as for more than 2 GB.
    pub fn compress(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.resize(start + bytes.len() + sys::BLOSC2_MAX_OVERHEAD as usize, 0);
        let (Ok(size), Ok(room)) = (i32::try_from(bytes.len()), i32::try_from(out.len() - start)) else { return false };
        let target = out[start..].as_mut_ptr();
        // SAFETY: both lengths are those of the slices; the context is not null.
        let length =
            unsafe { sys::blosc2_compress_ctx(self.compressor, bytes.as_ptr().cast(), size, target.cast(), room) };
        out.truncate(start + usize::try_from(length).unwrap_or(0));
        length > 0
    }

    /// Decompresses into `out`; false where the bytes are not of as many.
    pub fn decompress(&mut self, bytes: &[u8], out: &mut [u8]) -> bool {
        let (Ok(size), Ok(room)) = (i32::try_from(bytes.len()), i32::try_from(out.len())) else { return false };
        // SAFETY: both lengths are those of the slices, and Blosc2 checks the chunk against them; the context is not null.
        let length = unsafe {
            sys::blosc2_decompress_ctx(self.decompressor, bytes.as_ptr().cast(), size, out.as_mut_ptr().cast(), room)
        };
        length == room
    }
}

impl Drop for Blosc2 {
    fn drop(&mut self) {
        for context in [self.compressor, self.decompressor] {
            if !context.is_null() {
                // SAFETY: made by Blosc2 and freed here only.
                unsafe { sys::blosc2_free_ctx(context) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        let bytes: Vec<u8> = (0..40_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        for codec in [Blosc2Codec::Zstd, Blosc2Codec::Lz4] {
            let mut blosc = Blosc2::new(codec, 4).unwrap();
            let mut out = Vec::new();
            assert!(blosc.compress(&bytes, &mut out) && out.len() < bytes.len() / 4, "{}", out.len());
            let mut decoded = vec![0; bytes.len()];
            assert!(blosc.decompress(&out, &mut decoded));
            assert_eq!(decoded, bytes);
            assert!(!blosc.decompress(&out[..out.len() / 2], &mut decoded));
        }
    }
}

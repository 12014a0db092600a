//! zfp (Lindstrom, "Fixed-Rate Compressed Floating-Point Arrays", TVCG 2014) in its fixed-accuracy mode, on 2-D arrays.

use std::ptr::null_mut;

use zfp_sys as sys;

/// Compressed arrays of one size, the buffer kept.
///
/// zfp does not check what it decodes against the end of the bytes, so only what this object compressed can be decompressed.
#[derive(Debug, Default)]
pub struct Zfp {
    /// zfp writes and reads whole words.
    words: Vec<u64>,
    /// Length of the compressed data in bytes; 0 for none.
    length: usize,
    tolerance: f64,
    shape: [usize; 2],
}

impl Zfp {
    /// Compresses `rows x columns` values so that no error exceeds `tolerance`; returns the bytes, or none where zfp fails.
    ///
    /// # Panics
    /// Where `values` are not as many as the shape says.
    pub fn compress(&mut self, values: &[f32], [rows, columns]: [usize; 2], tolerance: f64) -> Option<&[u8]> {
        assert_eq!(rows.checked_mul(columns), Some(values.len()), "shape {rows} x {columns}");
        (self.length, self.tolerance, self.shape) = (0, tolerance, [rows, columns]);
        // zfp takes a pointer to what it may write, but compression only reads.
        self.length = self.run(values.as_ptr().cast_mut(), true)?;
        bytes_of(&self.words).get(..self.length)
    }

    /// Writes the values that were compressed last into `values`; false where zfp fails or nothing was compressed.
    ///
    /// # Panics
    /// Where `values` are not as many as were compressed.
    pub fn decompress(&mut self, values: &mut [f32]) -> bool {
        assert_eq!(self.shape.iter().product::<usize>(), values.len(), "shape {:?}", self.shape);
        self.length > 0 && self.run(values.as_mut_ptr(), false).is_some()
    }

    /// Compresses from, or decompresses to, `rows x columns` values. Returns the compressed length.
    fn run(&mut self, values: *mut f32, compress: bool) -> Option<usize> {
        let [rows, columns] = self.shape;
        // SAFETY: `values` points to rows * columns floats, as both callers check, that are valid for reading, and for writing
        // where this decompresses, until the field is freed below. The stream reads and writes within `words`, which is as
        // large as zfp_stream_maximum_size asks for this field and mode before anything is written, has zfp's word
        // alignment, and is not touched until the stream is closed. Decompressing reads what compressing wrote with the
        // same field and mode. Everything opened is freed, once.
        unsafe {
            let field = sys::zfp_field_2d(values.cast(), sys::zfp_type_zfp_type_float, columns, rows);
            let zfp = sys::zfp_stream_open(null_mut());
            sys::zfp_stream_set_accuracy(zfp, self.tolerance);
            if compress {
                let most = sys::zfp_stream_maximum_size(zfp, field);
                self.words.resize(most.div_ceil(8), 0);
            }
            let stream = sys::stream_open(self.words.as_mut_ptr().cast(), self.words.len() * 8);
            sys::zfp_stream_set_bit_stream(zfp, stream);
            sys::zfp_stream_rewind(zfp);
            let length = if compress { sys::zfp_compress(zfp, field) } else { sys::zfp_decompress(zfp, field) };
            sys::stream_close(stream);
            sys::zfp_stream_close(zfp);
            sys::zfp_field_free(field);
            (length > 0).then_some(length)
        }
    }
}

fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: every byte of a u64 is a u8, and the length is that of the words.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_the_tolerance() {
        let values: Vec<f32> = (0..13 * 21).map(|i| (i as f32 * 0.1).sin()).collect();
        let mut zfp = Zfp::default();
        for tolerance in [0.1, 1e-3] {
            let bytes = zfp.compress(&values, [13, 21], tolerance).unwrap().len();
            assert!(bytes < 4 * values.len(), "{bytes}");
            let mut decoded = vec![0.0; values.len()];
            assert!(zfp.decompress(&mut decoded));
            assert!(values.iter().zip(&decoded).all(|(a, b)| f64::from((a - b).abs()) <= tolerance));
        }
    }
}

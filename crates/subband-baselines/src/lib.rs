//! Codes for quantized feature maps that the literature on accelerators proposes, encoder and decoder each, to compare
//! with.
//!
//! Each is lossless on 8-bit or 16-bit indices, writes bytes that decode, and follows its paper; where a paper leaves
//! something open, the file says what was chosen. None stores how many values there are: an accelerator knows the shape
//! of its maps, and so does the [`Layout`] that the decoder is given.
//!
//! ```
//! use subband_baselines::{Code, Layout, Width};
//!
//! let layout = Layout { width: Width::Eight, rows: 2, columns: 4 };
//! let indices = [0, 0, 5, 0, 0, -1, 0, 0];
//! let bytes = Code::Zvc.encode(&indices, layout)?;
//! assert_eq!(bytes, [0b0010_0100, 5, 255]);
//! assert_eq!(Code::Zvc.decode(&bytes, layout)?, indices);
//! # Ok::<(), subband_baselines::Error>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bit_plane;
mod bits;
mod bpc;
mod csc;
mod ebpc;
mod error;
mod huffman;
mod package_merge;
mod run_value;
mod seg;
mod zrle;
mod zvc;

pub use error::{Error, ErrorKind, Result};

/// Bits of an index, two's complement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// -128 to 127.
    Eight,
    /// -32,768 to 32,767.
    Sixteen,
}

impl Width {
    /// 8 or 16.
    pub fn bits(self) -> u32 {
        match self {
            Width::Eight => 8,
            Width::Sixteen => 16,
        }
    }

    /// The narrowest width that holds all of `indices`.
    pub fn of(indices: &[i16]) -> Self {
        if indices.iter().all(|&index| Width::Eight.holds(index.into())) { Width::Eight } else { Width::Sixteen }
    }

    pub(crate) fn holds(self, index: i32) -> bool {
        let half = 1 << (self.bits() - 1);
        (-half..half).contains(&index)
    }

    /// The low bits of the two's complement.
    pub(crate) fn to_word(self, index: i16) -> u32 {
        u32::from(index as u16) & ((1 << self.bits()) - 1)
    }

    pub(crate) fn index_of_word(self, word: u32) -> i16 {
        match self {
            Width::Eight => (word as u8 as i8).into(),
            Width::Sixteen => word as u16 as i16,
        }
    }
}

/// What encoder and decoder know beforehand: the width and the shape of the indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bits of an index.
    pub width: Width,
    /// Rows, over all planes: channels x height.
    pub rows: usize,
    /// Values of a row.
    pub columns: usize,
}

impl Layout {
    /// Number of indices, or an error where it is absurd.
    pub(crate) fn count(self) -> Result<usize> {
        let count = self.rows.checked_mul(self.columns).filter(|&count| count <= isize::MAX as usize / 4);
        count.ok_or_else(|| Error::invalid(format!("{} rows of {} values do not fit memory", self.rows, self.columns)))
    }
}

/// A code of the literature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Zero-value compression: a mask, then the other values.
    Zvc,
    /// Zero run-length.
    Zrle,
    /// Bit-plane compression.
    Bpc,
    /// Extended bit-plane compression.
    Ebpc,
    /// Signed sparse exp-Golomb.
    Seg,
    /// Canonical Huffman.
    Huffman,
    /// Compressed sparse columns with run lengths.
    Csc,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 7] = [Self::Zvc, Self::Zrle, Self::Bpc, Self::Ebpc, Self::Seg, Self::Huffman, Self::Csc];

    /// A short lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zvc => "zvc",
            Self::Zrle => "zrle",
            Self::Bpc => "bpc",
            Self::Ebpc => "ebpc",
            Self::Seg => "seg",
            Self::Huffman => "huffman",
            Self::Csc => "csc",
        }
    }

    /// The bytes of `indices`, row-major.
    ///
    /// # Errors
    /// `InvalidArgument` where there are not `rows x columns` of them, or one does not fit the width.
    pub fn encode(self, indices: &[i16], layout: Layout) -> Result<Vec<u8>> {
        let count = layout.count()?;
        if indices.len() != count {
            return Err(Error::invalid(format!(
                "{} indices were given: {} rows of {} have {count}",
                indices.len(),
                layout.rows,
                layout.columns
            )));
        }
        if let Some(index) = indices.iter().find(|&&index| !layout.width.holds(index.into())) {
            return Err(Error::invalid(format!("index {index} was given: allowed are -128 to 127 at 8 bits")));
        }
        Ok(match self {
            Self::Zvc => zvc::encode(indices, layout.width),
            Self::Zrle => zrle::encode(indices, layout.width),
            Self::Bpc => bpc::encode(indices, layout.width),
            Self::Ebpc => ebpc::encode(indices, layout.width),
            Self::Seg => seg::encode(indices),
            Self::Huffman => huffman::encode(indices, layout.width),
            Self::Csc => csc::encode(indices, layout),
        })
    }

    /// The indices in `bytes`.
    ///
    /// # Errors
    /// `Truncated` where the bytes end too early, `Corrupt` where they are not what [`encode`](Self::encode) writes for
    /// this layout, `InvalidArgument` for a layout without sense.
    pub fn decode(self, bytes: &[u8], layout: Layout) -> Result<Vec<i16>> {
        let count = layout.count()?;
        match self {
            Self::Zvc => zvc::decode(bytes, count, layout.width),
            Self::Zrle => zrle::decode(bytes, count, layout.width),
            Self::Bpc => bpc::decode(bytes, count, layout.width),
            Self::Ebpc => ebpc::decode(bytes, count, layout.width),
            Self::Seg => seg::decode(bytes, count, layout.width),
            Self::Huffman => huffman::decode(bytes, count, layout.width),
            Self::Csc => csc::decode(bytes, layout),
        }
    }
}

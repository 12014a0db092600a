//! Floats without loss (FORMAT.md, "Lossless floats"): no transform, since sums of floats round; the bits of
//! each value are split into a token, which contexts predict, and raw bits, which nothing predicts.
//!
//! What was measured on ReLU maps (docs/RESULTS.md): mantissas below the first bit or two are noise, so all
//! there is to gain is in zeros and exponents, and those follow their neighbours to the left and above.
//! Deltas of the ordered integer image code that noise twice and lose.

mod lanes;
mod model;
mod palette;
mod stream;
mod survey;
mod tokens;

pub(crate) use lanes::{DecodeTables, decode_lanes};
pub(crate) use model::{
    BOUNDS, CONTEXTS, FloatFormat, FloatModel, FloatParameters, MAX_PALETTE, from_palette_order, palette_order,
};
pub(crate) use stream::{FloatDecoder, FloatScratch, compress_floats};
pub(crate) use tokens::RowGrid;

//! The spread model: which magnitude table codes an index, by an estimate of how far its channel spreads around zero there
//! (FORMAT.md, "Spread model").
//!
//! Read this first. An index is taken to be a rounded number of a logistic distribution, which fits those of retrained networks
//! within half a percent. The estimate is the logarithm of that distribution's spread: an offset by subband and channel, plus a
//! weighted sum of logarithms of what is decoded already, all of the same channel: neighbours, parents, the other subbands of
//! the level, and above all the approximation that the coarser subbands make, its height and its slopes. Where the
//! approximation of a ReLU's output is zero, details are, and where it is steep they are large, with the slope's sign. An
//! eighth of an octave of the estimate is a bin, and a bin of a subband has a table. The sign has a probability by the slope.
//! Against weighted magnitudes without the approximation (`entropy/activity`) this takes a ninth off the indices of a
//! retrained ResNet-20, and a logarithm for a logarithm makes it one multiply-add each in 16 bits.
//!
//! Everything is kept place by place, in each channel by channel. All that an estimate looks at but the neighbour to the left
//! and the one above is known before a subband begins, so nearly all of it is long loops over whole rows.
//!
//! In streams a model takes a few bytes: weights and tables that are built in, and offsets by subband and, where they pay, by
//! channel, once for LL and once for all other subbands, which a few passes over the indices find. Offsets are what a stream must
//! tell: built-in weights and tables with offsets by subband and by channel of LL alone take 5% more than a profile's own, with
//! those of channels in the details 2.5%, and a profile's weights and offsets with built-in tables still 2%.

mod builtin;
mod fit;
mod model;
mod surroundings;
mod walk;

pub(crate) use builtin::tables as built_in_tables;
pub(crate) use fit::{KeptMaps, SpreadCounts, channels_in, models_for_stream};
pub(crate) use model::{INPUTS, SIGN_BINS, SIGN_SHARE_BITS, SpreadModel};
pub(crate) use surroundings::SIGNED_CAP;
pub(crate) use walk::{Row, SpreadScratch, SpreadWalk, capped, sign_context};

/// Bins of the estimate in each subband.
pub(crate) const BINS: usize = 128;
/// Estimates are in units of 1/256 octave.
pub(crate) const UNITS: i16 = 256;
/// An eighth octave a bin.
pub(crate) const BIN_SHIFT: u32 = 5;
/// The first bin ends 6 octaves below a spread of 1.
pub(crate) const FIRST_BIN: i16 = -48;

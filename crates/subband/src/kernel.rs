//! Inner loops by instruction set, chosen at run time. Each does what its plain version does, bit for bit.
//!
//! Most kernels are plain loops over slices, written so that the compiler vectorises them, and compiled once an
//! instruction set by [`multiversion`]; there the plain version and the fast ones are one text. Where that is not enough
//! a kernel has intrinsics beside the plain loop, and a test that both agree.
//!
//! This is the only place of the crate with unsafe code. What is unsafe about it: calling a function compiled for an
//! instruction set, which an [`Isa`] proves to be there; and loads and stores without bounds checks, each with its reason.

mod haar;
mod histogram;
mod isa;
mod lifting;
mod planes_abreast;
mod quantize;
mod rans_decode;
mod rans_encode;
mod spread;
mod spread_decode;
mod spread_encode;
mod tokens;
mod vector;

pub(crate) use haar::{haar_forward, haar_inverse};
pub(crate) use histogram::count_tokens;
pub(crate) use isa::Isa;
pub use isa::force_kernel;
pub(crate) use lifting::{
    AbreastLevel, AbreastScratch, abreast_forward, abreast_inverse, interleave_approximation, separate_approximation,
};
pub(crate) use planes_abreast::ABREAST;
pub(crate) use quantize::{
    QuantizerConstants, clamp_at_zero, count_negative, count_nonzero, dequantize, quantize, survey,
};
pub(crate) use rans_decode::{
    Buckets, CoarseSlots, Head, Slots, Table, Tables, coarse_slots, decode_flat_rounds, decode_rounds,
};
pub(crate) use rans_encode::{SPARE_WORDS, TokenEntry, TokenTable, encode_flat_rounds, encode_rounds};
pub(crate) use spread::{ApproximationRows, add_levels, add_signed_levels, add_twice, bins_of, refine, shape_of};
pub(crate) use spread_decode::{ClassShares, Signs, SubbandTables, decode_row};
pub(crate) use spread_encode::{CodedRows, SubbandSymbols, encode_row, encode_symbols};
pub(crate) use tokens::{
    count_nonzero_tokens, dequantize_tokens, indices_of, largest_token, quantize_tokens, tokens_of,
};

/// Largest binary logarithm of the number of lanes of an rANS coder.
pub(crate) const MAX_LANE_BITS: u32 = 6;
/// Their states; those that there are come first.
pub(crate) type LaneStates = [u32; 1 << MAX_LANE_BITS];

/// A function with a leading [`Isa`] argument that runs a plain `#[inline(always)]` one compiled for that instruction set.
macro_rules! multiversion {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $plain:expr;)*) => {$(
        $(#[$meta])*
        #[inline]
        $vis fn $name(isa: $crate::kernel::Isa, $($arg: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,f16c")]
                fn avx2($($arg: $type),*) $(-> $result)? {
                    $plain($($arg),*)
                }
                #[target_feature(
                    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt,f16c"
                )]
                fn avx512($($arg: $type),*) $(-> $result)? {
                    $plain($($arg),*)
                }
                // SAFETY: the `Isa` of a level only exists where the CPU has its features.
                unsafe {
                    match isa.level() {
                        $crate::kernel::isa::Level::Avx512 => return avx512($($arg),*),
                        $crate::kernel::isa::Level::Avx2 => return avx2($($arg),*),
                        $crate::kernel::isa::Level::Portable => {}
                    }
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = isa;
            $plain($($arg),*)
        }
    )*};
}
pub(crate) use multiversion;

//! The spatial transform: wavelets, the layout of their subbands, and the separable 2-D transform.

mod abreast;
mod description;
mod haar;
mod lifting;
mod line_buffer;
mod operations;
mod separable;
mod subband;

use std::fmt;
use std::str::FromStr;

pub(crate) use abreast::{forward_abreast, inverse_abreast};
pub use description::{Extension, Lifting, LiftingStep};
pub(crate) use haar::{Regions, forward_planes, inverse_planes};
pub use operations::Operations;
pub(crate) use separable::{PlaneScratch, forward_f32, forward_i32, inverse_f32, inverse_i32};
pub use subband::{Orientation, Subband};
pub(crate) use subband::{SubbandBlock, SubbandLayout, subband_count};

use crate::error::{Error, Result};

/// Of the lifting steps, for kernels.
pub(crate) mod constants {
    pub(crate) use super::lifting::{
        ALPHA, BETA, DB2_A, DB2_B, DB2_HIGH, DB2_LOW, DELTA, GAMMA, HIGH_SCALE, LOW_SCALE, PREDICT_53, SQRT_3,
        UPDATE_53,
    };
}

/// Most decomposition levels that the format allows.
pub const MAX_LEVELS: u8 = 8;

/// The wavelet of the 2-D transform.
///
/// Float forms are scaled to (near) unit synthesis norm; the integer forms of `Haar` (S-transform) and
/// `LeGall53` are exactly reversible. Source: Daubechies and Sweldens, "Factoring wavelet transforms
/// into lifting steps" (1998); ITU-T T.800 Annex F for 5/3 and 9/7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wavelet {
    /// No transform: coefficients are the values themselves (0 levels).
    None,
    /// Haar, orthonormal; reversible as the S-transform.
    Haar,
    /// LeGall 5/3, symmetric extension; reversible.
    LeGall53,
    /// Cohen-Daubechies-Feauveau 9/7, symmetric extension.
    Cdf97,
    /// Daubechies with two vanishing moments (4 taps), orthonormal, periodic extension.
    Db2,
}

impl Wavelet {
    /// All wavelets, in the order of their codes in the stream.
    pub const ALL: [Wavelet; 5] = [Wavelet::None, Wavelet::Haar, Wavelet::LeGall53, Wavelet::Cdf97, Wavelet::Db2];

    /// Lower-case name: `none`, `haar`, `legall53`, `cdf97`, `db2`.
    pub fn name(self) -> &'static str {
        match self {
            Wavelet::None => "none",
            Wavelet::Haar => "haar",
            Wavelet::LeGall53 => "legall53",
            Wavelet::Cdf97 => "cdf97",
            Wavelet::Db2 => "db2",
        }
    }

    /// Whether an integer form exists that lossless coding can use.
    pub fn is_reversible(self) -> bool {
        matches!(self, Wavelet::None | Wavelet::Haar | Wavelet::LeGall53)
    }

    /// L2 norm of a synthesis basis vector of the subband: an error of 1 in a coefficient becomes an
    /// error of this norm in the plane. A nominal step is divided by it, so that one nominal step
    /// means the same error in every subband. 1 for the orthonormal wavelets.
    ///
    /// Computed for unbounded signals; at borders of odd-sized planes the true norm is smaller or equal.
    pub fn synthesis_gain(self, subband: &Subband) -> f32 {
        // 1-D norms of the low-pass and high-pass synthesis vectors of levels 1 to 8.
        let (low, high): (&[f32; 8], &[f32; 8]) = match self {
            Wavelet::None | Wavelet::Haar | Wavelet::Db2 => return 1.0,
            Wavelet::LeGall53 => (
                &[0.866_025_4, 0.829_156_2, 0.819_679_8, 0.817_293_6, 0.816_695_9, 0.816_546_4, 0.816_509, 0.816_499_7],
                &[
                    1.198_957_9,
                    0.960_143_2,
                    0.890_487_9,
                    0.872_205_4,
                    0.867_574_5,
                    0.866_412_9,
                    0.866_122_3,
                    0.866_049_6,
                ],
            ),
            Wavelet::Cdf97 => (
                &[0.991_440_2, 1.015_186, 1.025_716, 1.028_821_3, 1.029_637_8, 1.029_845, 1.029_897, 1.029_91],
                &[
                    1.020_017_6,
                    0.983_471_3,
                    1.019_621_4,
                    1.036_880_2,
                    1.042_036_7,
                    1.043_397_4,
                    1.043_743_1,
                    1.043_829_9,
                ],
            ),
        };
        if subband.level == 0 {
            return 1.0;
        }
        let (low, high) = (low[subband.level as usize - 1], high[subband.level as usize - 1]);
        match subband.orientation {
            Orientation::LL => low * low,
            Orientation::HL | Orientation::LH => low * high,
            Orientation::HH => high * high,
        }
    }

    /// Whether a transform of this wavelet may have `levels` levels.
    ///
    /// # Errors
    /// `InvalidArgument` for more than [`MAX_LEVELS`], and for any with [`Wavelet::None`].
    pub fn validate_levels(self, levels: u8) -> Result<()> {
        if levels > MAX_LEVELS {
            return Err(Error::invalid(format!("levels is {levels}: allowed are 0 to {MAX_LEVELS}")));
        }
        if self == Wavelet::None && levels != 0 {
            return Err(Error::invalid(format!("levels is {levels}: wavelet 'none' has 0 levels")));
        }
        Ok(())
    }
}

impl fmt::Display for Wavelet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Wavelet {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        Wavelet::ALL.into_iter().find(|w| w.name() == s).ok_or_else(|| {
            Error::invalid(format!("unknown wavelet '{s}': allowed are none, haar, legall53, cdf97, db2"))
        })
    }
}

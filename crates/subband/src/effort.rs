//! How much work the entropy coder does for fewer bytes.

use std::fmt;
use std::str::FromStr;

/// How much work the entropy coder does for fewer bytes. Streams and packets say how they were coded, so decoding needs no
/// setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Effort {
    /// Order-0 coding: a frequency table by subband and channel.
    Fast,
    /// A frequency table by an estimate of each magnitude, and a probability of each sign, from what is decoded already.
    #[default]
    Default,
    /// Probabilities from small networks that a profile holds, for a sixth fewer bytes than [`Effort::Default`] and a tenth
    /// of its speed. Where a profile has none, and in self-contained streams, it is the same as [`Effort::Default`].
    Max,
}

impl Effort {
    /// All efforts, least work first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Default, Self::Max];

    /// The name that parsing takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Default => "default",
            Self::Max => "max",
        }
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Effort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|effort| effort.name() == text)
            .ok_or(format!("effort '{text}': allowed are {names}"))
    }
}

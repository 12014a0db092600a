//! The one error type of the crate.

use std::fmt;

/// What went wrong, in terms of what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument is outside the allowed range.
    InvalidArgument,
    /// The bytes are not what an encoder writes.
    Corrupt,
    /// The bytes end before the values do.
    Truncated,
}

/// An error of a code: kind and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Error { kind: ErrorKind::InvalidArgument, message: message.into() }
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Error { kind: ErrorKind::Corrupt, message: message.into() }
    }

    pub(crate) fn truncated() -> Self {
        Error { kind: ErrorKind::Truncated, message: "the data ends before the last value".into() }
    }

    /// The kind of this error, for code that reacts to it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

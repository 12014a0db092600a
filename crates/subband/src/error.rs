//! The one error type of the crate: a kind that a caller can act on, and a message for people.

use std::fmt;

/// What went wrong, in terms of what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument, a configuration value or a shape is outside the allowed range.
    InvalidArgument,
    /// The input holds a NaN or an infinity and the policy is to refuse them.
    NonFinite,
    /// The bytes are no valid stream, packet or profile, or a checksum does not match.
    Corrupt,
    /// The bytes end before the stream does.
    Truncated,
    /// The bytes were written by a format version that this library does not read.
    UnsupportedVersion,
    /// The bytes were coded against another profile than the one given (or none was given).
    WrongProfile,
    /// Decoding would exceed a limit of [`Limits`](crate::Limits).
    LimitExceeded,
}

/// An error of the codec: kind and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn truncated(what: &str) -> Self {
        Error::new(ErrorKind::Truncated, format!("the data ends within the {what}"))
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

use std::fmt;
use std::path::Path;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value the caller passed is outside what is allowed.
    InvalidArgument,
    /// A file is missing or could not be read or written.
    Io,
    /// A weights file does not fit the network: missing or unexpected names, or another shape.
    Weights,
    /// A data set is incomplete or not what it claims to be.
    Data,
    /// A run folder or checkpoint belongs to another run, or is damaged.
    Checkpoint,
    /// The numbers went bad: a loss or a map that is not finite.
    NonFinite,
    /// The codec refused.
    Codec,
    /// One of several devices gave up in the middle of its work.
    Device,
}

/// The error of this crate: a kind to act on and a message to read.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that reads `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What a caller can act on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    pub(crate) fn weights(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Weights, message)
    }

    pub(crate) fn checkpoint(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Checkpoint, message)
    }

    /// `verb` reads as in "cannot <verb> <path>".
    pub(crate) fn io(verb: &str, path: &Path, cause: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Io, format!("cannot {verb} {}: {cause}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<subband::Error> for Error {
    fn from(error: subband::Error) -> Self {
        let kind = match error.kind() {
            subband::ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
            subband::ErrorKind::NonFinite => ErrorKind::NonFinite,
            _ => ErrorKind::Codec,
        };
        Self::new(kind, error.to_string())
    }
}

use std::fmt;
use std::path::Path;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value the caller passed is outside what is allowed, or does not fit the model.
    InvalidArgument,
    /// A file is missing or could not be read or written.
    Io,
    /// The file is no ONNX model, is cut short, or contradicts itself.
    Model,
    /// The engine cannot run the model: an operator or a type that it has not.
    Unsupported,
    /// The inputs are incomplete or not what they claim to be.
    Data,
    /// The numbers went bad: a map that is not finite.
    NonFinite,
    /// The codec refused.
    Codec,
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

    pub(crate) fn model(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Model, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
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

impl From<subband_nn::Error> for Error {
    fn from(error: subband_nn::Error) -> Self {
        let kind = match error.kind() {
            subband_nn::ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
            subband_nn::ErrorKind::Io => ErrorKind::Io,
            subband_nn::ErrorKind::NonFinite => ErrorKind::NonFinite,
            subband_nn::ErrorKind::Codec => ErrorKind::Codec,
            _ => ErrorKind::Data,
        };
        Self::new(kind, error.to_string())
    }
}

"""One exception class for each kind of error."""


class SubbandError(Exception):
    """Base of all exceptions of this package."""


class InvalidArgumentError(SubbandError, ValueError):
    """An argument, a setting or a shape is outside the allowed range."""


class DTypeError(InvalidArgumentError, TypeError):
    """An array of a dtype that the codec does not take."""


class ReadOnlyError(InvalidArgumentError):
    """An output array that cannot be written to."""


class NotContiguousError(InvalidArgumentError):
    """An output array that is not row-major and contiguous. Inputs may have any strides."""


class NonFiniteError(SubbandError, ValueError):
    """The input holds a NaN or an infinity, and no replacements were given."""


class CorruptError(SubbandError, ValueError):
    """The bytes are no stream, packet or profile, or a checksum does not match."""


class TruncatedError(SubbandError, EOFError):
    """The bytes end before the stream does."""


class UnsupportedVersionError(SubbandError):
    """The bytes were written by a format version that this library does not read."""


class WrongProfileError(SubbandError, ValueError):
    """The bytes were coded against another profile than the one given, or none was given."""


class LimitExceededError(SubbandError):
    """Decoding would exceed ``max_values``."""

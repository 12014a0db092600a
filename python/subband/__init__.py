"""Subband compresses the feature maps of neural networks: a wavelet transform, a quantizer and a rANS entropy coder.

>>> import numpy as np, subband
>>> maps = np.random.default_rng(0).standard_normal((8, 16, 32, 32)).astype(np.float32)
>>> stream = subband.compress(maps, max_error=0.05)
>>> bool(abs(subband.decompress(stream) - maps).max() <= 0.05)
True

Arrays have shape ``[..., C, H, W]``; the last two axes are the plane. All functions release the GIL while they work and share
work among :func:`threads` threads; the bytes do not depend on them, and are those of the command ``subband``.

``subband.torch`` has the codec as a layer of PyTorch, ``subband.zarr`` as a codec of Zarr.
"""

from ._errors import (
    CorruptError,
    DTypeError,
    InvalidArgumentError,
    LimitExceededError,
    NonFiniteError,
    NotContiguousError,
    ReadOnlyError,
    SubbandError,
    TruncatedError,
    UnsupportedVersionError,
    WrongProfileError,
)
from ._native import set_threads, threads
from ._profile import Calibrator, Codec, Profile, Tap
from ._streams import (
    ErrorReport,
    Report,
    StreamInfo,
    StreamShape,
    SubbandInfo,
    compress,
    compress_with_report,
    decompress,
    decompress_into,
    inspect,
    read,
    shape_of,
)

__all__ = [
    "Calibrator",
    "Codec",
    "CorruptError",
    "DTypeError",
    "ErrorReport",
    "InvalidArgumentError",
    "LimitExceededError",
    "NonFiniteError",
    "NotContiguousError",
    "Profile",
    "ReadOnlyError",
    "Report",
    "StreamInfo",
    "StreamShape",
    "SubbandError",
    "SubbandInfo",
    "Tap",
    "TruncatedError",
    "UnsupportedVersionError",
    "WrongProfileError",
    "compress",
    "compress_with_report",
    "decompress",
    "decompress_into",
    "inspect",
    "read",
    "set_threads",
    "shape_of",
    "threads",
]

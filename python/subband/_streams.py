"""Whole tensors: compress, decompress, read, inspect."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np

from . import _arrays, _native, _settings
from ._errors import InvalidArgumentError
from ._profile import Profile


@dataclass(frozen=True)
class ErrorReport:
    """Errors of the decoded array against the original."""

    max: float
    """Largest absolute error."""
    mse: float
    """Mean squared error."""
    psnr: float
    """Peak signal-to-noise ratio in dB, infinite where nothing differs; the peak is the range of an integer dtype, and maximum
    minus minimum of floats."""


@dataclass(frozen=True)
class Report:
    """What compression achieved."""

    values: int
    bytes: int
    bits_per_value: float
    """``8 * bytes / values``, everything counted; 0 for an empty array."""
    ratio: float
    """Bits of the dtype over ``bits_per_value``."""
    step: float | None
    """The nominal step, where there is one for all subbands."""
    zeros: float
    """Share of indices that are zero, 0 to 1."""
    saturated: int
    """Values and indices that were clamped."""
    replaced: int
    """NaN and infinities that were replaced."""
    error: ErrorReport | None
    """Errors, where they were measured."""


@dataclass(frozen=True)
class StreamShape:
    """What the first bytes of a stream tell."""

    dtype: str
    """``f32``, ``f16``, ``bf16``, ``u8``, ``i8``, ``u16`` or ``i16``."""
    shape: tuple[int, ...]
    from_profile: bool
    """Whether a profile is needed to decode it."""
    chunks: int
    """Number of parts that decode independently."""


@dataclass(frozen=True)
class SubbandInfo:
    """Share of one subband, over all channels and batch items."""

    name: str
    values: int
    dropped: int
    """Coefficients that a mask drops."""
    zeros: int
    max_index: int
    """Largest magnitude of an index."""
    bits: float


@dataclass(frozen=True)
class StreamInfo:
    """Contents of a stream."""

    dtype: str
    shape: tuple[int, ...]
    values: int
    bytes: int
    header_bytes: int
    bits_per_value: float
    from_profile: bool
    wavelet: str
    levels: int
    lossless: bool
    steps: Any
    """A number, one a subband, or a row of those a channel."""
    tables: int
    channels_per_chunk: int
    chunks: int
    subbands: tuple[SubbandInfo, ...]


def _report(text: str) -> Report:
    fields = json.loads(text)
    error = fields.pop("error")
    if error is not None:
        # JSON has no infinity.
        error = ErrorReport(error["max"], error["mse"], math.inf if error["psnr"] is None else error["psnr"])
    return Report(**fields, error=error)


def compress_with_report(
    x: Any,
    *,
    step: Any = None,
    max_error: float | None = None,
    psnr: float | None = None,
    bits: float | None = None,
    lossless: bool = False,
    profile: Profile | None = None,
    tap: str | None = None,
    wavelet: str | None = None,
    levels: int | None = None,
    rounding: float = 0.5,
    reconstruction: float = 0.0,
    index_bits: int = 24,
    mask: Any = None,
    nan: float | None = None,
    inf: float | None = None,
    channels_per_chunk: int | None = None,
    rdo: float = 0.0,
    effort: str = "default",
    measure_error: bool = True,
) -> tuple[bytes, Report]:
    """:func:`compress`, and what it achieved. ``measure_error`` decodes again, which costs about as much as decompressing."""
    stream = _settings.stream(nan, inf, channels_per_chunk, rdo, effort)
    if profile is not None:
        own = (step, max_error, psnr, bits, wavelet, levels, mask)
        if any(value is not None for value in own) or lossless:
            raise InvalidArgumentError("a profile sets steps, wavelet, levels and mask: leave those out")
        if tap is None:
            raise InvalidArgumentError(f"tap is missing: the profile has {', '.join(t.name for t in profile.taps)}")
        found = _native.compress_with_profile(_arrays.argument(x), stream, profile._native, str(tap), measure_error)
    else:
        if tap is not None:
            raise InvalidArgumentError("tap names a tap of a profile: give the profile too")
        target = _settings.target(step, max_error, psnr, bits, lossless)
        coding = wavelet or "haar", levels, rounding, reconstruction, index_bits, mask
        settings = _settings.whole(target, *coding, measure_error)
        found = _native.compress(_arrays.argument(x), stream, settings)
    return found[0], _report(found[1])


def compress(
    x: Any,
    *,
    step: Any = None,
    max_error: float | None = None,
    psnr: float | None = None,
    bits: float | None = None,
    lossless: bool = False,
    profile: Profile | None = None,
    tap: str | None = None,
    wavelet: str | None = None,
    levels: int | None = None,
    rounding: float = 0.5,
    reconstruction: float = 0.0,
    index_bits: int = 24,
    mask: Any = None,
    nan: float | None = None,
    inf: float | None = None,
    channels_per_chunk: int | None = None,
    rdo: float = 0.0,
    effort: str = "default",
) -> bytes:
    """Compresses an array of shape ``[..., C, H, W]`` (rank 2 or more) to a stream; the last two axes are the plane.

    ``x`` is a NumPy array, a CPU tensor of PyTorch, or anything with DLPack or a buffer, of float32, float16, bfloat16,
    uint8, int8, uint16 or int16. Its memory is read as it lies, with any strides; only unaligned and byte-swapped arrays are
    copied. Do not write to it meanwhile: the GIL is released.

    Give one target: ``step`` (in units of the values; a number, one a subband in coding order, or a row of those a channel),
    ``max_error`` (of any value), ``psnr`` (dB), ``bits`` (per value, everything counted) or ``lossless`` (floats bit for bit).
    Or give ``profile`` and ``tap``, whose coding is then used.

    - ``wavelet``: none, haar (default), legall53, cdf97 or db2; ``levels``: 0 to 8, default 3.
    - ``rounding``: 0 to 0.5, less widens the dead zone; ``reconstruction``: 0 to 0.5 steps towards zero.
    - ``index_bits``: indices are clamped to so many, 2 to 24. ``mask``: kept subbands, ``[C, 3 * levels + 1]``.
    - ``nan``, ``inf``: what NaN, infinities and (negated) negative ones become; without them they are refused.
    - ``channels_per_chunk``: fewer allow finer partial reads. ``rdo``: 0 to 10, a bit is worth so many squared steps.
    - ``effort``: fast, default or max.

    The bytes are those that ``subband compress`` writes.

    Raises ``DTypeError``, ``InvalidArgumentError``, ``NonFiniteError``.
    """
    return compress_with_report(
        x,
        step=step,
        max_error=max_error,
        psnr=psnr,
        bits=bits,
        lossless=lossless,
        profile=profile,
        tap=tap,
        wavelet=wavelet,
        levels=levels,
        rounding=rounding,
        reconstruction=reconstruction,
        index_bits=index_bits,
        mask=mask,
        nan=nan,
        inf=inf,
        channels_per_chunk=channels_per_chunk,
        rdo=rdo,
        effort=effort,
        measure_error=False,
    )[0]


def _held(profile: Profile | None) -> Any:
    return None if profile is None else profile._native


def _most(max_values: int | None) -> int | None:
    return None if max_values is None else _settings.integer("max_values", max_values, 0, 2**62)


def shape_of(b: Any, *, max_values: int | None = None) -> StreamShape:
    """What a stream holds, from its first bytes: neither its tables nor its values are decoded.

    Raises ``TruncatedError``, ``CorruptError``, ``UnsupportedVersionError``, ``LimitExceededError``, as far as these bytes show.
    """
    dtype, shape, from_profile, chunks = _native.shape_of(_arrays.data(b), _most(max_values))
    return StreamShape(dtype, tuple(shape), from_profile, chunks)


def decompress(b: Any, *, profile: Profile | None = None, kind: str = "numpy", max_values: int | None = None) -> Any:
    """Decodes a stream to an array of the shape and dtype that was compressed.

    ``kind`` is "numpy" (bfloat16 by way of ml_dtypes) or "torch". ``max_values`` bounds what it may take, default 2**30.

    Raises ``TruncatedError``, ``CorruptError``, ``UnsupportedVersionError``, ``WrongProfileError``, ``LimitExceededError``.
    """
    data = _arrays.data(b)
    dtype, shape, _, chunks = _native.shape_of(data, _most(max_values))
    out = _arrays.empty(kind, dtype, tuple(shape))
    _native.decompress_into(data, _arrays.output(out)[0], dtype, chunks, _held(profile), _most(max_values))
    return out


def decompress_into(b: Any, out: Any, *, profile: Profile | None = None, max_values: int | None = None) -> Any:
    """Decodes a stream into ``out``, a row-major NumPy array or CPU tensor of the stream's dtype and shape, and returns it.

    Raises what :func:`decompress` does, and ``NotContiguousError``, ``ReadOnlyError``, ``DTypeError`` and
    ``InvalidArgumentError`` for an ``out`` that does not fit. After an error ``out`` may be partly written.
    """
    data = _arrays.data(b)
    found = shape_of(data, max_values=max_values)
    flat, name = _arrays.output(out)
    if name != found.dtype:
        raise _arrays.DTypeError(f"out has dtype {name}: the stream has {found.dtype}")
    if tuple(out.shape) != found.shape:
        raise InvalidArgumentError(f"out has shape {tuple(out.shape)}: the stream has {found.shape}")
    _native.decompress_into(data, flat, name, found.chunks, _held(profile), _most(max_values))
    return out


def _range(name: str, index: Any, size: int) -> tuple[int, int, bool]:
    """First, end, and whether the axis goes away."""
    if index is None:
        return 0, size, False
    if isinstance(index, slice):
        start, stop, step = index.indices(size)
        if step != 1:
            raise InvalidArgumentError(f"{name} is {index}: its step must be 1")
        return start, max(start, stop), False
    at = _settings.integer(name, index, -size, size - 1)
    at += size if at < 0 else 0
    return at, at + 1, True


def read(
    b: Any,
    *,
    batch: int | slice | None = None,
    channels: int | slice | None = None,
    profile: Profile | None = None,
    kind: str = "numpy",
    max_values: int | None = None,
) -> Any:
    """Decodes some batch items and channels, and only the chunks that hold them.

    The result has shape ``[items, channels, H, W]``; leading axes of the stream count as one batch axis, row-major. An integer
    takes its axis away, as in NumPy; negative ones count from the end. ``read(b, batch=3, channels=slice(0, 16))`` has
    shape ``[16, H, W]``.

    Raises what :func:`decompress` does, and ``InvalidArgumentError`` for an index beyond the tensor.
    """
    data = _arrays.data(b)
    found = shape_of(data, max_values=max_values)
    *leading, height, width = found.shape
    count = leading.pop() if leading else 1
    first, end, no_batch = _range("batch", batch, math.prod(leading))
    first_channel, end_channel, no_channels = _range("channels", channels, count)
    out = _arrays.empty(kind, found.dtype, (end - first, end_channel - first_channel, height, width))
    flat = _arrays.output(out)[0]
    limits = _held(profile), _most(max_values)
    _native.read_into(data, (first, end), (first_channel, end_channel), flat, found.dtype, *limits)
    shape: Sequence[int] = [
        *([] if no_batch else [end - first]),
        *([] if no_channels else [end_channel - first_channel]),
        height,
        width,
    ]
    return out.reshape(tuple(shape))


def inspect(b: Any, *, profile: Profile | None = None, max_values: int | None = None) -> StreamInfo:
    """What a stream holds, down to the bits of each subband; its indices are decoded for that.

    Raises what :func:`decompress` does.
    """
    fields = json.loads(_native.inspect(_arrays.data(b), _held(profile), _most(max_values)))
    steps = next(iter(fields.pop("steps").values()))
    subbands = tuple(SubbandInfo(**subband) for subband in fields.pop("subbands"))
    shape = tuple(fields.pop("shape"))
    return StreamInfo(**fields, shape=shape, steps=steps if isinstance(steps, float) else np.array(steps), subbands=subbands)

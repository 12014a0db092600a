"""Tensors in compressed form, in parts along their first axis, so that nobody needs to hold more than a part of one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._errors import SubbandError
from .._streams import compress, decompress_into

PART = 1 << 20
"""Values of a part, about: a few megabytes while it is coded, and enough that tables of its own cost little."""


class SavedTensorError(RuntimeError):
    """A saved tensor could not be compressed or decompressed; the message says which."""


def _named(name: str, error: SubbandError) -> SavedTensorError:
    return SavedTensorError(f"the output of {name}, saved for backward: {error}")


def _coded_shape(shape: torch.Size) -> tuple[int, ...]:
    """The shape with two axes or more, as the codec takes it."""
    return tuple(shape) if len(shape) >= 2 else (1, shape.numel())


def _bounds(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Where the parts of a tensor of two axes or more begin and end along its first axis."""
    values = max(int(np.prod(shape)), 1)
    length = max(PART * shape[0] // values, 1)
    return [(start, min(start + length, shape[0])) for start in range(0, shape[0], length)]


@dataclass(eq=False)
class Packed:
    """A tensor, compressed."""

    shape: torch.Size
    dtype: torch.dtype
    name: str
    streams: bytearray
    """One a part. Together they are a block that goes back to the system as a whole; single ones would leave holes in the heap."""
    ends: list[int]
    """Where each stream ends."""
    positive: np.ndarray | None = None
    """A bit a value, where a lossily coded tensor is never negative and often zero: what came out of a ReLU. Its gradient asks
    for nothing but this bit, and a zero that decodes to a little more than zero would let through what must not pass."""
    exact: bool = False
    """Whether every value comes back exactly."""
    channels_last: bool = False

    @property
    def nbytes(self) -> int:
        return len(self.streams) + (0 if self.positive is None else self.positive.nbytes)

    @property
    def coded_shape(self) -> tuple[int, ...]:
        return _coded_shape(self.shape)

    @property
    def bounds(self) -> list[tuple[int, int]]:
        return _bounds(self.coded_shape)

    def mask(self, number: int, shape: tuple[int, ...]) -> Tensor:
        """Where a part of a tensor with ``positive`` is."""
        count = int(np.prod(shape))
        # Every part but the last has the same number of bytes.
        first = number * (-(-self.bounds[0][1] * int(np.prod(shape[1:])) // 8))
        bits = np.unpackbits(self.positive[first : first - (-count // 8)], count=count)
        return torch.from_numpy(bits.view(np.bool_)).reshape(shape)

    def decode_part(self, number: int, out: Tensor) -> None:
        """Writes a part to ``out``, which has its shape and is contiguous."""
        places = self.dtype == torch.int64
        coded = np.empty(tuple(out.shape), np.uint16) if places else out
        stream = memoryview(self.streams)[self.ends[number - 1] if number else 0 : self.ends[number]]
        try:
            decompress_into(stream, coded)
        except SubbandError as error:
            raise _named(self.name, error) from error
        if places:
            out.copy_(torch.from_numpy(coded.astype(np.int64)))
        elif self.positive is not None:
            out.clamp_min_(torch.finfo(out.dtype).tiny)
            out.mul_(self.mask(number, tuple(out.shape)))

    def parts(self) -> Iterator[tuple[int, int, Tensor]]:
        """Begin and end of each part along the first axis, and its values."""
        shape = self.coded_shape
        for number, (start, end) in enumerate(self.bounds):
            out = torch.empty((end - start, *shape[1:]), dtype=self.dtype)
            self.decode_part(number, out)
            yield start, end, out

    def decode(self) -> Tensor:
        """All of it."""
        out = torch.empty(self.coded_shape, dtype=self.dtype)
        for number, (start, end) in enumerate(self.bounds):
            self.decode_part(number, out[start:end])
        out = out.reshape(self.shape)
        return out.contiguous(memory_format=torch.channels_last) if self.channels_last else out


def _pack(tensor: Tensor, name: str, coded: Callable[[Tensor], Any], one_sided: bool, settings: dict[str, Any]) -> Packed:
    """Compresses what ``coded`` makes of each part."""
    rows = tensor.reshape(_coded_shape(tensor.shape))
    streams, ends = bytearray(), []
    positive = bytearray() if one_sided else None
    for start, end in _bounds(tuple(rows.shape)):
        part = rows[start:end]
        try:
            streams += compress(coded(part), **settings)
        except SubbandError as error:
            raise _named(name, error) from error
        ends.append(len(streams))
        if positive is not None:
            positive += np.packbits((part > 0).contiguous().numpy()).tobytes()
    bits = None if positive is None else np.frombuffer(positive, np.uint8)
    exact = bool(settings.get("lossless"))
    last = tensor.ndim == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)
    return Packed(tensor.shape, tensor.dtype, name, streams, ends, bits, exact, last)


def pack_floats(tensor: Tensor, name: str, settings: dict[str, Any]) -> Packed:
    """A tensor of floats by the codec."""
    one_sided = not settings.get("lossless") and float(tensor.min()) == 0.0
    return _pack(tensor, name, lambda part: part, one_sided, settings)


def pack_indices(tensor: Tensor, name: str, effort: str) -> Packed | None:
    """A tensor of integers that fit 16 bits, as the places of maxima in pooling do; they run along the plane, which the
    transform foresees. None for others."""
    if tensor.ndim < 3 or int(tensor.min()) < 0 or int(tensor.max()) > 0xFFFF:
        return None
    settings = {"lossless": True, "wavelet": "legall53", "levels": 2, "effort": effort}
    return _pack(tensor, name, lambda part: part.numpy().astype(np.uint16), False, settings)

"""Tensors in compressed form, in parts, so that nobody needs to hold more than a part of one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import _arrays, _native, _settings
from .._errors import SubbandError

PART = 1 << 17
"""Values of a part, at most but for single planes that are larger: all that is done to it stays in the second cache."""


class SavedTensorError(RuntimeError):
    """A saved tensor could not be compressed or decompressed; the message says which."""


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except SubbandError as error:
        raise SavedTensorError(f"the output of {name}, saved for backward: {error}") from error


def _flat(tensor: Tensor) -> Any:
    """The memory of a dense tensor, flat."""
    array = tensor.view(torch.int16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()
    return array.reshape(-1).view("u2") if array.itemsize == 2 else array.reshape(-1)


@dataclass(frozen=True)
class _Layout:
    """How a tensor lies in memory and is cut: the last two axes are a plane, the first one counts items."""

    shape: tuple[int, ...]
    """In the order of the memory."""
    channels_last: bool

    @property
    def width(self) -> int:
        return self.shape[-1]

    @property
    def item(self) -> int:
        """Values of an item of the first axis."""
        return math.prod(self.shape[1:])

    @property
    def part(self) -> int:
        """Values of a part: some items, or some planes of one, as many in each part."""
        if self.item <= PART:
            return max(self.item * (PART // max(self.item, 1)), 1)
        planes = math.prod(self.shape[1:-2])
        plane = self.item // planes
        most = max(PART // plane, 1)
        return plane * next(count for count in range(min(most, planes), 0, -1) if planes % count == 0)

    @property
    def items(self) -> int:
        """Items that parts can be read in."""
        return max(self.part // self.item, 1)


def _layout(tensor: Tensor) -> tuple[_Layout, Tensor]:
    """The layout, and the tensor as it lies in memory, dense."""
    last = tensor.ndim == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)
    dense = tensor.permute(0, 2, 3, 1) if last else tensor.contiguous()
    shape = tuple(dense.shape) if dense.ndim >= 2 else (1, dense.numel())
    return _Layout(shape, last), dense


@dataclass(frozen=True, eq=False)
class Packed:
    """A tensor, compressed."""

    shape: torch.Size
    dtype: torch.dtype
    name: str
    native: _native.Packed
    layout: _Layout
    exact: bool
    """Whether every value comes back exactly."""

    @property
    def nbytes(self) -> int:
        return self.native.nbytes

    @property
    def one_sided(self) -> bool:
        """Whether it has a bit a value that tells which are positive, and no negative ones."""
        return self.native.one_sided

    @property
    def channels_last(self) -> bool:
        return self.layout.channels_last

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """Where items that can be decoded together begin and end along the first axis of the memory."""
        count, items = self.layout.shape[0], self.layout.items
        return [(start, min(start + items, count)) for start in range(0, count, items)]

    def decode_items(self, start: int, out: Tensor) -> None:
        """Fills ``out``, which is dense, with items from ``start`` on, which begins a part."""
        with _named(self.name):
            self.native.decode(start * self.layout.item, _flat(out))

    def parts(self) -> Iterator[tuple[int, int, Tensor]]:
        """Begin and end of items along the first axis of the memory, and their values."""
        for start, end in self.bounds:
            out = torch.empty((end - start, *self.layout.shape[1:]), dtype=self.dtype)
            self.decode_items(start, out)
            yield start, end, out

    def decode(self) -> Tensor:
        """All of it."""
        out = torch.empty(self.layout.shape, dtype=self.dtype)
        self.decode_items(0, out)
        return out.permute(0, 3, 1, 2) if self.channels_last else out.reshape(self.shape)

    def in_memory(self, tensor: Tensor) -> Tensor:
        """A tensor that is dense and lies in memory as this one does, with its axes in the order of the memory."""
        return tensor.permute(0, 2, 3, 1) if self.channels_last else tensor

    def gate(self, gradient: Tensor, out: Tensor) -> None:
        """Writes the gradient of a ReLU with this result, one-sided, to ``out``; both are dense and lie in memory as this does."""
        with _named(self.name):
            self.native.gate(_flat(self.in_memory(gradient)), _flat(self.in_memory(out)))

    def batch_norm_sums(self, gradient: Tensor, mean: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Decodes to ``out``; with g the gradient, the sums of g and of g * (x - mean) by channel. All are dense, row-major and
        float32."""
        plane = math.prod(self.shape[2:])
        with _named(self.name):
            found = _native.batch_norm_sums(self.native, plane, _flat(gradient), mean.numpy(), _flat(out))
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])


class Packer:
    """How tensors are coded, prepared once."""

    def __init__(
        self,
        target: dict[str, Any],
        relative_step: float | None,
        wavelet: str | None,
        levels: int | None,
        effort: str,
    ):
        self.exact = target["target"] == "lossless"
        # Zeros among the values, as behind a ReLU, are what a transform would spread.
        one_sided = "none" if wavelet is None and not self.exact else wavelet
        self._native = _native.Packer(
            _settings.stream(None, None, None, 0.0, effort),
            _settings.whole(target, wavelet or "haar", levels),
            _settings.whole(target, one_sided or "haar", None if wavelet is None else levels),
            relative_step,
        )
        self._integers = (
            _settings.stream(None, None, None, 0.0, effort),
            _settings.whole(_settings.target(None, None, None, None, True), "legall53", 2),
        )

    def pack(self, tensor: Tensor, name: str) -> Packed | None:
        """A tensor, or None if it cannot be coded so: lossily, with NaN or infinities; integers beyond 16 bits."""
        layout, dense = _layout(tensor)
        cut = layout.width, layout.part // layout.width
        with _named(name):
            if tensor.dtype == torch.int64:
                native = _native.Packed.of_integers(_flat(dense), *cut, *self._integers) if tensor.ndim >= 3 else None
            else:
                flat = _flat(dense)
                native = self._native.pack(flat, _arrays.TORCH_NAMES[str(tensor.dtype).removeprefix("torch.")], *cut)
        exact = self.exact or tensor.dtype == torch.int64
        return None if native is None else Packed(tensor.shape, tensor.dtype, name, native, layout, exact)

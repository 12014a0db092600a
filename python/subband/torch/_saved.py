"""Activations saved for the backward pass, kept compressed until it comes."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from .. import _settings
from .._errors import InvalidArgumentError
from ._backward import Lazy, check_version, reader_at_work
from ._packed import Packed, Packer

_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64)


@dataclass
class Saved:
    """What a context has kept so far."""

    tensors: int = 0
    """Tensors compressed; one that is saved twice is compressed once."""
    left: int = 0
    """Tensors left as they are."""
    raw_bytes: int = 0
    """Bytes of the compressed tensors before."""
    bytes: int = 0
    """Bytes of their streams."""

    @property
    def ratio(self) -> float:
        return self.raw_bytes / self.bytes if self.bytes else 1.0


class compress_saved_tensors(torch.autograd.graph.saved_tensors_hooks):
    """A context in which tensors that autograd saves for backward are kept compressed.

    >>> with subband.torch.compress_saved_tensors(model, relative_step=0.05) as saved:  # doctest: +SKIP
    ...     loss = criterion(model(images), labels)
    >>> loss.backward()  # doctest: +SKIP

    Give one of ``step`` (in units of the values), ``relative_step`` (in standard deviations of each tensor), ``bits`` (per value;
    several trials a tensor, slow) and ``lossless``. Lossy gradients are those of the decoded activations, of which zeros stay zero and
    positive values positive where none is negative (one more bit a value); the forward pass is exact.

    Integers that fit 16 bits, such as the indices of max pooling, are kept compressed without loss. In the backward pass tensors are decoded when
    they are asked for; ReLU, max pooling and batch normalisation read theirs part by part, so that a decoded map never lies beside its two
    gradients (not with ``create_graph``; batch normalisation not with ``lossless``, whose gradients are exact, nor with channels last). How
    much of what is freed goes back to the system is the allocator's matter: glibc keeps least with ``MALLOC_MMAP_THRESHOLD_=65536`` and
    ``MALLOC_TRIM_THRESHOLD_=0`` in the environment.

    Left as they are: tensors below ``min_size`` values, of other dtypes than float32, float16, bfloat16 and such int64, not on a CPU, with NaN
    or infinities where the coding is lossy, and all that share memory with a parameter or a buffer of ``model`` (with any leaf that requires
    a gradient, without one). ``levels`` and ``effort`` are those of :func:`subband.compress`, and so is ``wavelet``; without one it is
    haar, or none for tensors that are never negative and have zeros, such as what comes out of a ReLU. The value of the ``with``
    statement counts what was kept.

    It works beside ``torch.utils.checkpoint``. Raises ``InvalidArgumentError`` for settings out of range, ``RuntimeError`` for a PyTorch
    that is too old, and in forward and backward passes :class:`SavedTensorError`, which names the operation and the tensor.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        *,
        step: float | None = None,
        relative_step: float | None = None,
        bits: float | None = None,
        lossless: bool = False,
        min_size: int = 1 << 14,
        wavelet: str | None = None,
        levels: int | None = None,
        effort: str = "fast",
    ):
        check_version()
        nominal = step if relative_step is None else relative_step
        target = _settings.target(nominal, None, None, bits, lossless)
        if step is not None and relative_step is not None:
            raise InvalidArgumentError("step and relative_step were given: give one")
        if nominal is not None and not 1e-30 <= _settings.number("step", nominal) <= 1e30:
            raise InvalidArgumentError(f"step is {nominal}: allowed are 1e-30 to 1e30")
        self.min_size = _settings.integer("min_size", min_size, 0, 2**62)
        self._packer = Packer(target, relative_step, wavelet, levels, effort)
        self._own: set[int] = set()
        if model is not None:
            for tensor in [*model.parameters(), *model.buffers()]:
                self._own.add(tensor.untyped_storage()._cdata)
        self._lock = threading.Lock()
        # By storage and view: the packed form, and what says that the storage is still the same one.
        self._seen: dict[tuple, tuple[weakref.ref, StorageWeakRef]] = {}
        self.saved = Saved()
        super().__init__(self._pack, self._unpack)

    def __enter__(self) -> Saved:  # type: ignore[override]
        super().__enter__()
        return self.saved

    def _is_left(self, tensor: Tensor) -> bool:
        return (
            tensor.dtype not in _DTYPES
            or tensor.device.type != "cpu"
            or tensor.numel() < max(self.min_size, 1)
            or tensor.layout != torch.strided
            or (tensor.is_leaf and tensor.requires_grad)
            or tensor.untyped_storage()._cdata in self._own
            or (tensor._base is not None and tensor._base.is_leaf and tensor._base.requires_grad)
        )

    def _pack(self, tensor: Tensor) -> Any:
        if self._is_left(tensor):
            self.saved.left += 1
            return tensor
        storage = tensor.untyped_storage()
        key = (storage._cdata, tensor._version, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        with self._lock:
            packed, alive = self._seen.get(key, (None, None))
            found = packed() if packed is not None and not alive.expired() else None
        if found is not None:
            return found
        name = type(tensor.grad_fn).__name__.removesuffix("Backward0") if tensor.grad_fn is not None else "input"
        kept = self._packer.pack(tensor.detach(), f"{name} {tuple(tensor.shape)}")
        if kept is None:
            self.saved.left += 1
            return tensor
        with self._lock:
            self.saved.tensors += 1
            self.saved.raw_bytes += tensor.numel() * tensor.element_size()
            self.saved.bytes += kept.nbytes
            if len(self._seen) >= 256:
                self._seen = {k: v for k, v in self._seen.items() if v[0]() is not None and not v[1].expired()}
            self._seen[key] = weakref.ref(kept), StorageWeakRef(storage)
        return kept

    def _unpack(self, packed: Any) -> Tensor:
        if not isinstance(packed, Packed):
            return packed
        return Lazy(packed) if reader_at_work() else packed.decode()

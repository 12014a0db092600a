"""Subband as a codec of Zarr version 3 (``zarr.codecs`` entry point "subband"), and in the form of numcodecs for version 2.

>>> import zarr                                                                    # doctest: +SKIP
>>> from subband.zarr import SubbandCodec                                          # doctest: +SKIP
>>> zarr.create_array("maps.zarr", shape=(1000, 64, 56, 56), chunks=(8, 64, 56, 56), dtype="float32",
...                   serializer=SubbandCodec(step=0.1), compressors=None)         # doctest: +SKIP

An array must have two axes or more, the last two being the plane, and a dtype of :func:`subband.compress`. A chunk is one stream. Of a chunk
that is wanted in part, only the batch items (along the first axis) and channels asked for are decoded. Once the package is installed,
Zarr and what builds on it (xarray, Dask) open such arrays without importing this module.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numcodecs.abc import Codec as NumcodecsCodec
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin

from . import _arrays, _settings
from ._errors import DTypeError, InvalidArgumentError
from ._streams import compress, decompress, read, shape_of

ID = "subband"


def _checked(configuration: dict[str, Any]) -> dict[str, Any]:
    """What metadata holds: only what was set, in a fixed order, as plain JSON. Refuses what the codec would."""
    if isinstance(configuration.get("step"), np.ndarray):
        configuration["step"] = configuration["step"].tolist()
    kept = {key: value for key, value in configuration.items() if value is not None and value is not False}
    probe = np.zeros((1, 1), np.float32)
    if not isinstance(kept.get("step", 0.0), (int, float)):
        # Steps by subband fit what levels say; by channel, the chunks.
        steps = np.asarray(_settings.steps(kept["step"]))
        probe = np.zeros((steps.shape[0] if steps.ndim == 2 else 1, 1, 1), np.float32)
    # An empty plane of the same kind: the settings are checked and nothing is coded.
    compress(probe[..., :0], **kept)
    return kept


@dataclass(frozen=True, init=False)
class SubbandCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """The codec that turns a chunk into a stream: a serializer, to be used without compressors behind it.

    Give one of ``step``, ``max_error``, ``psnr``, ``bits`` and ``lossless``, and as wanted ``wavelet``, ``levels``, ``rounding``,
    ``reconstruction``, ``rdo``, ``effort``, ``channels_per_chunk``, ``nan`` and ``inf``: as in :func:`subband.compress`.
    """

    is_fixed_size = False
    configuration: tuple[tuple[str, Any], ...]

    def __init__(
        self,
        *,
        step: Any = None,
        max_error: float | None = None,
        psnr: float | None = None,
        bits: float | None = None,
        lossless: bool = False,
        wavelet: str | None = None,
        levels: int | None = None,
        rounding: float | None = None,
        reconstruction: float | None = None,
        rdo: float | None = None,
        effort: str | None = None,
        channels_per_chunk: int | None = None,
        nan: float | None = None,
        inf: float | None = None,
    ):
        arguments = {key: value for key, value in locals().items() if key != "self" and not key.startswith("__")}
        object.__setattr__(self, "configuration", _frozen(_checked(arguments)))

    @classmethod
    def from_dict(cls, data: Any) -> SubbandCodec:
        configuration = data.get("configuration", {})
        if data.get("name") != ID or not isinstance(configuration, dict):
            raise InvalidArgumentError(f"codec metadata is {data!r}: name {ID!r} and a configuration are wanted")
        try:
            return cls(**configuration)
        except TypeError as error:
            raise InvalidArgumentError(f"the configuration of codec {ID!r}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        return {"name": ID, "configuration": self._arguments()}

    def _arguments(self) -> dict[str, Any]:
        return {key: _thawed(value) for key, value in self.configuration}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        native = dtype.to_native_dtype()
        if len(shape) < 2:
            raise InvalidArgumentError(f"the array has shape {shape}: two axes or more are needed, the last two are the plane")
        _check_dtype(native)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        raise NotImplementedError("the size of a stream depends on the values")

    def _encode_sync(self, chunk_array: Any, chunk_spec: Any) -> Any:
        values = chunk_array.as_numpy_array().reshape(chunk_spec.shape)
        return chunk_spec.prototype.buffer.from_bytes(compress(values, **self._arguments()))

    def _decode_sync(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        data = chunk_bytes.as_numpy_array()
        _check_chunk(data, chunk_spec)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(decompress(data))

    async def _encode_single(self, chunk_array: Any, chunk_spec: Any) -> Any:
        return await asyncio.to_thread(self._encode_sync, chunk_array, chunk_spec)

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return await asyncio.to_thread(self._decode_sync, chunk_bytes, chunk_spec)

    async def _decode_partial_single(self, byte_getter: Any, selection: Any, chunk_spec: Any) -> Any:
        chunk_bytes = await byte_getter.get(prototype=chunk_spec.prototype)
        if chunk_bytes is None:
            return None
        data = chunk_bytes.as_numpy_array()
        _check_chunk(data, chunk_spec)
        part = await asyncio.to_thread(_part, data, selection, tuple(chunk_spec.shape))
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(part)


def _check_chunk(data: np.ndarray, chunk_spec: Any) -> None:
    """A chunk has a shape and a dtype: a stream that claims another is not decoded at all."""
    found, shape, dtype = shape_of(data), tuple(chunk_spec.shape), chunk_spec.dtype.to_native_dtype()
    if found.shape != shape or _arrays.NUMPY_DTYPES.get(found.dtype) != dtype.newbyteorder("="):
        raise InvalidArgumentError(
            f"a chunk holds {found.dtype} of shape {found.shape}: the metadata says {dtype} of shape {shape}"
        )


def _check_dtype(dtype: np.dtype) -> None:
    if dtype.newbyteorder("=") not in _arrays.NUMPY_DTYPES.values():
        raise DTypeError(f"dtype {dtype}: the codec takes {_arrays.ALLOWED}")


def _bounds(index: Any, size: int) -> tuple[int, int, Any]:
    """The range of an axis that an index needs, and the index within that range."""
    if isinstance(index, slice):
        wanted = range(*index.indices(size))
        if len(wanted) == 0:
            return 0, 0, slice(0, 0)
        low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1]) + 1
        if wanted.step < 0:
            return low, high, np.arange(wanted[0], wanted[-1] - 1, wanted.step) - low
        return low, high, slice(0, high - low, wanted.step)
    numbers = np.asarray(index)
    if numbers.dtype == bool:
        raise NotImplementedError
    if numbers.size == 0:
        return 0, 0, index
    low = int(numbers.min())
    return low, int(numbers.max()) + 1, numbers - low if numbers.ndim else int(numbers) - low


def _part(data: np.ndarray, selection: Any, shape: tuple[int, ...]) -> np.ndarray:
    """``decompress(data)[selection]``, decoding only what lies between the first and the last index of batch and channels."""
    selection = selection if isinstance(selection, tuple) else (selection,)
    rank = len(shape)
    try:
        if rank < 3 or len(selection) != rank or any(index is Ellipsis for index in selection):
            raise NotImplementedError
        indices = list(selection)
        first, end, indices[-3] = _bounds(selection[-3], shape[-3])
        batch = slice(None)
        leading = list(shape[:-3])
        if leading:
            inner = math.prod(leading[1:])
            first_item, end_item, indices[0] = _bounds(selection[0], shape[0])
            batch = slice(first_item * inner, end_item * inner)
            leading[0] = end_item - first_item
    except NotImplementedError:
        return decompress(data)[selection]
    values = read(data, batch=batch, channels=slice(first, end))
    return values.reshape((*leading, end - first, *shape[-2:]))[tuple(indices)]


def _frozen(configuration: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    freeze = lambda value: tuple(map(freeze, value)) if isinstance(value, (list, tuple)) else value
    return tuple((key, freeze(value)) for key, value in configuration.items())


def _thawed(value: Any) -> Any:
    return [_thawed(inner) for inner in value] if isinstance(value, tuple) else value


class SubbandNumcodec(NumcodecsCodec):
    """The same for numcodecs and Zarr version 2 (filters and compressors see the chunk with its shape)."""

    codec_id = ID

    def __init__(self, **configuration: Any):
        self.configuration = _checked(dict(configuration))

    def encode(self, buf: Any) -> bytes:
        return compress(buf, **self.configuration)

    def decode(self, buf: Any, out: Any = None) -> Any:
        values = decompress(buf)
        if out is None:
            return values
        flat = np.asarray(out)
        flat.reshape(-1).view(values.dtype)[...] = values.reshape(-1)
        return out

    def get_config(self) -> dict[str, Any]:
        return {"id": self.codec_id, **self.configuration}

    def __repr__(self) -> str:
        return f"SubbandNumcodec({', '.join(f'{key}={value!r}' for key, value in self.configuration.items())})"

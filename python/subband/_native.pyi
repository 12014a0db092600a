from typing import Any, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "Calibrator",
    "Codec",
    "Evaluator",
    "Packed",
    "Packer",
    "Profile",
    "batch_norm_gradient",
    "batch_norm_sums",
    "compress",
    "compress_with_profile",
    "decompress_into",
    "inspect",
    "lifting",
    "quantize_backward",
    "quantize_forward",
    "read_into",
    "set_threads",
    "shape_of",
    "subband_gains",
    "subband_names",
    "subband_sizes",
    "threads",
]

_Bytes = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]

_Flat = npt.NDArray[np.float32] | npt.NDArray[np.uint16]
"""Floats; those of 16 bits as such."""

def compress(array: dict[str, Any], stream: dict[str, Any], settings: dict[str, Any]) -> tuple[bytes, str]: ...
def compress_with_profile(
    array: dict[str, Any], stream: dict[str, Any], profile: Profile, tap: str, measure_error: bool
) -> tuple[bytes, str]: ...
def shape_of(data: _Bytes, max_values: int | None) -> tuple[str, list[int], bool, int]: ...
def decompress_into(
    data: _Bytes, out: npt.NDArray[Any], dtype: str, chunks: int, profile: Profile | None, max_values: int | None
) -> None: ...
def read_into(
    data: _Bytes,
    batch: tuple[int, int],
    channels: tuple[int, int],
    out: npt.NDArray[Any],
    dtype: str,
    profile: Profile | None,
    max_values: int | None,
) -> None: ...
def inspect(data: _Bytes, profile: Profile | None, max_values: int | None) -> str: ...
def set_threads(count: int) -> None:
    """Sets the number of threads that one call shares its work among; 0 is one a core."""

def threads() -> int:
    """The number of threads that one call shares its work among."""

def quantize_forward(
    x: _Floats, shape: list[int], steps: _Floats, kept: _Floats, settings: dict[str, Any], y: _Floats
) -> _Floats: ...
def quantize_backward(
    x: _Floats,
    y: _Floats,
    dy: _Floats,
    shape: list[int],
    steps: _Floats,
    kept: _Floats,
    rate_gradient: _Floats,
    settings: dict[str, Any],
    dx: _Floats,
) -> tuple[_Floats, _Floats]: ...
def lifting(wavelet: str) -> str: ...
def subband_sizes(levels: int, height: int, width: int) -> list[int]: ...
def subband_gains(wavelet: str, levels: int) -> list[float]: ...
def subband_names(levels: int) -> list[str]: ...

def batch_norm_sums(
    packed: Packed, plane: int, gradient: _Floats, mean: _Floats, x: _Floats
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
def batch_norm_gradient(
    x: _Floats, plane: int, gradient: _Floats, slope: _Floats, offset: _Floats, factor: _Floats
) -> None: ...

@final
class Packer:
    def __new__(
        cls, stream: dict[str, Any], settings: dict[str, Any], one_sided: dict[str, Any], relative: float | None
    ) -> Packer: ...
    def pack(self, flat: _Flat, dtype: str, width: int, rows: int) -> Packed | None: ...

@final
class Packed:
    @staticmethod
    def of_integers(
        flat: npt.NDArray[np.int64], width: int, rows: int, stream: dict[str, Any], settings: dict[str, Any]
    ) -> Packed | None: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def one_sided(self) -> bool: ...
    def decode(self, start: int, out: _Flat | npt.NDArray[np.int64]) -> None: ...
    def gate(self, gradient: _Flat, out: _Flat) -> None: ...

@final
class Profile:
    @staticmethod
    def from_bytes(data: _Bytes, max_values: int | None) -> Profile: ...
    @staticmethod
    def of(network: str, calibrators: list[Calibrator]) -> Profile: ...
    def to_bytes(self) -> bytes: ...
    def network(self) -> str: ...
    def hash(self) -> str: ...
    def taps(self) -> str: ...

@final
class Codec:
    def __new__(cls, profile: Profile, tap: str, effort: str, rdo: float) -> Codec: ...
    def compress(self, maps: _Floats, count: int) -> list[bytes]: ...
    def decompress(self, packets: list[bytes], maps: _Floats) -> None: ...

@final
class Calibrator:
    def __new__(cls, name: str, shape: list[int], coding: dict[str, Any]) -> Calibrator: ...
    def observe(self, maps: _Floats, decoded: _Floats) -> int: ...
    def fit(self) -> None: ...

@final
class Evaluator:
    def __new__(
        cls,
        profile: Profile,
        network: str,
        sites: list[tuple[str, list[int]]],
        effort: str,
        rdo: float,
        self_contained: bool,
    ) -> Evaluator: ...
    def code(self, tap: str, maps: _Floats, decoded: _Floats) -> None: ...
    def finish(self) -> str: ...

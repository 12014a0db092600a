"""Profiles, the codec of a tap, and the calibrator that makes profiles."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from typing import Any, Iterable

import numpy as np

from . import _arrays, _native, _settings
from ._errors import InvalidArgumentError


@dataclass(frozen=True)
class Tap:
    """One place in a network whose map is coded."""

    name: str
    shape: tuple[int, int, int]
    """Channels, height and width of a map."""
    coding: dict[str, Any]
    """Wavelet, levels, steps, rounding, reconstruction, index_bits, mask, prescale, nonnegative: as the format has them."""
    tables: int
    efforts: tuple[str, ...]
    """Efforts that there are tables for."""

    @property
    def steps(self) -> Any:
        """Nominal steps: a number, ``[S]`` or ``[C, S]``."""
        steps = next(iter(self.coding["steps"].values()))
        return steps if isinstance(steps, float) else np.array(steps)

    @property
    def mask(self) -> np.ndarray | None:
        """Kept subbands, ``[C, S]`` of bool; ``None`` where everything is kept."""
        if self.coding["mask"] is None:
            return None
        subbands = 3 * self.coding["levels"] + 1
        words = np.array(self.coding["mask"]["kept"], dtype=np.uint32)
        return (words[:, None] >> np.arange(subbands, dtype=np.uint32) & 1).astype(bool)


class Profile:
    """What a trained codec shares between encoder and decoder: steps, masks and frequency tables of each tap."""

    def __init__(self, native: Any):
        self._native = native
        taps = json.loads(native.taps())
        for tap in taps:
            tap["coding"].pop("lossless", None)
            tap["shape"], tap["efforts"] = tuple(tap["shape"]), tuple(tap["efforts"])
        self.taps: tuple[Tap, ...] = tuple(Tap(**tap) for tap in taps)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, max_values: int | None = None) -> Profile:
        """Reads a profile file. Raises ``TruncatedError``, ``CorruptError``, ``UnsupportedVersionError``, ``OSError``."""
        with open(path, "rb") as file:
            return cls.from_bytes(file.read(), max_values=max_values)

    @classmethod
    def from_bytes(cls, b: Any, *, max_values: int | None = None) -> Profile:
        """Reads a profile from its bytes."""
        return cls(_native.Profile.from_bytes(_arrays.data(b), max_values))

    @classmethod
    def of(cls, network: str, calibrators: Iterable[Calibrator]) -> Profile:
        """Makes a profile of what calibrators have counted, one a tap, in the order of the network."""
        return cls(_native.Profile.of(str(network), [calibrator._native for calibrator in calibrators]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a profile file, whole or not at all."""
        path = os.fspath(path)
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=".", suffix=".sbp.tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.to_bytes())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def to_bytes(self) -> bytes:
        """The profile as bytes."""
        return self._native.to_bytes()

    @property
    def network(self) -> str:
        """The network it was made for."""
        return self._native.network()

    @property
    def hash(self) -> str:
        """SHA-256 of the bytes, in hexadecimal digits."""
        return self._native.hash()

    def tap(self, name: str) -> Tap:
        """The tap of a name. Raises ``InvalidArgumentError``, with the names there are."""
        for tap in self.taps:
            if tap.name == name:
                return tap
        names = ", ".join(tap.name for tap in self.taps)
        raise InvalidArgumentError(f"the profile has no tap {name!r}: it has {names}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.hash)

    def __reduce__(self) -> Any:
        return Profile.from_bytes, (self.to_bytes(),)

    def __repr__(self) -> str:
        return f"<subband.Profile of {self.network!r}, {len(self.taps)} taps, {self.hash[:12]}>"


class Codec:
    """One tap of a profile, prepared: single maps to packets with 7 bytes of framing, and back.

    ``effort`` and ``rdo`` (0 to 10) steer compressing alone. A codec may be used by several threads at once.

    Raises ``InvalidArgumentError`` for a tap that the profile has not.
    """

    def __init__(self, profile: Profile, tap: str, *, effort: str = "default", rdo: float = 0.0):
        self.profile, self.tap = profile, profile.tap(tap)
        self.effort, self.rdo = str(effort), _settings.number("rdo", rdo)
        self._native = _native.Codec(profile._native, self.tap.name, self.effort, self.rdo)

    def _maps(self, maps: Any, batch: bool) -> np.ndarray:
        array = _arrays.floats(maps, "the map")
        wanted = self.tap.shape
        if array.shape[-3:] != wanted or array.ndim != (4 if batch else 3):
            asked = f"(N, {str(wanted)[1:]}" if batch else str(wanted)
            raise InvalidArgumentError(f"the map has shape {array.shape}: tap {self.tap.name!r} takes {asked}")
        return array

    def compress(self, map: Any) -> bytes:
        """The packet of one map ``[C, H, W]`` of float32, float16 or bfloat16; it is coded as float32.

        Raises ``InvalidArgumentError``, ``DTypeError``, ``NonFiniteError``.
        """
        return self._native.compress(self._maps(map, False).reshape(-1), 1)[0]

    def compress_batch(self, maps: Any) -> list[bytes]:
        """The packets of maps ``[N, C, H, W]``, shared among threads; the bytes are those of :meth:`compress`."""
        array = self._maps(maps, True)
        return self._native.compress(array.reshape(-1), len(array))

    def decompress(self, packet: Any, *, out: Any = None, kind: str = "numpy") -> Any:
        """Decodes a packet to a map ``[C, H, W]`` of float32, or into ``out``.

        Raises ``TruncatedError``, ``CorruptError``, ``WrongProfileError``, ``UnsupportedVersionError``.
        """
        return self._decode([packet], self.tap.shape, out, kind)

    def decompress_batch(self, packets: Iterable[Any], *, out: Any = None, kind: str = "numpy") -> Any:
        """Decodes packets to maps ``[N, C, H, W]`` of float32, or into ``out``; they are shared among threads."""
        packets = list(packets)
        return self._decode(packets, (len(packets), *self.tap.shape), out, kind)

    def _decode(self, packets: list[Any], shape: tuple[int, ...], out: Any, kind: str) -> Any:
        if out is None:
            out = _arrays.empty(kind, "f32", shape)
        flat, name = _arrays.output(out)
        if name != "f32":
            raise _arrays.DTypeError(f"out has dtype {name}: maps decode to f32")
        if tuple(out.shape) != shape:
            raise InvalidArgumentError(f"out has shape {tuple(out.shape)}: {shape} is decoded")
        self._native.decompress([p if isinstance(p, bytes) else bytes(p) for p in packets], flat)
        return out

    def __reduce__(self) -> Any:
        return _codec, (self.profile, self.tap.name, self.effort, self.rdo)

    def __repr__(self) -> str:
        return f"<subband.Codec of tap {self.tap.name!r}, {self.tap.shape}>"


def _codec(profile: Profile, tap: str, effort: str, rdo: float) -> Codec:
    return Codec(profile, tap, effort=effort, rdo=rdo)


class Calibrator:
    """Counts the maps of one tap, ``shape`` being ``(C, H, W)``, for the tables of a profile.

    Two passes make a full profile: maps are observed, :meth:`fit` fits estimates to them, and maps observed from then on are
    counted for the tables. Without a fit the profile has what effort "fast" codes with alone.

    ``coding`` is ``step`` (a number, ``[S]`` or ``[C, S]``) and as wanted ``wavelet``, ``levels``, ``rounding``,
    ``reconstruction``, ``index_bits``, ``mask`` (``[C, S]``), ``prescale`` and ``nonnegative`` (maps after a ReLU).
    """

    def __init__(self, name: str, shape: tuple[int, int, int], **coding: Any):
        self.name, self.shape = str(name), tuple(int(size) for size in shape)
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InvalidArgumentError(f"shape is {self.shape}: channels, height and width of at least 1 are wanted")
        self._native = _native.Calibrator(self.name, list(self.shape), _settings.coding(**coding))
        self.saturated = 0
        """Values and indices that were clamped so far."""

    def observe(self, maps: Any) -> np.ndarray:
        """Counts maps ``[N, C, H, W]`` and returns what the decoder would give, for the network to go on with."""
        array = _arrays.floats(maps, "the map")
        if array.ndim != 4 or array.shape[1:] != self.shape:
            raise InvalidArgumentError(f"the maps have shape {array.shape}: tap {self.name!r} takes (N, {str(self.shape)[1:]}")
        decoded = np.empty_like(array)
        self.saturated += self._native.observe(array.reshape(-1), decoded.reshape(-1))
        return decoded

    def fit(self) -> None:
        """Fits the estimates to what was observed, and starts counting anew."""
        self._native.fit()

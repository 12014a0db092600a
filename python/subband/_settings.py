"""Arguments of Python as the dictionaries of the native module, with every key."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._errors import InvalidArgumentError


def integer(name: str, value: Any, low: int, high: int) -> int:
    try:
        number = int(value.__index__())
    except AttributeError:
        raise InvalidArgumentError(f"{name} is {value!r}: an integer of {low} to {high} is wanted") from None
    if not low <= number <= high:
        raise InvalidArgumentError(f"{name} is {number}: allowed are {low} to {high}")
    return number


def number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"{name} is {value!r}: a number is wanted") from None


def levels_of(wavelet: str, levels: int | None) -> int:
    if levels is None:
        return 0 if wavelet == "none" else 3
    return integer("levels", levels, 0, 8)


def steps(value: Any) -> Any:
    """One step, one a subband, or a row of those for every channel."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"step is {value!r}: a number, one a subband, or a row of those a channel") from None
    if array.ndim > 2:
        raise InvalidArgumentError(f"step has shape {array.shape}: allowed are one number, [S] and [C, S]")
    return array.tolist()


def mask(value: Any) -> list[list[bool]] | None:
    if value is None:
        return None
    array = np.asarray(value)
    if array.ndim != 2:
        raise InvalidArgumentError(f"mask has shape {array.shape}: [channels, subbands] is wanted")
    return (array != 0).tolist()


def stream(nan: Any, inf: Any, channels_per_chunk: Any, rdo: Any, effort: str) -> dict[str, Any]:
    """Settings of any stream."""
    replacements = None
    if (nan is None) != (inf is None):
        raise InvalidArgumentError("nan and inf are given together: what NaN and what infinities become")
    if nan is not None:
        replacements = (number("nan", nan), number("inf", inf), -number("inf", inf))
    if channels_per_chunk is not None:
        channels_per_chunk = integer("channels_per_chunk", channels_per_chunk, 1, 2**62)
    return {
        "replacements": replacements,
        "channels_per_chunk": channels_per_chunk,
        "rdo": number("rdo", rdo),
        "effort": str(effort),
    }


def target(step: Any, max_error: Any, psnr: Any, bits: Any, lossless: bool) -> dict[str, Any]:
    """The one target that was given."""
    given = {"step": step, "max_error": max_error, "psnr": psnr, "bits": bits, "lossless": True if lossless else None}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        found = " and ".join(named) if named else "none"
        raise InvalidArgumentError(f"targets given: {found}; give one of step, max_error, psnr, bits, lossless")
    name = named[0]
    value = math.nan if name in ("step", "lossless") else number(name, given[name])
    return {"target": name, "target_value": value, "steps": steps(step) if name == "step" else None}


def whole(
    target: dict[str, Any],
    wavelet: str,
    levels: int | None,
    rounding: float = 0.5,
    reconstruction: float = 0.0,
    index_bits: int = 24,
    kept: Any = None,
    measure_error: bool = False,
) -> dict[str, Any]:
    """Settings of a self-contained stream."""
    return {
        **target,
        "wavelet": str(wavelet),
        "levels": levels_of(wavelet, levels),
        "rounding": number("rounding", rounding),
        "reconstruction": number("reconstruction", reconstruction),
        "index_bits": integer("index_bits", index_bits, 0, 255),
        "mask": mask(kept),
        "measure_error": bool(measure_error),
    }


def coding(
    *,
    step: Any,
    wavelet: str = "haar",
    levels: int | None = None,
    rounding: float = 0.5,
    reconstruction: float = 0.0,
    index_bits: int = 24,
    mask: Any = None,
    prescale: float | None = None,
    nonnegative: bool = False,
) -> dict[str, Any]:
    """How maps of a tap are coded; the arguments of :class:`subband.Calibrator`."""
    return {
        "steps": steps(step),
        "wavelet": str(wavelet),
        "levels": levels_of(wavelet, levels),
        "rounding": number("rounding", rounding),
        "reconstruction": number("reconstruction", reconstruction),
        "index_bits": integer("index_bits", index_bits, 0, 255),
        "mask": globals()["mask"](mask),
        "prescale": None if prescale is None else number("prescale", prescale),
        "nonnegative": bool(nonnegative),
    }

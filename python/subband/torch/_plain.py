"""The codec as a layer in plain tensor operations, for devices that the kernels do not run on.

The same arithmetic in the same order as the codec's; kernels of a device may still round differently.
"""

from __future__ import annotations

import functools
import json

import torch
from torch import Tensor

from .. import _native


@functools.cache
def _lifting(wavelet: str) -> dict:
    return json.loads(_native.lifting(wavelet))


def _extended(position: int, part: int, periodic: bool) -> int:
    """The sample that a position beyond the ends means."""
    if periodic:
        return position % part
    return -position if position < 0 else 2 * (part - 1) - position if position >= part else position


@functools.cache
def _neighbours(parity: int, offset: int, part: int, periodic: bool) -> list[int]:
    """For each sample of a parity, which of the other parity lies at an offset."""
    return [_extended(p + offset, part, periodic) // 2 for p in range(parity, part, 2)]


def _lift(halves: list[Tensor], lifting: dict, part: int, forward: bool) -> None:
    """The steps on the even and the odd samples of which ``part`` take part."""
    periodic = lifting["periodic"]
    for parity, factor, terms in lifting["steps"] if forward else reversed(lifting["steps"]):
        other = halves[1 - parity]
        (first, a), (second, b) = terms
        take = lambda offset: other[..., _neighbours(parity, offset, part, periodic)]
        sum = a * take(first) if b == 0 else a * take(first) + b * take(second)
        count = sum.shape[-1]
        halves[parity] = torch.cat(
            [halves[parity][..., :count] + (factor if forward else -factor) * sum, halves[parity][..., count:]], -1
        )


def _scaled(halves: list[Tensor], scale: list[float], pairs: int) -> list[Tensor]:
    """Low-pass, high-pass and unpaired samples times their factors."""
    low, high = halves
    if low.shape[-1] > pairs:
        return [torch.cat([low[..., :pairs] * scale[0], low[..., pairs:] * scale[2]], -1), high * scale[1]]
    return [low * scale[0], high * scale[1]]


def _split(x: Tensor, lifting: dict) -> list[Tensor]:
    """Low-pass and high-pass samples along the last axis."""
    n = x.shape[-1]
    if n < 2 or lifting["kind"] == "identity":
        return [x, x[..., :0]]
    low, high = x[..., ::2], x[..., 1::2]
    pairs = n // 2
    if lifting["kind"] == "butterfly":
        even, odd = low[..., :pairs], high
        last = low[..., pairs:] * lifting["unpaired"][0]
        return [torch.cat([(even + odd) * lifting["factor"], last], -1), (odd - even) * lifting["factor"]]
    halves = [low, high]
    _lift(halves, lifting, 2 * pairs if lifting["periodic"] else n, True)
    return _scaled(halves, lifting["scale"], pairs if lifting["periodic"] else low.shape[-1])


def _join(low: Tensor, high: Tensor, lifting: dict) -> Tensor:
    """Undoes :func:`_split`."""
    pairs, n = high.shape[-1], low.shape[-1] + high.shape[-1]
    if pairs == 0:
        return low
    if lifting["kind"] == "butterfly":
        mean, last = low[..., :pairs], low[..., pairs:] * lifting["unpaired"][1]
        halves = [torch.cat([(mean - high) * lifting["factor"], last], -1), (mean + high) * lifting["factor"]]
    else:
        halves = _scaled([low, high], lifting["inverse_scale"], pairs if lifting["periodic"] else low.shape[-1])
        _lift(halves, lifting, 2 * pairs if lifting["periodic"] else n, False)
    even, odd = halves
    paired = torch.stack([even[..., :pairs], odd], -1).flatten(-2)
    return torch.cat([paired, even[..., pairs:]], -1) if n % 2 else paired


def _turned(parts: list[Tensor]) -> list[Tensor]:
    return [part.transpose(-1, -2) for part in parts]


def analysis(x: Tensor, wavelet: str, levels: int) -> list[Tensor]:
    """Subbands in coding order (LL, then HL, LH, HH from the coarsest level) of planes ``[..., H, W]``."""
    lifting = _lifting(wavelet)
    details: list[Tensor] = []
    for _ in range(levels):
        low, high = _split(x, lifting)
        ll, lh = _turned(_split(low.transpose(-1, -2), lifting))
        hl, hh = _turned(_split(high.transpose(-1, -2), lifting))
        x, details = ll, [hl, lh, hh, *details]
    return [x, *details]


def synthesis(subbands: list[Tensor], wavelet: str) -> Tensor:
    """Undoes :func:`analysis`."""
    lifting = _lifting(wavelet)
    x, details = subbands[0], subbands[1:]
    for at in range(0, len(details), 3):
        hl, lh, hh = details[at : at + 3]
        low = _join(x.transpose(-1, -2), lh.transpose(-1, -2), lifting).transpose(-1, -2)
        high = _join(hl.transpose(-1, -2), hh.transpose(-1, -2), lifting).transpose(-1, -2)
        x = _join(low, high, lifting)
    return x


class _Quantizer:
    """Steps and gates of a layer, by subband as ``[C, 1, 1]`` or ``[1, 1, 1]``."""

    def __init__(self, steps, gates, wavelet, levels, rounding, reconstruction, noise):
        gains = torch.tensor(_native.subband_gains(wavelet, levels), dtype=torch.float32, device=steps.device)
        self.steps = [step[..., None, None] for step in (steps.reshape(-1, len(gains)) / gains).unbind(1)]
        self.gates = [gate[..., None, None] for gate in gates.unbind(1)]
        self.rounding, self.reconstruction = rounding, reconstruction
        self.generator = None
        if noise is not None:
            self.generator = torch.Generator(steps.device).manual_seed(noise)

    def noise_like(self, c: Tensor) -> Tensor:
        return torch.rand(c.shape, generator=self.generator, device=c.device) - 0.5

    def magnitudes(self, at: int, c: Tensor) -> tuple[Tensor, Tensor]:
        """``|c|`` in steps, and the magnitude of the index."""
        u = c.abs() * (1 / self.steps[at])
        return u, (u + self.rounding).trunc()


def forward(x, steps, gates, wavelet, levels, rounding, reconstruction, nonnegative, noise) -> tuple[Tensor, Tensor]:
    """The decoded form of ``x`` and the mean magnitudes ``[C, S]``."""
    quantizer = _Quantizer(steps, gates, wavelet, levels, rounding, reconstruction, noise)
    decoded, means = [], []
    for at, c in enumerate(analysis(x, wavelet, levels)):
        step, gate = quantizer.steps[at], quantizer.gates[at]
        if noise is not None:
            value = c * (1 / step) + quantizer.noise_like(c)
            decoded.append(value * step * gate)
            k = value.abs()
        else:
            _, k = quantizer.magnitudes(at, c)
            value = (k - reconstruction).clamp_min(0) * step
            decoded.append(torch.where(c < 0, -value, value) * gate + 0.0)
        count = k.shape[0] * k.shape[2] * k.shape[3]
        means.append(k.sum((0, 2, 3)) / max(count, 1))
    y = synthesis(decoded, wavelet)
    return (y.clamp_min(0) if nonnegative else y).contiguous(), torch.stack(means, 1)


def backward(
    x, y, dy, steps, gates, rate_gradient, wavelet, levels, rounding, reconstruction, nonnegative, noise
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``x``, of the logarithms of ``steps`` and of ``gates``, straight through the rounding."""
    quantizer = _Quantizer(steps, gates, wavelet, levels, rounding, reconstruction, noise)
    if nonnegative:
        passes = (y > 0) if noise is not None else (y > 0) | (x > 0)
        dy = torch.where(passes, dy, 0.0)
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        coefficients = analysis(leaf, wavelet, levels)
        leaves = [c.detach().requires_grad_() for c in coefficients]
        g_all = torch.autograd.grad(synthesis(leaves, wavelet), leaves, dy, allow_unused=True, materialize_grads=True)
    dc, dlog, dgate = [], [], []
    for at, (c, g) in enumerate(zip(leaves, g_all)):
        c = c.detach()
        step, gate = quantizer.steps[at], quantizer.gates[at]
        count = max(c.shape[0] * c.shape[2] * c.shape[3], 1)
        rate = rate_gradient[:, at][:, None, None] / count
        if noise is not None:
            u = c * (1 / step)
            d = u + quantizer.noise_like(c)
            sign = torch.sign(d)
            error, value, magnitude = g * (d - u), g * d, u * sign
        else:
            u, k = quantizer.magnitudes(at, c)
            sign = torch.sign(c)
            d = (k - reconstruction).clamp_min(0)
            outward = g * torch.where(c < 0, -1.0, 1.0)
            error, value, magnitude = outward * (d - u), outward * d, u
        dc.append(gate * (g + rate / step * sign))
        sum = lambda t: t.sum((0, 2, 3))
        by_channel = lambda t: t[:, 0, 0]
        dlog.append(by_channel(gate * step) * sum(error) - by_channel(gate * rate) * sum(magnitude))
        dgate.append(by_channel(step) * sum(value))
    with torch.enable_grad():
        (dx,) = torch.autograd.grad(coefficients, leaf, dc, allow_unused=True, materialize_grads=True)
    dlog_steps = torch.stack(dlog, 1)
    return dx, dlog_steps if steps.ndim == 2 else dlog_steps.sum(0), torch.stack(dgate, 1)

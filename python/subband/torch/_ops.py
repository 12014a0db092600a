"""The codec as one differentiable operation, ``torch.ops.subband.quantize``: the kernels on CPU, plain operations elsewhere.

Registered as custom operators, so that ``torch.compile`` keeps them whole (``fullgraph=True`` works).
"""

from typing import Optional

import numpy as np
import torch
from torch import Tensor

from .. import _native
from . import _plain


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy().reshape(-1)


def _settings(wavelet, levels, rounding, reconstruction, nonnegative, noise) -> dict:
    return {
        "wavelet": wavelet,
        "levels": levels,
        "rounding": rounding,
        "reconstruction": reconstruction,
        "nonnegative": nonnegative,
        "noise": noise,
    }


@torch.library.custom_op("subband::quantize", mutates_args=())
def quantize(
    x: Tensor,
    log_steps: Tensor,
    gates: Tensor,
    wavelet: str,
    levels: int,
    rounding: float,
    reconstruction: float,
    nonnegative: bool,
    noise: Optional[int],
) -> tuple[Tensor, Tensor]:
    """The decoded form of ``x`` ``[N, C, H, W]`` of float32, and the mean magnitudes of its indices, ``[C, S]``.

    ``log_steps`` is ``[S]`` or ``[C, S]``, ``gates`` is ``[C, S]``.
    """
    settings = _settings(wavelet, levels, rounding, reconstruction, nonnegative, noise)
    steps = log_steps.exp()
    if x.device.type != "cpu":
        return _plain.forward(x, steps, gates, **settings)
    y = torch.empty(x.shape, dtype=x.dtype)
    shape = list(x.shape)
    means = _native.quantize_forward(_flat(x), shape, _flat(steps), _flat(gates), settings, y.numpy().reshape(-1))
    return y, torch.from_numpy(means).reshape(gates.shape)


@quantize.register_fake
def _(x, log_steps, gates, wavelet, levels, rounding, reconstruction, nonnegative, noise):
    return torch.empty_like(x, memory_format=torch.contiguous_format), gates.new_empty(gates.shape)


@torch.library.custom_op("subband::quantize_backward", mutates_args=())
def quantize_backward(
    x: Tensor,
    y: Tensor,
    dy: Tensor,
    log_steps: Tensor,
    gates: Tensor,
    dmeans: Tensor,
    wavelet: str,
    levels: int,
    rounding: float,
    reconstruction: float,
    nonnegative: bool,
    noise: Optional[int],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``x``, ``log_steps`` and ``gates``; that of the means reaches the gates by the caller's own formula."""
    settings = _settings(wavelet, levels, rounding, reconstruction, nonnegative, noise)
    # The kernels want the gradient of mean times gate.
    rate = torch.where(gates != 0, dmeans / gates, 0.0)
    steps = log_steps.exp()
    if x.device.type != "cpu":
        return _plain.backward(x, y, dy, steps, gates, rate, **settings)
    dx = torch.empty(x.shape, dtype=x.dtype)
    tensors = [_flat(tensor) for tensor in (x, y, dy)]
    small = [_flat(tensor) for tensor in (steps, gates, rate)]
    dlog_steps, dgates = _native.quantize_backward(
        *tensors, list(x.shape), *small, settings, dx.numpy().reshape(-1)
    )
    return dx, torch.from_numpy(dlog_steps).reshape(log_steps.shape), torch.from_numpy(dgates).reshape(gates.shape)


@quantize_backward.register_fake
def _(x, y, dy, log_steps, gates, dmeans, wavelet, levels, rounding, reconstruction, nonnegative, noise):
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    return dx, log_steps.new_empty(log_steps.shape), gates.new_empty(gates.shape)


def _setup_context(ctx, inputs, output):
    x, log_steps, gates, *settings = inputs
    y, _ = output
    nonnegative = settings[4]
    ctx.settings = settings
    ctx.save_for_backward(x, y if nonnegative else x, log_steps, gates)


def _backward(ctx, dy, dmeans):
    x, y, log_steps, gates = ctx.saved_tensors
    dy = torch.zeros_like(x) if dy is None else dy
    dmeans = torch.zeros_like(gates) if dmeans is None else dmeans
    found = torch.ops.subband.quantize_backward(x, y, dy, log_steps, gates, dmeans, *ctx.settings)
    return *found, None, None, None, None, None, None


quantize.register_autograd(_backward, setup_context=_setup_context)

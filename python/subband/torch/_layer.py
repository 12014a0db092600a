"""The codec as a layer that learns its steps and which channels keep their details."""

from __future__ import annotations

import math
from typing import Any, Iterable, Iterator

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor, nn

from .. import _native, _settings
from .._errors import InvalidArgumentError
from . import _ops
from ._rate import bits_per_index

SELECTIONS = ("none", "thesis", "gates")


def subband_sizes(levels: int, height: int, width: int) -> list[int]:
    """Coefficients of a plane in each subband, in coding order."""
    sizes: list[int] = []
    for _ in range(levels):
        low, high = ((height + 1) // 2, (width + 1) // 2), (height // 2, width // 2)
        sizes = [low[0] * high[1], high[0] * low[1], high[0] * high[1], *sizes]
        height, width = low
    return [height * width, *sizes]


class _AverageOverProcesses(torch.autograd.Function):
    """The mean over all processes. Its gradient is the process's own, since DDP averages the gradients of the processes."""

    @staticmethod
    def forward(ctx, mean: Tensor) -> Tensor:
        mean = mean.clone()
        distributed.all_reduce(mean)
        return mean / distributed.get_world_size()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient


class WaveletQuantize(nn.Module):
    """What a decoder will give of a map ``[N, C, H, W]``: transform, quantizer and inverse, with gradients.

    Forward, on a CPU, has the bits of ``subband.decompress(subband.compress(x))``; other dtypes than float32 are coded as
    float32 and rounded back. Backward, rounding is passed straight through; the logarithms of the steps get the gradient of
    learned step size quantization (LSQ), and :meth:`bits` that of the rate.

    - ``step``: the nominal step to start from, above 0: a number, ``[S]`` or ``[C, S]``, with ``S = 3 * levels + 1`` subbands in
      coding order. ``per_channel`` learns one for each channel too; ``learn_steps=False`` learns none.
    - ``rounding``, ``reconstruction``: 0 to 0.5, as in :func:`subband.compress`. ``nonnegative``: maps come after a ReLU.
    - ``noise``: in training, uniform noise in place of rounding.
    - ``mask``: kept subbands ``[C, S]``, fixed. Or ``selection``: "thesis" learns a score a channel, and the ``retain`` share
      with the smallest keep their finest level; "gates" learns a gate for each channel and level, which closes where coding costs
      more than it brings. ``tau`` is the steepness of the sigmoid that scores get their gradient through.

    Learned parameters: ``log_steps``, and ``scores`` for a selection. Give them no weight decay (see
    :func:`subband.torch.parameter_groups`), and call :func:`subband.torch.project` after each step of a "thesis" selection.
    With several processes the rate is that of the global batch.
    """

    def __init__(
        self,
        channels: int,
        *,
        step: Any = 0.5,
        wavelet: str = "haar",
        levels: int | None = None,
        per_channel: bool = False,
        learn_steps: bool = True,
        rounding: float = 0.5,
        reconstruction: float = 0.0,
        nonnegative: bool = True,
        noise: bool = False,
        mask: Any = None,
        selection: str = "none",
        retain: float = 1.0,
        tau: float = 2.0,
    ):
        super().__init__()
        self.channels = _settings.integer("channels", channels, 1, 2**31)
        self.wavelet, self.levels = str(wavelet), _settings.levels_of(wavelet, levels)
        self.rounding, self.reconstruction = float(rounding), float(reconstruction)
        self.nonnegative, self.noise = bool(nonnegative), bool(noise)
        self.selection, self.retain, self.tau = str(selection), float(retain), float(tau)
        # Refuses what the codec would.
        coding = _settings.coding(
            step=step,
            wavelet=self.wavelet,
            levels=self.levels,
            rounding=self.rounding,
            reconstruction=self.reconstruction,
            mask=mask,
            nonnegative=self.nonnegative,
        )
        _native.Calibrator("layer", [self.channels, 1, 1], coding)
        if self.selection not in SELECTIONS:
            raise InvalidArgumentError(f"selection is {selection!r}: allowed are {', '.join(SELECTIONS)}")
        if not 0 <= self.retain <= 1:
            raise InvalidArgumentError(f"retain is {retain}: allowed are 0 to 1")
        if not 0 < self.tau < math.inf:
            raise InvalidArgumentError(f"tau is {tau}: it must be positive and finite")
        if mask is not None and self.selection != "none":
            raise InvalidArgumentError("a mask is fixed: with selection 'none' alone")

        steps = torch.as_tensor(np.asarray(step, np.float32))
        shape = (self.channels, self.subbands) if per_channel or steps.ndim == 2 else (self.subbands,)
        self.log_steps = nn.Parameter(steps.expand(shape).log().clone(), requires_grad=learn_steps)
        kept = torch.ones(self.channels, self.subbands) if mask is None else torch.as_tensor(np.asarray(mask) != 0).float()
        self.register_buffer("mask", kept)
        scores = None
        if self.selection == "thesis" and self.levels > 0:
            scores = torch.full((self.channels,), 1 - self.retain)
        if self.selection == "gates" and self.levels > 0:
            # Open, far enough from closing that a few noisy steps do not close one.
            scores = torch.full((self.channels, self.levels), 0.5)
        self.scores = nn.Parameter(scores) if scores is not None else None
        self._bits: Tensor | None = None
        self._values = 0

    @property
    def subbands(self) -> int:
        """Number of subbands, ``3 * levels + 1``."""
        return 3 * self.levels + 1

    def steps(self) -> Tensor:
        """Nominal steps, ``[S]`` or ``[C, S]``."""
        return self.log_steps.detach().exp()

    def gates(self) -> Tensor:
        """``[C, S]``: 1 where a subband is coded and 0 where it is dropped, with the gradient of a sigmoid."""
        if self.scores is None:
            return self.mask
        if self.selection == "thesis":
            kept = round(self.retain * self.channels)
            ranks = torch.argsort(torch.argsort(self.scores.detach(), stable=True))
            soft = -torch.sigmoid(self.tau * (self.scores - (1 - self.retain)))
            finest = (ranks < kept).to(soft.dtype) + (soft - soft.detach())
            gates = [self.mask[:, : self.subbands - 3], finest[:, None].expand(-1, 3)]
        else:
            soft = torch.sigmoid(self.tau * self.scores)
            open = (self.scores > 0).to(soft.dtype) + (soft - soft.detach())
            # Scores begin with the finest level, coding order with the coarsest.
            gates = [self.mask[:, :1], open.flip(1).repeat_interleave(3, 1)]
        return torch.cat(gates, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise InvalidArgumentError(f"the map has shape {tuple(x.shape)}: (N, {self.channels}, H, W) is wanted")
        if not x.is_floating_point():
            raise InvalidArgumentError(f"the map has dtype {x.dtype}: a float is wanted")
        gates = self.gates()
        noise = int(torch.randint(2**62, ()).item()) if self.noise and self.training else None
        # Autocast would take the multiplications down to half precision.
        with torch.autocast(x.device.type, enabled=False):
            y, means = _ops.quantize(
                x.float(),
                self.log_steps.float(),
                gates.float(),
                self.wavelet,
                self.levels,
                self.rounding,
                self.reconstruction,
                self.nonnegative,
                noise,
            )
            self._values = x.shape[1] * x.shape[2] * x.shape[3]
            self._bits = self._estimate(means, gates.float(), x.shape[2], x.shape[3])
        return y.to(x.dtype)

    def _estimate(self, means: Tensor, gates: Tensor, height: int, width: int) -> Tensor:
        if self.training and distributed.is_available() and distributed.is_initialized():
            means = _AverageOverProcesses.apply(means)
        # Sums of what is never negative are not negative either.
        sums = self.nonnegative and self.wavelet in ("none", "haar")
        one_sided = torch.tensor([sums and at == 0 for at in range(self.subbands)], device=means.device)
        sizes = torch.tensor(subband_sizes(self.levels, height, width), dtype=means.dtype, device=means.device)
        bits = bits_per_index(means, one_sided) * sizes
        # The thesis learns its scores from the loss alone; gates weigh what they save.
        return (bits * (gates if self.selection == "gates" else gates.detach())).sum()

    def bits(self) -> Tensor:
        """The estimated bits of one image's map in the last forward pass, with gradient. 0 before the first."""
        return self.log_steps.new_zeros(()) if self._bits is None else self._bits

    def values(self) -> int:
        """Values of one image's map in the last forward pass."""
        return self._values

    def coding(self) -> dict[str, Any]:
        """What :class:`subband.Calibrator` takes to do the same."""
        gates = self.gates().detach().cpu().numpy() != 0
        return {
            "step": self.steps().cpu().numpy(),
            "wavelet": self.wavelet,
            "levels": self.levels,
            "rounding": self.rounding,
            "reconstruction": self.reconstruction,
            "mask": None if gates.all() else gates,
            "nonnegative": self.nonnegative,
        }

    def __getstate__(self) -> dict[str, Any]:
        # A tensor of a graph can be neither copied nor pickled.
        return {**self.__dict__, "_bits": None}

    def extra_repr(self) -> str:
        steps = f"{float(self.steps().min()):.4g}..{float(self.steps().max()):.4g}"
        return f"{self.channels}, {self.wavelet}, levels={self.levels}, steps={steps}, selection={self.selection}"


def layers(model: nn.Module) -> Iterator[WaveletQuantize]:
    """All codec layers of a model."""
    return (module for module in model.modules() if isinstance(module, WaveletQuantize))


def rate(model: nn.Module) -> Tensor:
    """The estimated bits per value of the last forward pass, over all codec layers of ``model``, with gradient.

    ``loss = task_loss + lam * subband.torch.rate(model)``.
    """
    found = [layer for layer in layers(model) if layer.values()]
    if not found:
        raise InvalidArgumentError("no codec layer of the model has seen a map")
    return torch.stack([layer.bits() for layer in found]).sum() / sum(layer.values() for layer in found)


def sharpening(model: nn.Module) -> Tensor:
    """The thesis's term that pushes scores away from the threshold, to be added to the loss with a small weight (1e-3)."""
    terms = [-(layer.scores - (1 - layer.retain)).abs().sum() for layer in layers(model) if _has_thesis_scores(layer)]
    if not terms:
        raise InvalidArgumentError("no codec layer of the model has a 'thesis' selection")
    return torch.stack(terms).sum()


def _has_thesis_scores(layer: WaveletQuantize) -> bool:
    return layer.selection == "thesis" and layer.scores is not None


@torch.no_grad()
def project(model: nn.Module) -> None:
    """Brings the scores of "thesis" selections back to 0..1 and their sum to that of the dropped share; after each step."""
    for layer in filter(_has_thesis_scores, layers(model)):
        scores = layer.scores.clamp_(0, 1)
        total = float(scores.double().sum())
        if total > 0:
            scores.mul_(layer.channels * (1 - layer.retain) / total).clamp_(0, 1)


def parameter_groups(model: nn.Module, *, codec_lr: float = 1e-2, **rest: Any) -> list[dict[str, Any]]:
    """Two groups for an optimizer: what the codec learns, without weight decay and at ``codec_lr``, and the rest with ``rest``.

    >>> optimizer = torch.optim.Adam(parameter_groups(model), lr=1e-3)  # doctest: +SKIP
    """
    codec = [parameter for layer in layers(model) for parameter in layer.parameters(recurse=False)]
    own = {id(parameter) for parameter in codec}
    others: Iterable[nn.Parameter] = [p for p in model.parameters() if id(p) not in own and p.requires_grad]
    learned = [parameter for parameter in codec if parameter.requires_grad]
    return [{"params": others, **rest}, {"params": learned, "lr": codec_lr, "weight_decay": 0.0}]

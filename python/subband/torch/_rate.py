"""A differentiable estimate of what the coder will spend, from the mean magnitude of the indices.

Indices of detail subbands are close to two-sided geometric, those of the approximation of a map that is never negative to one-sided
geometric. Of all distributions with the same mean magnitude these have the largest entropy, so the estimate errs upwards.
"""

import torch
from torch import Tensor

# Below this mean the slope stays as it is there (10 bits): an empty context must not be pulled at without end.
LEAST_MEAN = 1e-3


def _theta(mean: Tensor) -> Tensor:
    return mean / (1 + (1 + mean * mean).sqrt())


def bits_per_index(mean: Tensor, one_sided: Tensor) -> Tensor:
    """Bits an index, ``[C, S]`` of mean magnitudes; ``one_sided`` is ``[S]`` of bool. Its gradient is the cost of one more unit
    of magnitude."""
    with torch.no_grad():
        # Means of float32, entropies of more where there is more.
        m = mean if mean.device.type == "mps" else mean.double()
        tiny = torch.finfo(m.dtype).tiny
        t = _theta(m).clamp_min(tiny)
        two = -((1 - t) / (1 + t)).log2() - m * t.log2()
        one = (1 + m) * (1 + m).log2() - m * m.clamp_min(tiny).log2()
        bits = torch.where(m > 0, torch.where(one_sided, one, two), 0.0).to(mean.dtype)
        at = m.clamp_min(LEAST_MEAN)
        slope = torch.where(one_sided, ((1 + at) / at).log2(), -_theta(at).log2()).to(mean.dtype)
    return bits + slope * (mean - mean.detach())

"""Backward passes that read compressed tensors part by part.

A saved tensor that is decoded as a whole needs its full size beside the gradients that come in and go out: three maps at a time. A
ReLU needs a bit a value, max pooling indices and a shape, and batch normalisation can write its gradient where the decoded map was.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from .. import _native
from ._packed import Packed

aten = torch.ops.aten

READERS = ("ReluBackward0", "MaxPool2DWithIndicesBackward0", "NativeBatchNormBackward0")
"""Nodes of autograd whose saved tensors need not be decoded as a whole."""


class Lazy(Tensor):
    """Stands for a saved tensor while a node of autograd calls its operation, which is then done here."""

    packed: Packed

    @staticmethod
    def __new__(cls, packed: Packed) -> Lazy:
        layout = torch.channels_last if packed.channels_last else torch.contiguous_format
        strides = torch.empty(packed.shape, device="meta", memory_format=layout).stride()
        lazy = Tensor._make_wrapper_subclass(cls, packed.shape, strides=strides, dtype=packed.dtype, device="cpu")
        lazy.packed = packed
        return lazy

    def __repr__(self, **_: Any) -> str:
        return f"Lazy({self.packed.name})"

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operation is aten.detach.default:
            return Lazy(args[0].packed)
        own = OPERATIONS.get(operation)
        found = own(*args) if own is not None and not kwargs else None
        if found is not None:
            return found
        args, kwargs = tree_map_only(Lazy, lambda lazy: lazy.packed.decode(), (args, kwargs or {}))
        return operation(*args, **kwargs)


def relu_backward(gradient: Tensor, result: Tensor, threshold: float) -> Tensor | None:
    """``threshold_backward`` where ``result`` is compressed: the gradient where that is positive."""
    if not isinstance(result, Lazy) or isinstance(gradient, Lazy) or threshold != 0 or gradient.shape != result.shape:
        return None
    packed = result.packed
    if packed.one_sided and gradient.dtype == packed.dtype and lies_as(packed, gradient):
        out = torch.empty_like(gradient)
        packed.gate(gradient, out)
        return out
    if not lies_as(packed, gradient):
        return None
    out = torch.empty_like(gradient)
    gradient_there, there = packed.in_memory(gradient), packed.in_memory(out)
    for start, end, values in packed.parts():
        there[start:end] = aten.threshold_backward(gradient_there[start:end], values, threshold)
    return out


def lies_as(packed: Packed, tensor: Tensor) -> bool:
    """Whether a tensor is dense and lies in memory as one that was packed did."""
    return tensor.is_contiguous(memory_format=torch.channels_last if packed.channels_last else torch.contiguous_format)


def max_pool_backward(gradient: Tensor, x: Tensor, kernel, stride, padding, dilation, ceil, indices: Tensor) -> Tensor | None:
    """``max_pool2d_with_indices_backward``, which needs no more of ``x`` than its shape."""
    if not isinstance(indices, Lazy) or isinstance(gradient, Lazy) or x.ndim != 4 or not gradient.is_contiguous():
        return None
    if indices.packed.channels_last:
        return None
    out = torch.empty(x.shape, dtype=gradient.dtype)
    for start, end, places in indices.packed.parts():
        part = out[start:end]
        part.copy_(
            aten.max_pool2d_with_indices_backward(
                gradient[start:end], part, kernel, stride, padding, dilation, ceil, places
            )
        )
    return out


def batch_norm_backward(gradient, x, weight, running_mean, running_variance, mean, scale, train, eps, wanted):
    """``native_batch_norm_backward`` in training, of a lossily coded float32 map. With g the gradient, n values a channel and
    x' = (x - mean) * scale: the gradient of x is weight * scale * (g - sum(g)/n - x' * sum(g x')/n)."""
    if (
        not isinstance(x, Lazy)
        or not train
        or x.packed.exact
        or x.packed.channels_last
        or x.ndim != 4
        or isinstance(gradient, Lazy)
        or not gradient.is_contiguous()
        or any(found is not None and found.dtype != torch.float32 for found in (gradient, x, weight, mean))
    ):
        return None
    packed = x.packed
    plane = packed.shape[2] * packed.shape[3]
    gradient_x, flat = torch.empty(packed.shape), gradient.reshape(-1).numpy()
    sum_gradient, sum_product = packed.batch_norm_sums(gradient, mean, gradient_x)
    sum_product *= scale
    if wanted[0]:
        count = packed.shape.numel() // packed.shape[1]
        factor = scale.double() if weight is None else scale.double() * weight
        slope = -factor * scale * sum_product / count
        offset = -factor * sum_gradient / count - slope * mean
        numbers = (found.float().numpy() for found in (slope, offset, factor))
        _native.batch_norm_gradient(gradient_x.view(-1).numpy(), plane, flat, *numbers)
    return (
        gradient_x if wanted[0] else None,
        sum_product.float() if wanted[1] else None,
        sum_gradient.float() if wanted[2] else None,
    )


OPERATIONS = {
    aten.threshold_backward.default: relu_backward,
    aten.max_pool2d_with_indices_backward.default: max_pool_backward,
    aten.native_batch_norm_backward.default: batch_norm_backward,
}


def check_version() -> None:
    """Raises RuntimeError where PyTorch does not say which node of autograd is at work. It has no public way to do so."""
    if not hasattr(torch._C, "_current_autograd_node"):
        raise RuntimeError(
            f"this is PyTorch {torch.__version__}, which has no torch._C._current_autograd_node: compress_saved_tensors was "
            "tested with PyTorch 2.9 and needs 2.4 or a later one that has it"
        )


def reader_at_work() -> bool:
    """Whether a node that reads part by part asks for its tensors, and nobody wants gradients of its gradients."""
    node = torch._C._current_autograd_node()
    return node is not None and node.name() in READERS and not torch.is_grad_enabled()

"""Arrays at the door: what comes in as flat memory with strides, what goes out as fresh memory."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ._errors import DTypeError, InvalidArgumentError, NotContiguousError, ReadOnlyError

# Names of the dtypes, with what NumPy holds them in; 16-bit floats cross the border as their bits.
NUMPY_DTYPES = {
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "u8": np.dtype(np.uint8),
    "i8": np.dtype(np.int8),
    "u16": np.dtype(np.uint16),
    "i16": np.dtype(np.int16),
}
ALLOWED = "float32, float16, bfloat16, uint8, int8, uint16 and int16"
_NAMES = {dtype: name for name, dtype in NUMPY_DTYPES.items()}
TORCH_NAMES = {
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "uint8": "u8",
    "int8": "i8",
    "uint16": "u16",
    "int16": "i16",
}
_TORCH_DTYPES = {name: torch_name for torch_name, name in TORCH_NAMES.items()}


def is_tensor(x: Any) -> bool:
    """Whether ``x`` is a PyTorch tensor; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _of_tensor(tensor: Any) -> tuple[np.ndarray, str]:
    import torch

    if tensor.device.type != "cpu":
        raise InvalidArgumentError(f"the tensor is on {tensor.device}: the codec takes CPU tensors, see Tensor.cpu()")
    name = TORCH_NAMES.get(str(tensor.dtype).removeprefix("torch."))
    if name is None:
        raise DTypeError(f"dtype {tensor.dtype}: the codec takes {ALLOWED}")
    tensor = tensor.detach()
    if name == "bf16":
        return tensor.view(torch.int16).numpy(), name
    return tensor.numpy(), name


def array_of(x: Any) -> tuple[np.ndarray, str]:
    """The NumPy array that shares the memory of ``x``, and the name of its dtype."""
    if is_tensor(x):
        return _of_tensor(x)
    if not isinstance(x, np.ndarray):
        if hasattr(x, "__dlpack__") and not hasattr(x, "__array_interface__"):
            x = np.from_dlpack(x)
        else:
            x = np.asarray(x)
    name = _NAMES.get(x.dtype)
    if name is not None:
        return x, name
    if x.dtype.name == "bfloat16":
        return x.view(np.uint16), "bf16"
    if not x.dtype.isnative and x.dtype.newbyteorder("=") in _NAMES:
        return array_of(x.astype(x.dtype.newbyteorder("=")))
    raise DTypeError(f"dtype {x.dtype}: the codec takes {ALLOWED}")


def _bits(flat: np.ndarray, name: str) -> np.ndarray:
    return flat.view(np.uint16) if name in ("f16", "bf16") else flat


def argument(x: Any) -> dict[str, Any]:
    """``x`` for the native module: flat memory, and how the array lies in it. Nothing is copied if strides are multiples of
    the elements' size."""
    array, name = array_of(x)
    size = array.itemsize
    if not array.flags.aligned or any(stride % size for stride in array.strides):
        array = array.copy()
    shape = array.shape
    if array.flags.c_contiguous or array.size == 0:
        strides, offset, flat = _contiguous_strides(shape), 0, array.reshape(-1)
    else:
        strides = [stride // size for stride in array.strides]
        # From the element with the lowest address on.
        first = array[tuple(slice(None, None, -1 if stride < 0 else 1) for stride in strides)]
        reach = [(count - 1) * abs(stride) for count, stride in zip(shape, strides)]
        offset = sum(far for far, stride in zip(reach, strides) if stride < 0)
        flat = np.lib.stride_tricks.as_strided(first, (1 + sum(reach),), (size,), writeable=False)
    return {"flat": _bits(flat, name), "dtype": name, "shape": shape, "strides": strides, "offset": offset}


def _contiguous_strides(shape: tuple[int, ...]) -> list[int]:
    strides, stride = [], 1
    for size in reversed(shape):
        strides.append(stride)
        stride *= max(size, 1)
    return strides[::-1]


def empty(kind: str, dtype: str, shape: tuple[int, ...]) -> Any:
    """A fresh array: of NumPy, or a tensor of PyTorch."""
    if kind == "torch":
        import torch

        return torch.empty(shape, dtype=getattr(torch, _TORCH_DTYPES[dtype]))
    if kind != "numpy":
        raise InvalidArgumentError(f"kind is {kind!r}: allowed are 'numpy' and 'torch'")
    if dtype != "bf16":
        return np.empty(shape, NUMPY_DTYPES[dtype])
    try:
        import ml_dtypes
    except ImportError:
        raise DTypeError("a bfloat16 array needs the package ml_dtypes; kind='torch' gives a tensor") from None
    return np.empty(shape, ml_dtypes.bfloat16)


def output(out: Any) -> tuple[np.ndarray, str]:
    """The flat memory of an array to decode into, and the name of its dtype."""
    array, name = array_of(out)
    if isinstance(out, np.ndarray) and not out.dtype.isnative:
        raise DTypeError(f"out has dtype {out.dtype}: it must be of this machine's byte order")
    if not array.flags.c_contiguous:
        raise NotContiguousError(f"out has strides {array.strides}: it must be row-major and contiguous")
    if not array.flags.writeable:
        raise ReadOnlyError("out is read-only")
    return _bits(array.reshape(-1), name), name


def floats(x: Any, what: str) -> np.ndarray:
    """``x`` as a row-major float32 array; only other floats and other layouts are copied."""
    array, name = array_of(x)
    if name not in ("f32", "f16", "bf16"):
        raise DTypeError(f"{what} has dtype {array.dtype}: a tap codes float32, float16 and bfloat16")
    if name == "bf16":
        array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(array, dtype=np.float32)


def data(b: Any) -> np.ndarray:
    """Bytes of any object with a buffer, without a copy."""
    view = memoryview(b)
    if not view.contiguous:
        raise InvalidArgumentError("the bytes must be contiguous in memory")
    return np.frombuffer(view, np.uint8) if view.nbytes else np.empty(0, np.uint8)

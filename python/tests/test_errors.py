"""Bad input: each its own exception, with the value and what is allowed."""

import pickle

import numpy as np
import pytest

import subband
from conftest import relu_maps

X = relu_maps(2, 3, 8, 8)
STREAM = subband.compress(X, step=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "targets given: none"),
        ({"step": 1, "bits": 2}, "step and bits"),
        ({"step": 0}, "step is 0"),
        ({"step": float("nan")}, "step is NaN"),
        ({"step": "much"}, "step is 'much'"),
        ({"step": [1, 2]}, "has 10 subbands"),
        ({"step": np.ones((2, 10))}, "steps for 2 channels"),
        ({"step": np.ones((2, 2, 2))}, r"step has shape \(2, 2, 2\)"),
        ({"max_error": -1}, "max_error is -1"),
        ({"psnr": float("inf")}, "psnr is inf"),
        ({"bits": 0}, "bits_per_value is 0"),
        ({"step": 1, "wavelet": "sinc"}, "unknown wavelet 'sinc'"),
        ({"step": 1, "levels": 9}, "levels is 9: allowed are 0 to 8"),
        ({"step": 1, "levels": -1}, "levels is -1: allowed are 0 to 8"),
        ({"step": 1, "levels": 1.5}, "levels is 1.5: an integer"),
        ({"step": 1, "wavelet": "none", "levels": 1}, "wavelet 'none' has 0 levels"),
        ({"step": 1, "rounding": 0.6}, "rounding is 0.6"),
        ({"step": 1, "reconstruction": -0.1}, "reconstruction is -0.1"),
        ({"step": 1, "index_bits": 1}, "index_bits is 1: allowed are 2 to 24"),
        ({"step": 1, "index_bits": 1000}, "index_bits is 1000"),
        ({"step": 1, "mask": [1, 0]}, r"mask has shape \(2,\)"),
        ({"step": 1, "mask": np.ones((3, 4))}, "mask has 4 subbands"),
        ({"step": 1, "mask": np.zeros((3, 10))}, "approximation of channel 0"),
        ({"lossless": True, "mask": np.ones((3, 10)), "wavelet": "cdf97"}, "mask"),
        ({"step": 1, "nan": 0}, "nan and inf are given together"),
        ({"step": 1, "nan": float("nan"), "inf": 1}, "must be finite"),
        ({"step": 1, "channels_per_chunk": 0}, "channels_per_chunk is 0"),
        ({"step": 1, "rdo": 11}, "rdo is 11"),
        ({"step": 1, "effort": "huge"}, "effort 'huge'"),
        ({"step": 1, "tap": "a"}, "give the profile too"),
    ],
)
def test_settings_out_of_range(arguments, message):
    with pytest.raises(subband.InvalidArgumentError, match=message):
        subband.compress(X, **arguments)


@pytest.mark.parametrize("dtype", ["float64", "int32", "int64", "uint32", "bool", "complex64", "U3"])
def test_other_dtypes(dtype):
    with pytest.raises(subband.DTypeError, match="the codec takes float32, float16"):
        subband.compress(np.zeros((4, 4), dtype), step=1)
    with pytest.raises(TypeError):
        subband.compress([[1.0, 2.0]], step=1)


@pytest.mark.parametrize("shape", [(), (5,)])
def test_a_rank_below_two(shape):
    with pytest.raises(subband.InvalidArgumentError, match="at least 2 is needed"):
        subband.compress(np.zeros(shape, np.float32), step=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value):
    x = X.copy()
    x[1, 2, 3, 4] = value
    with pytest.raises(subband.NonFiniteError, match=r"index \[1, 2, 3, 4\]"):
        subband.compress(x, step=1)
    with pytest.raises(ValueError):
        subband.compress(x, step=1)


def test_truncation_anywhere():
    for length in range(len(STREAM)):
        with pytest.raises(subband.TruncatedError):
            subband.decompress(STREAM[:length])
    with pytest.raises(EOFError):
        subband.inspect(STREAM[:-1])


def test_flipped_bits_anywhere():
    for position in range(len(STREAM)):
        damaged = bytearray(STREAM)
        damaged[position] ^= 0x10
        with pytest.raises((subband.CorruptError, subband.TruncatedError, subband.UnsupportedVersionError)):
            subband.decompress(damaged)
    with pytest.raises(subband.CorruptError, match="no Subband stream"):
        subband.decompress(b"PNG not a stream")
    with pytest.raises(subband.UnsupportedVersionError, match="version 99"):
        subband.decompress(STREAM[:4] + bytes([99]) + STREAM[5:])
    with pytest.raises(subband.CorruptError, match="follow"):
        subband.decompress(STREAM + b"x")


def test_limits():
    with pytest.raises(subband.LimitExceededError, match="limit of 100 values"):
        subband.decompress(STREAM, max_values=100)


def test_outputs_that_do_not_fit():
    good = np.empty(X.shape, np.float32)
    with pytest.raises(subband.NotContiguousError, match="row-major"):
        subband.decompress_into(STREAM, np.empty((3, 2, 8, 8), np.float32).transpose(1, 0, 2, 3))
    locked = good.copy()
    locked.flags.writeable = False
    with pytest.raises(subband.ReadOnlyError):
        subband.decompress_into(STREAM, locked)
    with pytest.raises(subband.DTypeError, match="the stream has f32"):
        subband.decompress_into(STREAM, good.astype(np.float16))
    with pytest.raises(subband.DTypeError):
        subband.decompress_into(STREAM, good.astype(">f4"))
    with pytest.raises(subband.InvalidArgumentError, match="shape"):
        subband.decompress_into(STREAM, good.reshape(3, 2, 8, 8))


def test_reads_beyond_the_tensor():
    for arguments, message in [
        ({"batch": 2}, "batch is 2: allowed are -2 to 1"),
        ({"channels": -4}, "channels is -4"),
        ({"channels": slice(0, 3, 2)}, "its step must be 1"),
        ({"batch": "all"}, "batch is 'all'"),
    ]:
        with pytest.raises(subband.InvalidArgumentError, match=message):
            subband.read(STREAM, **arguments)


def test_what_bytes_may_be():
    with pytest.raises(TypeError):
        subband.decompress("text")
    with pytest.raises(subband.TruncatedError):
        subband.decompress(b"")
    with pytest.raises(subband.InvalidArgumentError, match="contiguous"):
        subband.decompress(memoryview(STREAM)[::2])
    with pytest.raises(subband.InvalidArgumentError, match="kind is 'list'"):
        subband.decompress(STREAM, kind="list")


def test_threads_out_of_range():
    with pytest.raises(subband.InvalidArgumentError):
        subband.set_threads(-1)


def test_every_exception_is_of_this_package_and_pickles():
    for name in subband.__all__:
        found = getattr(subband, name)
        if isinstance(found, type) and issubclass(found, Exception):
            assert issubclass(found, subband.SubbandError)
            again = pickle.loads(pickle.dumps(found("why")))
            assert type(again) is found and str(again) == "why"

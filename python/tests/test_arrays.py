"""What arrays are taken, and that their memory is read as it lies."""

import array
import tracemalloc

import numpy as np
import pytest

import subband
from conftest import relu_maps

X = relu_maps(4, 6, 10, 12)
VIEWS = {
    "reversed": X[::-1, :, ::-1, ::-1],
    "stepped": X[:, ::2, ::3, 1::4],
    "channels last": np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "transposed": X.transpose(2, 0, 3, 1),
    "broadcast": np.broadcast_to(X[0, 0], (3, 10, 12)),
    "reversed and stepped": X[2:0:-1, 5::-2, :, ::-5],
    "one axis of one": X[:, 2:3],
    "plane": X[1, 2],
    "nothing": X[:, :, 5:5],
}


@pytest.mark.parametrize("name", VIEWS)
def test_strides_do_not_show_in_the_bytes(name):
    view = VIEWS[name]
    assert subband.compress(view, step=0.1) == subband.compress(view.copy(), step=0.1)


def test_inputs_are_not_copied():
    x = relu_maps(8, 32, 64, 64)
    for view in (x, x[:, :, ::-1], x.transpose(0, 1, 3, 2)):
        tracemalloc.start()
        subband.compress(view, step=0.5)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # NumPy reports its buffers to tracemalloc; the stream is some percent of the input.
        assert peak < x.nbytes / 4


def test_read_only_unaligned_and_byte_swapped_arrays_are_taken():
    expected = subband.compress(X, step=0.1)
    locked = X.copy()
    locked.flags.writeable = False
    assert subband.compress(locked, step=0.1) == expected
    memory = np.zeros(X.nbytes + 1, np.uint8)
    unaligned = memory[1:].view(np.float32).reshape(X.shape)
    unaligned[:] = X
    assert subband.compress(unaligned, step=0.1) == expected
    assert subband.compress(X.astype(">f4"), step=0.1) == expected


def test_other_objects_with_memory_are_taken():
    plane = array.array("f", X[0, 0, 0])
    view = memoryview(plane).cast("B").cast("f", (3, 4))
    assert subband.compress(view, step=0.1) == subband.compress(X[0, 0, 0].reshape(3, 4), step=0.1)

    class OnlyDlpack:
        def __dlpack__(self, **options):
            return X.__dlpack__(**options)

        def __dlpack_device__(self):
            return X.__dlpack_device__()

    assert subband.compress(OnlyDlpack(), step=0.1) == subband.compress(X, step=0.1)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0), (0, 0)])
@pytest.mark.parametrize("lossless", [False, True])
def test_empty_arrays_come_back(shape, lossless):
    x = np.zeros(shape, np.float32)
    stream = subband.compress(x, lossless=True) if lossless else subband.compress(x, step=1)
    assert subband.decompress(stream).shape == shape
    assert subband.shape_of(stream).chunks == 0


def test_decoding_into_memory_that_is_there():
    stream = subband.compress(X, step=0.1)
    out = np.full(X.shape, np.nan, np.float32)
    assert subband.decompress_into(stream, out) is out
    np.testing.assert_array_equal(out, subband.decompress(stream))
    # A slice along the first axis is contiguous.
    larger = np.full((6, *X.shape[1:]), np.nan, np.float32)
    subband.decompress_into(stream, larger[1:5])
    np.testing.assert_array_equal(larger[1:5], out)
    assert np.isnan(larger[0]).all() and np.isnan(larger[5]).all()
    half = X.astype(np.float16)
    into = np.empty_like(half)
    subband.decompress_into(subband.compress(half, lossless=True), into)
    assert into.tobytes() == half.tobytes()


def test_bfloat16_is_read_as_such():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = X.astype(ml_dtypes.bfloat16)
    stream = subband.compress(x, step=0.01)
    assert subband.shape_of(stream).dtype == "bf16"
    decoded = subband.decompress(stream)
    assert decoded.dtype == ml_dtypes.bfloat16
    np.testing.assert_allclose(decoded.astype(np.float32), X, atol=0.05)
    swapped = x.transpose(0, 1, 3, 2)
    assert subband.compress(swapped, step=0.01) == subband.compress(swapped.copy(), step=0.01)

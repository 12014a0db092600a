"""Streams: round trips, targets, partial reads, reports."""

import math

import numpy as np
import pytest

import subband
from conftest import relu_maps

WAVELETS = ["none", "haar", "legall53", "cdf97", "db2"]


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("effort", ["fast", "default", "max"])
def test_an_error_bound_is_met(maps, wavelet, effort):
    stream, report = subband.compress_with_report(maps, max_error=0.05, wavelet=wavelet, effort=effort)
    decoded = subband.decompress(stream)
    assert decoded.dtype == np.float32 and decoded.shape == maps.shape
    assert np.abs(decoded - maps).max() <= 0.05
    assert report.error.max == pytest.approx(np.abs(decoded.astype(np.float64) - maps).max())
    assert report.bytes == len(stream) and report.values == maps.size
    assert report.bits_per_value == pytest.approx(8 * len(stream) / maps.size)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8", "int8", "uint16", "int16"])
def test_lossless_keeps_every_bit(maps, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    x = (maps * 30).astype(dtype)
    stream, report = subband.compress_with_report(x, lossless=True)
    decoded = subband.decompress(stream)
    assert decoded.dtype == x.dtype and decoded.tobytes() == x.tobytes()
    assert subband.inspect(stream).lossless and report.error is None


def test_lossless_floats_keep_nan_and_negative_zero():
    x = np.array([[0.0, -0.0, np.nan], [np.inf, -np.inf, 1e-40]], np.float32)
    assert subband.decompress(subband.compress(x, lossless=True)).tobytes() == x.tobytes()


def test_targets_reach_what_they_say(maps):
    _, report = subband.compress_with_report(maps, psnr=40)
    assert report.error.psnr >= 40
    assert subband.compress_with_report(relu_maps(8, 16, 32, 32), bits=2.0)[1].bits_per_value <= 2
    exact = subband.compress_with_report(np.zeros((2, 4, 4), np.float32), step=1)[1]
    assert exact.error.psnr == math.inf and exact.step == 1


def test_steps_by_subband_and_channel(maps):
    one = subband.compress(maps, step=0.25, levels=1)
    assert subband.inspect(one).steps == 0.25
    by_subband = subband.compress(maps, step=[0.25, 0.5, 0.5, 1.0], levels=1)
    np.testing.assert_array_equal(subband.inspect(by_subband).steps, [0.25, 0.5, 0.5, 1.0])
    by_channel = subband.compress(maps, step=np.full((10, 4), 0.25), levels=1)
    np.testing.assert_array_equal(subband.decompress(by_channel), subband.decompress(one))


def test_a_mask_drops_details(maps):
    mask = np.ones((10, 4), bool)
    mask[3, 1:] = False
    stream = subband.compress(maps, step=0.1, levels=1, mask=mask)
    blocks = subband.decompress(stream)[0, 3, :, :8].reshape(6, 2, 4, 2)
    assert np.ptp(blocks, axis=(1, 3)).max() < 1e-6
    assert sum(subband.dropped for subband in subband.inspect(stream).subbands) == 3 * (12 * 9 - 6 * 5)


def test_parts_are_read_without_the_rest(maps):
    stream = subband.compress(maps, step=0.1, channels_per_chunk=4)
    whole = subband.decompress(stream)
    np.testing.assert_array_equal(subband.read(stream), whole)
    np.testing.assert_array_equal(subband.read(stream, batch=1, channels=slice(0, 8)), whole[1, :8])
    np.testing.assert_array_equal(subband.read(stream, batch=-1, channels=-2), whole[-1, -2])
    np.testing.assert_array_equal(subband.read(stream, channels=slice(-3, None)), whole[:, -3:])
    assert subband.read(stream, batch=slice(2, 2)).shape == (0, 10, 12, 9)
    # The last chunk is damaged: only what lies in it is lost.
    damaged = stream[:-6] + bytes([stream[-6] ^ 1]) + stream[-5:]
    np.testing.assert_array_equal(subband.read(damaged, batch=slice(0, 2)), whole[:2])
    with pytest.raises(subband.CorruptError):
        subband.read(damaged, batch=2)


def test_leading_axes_are_one_batch():
    x = relu_maps(2, 3, 4, 8, 8)
    stream = subband.compress(x, lossless=True)
    np.testing.assert_array_equal(subband.read(stream, batch=4), x[1, 1])
    plane = subband.compress(x[0, 0, 0], lossless=True)
    assert subband.read(plane).shape == (1, 1, 8, 8)


def test_the_shape_is_told_cheaply(maps):
    stream = subband.compress(maps, step=0.1, channels_per_chunk=4)
    found = subband.shape_of(stream[: len(stream) - 1])
    assert found == subband.StreamShape("f32", (3, 10, 12, 9), False, 9)


def test_inspection_adds_up(maps):
    stream = subband.compress(maps, step=0.1, levels=2)
    info = subband.inspect(stream)
    assert [subband.name for subband in info.subbands] == ["LL2", "HL2", "LH2", "HH2", "HL1", "LH1", "HH1"]
    assert sum(subband.values for subband in info.subbands) == maps.size == info.values
    assert info.bytes == len(stream) and info.wavelet == "haar" and info.dtype == "f32"


def test_effort_and_rdo_save_bytes():
    x = relu_maps(16, 16, 32, 32)
    fast = len(subband.compress(x, step=0.2, effort="fast"))
    better = len(subband.compress(x, step=0.2))
    assert len(subband.compress(x, step=0.2, rdo=0.2)) < better < fast


def test_any_buffer_holds_a_stream(maps):
    stream = subband.compress(maps, step=0.1)
    expected = subband.decompress(stream)
    for b in (bytearray(stream), memoryview(stream), np.frombuffer(stream, np.uint8)):
        np.testing.assert_array_equal(subband.decompress(b), expected)


def test_replacements_of_what_is_not_finite(maps):
    maps[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    stream, report = subband.compress_with_report(maps, step=0.01, nan=0, inf=8)
    assert report.replaced == 3
    np.testing.assert_allclose(subband.decompress(stream)[0, 0, 0, :3], [0, 8, -8], atol=0.05)

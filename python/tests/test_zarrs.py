"""Arrays between Zarr with the Python package and the Rust crate `zarrs` with `subband-zarrs`, both ways."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from conftest import REPOSITORY, relu_maps

zarr = pytest.importorskip("zarr")
from subband.zarr import SubbandCodec  # noqa: E402

SHAPE, CHUNKS = (6, 5, 9, 14), (4, 5, 9, 14)
WAYS = {
    "lossless": {"lossless": True, "channels_per_chunk": 2},
    "max_error": {"max_error": 0.5},
    "steps": {"step": [0.5, 1.0, 1.0, 2.0], "wavelet": "cdf97", "levels": 1, "rounding": 0.4, "effort": "fast"},
    "bytes": {"lossless": True},
}


@pytest.fixture(scope="module")
def zarr_maps():
    """The example of the crate, called with arguments."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    program = target / "release" / "examples" / "zarr_maps"
    if not program.is_file():
        pytest.skip("needs an example: cargo build --release -p subband-zarrs --example zarr_maps")
    return lambda *arguments: subprocess.run([program, *map(str, arguments)], check=True, timeout=60)


def values():
    """Those that the example writes."""
    image, channel, y, x = np.ogrid[tuple(slice(size) for size in SHAPE)]
    return np.maximum((3 * x + 5 * y * (channel + 1) + 17 * image) % 61 - 20, 0)


def create(path, codec, x, chunks=CHUNKS):
    array = zarr.create_array(path, shape=x.shape, chunks=chunks, dtype=x.dtype, serializer=codec, compressors=None)
    array[...] = x
    return array


@pytest.mark.parametrize("way", WAYS)
def test_arrays_of_rust_are_read_here_and_are_the_same(zarr_maps, tmp_path, way):
    zarr_maps("write", tmp_path)
    x = values().astype(np.uint8 if way == "bytes" else np.float32)
    array = zarr.open_array(tmp_path / way, mode="r")
    assert array.dtype == x.dtype and array.chunks == CHUNKS
    assert np.abs(array[...] - x).max() <= {"max_error": 0.5, "steps": 4}.get(way, 0)
    np.testing.assert_array_equal(array[4, 1:3, 2], array[...][4, 1:3, 2])
    own = create(tmp_path / "own", SubbandCodec(**WAYS[way]), x)
    np.testing.assert_array_equal(array[...], own[...])
    metadata = [json.loads((tmp_path / name / "zarr.json").read_text())["codecs"] for name in (way, "own")]
    assert metadata[0] == metadata[1] == [{"name": "subband", "configuration": WAYS[way]}]
    for chunk in (0, 1):
        name = Path("c") / str(chunk) / "0" / "0" / "0"
        assert (tmp_path / way / name).read_bytes() == (tmp_path / "own" / name).read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8", "uint16", "int16"])
def test_arrays_of_every_dtype_are_read_by_rust(zarr_maps, tmp_path, dtype):
    x = (relu_maps(7, 6, 9, 14) * 20).astype(dtype)
    create(tmp_path / "a", SubbandCodec(lossless=True), x, chunks=(3, 6, 9, 14))
    zarr_maps("read", tmp_path / "a", tmp_path / "raw")
    np.testing.assert_array_equal(np.fromfile(tmp_path / "raw", dtype).reshape(x.shape), x)


@pytest.mark.parametrize("codec", [{"step": 0.1}, {"psnr": 40, "wavelet": "db2"}, {"bits": 2, "effort": "fast"}, {"step": np.full((6, 4), 0.2), "levels": 1}])
def test_lossy_arrays_are_read_by_rust_as_here(zarr_maps, tmp_path, codec):
    x = relu_maps(5, 6, 9, 14)
    array = create(tmp_path / "a", SubbandCodec(**codec, channels_per_chunk=2), x, chunks=(3, 6, 9, 14))
    zarr_maps("read", tmp_path / "a", tmp_path / "raw")
    np.testing.assert_array_equal(np.fromfile(tmp_path / "raw", np.float32).reshape(x.shape), array[...])
    zarr_maps("read", tmp_path / "a", tmp_path / "part", "1..5,3,0..9,4..6")
    np.testing.assert_array_equal(np.fromfile(tmp_path / "part", np.float32).reshape(4, 1, 9, 2), array[1:5, 3:4, :, 4:6])

"""Maps of a folder of images in one store by Ray Data."""

import sys

import numpy as np
import pytest

from conftest import REPOSITORY

pytest.importorskip("ray.data", reason="needs Ray: pip install 'ray[data]'")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
zarr = pytest.importorskip("zarr")
sys.path.insert(0, str(REPOSITORY / "examples" / "python"))
import dask_maps  # noqa: E402
import ray_maps  # noqa: E402


def test_maps_and_their_statistics(tmp_path):
    import ray

    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    names = [str(tmp_path / "images" / f"{number:02}.png") for number in range(20)]
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8))
        coarse.resize((40, 40), Image.Resampling.BICUBIC).save(name)
    store = str(tmp_path / "maps.zarr")
    ray_maps.start()
    try:
        assert ray_maps.write(names, store) == 3
        found = ray_maps.statistics(store)
    finally:
        ray.shutdown()
    pixels = [np.asarray(Image.open(name).convert("RGB").resize((32, 32)), np.float32) for name in names]
    maps = dask_maps.network()((np.stack(pixels).transpose(0, 3, 1, 2) / 255 - 0.45) / 0.226)
    stored = zarr.open_array(store, mode="r")[...]
    np.testing.assert_allclose(stored, maps, atol=0.4)
    assert np.abs(stored - maps).mean() < 0.05
    files = sorted(str(path.relative_to(store)) for path in (tmp_path / "maps.zarr").rglob("*") if path.is_file())
    assert files == ["c/0/0/0/0", "c/1/0/0/0", "c/2/0/0/0", "zarr.json"]
    np.testing.assert_allclose(found["mean"], stored.mean((0, 2, 3), dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(found["zeros"], (stored == 0).mean((0, 2, 3)))

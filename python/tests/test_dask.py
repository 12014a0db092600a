"""Maps of a folder of images in one store by a Dask cluster, of which a worker is killed while it works."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from conftest import REPOSITORY

distributed = pytest.importorskip("distributed", reason="needs Dask: pip install distributed")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
zarr = pytest.importorskip("zarr")
EXAMPLES = REPOSITORY / "examples" / "python"
sys.path.insert(0, str(EXAMPLES))
import dask_maps  # noqa: E402


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    names = []
    for number in range(100):
        coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8))
        names.append(str(tmp_path / "images" / f"{number:03}.png"))
        coarse.resize((40, 40), Image.Resampling.BICUBIC).save(names[-1])
    return names


def slow_network():
    """A filter bank that takes its time, so that a worker can be killed at work."""
    run = dask_maps.filter_bank()

    def slow(x):
        time.sleep(0.15)
        return run(x)

    return slow


def expected(names):
    run = dask_maps.filter_bank()
    pixels = [np.asarray(Image.open(name).convert("RGB").resize((32, 32)), np.float32) for name in names]
    return run((np.stack(pixels).transpose(0, 3, 1, 2) / 255 - 0.45) / 0.226)


def setup(dask_worker):
    sys.path[:0] = [str(EXAMPLES), os.path.dirname(__file__)]
    import dask_maps
    import test_dask

    dask_maps._cache["network"] = test_dask.slow_network()


def test_a_killed_worker_loses_nothing(images, tmp_path):
    store = str(tmp_path / "maps.zarr")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0, worker_class=distributed.Nanny
    ) as cluster, distributed.Client(cluster) as client:
        import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        client.register_plugin(_Setup())
        killed = []

        def kill_one():
            # As soon as some chunks are there and others are not.
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and len(list((tmp_path / "maps.zarr").rglob("c/*/0/0/0"))) < 3:
                time.sleep(0.02)
            pids = client.run(os.getpid)
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        chunks = dask_maps.write(client, images, store)
        killer.join()
        assert killed and chunks == 13
        found = dask_maps.statistics(client, store)
    maps = expected(images)
    stored = zarr.open_array(store, mode="r")
    np.testing.assert_allclose(stored[...], maps, atol=0.4)
    assert np.abs(stored[...] - maps).mean() < 0.05
    # One file a chunk, and nothing half written beside them.
    files = sorted(str(path.relative_to(store)) for path in (tmp_path / "maps.zarr").rglob("*") if path.is_file())
    assert files == sorted(["zarr.json", *(f"c/{number}/0/0/0" for number in range(13))])
    np.testing.assert_allclose(found["mean"], stored[...].mean((0, 2, 3), dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(found["std"], stored[...].std((0, 2, 3), dtype=np.float64), rtol=1e-6)


class _Setup(distributed.WorkerPlugin):
    """The network of this test in every worker, also in one that is started anew."""

    def setup(self, worker):
        setup(worker)

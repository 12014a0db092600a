"""The job of dask_maps.py on Ray Data: compressed maps of a folder of images in one Zarr store, by `map_batches`.

    python examples/python/ray_maps.py IMAGES STORE [--workers 2] [--address ray://head:10001]

A row of the data set is a chunk of the store with the names of its images; a worker holds the network and writes whole chunks. Ray runs
a row again whose worker died, and the chunk is then written again, whole.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dask_maps import chunk_statistics, chunks_of, create, in_chunks, parse, print_size, summary, write_chunk


class Writer:
    """Writes the chunks of a batch."""

    def __init__(self, store: str):
        self.store = store

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[int]]:
        rows = zip(batch["number"], batch["names"])
        return {"number": [write_chunk(int(number), list(names), self.store) for number, names in rows]}


def write(images: list[str], store: str, workers: int = 2, step: float = 0.1) -> int:
    """Maps of all images to a store; the number of chunks."""
    import ray

    create(store, len(images), step)
    parts = in_chunks(images)
    rows = ray.data.from_items([{"number": number, "names": part} for number, part in enumerate(parts)])
    done = rows.map_batches(Writer, fn_constructor_args=(store,), batch_size=1, concurrency=workers).take_all()
    assert sorted(row["number"] for row in done) == list(range(len(parts)))
    return len(done)


def statistics(store: str) -> dict[str, np.ndarray]:
    """:func:`dask_maps.summary`, read from the store in parallel."""
    import ray

    found = ray.data.range(chunks_of(store)).map_batches(
        lambda batch: {"sums": np.stack([chunk_statistics(store, int(number)) for number in batch["id"]])}
    )
    return summary(row["sums"] for row in found.take_all())


def start(address: str | None = None, workers: int = 2) -> None:
    """Ray on this machine, or elsewhere, with workers that import the modules of this folder where it lies: the network finds its
    weights from there."""
    import ray

    own = {} if address else {"num_cpus": workers, "include_dashboard": False}
    ray.init(address=address, runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).resolve().parent)}}, **own)


def main() -> None:
    address = "of a Ray cluster elsewhere; this repository, the images and the store must be seen from there"
    arguments, images, store = parse(__doc__, "workers that hold the network", address)
    start(arguments.address, arguments.workers)
    chunks = write(images, store, arguments.workers, arguments.step)
    found = statistics(store)
    print_size(len(images), chunks, store)
    print(f"zeros: {100 * found['zeros'].mean():.1f}%, mean {found['mean'].mean():.4f}")


if __name__ == "__main__":
    main()

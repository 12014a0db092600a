"""Compressed maps of a folder of images in one Zarr store, made by any number of processes of a Dask cluster.

    python examples/python/dask_maps.py IMAGES STORE [--workers 2] [--address tcp://scheduler:8786]

Every task takes the images of one chunk, runs them through the network and writes that chunk, and no other. A task that is run again, since
the worker that had it died, writes the same chunk again, whole: stores replace a chunk in one piece, so nothing is lost and nothing
is there twice. `statistics` reads the store in parallel, without the network.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

CHUNK = 8
SIZE = 32


def filter_bank():
    """16 filters of 3 x 3 with a ReLU: maps without a network."""
    filters = np.random.default_rng(0).standard_normal((16, 3, 3, 3)).astype(np.float32) / 5

    def run(x: np.ndarray) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        return np.maximum(np.einsum("nchwij,ocij->nohw", windows, filters, optimize=True), 0).astype(np.float32)

    return run


def network():
    """What gives the maps, made once in every worker: a bundled ResNet-20 up to its first stage, or filters without PyTorch."""
    try:
        import torch

        import resnet20
    except ImportError:
        return filter_bank()
    model, _ = resnet20.bundled()
    head = torch.nn.Sequential(model.conv1, model.bn1, model.relu, model.layer1)

    def run(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return head(torch.from_numpy(x)).numpy()

    return run


_cache: dict = {}


def write_chunk(number: int, names: list[str], store: str) -> int:
    """Runs the images of a chunk and writes it. The number, when done."""
    import zarr
    from PIL import Image

    if "network" not in _cache:
        _cache["network"] = network()
    pixels = [np.asarray(Image.open(name).convert("RGB").resize((SIZE, SIZE)), np.float32) for name in names]
    x = (np.stack(pixels).transpose(0, 3, 1, 2) / 255 - 0.45) / 0.226
    array = zarr.open_array(store, mode="r+")
    array[number * CHUNK : number * CHUNK + len(names)] = _cache["network"](x)
    return number


def create(store: str, count: int, step: float = 0.1) -> None:
    """An empty store for the maps of so many images."""
    import zarr

    from subband.zarr import SubbandCodec

    shape = (count, 16, SIZE, SIZE)
    zarr.create_array(
        store,
        shape=shape,
        chunks=(CHUNK, *shape[1:]),
        dtype="float32",
        serializer=SubbandCodec(step=step),
        compressors=None,
        overwrite=True,
    )


def in_chunks(images: list[str]) -> list[list[str]]:
    """The images of each chunk."""
    return [images[at : at + CHUNK] for at in range(0, len(images), CHUNK)]


def write(client, images: list[str], store: str, step: float = 0.1) -> int:
    """Maps of all images to a store; the number of chunks."""
    create(store, len(images), step)
    parts = in_chunks(images)
    # `pure=False`: what matters is the side effect. A task may be tried again as often as workers die.
    futures = [
        client.submit(write_chunk, number, part, store, pure=False, retries=5, key=f"chunk-{number}")
        for number, part in enumerate(parts)
    ]
    done = client.gather(futures)
    assert sorted(done) == list(range(len(parts)))
    return len(done)


def chunk_statistics(store: str, number: int) -> np.ndarray:
    """Of every channel: values, sum, sum of squares, zeros."""
    import zarr

    x = zarr.open_array(store, mode="r")[number * CHUNK : (number + 1) * CHUNK].astype(np.float64)
    axes = (0, 2, 3)
    count = np.full(x.shape[1], x[:, 0].size)
    return np.stack([count, x.sum(axes), (x * x).sum(axes), (x == 0).sum(axes)])


def chunks_of(store: str) -> int:
    """Chunks of a store."""
    import zarr

    return -(-zarr.open_array(store, mode="r").shape[0] // CHUNK)


def summary(parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Mean, standard deviation and share of zeros of every channel, from what each chunk adds."""
    count, total, squares, zeros = sum(parts)
    mean = total / count
    return {"mean": mean, "std": np.sqrt(np.maximum(squares / count - mean**2, 0)), "zeros": zeros / count}


def statistics(client, store: str) -> dict[str, np.ndarray]:
    """:func:`summary`, read from the store in parallel."""
    return summary(client.gather(client.map(lambda n: chunk_statistics(store, n), range(chunks_of(store)))))


def parse(description: str, workers: str, address: str) -> tuple[argparse.Namespace, list[str], str]:
    """Arguments, images and store of a job with these words for its workers and its address."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", help="folder of images, searched with its folders")
    parser.add_argument("store", help="Zarr store to write")
    parser.add_argument("--workers", type=int, default=2, help=workers)
    parser.add_argument("--address", help=address)
    parser.add_argument("--step", type=float, default=0.1)
    arguments = parser.parse_args()
    kinds = {".png", ".jpg", ".jpeg", ".webp"}
    images = sorted(str(path.resolve()) for path in Path(arguments.images).rglob("*") if path.suffix.lower() in kinds)
    if not images:
        parser.error(f"no images in {arguments.images}")
    return arguments, images, str(Path(arguments.store).resolve())


def print_size(images: int, chunks: int, store: str) -> None:
    """What a store takes, and what it would as f32."""
    stored = sum(path.stat().st_size for path in Path(store).rglob("*") if path.is_file())
    raw = images * 16 * SIZE * SIZE * 4
    print(f"{images} images in {chunks} chunks, {stored:,} bytes: {raw / stored:.1f}x less than f32")


def main() -> None:
    from dask.distributed import Client, LocalCluster

    address = "of a Dask scheduler elsewhere, instead; the folder and the store must be seen from there"
    arguments, images, store = parse(__doc__, "processes on this machine", address)
    cluster = None if arguments.address else LocalCluster(n_workers=arguments.workers, threads_per_worker=1)
    with Client(arguments.address or cluster) as client:
        client.upload_file(__file__)
        chunks = write(client, images, store, arguments.step)
        found = statistics(client, store)
    print_size(len(images), chunks, store)
    print("channel      mean       std    zeros")
    for channel, row in enumerate(zip(found["mean"], found["std"], found["zeros"])):
        print(f"{channel:7} {row[0]:9.4f} {row[1]:9.4f} {100 * row[2]:7.1f}%")


if __name__ == "__main__":
    main()

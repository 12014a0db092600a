"""Speed of whole streams through Python against the Rust API, on a map of 25 MB.

    cargo build --release -p subband --example stream_speed
    python bench/python/speed.py [--threads 1]

Rounds of both alternate, so that a busy machine is busy for both; each side's best round counts. Prints MB/s of f32 and the ratios.
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

import subband

SHAPE = (128, 221, 221)  # 25.0 MB


def relu_map() -> np.ndarray:
    """Smooth positive bumps with noise, half of the values zero."""
    rng = np.random.default_rng(0)
    channels, height, width = SHAPE
    y, x = np.mgrid[:height, :width]
    phase = rng.uniform(0, 6, (channels, 1, 1))
    wave = np.sin(x * 0.11 + phase) + np.cos(y * 0.07 - 2 * phase)
    return np.maximum(wave + rng.normal(0, 0.1, SHAPE), 0).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rust", help="the example, if not in target/release/examples")
    arguments = parser.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).parents[2] / "target"))
    rust = arguments.rust or str(target / "release" / "examples" / "stream_speed")
    x = relu_map()
    subband.set_threads(arguments.threads)
    print(f"{x.nbytes / 1e6:.1f} MB, {arguments.threads} thread(s)      Rust MB/s   Python MB/s   ratio")
    with tempfile.TemporaryDirectory() as folder:
        raw = os.path.join(folder, "map.raw")
        x.tofile(raw)
        for effort in ("fast", "default"):
            ours, theirs = [], []
            for _ in range(arguments.rounds):
                command = [rust, raw, *map(str, SHAPE), "0.2", effort, "3"]
                environment = {**os.environ, "RAYON_NUM_THREADS": str(arguments.threads)}
                text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
                theirs += [[float(field) for field in line.split()] for line in text.splitlines()]
                for _ in range(3):
                    start = time.perf_counter()
                    stream = subband.compress(x, step=0.2, effort=effort)
                    compressed = time.perf_counter()
                    subband.decompress(stream)
                    ours.append((compressed - start, time.perf_counter() - compressed, len(stream)))
            assert {row[2] for row in ours} == {row[2] for row in theirs}, "other bytes"
            best = x.nbytes / 1e6 / np.array([np.min(theirs, axis=0)[:2], np.min(ours, axis=0)[:2]])
            for what, (rust_speed, python_speed) in zip(("compress", "decompress"), best.T):
                ratio = python_speed / rust_speed
                print(f"{effort:8} {what:12}      {rust_speed:12.0f}  {python_speed:12.0f}  {ratio:6.2f}")


if __name__ == "__main__":
    main()

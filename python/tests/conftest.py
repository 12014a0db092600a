import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import subband

REPOSITORY = Path(__file__).resolve().parents[2]


def relu_maps(*shape: int, seed: int = 0) -> np.ndarray:
    """Smooth positive bumps with noise, about half of the values zero."""
    rng = np.random.default_rng(seed)
    height, width = shape[-2:]
    y, x = np.mgrid[:height, :width]
    phase = rng.uniform(0, 6, shape[:-2] + (1, 1))
    wave = np.sin(x * 0.4 + phase) + np.cos(y * 0.3 - phase)
    return np.maximum(wave + rng.normal(0, 0.2, shape) - 0.2, 0).astype(np.float32)


@pytest.fixture
def maps() -> np.ndarray:
    return relu_maps(3, 10, 12, 9)


@pytest.fixture(scope="session")
def profile() -> subband.Profile:
    """Two taps, (4, 8, 8) and (6, 5, 7), the second with a mask and steps of its own for each channel."""
    rng = np.random.default_rng(5)
    mask = np.ones((6, 7), bool)
    mask[2, 4:] = False
    steps = rng.uniform(0.1, 0.4, (6, 7))
    first = subband.Calibrator("a", (4, 8, 8), step=0.2, levels=2, nonnegative=True)
    second = subband.Calibrator("b", (6, 5, 7), step=steps, levels=2, mask=mask, wavelet="db2", nonnegative=True)
    for calibrator in (first, second):
        maps = relu_maps(16, *calibrator.shape, seed=1)
        calibrator.observe(maps)
        calibrator.fit()
        calibrator.observe(maps)
    return subband.Profile.of("testnet", [first, second])


@pytest.fixture(scope="session")
def cli() -> str:
    """The command ``subband``: $SUBBAND_CLI, or a release build, or one on the path."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    for candidate in (os.environ.get("SUBBAND_CLI"), target / "release" / "subband", shutil.which("subband")):
        if candidate and Path(candidate).is_file():
            return str(candidate)
    pytest.skip("needs the command subband: cargo build --release")

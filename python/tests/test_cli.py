"""The command ``subband`` and this package write the same bytes and read each other's files."""

import subprocess

import numpy as np
import pytest

import subband
from conftest import REPOSITORY, relu_maps

GOLDEN = REPOSITORY / "crates" / "subband" / "tests" / "golden"
FLAGS = [
    (["--step", "0.1"], {"step": 0.1}),
    (["--step", "0.1", "--wavelet", "cdf97", "--levels", "2"], {"step": 0.1, "wavelet": "cdf97", "levels": 2}),
    (["--max-error", "0.05", "--effort", "fast"], {"max_error": 0.05, "effort": "fast"}),
    (["--psnr", "35", "--wavelet", "none"], {"psnr": 35, "wavelet": "none"}),
    (["--bits", "3", "--rounding", "0.4"], {"bits": 3, "rounding": 0.4}),
    (["--lossless"], {"lossless": True}),
    (["--step", "0.2", "--rdo", "0.1", "--channels-per-chunk", "2"], {"step": 0.2, "rdo": 0.1, "channels_per_chunk": 2}),
]


def run(cli, *arguments):
    subprocess.run([cli, "--quiet", *map(str, arguments)], check=True, capture_output=True)


@pytest.mark.parametrize(("flags", "arguments"), FLAGS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_same_bytes_as_the_command(cli, tmp_path, flags, arguments, dtype):
    x = relu_maps(2, 5, 16, 20).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    run(cli, "compress", tmp_path / "x.npy", "-o", tmp_path / "x.sbd", *flags)
    written = (tmp_path / "x.sbd").read_bytes()
    assert subband.compress(x, **arguments) == written
    run(cli, "decompress", tmp_path / "x.sbd", "-o", tmp_path / "y.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), subband.decompress(written))


def test_profiles_are_shared_with_the_command(cli, tmp_path, profile):
    x = relu_maps(3, 4, 8, 8)
    np.save(tmp_path / "x.npy", x)
    profile.save(tmp_path / "p.sbp")
    tap = ["--profile", tmp_path / "p.sbp"]
    run(cli, "compress", tmp_path / "x.npy", "-o", tmp_path / "x.sbd", *tap, "--tap", "a")
    written = (tmp_path / "x.sbd").read_bytes()
    assert subband.compress(x, profile=profile, tap="a") == written
    (tmp_path / "z.sbd").write_bytes(subband.compress(x, profile=profile, tap="a", effort="fast"))
    run(cli, "decompress", tmp_path / "z.sbd", "-o", tmp_path / "z.npy", *tap, "--channels", "1..3")
    expected = subband.decompress(written, profile=profile)
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), expected[:, 1:3])


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("v*/*.sbd")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_streams_decode(path):
    if not path.with_suffix(".raw").exists():
        pytest.skip("no decoded values beside it")
    stream = path.read_bytes()
    found = subband.shape_of(stream)
    if found.dtype == "bf16":
        pytest.importorskip("ml_dtypes")
    profile = None
    if found.from_profile:
        profiles = [subband.Profile.load(file) for file in path.parent.glob("*.sbp")]
        profile = next(p for p in profiles if any(tap.name == path.stem for tap in p.taps))
    decoded = subband.decompress(stream, profile=profile)
    assert decoded.tobytes() == path.with_suffix(".raw").read_bytes()


def test_the_profiles_of_the_models_open():
    paths = sorted((REPOSITORY / "models").glob("*/profile.sbp"))
    assert paths
    for path in paths:
        profile = subband.Profile.load(path)
        assert profile.to_bytes() == path.read_bytes() and profile.network == "resnet20"

"""Profiles, packets, calibration."""

import pickle

import numpy as np
import pytest

import subband
from conftest import relu_maps


def test_a_profile_says_what_it_holds(profile):
    assert profile.network == "testnet" and [tap.name for tap in profile.taps] == ["a", "b"]
    first, second = profile.taps
    assert first.shape == (4, 8, 8) and first.mask is None and first.steps == pytest.approx(0.2)
    assert first.coding["wavelet"] == "haar" and first.coding["nonnegative"]
    assert second.steps.shape == (6, 7) and second.efforts == ("fast", "default")
    assert not second.mask[2, 4:].any() and second.mask.sum() == 6 * 7 - 3
    assert profile.tap("b") is second
    with pytest.raises(subband.InvalidArgumentError, match="no tap 'c': it has a, b"):
        profile.tap("c")


def test_profiles_are_saved_whole_and_come_back(profile, tmp_path):
    profile.save(tmp_path / "p.sbp")
    again = subband.Profile.load(tmp_path / "p.sbp")
    assert again == profile and hash(again) == hash(profile) and again.hash == profile.hash
    assert [path.name for path in tmp_path.iterdir()] == ["p.sbp"]
    assert pickle.loads(pickle.dumps(profile)) == profile
    with pytest.raises(FileNotFoundError):
        subband.Profile.load(tmp_path / "none.sbp")
    with pytest.raises(OSError):
        profile.save(tmp_path / "missing" / "p.sbp")


def test_damaged_profiles(profile):
    b = profile.to_bytes()
    with pytest.raises(subband.TruncatedError):
        subband.Profile.from_bytes(b[:4])
    with pytest.raises((subband.TruncatedError, subband.CorruptError)):
        subband.Profile.from_bytes(b[:-9])
    with pytest.raises(subband.CorruptError):
        subband.Profile.from_bytes(b[:-9] + bytes([b[-9] ^ 1]) + b[-8:])
    with pytest.raises(subband.CorruptError, match="no Subband profile"):
        subband.Profile.from_bytes(b"x" * 50)


@pytest.mark.parametrize("tap", ["a", "b"])
@pytest.mark.parametrize("effort", ["fast", "default", "max"])
@pytest.mark.parametrize("rdo", [0, 0.3])
def test_packets_come_back(profile, tap, effort, rdo):
    codec = subband.Codec(profile, tap, effort=effort, rdo=rdo)
    maps = relu_maps(5, *codec.tap.shape, seed=3)
    packets = codec.compress_batch(maps)
    assert packets == [codec.compress(map) for map in maps]
    decoded = codec.decompress_batch(packets)
    assert decoded.shape == maps.shape and (decoded >= 0).all()
    for packet, expected in zip(packets, decoded):
        np.testing.assert_array_equal(codec.decompress(packet), expected)
    # A stream against the profile has the same indices.
    stream = subband.compress(maps, profile=profile, tap=tap, effort=effort, rdo=rdo)
    np.testing.assert_array_equal(subband.decompress(stream, profile=profile), decoded)
    assert subband.shape_of(stream).from_profile and subband.inspect(stream, profile=profile).from_profile


def test_packets_take_other_floats_layouts_and_outputs(profile):
    codec = subband.Codec(profile, "a")
    maps = relu_maps(3, 4, 8, 8).astype(np.float16)
    packets = codec.compress_batch(maps)
    assert codec.compress_batch(maps.astype(np.float32).transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)) == packets
    out = np.empty((3, 4, 8, 8), np.float32)
    assert codec.decompress_batch(iter(packets), out=out) is out
    np.testing.assert_array_equal(codec.decompress(memoryview(packets[1])), out[1])
    assert codec.compress_batch(maps[:0]) == []
    assert codec.decompress_batch([]).shape == (0, 4, 8, 8)
    assert pickle.loads(pickle.dumps(codec)).compress(maps[0]) == packets[0]


def test_wrong_profiles_and_taps(profile):
    codec, other = subband.Codec(profile, "a"), subband.Codec(profile, "b")
    packet = codec.compress(relu_maps(4, 8, 8))
    with pytest.raises(subband.WrongProfileError):
        other.decompress(packet)
    stream = subband.compress(relu_maps(4, 8, 8), profile=profile, tap="a")
    with pytest.raises(subband.WrongProfileError, match="it must be given"):
        subband.decompress(stream)
    stranger = subband.Calibrator("a", (4, 8, 8), step=0.7)
    with pytest.raises(subband.WrongProfileError, match="another profile"):
        subband.decompress(stream, profile=subband.Profile.of("testnet", [stranger]))


def test_bad_packets_and_maps(profile):
    codec = subband.Codec(profile, "a")
    good = relu_maps(4, 8, 8)
    packet = codec.compress(good)
    for length in range(len(packet)):
        with pytest.raises((subband.TruncatedError, subband.CorruptError)):
            codec.decompress(packet[:length])
    with pytest.raises(subband.CorruptError, match="map 1 of the batch"):
        codec.decompress_batch([packet, packet[:-1] + bytes([packet[-1] ^ 1])])
    with pytest.raises(subband.InvalidArgumentError, match=r"takes \(4, 8, 8\)"):
        codec.compress(good[:3])
    with pytest.raises(subband.InvalidArgumentError, match=r"takes \(N, 4, 8, 8\)"):
        codec.compress_batch(good)
    with pytest.raises(subband.DTypeError, match="a tap codes float32"):
        codec.compress(good.astype(np.uint8))
    batch = np.stack([good, good])
    batch[1, 2, 3, 4] = np.nan
    with pytest.raises(subband.NonFiniteError, match=r"map 1 of the batch: tap 'a' has NaN at index \[2, 3, 4\]"):
        codec.compress_batch(batch)
    with pytest.raises(subband.InvalidArgumentError, match="out has shape"):
        codec.decompress(packet, out=np.empty((4, 8, 9), np.float32))
    with pytest.raises(subband.InvalidArgumentError, match="effort 'none'"):
        subband.Codec(profile, "a", effort="none")
    with pytest.raises(subband.InvalidArgumentError, match="rdo is -1"):
        subband.Codec(profile, "a", rdo=-1)


def test_a_profile_refuses_settings_it_has_itself(profile):
    x = relu_maps(4, 8, 8)
    with pytest.raises(subband.InvalidArgumentError, match="leave those out"):
        subband.compress(x, profile=profile, tap="a", step=1)
    with pytest.raises(subband.InvalidArgumentError, match="tap is missing: the profile has a, b"):
        subband.compress(x, profile=profile)
    with pytest.raises(subband.InvalidArgumentError, match="maps of shape"):
        subband.compress(x, profile=profile, tap="b")


def test_calibration_does_not_depend_on_the_batches():
    maps = relu_maps(13, 4, 8, 8, seed=9)
    made = []
    for size in (1, 4, 13):
        calibrator = subband.Calibrator("t", (4, 8, 8), step=0.2, levels=2)
        for again in range(2):
            decoded = np.concatenate([calibrator.observe(maps[at : at + size]) for at in range(0, 13, size)])
            if again == 0:
                calibrator.fit()
        made.append(subband.Profile.of("n", [calibrator]))
    assert made[0] == made[1] == made[2]
    codec = subband.Codec(made[0], "t")
    np.testing.assert_array_equal(codec.decompress_batch(codec.compress_batch(maps)), decoded)


def test_calibrators_check_what_they_are_given():
    with pytest.raises(subband.InvalidArgumentError, match="shape is"):
        subband.Calibrator("t", (4, 8), step=1)
    with pytest.raises(subband.InvalidArgumentError, match="step is 0"):
        subband.Calibrator("t", (4, 8, 8), step=0)
    with pytest.raises(subband.InvalidArgumentError, match="steps for 2 channels"):
        subband.Calibrator("t", (4, 8, 8), step=np.ones((2, 10)))
    calibrator = subband.Calibrator("t", (4, 8, 8), step=1)
    with pytest.raises(subband.InvalidArgumentError, match="the maps have shape"):
        calibrator.observe(relu_maps(4, 8, 8))
    with pytest.raises(subband.InvalidArgumentError, match="two taps"):
        subband.Profile.of("n", [calibrator, calibrator])

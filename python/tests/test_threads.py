"""Threads, forks, memory."""

import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import subband
from conftest import relu_maps


def test_eight_threads_at_once(profile):
    inputs = [relu_maps(2, 24, 40, 40, seed=seed) for seed in range(8)]
    maps = [relu_maps(6, 4, 8, 8, seed=seed) for seed in range(8)]
    codec = subband.Codec(profile, "a")

    def work(seed):
        stream = subband.compress(inputs[seed], step=0.1 + 0.01 * seed)
        packets = codec.compress_batch(maps[seed])
        return stream, subband.decompress(stream), packets, codec.decompress_batch(packets)

    expected = [work(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for found, wanted in zip(pool.map(work, range(8)), expected):
                assert found[0] == wanted[0] and found[2] == wanted[2]
                np.testing.assert_array_equal(found[1], wanted[1])
                np.testing.assert_array_equal(found[3], wanted[3])


def test_one_calibrator_in_eight_threads():
    maps = relu_maps(32, 4, 8, 8)

    def profile_of(threads):
        calibrator = subband.Calibrator("t", (4, 8, 8), step=0.2)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda at: calibrator.observe(maps[at : at + 4]), range(0, 32, 4)))
            calibrator.fit()
            list(pool.map(lambda at: calibrator.observe(maps[at : at + 4]), range(0, 32, 4)))
        return subband.Profile.of("n", [calibrator])

    assert profile_of(8) == profile_of(1)


def test_the_gil_is_released():
    x = relu_maps(16, 32, 64, 64)
    ticks = []
    done = threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.perf_counter()
    while time.perf_counter() < start + 0.3:
        stream = subband.compress(x, step=0.1)
        subband.decompress(stream)
    end = time.perf_counter()
    done.set()
    ticker.join()
    # With the GIL held there would be one or two a call, some ten in all.
    assert sum(start < at < end for at in ticks) > 30


def test_one_output_cannot_be_written_twice_at_once():
    x = relu_maps(8, 32, 64, 64)
    stream = subband.compress(x, step=0.1)
    out = np.empty_like(x)
    expected = subband.decompress(stream)

    def work(_):
        try:
            subband.decompress_into(stream, out)
        except subband.InvalidArgumentError as error:
            assert "cannot be written" in str(error)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(32)))
    subband.decompress_into(stream, out)
    np.testing.assert_array_equal(out, expected)


def test_bytes_do_not_depend_on_the_number_of_threads():
    x = relu_maps(4, 32, 48, 48)
    try:
        streams = []
        for count in (1, 2, 5):
            subband.set_threads(count)
            assert subband.threads() == count
            streams.append(subband.compress(x, step=0.1))
        assert streams[0] == streams[1] == streams[2]
    finally:
        subband.set_threads(0)


def _in_a_fork(queue, x, stream):
    queue.put(subband.compress(x, step=0.1) == stream)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    x = relu_maps(4, 32, 48, 48)
    stream = subband.compress(x, step=0.1)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_fork, args=(queue, x, stream))
    child.start()
    try:
        assert queue.get(timeout=60)
    finally:
        child.kill()
        child.join()
    assert subband.compress(x, step=0.1) == stream


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_a_hundred_thousand_calls_leave_nothing(profile):
    x = relu_maps(2, 2, 8, 8)
    stream = subband.compress(x, step=0.1, levels=1, effort="fast")
    out = np.empty_like(x)
    codec = subband.Codec(profile, "a")
    packet = codec.compress(relu_maps(4, 8, 8))
    map = np.empty((4, 8, 8), np.float32)

    def calls(count):
        for _ in range(count // 10):
            subband.compress(x[:, :, ::-1], step=0.1, levels=1, effort="fast")
            for _ in range(4):
                subband.decompress_into(stream, out)
                codec.decompress(packet, out=map)
            try:
                subband.decompress(stream[:-1])
            except subband.TruncatedError:
                pass

    calls(5_000)
    before = resident()
    calls(100_000)
    assert resident() - before < 4 << 20

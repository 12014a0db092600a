"""blosc2 with bitshuffle on .npy maps of f32: `blosc2_maps.py [--as f16|bf16] FILE.npy...`, one thread.

A row a codec: ratio of all files together, MB/s of the input each way (fastest of five runs).
"""

import sys
import time

import blosc2
import numpy as np

CODECS = [("zstd 9", blosc2.Codec.ZSTD, 9), ("zstd 1", blosc2.Codec.ZSTD, 1), ("lz4 5", blosc2.Codec.LZ4, 5)]


def fastest(run):
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        result = run()
        best = min(best, time.perf_counter() - start)
    return best, result


def main():
    arguments = sys.argv[1:]
    dtype = "f32"
    if arguments[:1] == ["--as"]:
        dtype, arguments = arguments[1], arguments[2:]
    blosc2.set_nthreads(1)
    totals = {name: [0, 0, 0.0, 0.0] for name, _, _ in CODECS}
    for path in arguments:
        values = np.load(path)
        if dtype == "f16":
            values = values.astype(np.float16)
        elif dtype == "bf16":
            bits = values.view(np.uint32)
            values = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
        values = np.ascontiguousarray(values)
        for name, codec, level in CODECS:
            encode, packed = fastest(
                lambda: blosc2.compress2(
                    values,
                    codec=codec,
                    clevel=level,
                    typesize=values.itemsize,
                    filters=[blosc2.Filter.BITSHUFFLE],
                    nthreads=1,
                )
            )
            decode, unpacked = fastest(lambda: blosc2.decompress2(packed, nthreads=1))
            assert unpacked == values.tobytes()
            for i, part in enumerate([values.nbytes, len(packed), encode, decode]):
                totals[name][i] += part
    for name, (full, size, encode, decode) in totals.items():
        print(f"blosc2 bitshuffle {name:7} {full / size:7.4f} {full / encode / 1e6:7.0f} {full / decode / 1e6:7.0f}")


main()

"""Writes the arrays of this folder with the Python package and Zarr: python crates/subband-zarrs/tests/data/make.py"""

from pathlib import Path

import numpy as np
import zarr

from subband.zarr import SubbandCodec

FOLDER = Path(__file__).parent
CODECS = {
    "lossless.zarr": SubbandCodec(lossless=True, channels_per_chunk=2),
    "max_error.zarr": SubbandCodec(max_error=0.5, wavelet="cdf97", levels=2),
}

image, channel, y, x = np.ogrid[:3, :4, :9, :10]
values = np.maximum((3 * x + 5 * y * (channel + 1) + 17 * image) % 61 - 20, 0).astype(np.uint8)
values.tofile(FOLDER / "values.raw")
for name, codec in CODECS.items():
    array = zarr.create_array(
        FOLDER / name, shape=values.shape, chunks=(2, 4, 9, 10), dtype="float32", serializer=codec, compressors=None, overwrite=True
    )
    array[...] = values

"""The codec of Zarr: arrays that any Zarr opens, partial reads that decode only what they need."""

import json

import numpy as np
import pytest

import subband
from conftest import relu_maps

zarr = pytest.importorskip("zarr")
from subband.zarr import SubbandCodec, SubbandNumcodec, _part  # noqa: E402

X = relu_maps(10, 12, 9, 14)


def create(store, codec, x=X, chunks=(4, 12, 9, 14), **more):
    array = zarr.create_array(
        store, shape=x.shape, chunks=chunks, dtype=x.dtype, serializer=codec, compressors=None, filters=None, **more
    )
    array[...] = x
    return array


def test_arrays_are_written_and_read(tmp_path):
    array = create(tmp_path / "a.zarr", SubbandCodec(max_error=0.02))
    assert np.abs(array[...] - X).max() <= 0.02
    # Opened by its metadata alone.
    again = zarr.open_array(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(again[...], array[...])
    metadata = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
    assert metadata["codecs"] == [{"name": "subband", "configuration": {"max_error": 0.02}}]
    # A chunk is a stream, as any other reader of streams opens it.
    chunk = (tmp_path / "a.zarr" / "c" / "1" / "0" / "0" / "0").read_bytes()
    assert chunk == subband.compress(X[4:8], max_error=0.02)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8", "uint16", "int16"])
def test_lossless_arrays(dtype):
    x = (X * 20).astype(dtype)
    array = create(zarr.storage.MemoryStore(), SubbandCodec(lossless=True), x)
    np.testing.assert_array_equal(array[...], x)
    array[3:6, ::2] = 1
    x[3:6, ::2] = 1
    np.testing.assert_array_equal(array[...], x)


def test_chunks_that_were_never_written_are_the_fill_value():
    array = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=(4, 6, 6),
        chunks=(2, 6, 6),
        dtype="float32",
        serializer=SubbandCodec(step=0.1, wavelet="cdf97", levels=1),
        compressors=None,
        fill_value=-1,
    )
    array[:2] = 1
    assert (array[2:] == -1).all() and np.allclose(array[:2], 1, atol=0.2)
    assert (array[3, 2] == -1).all()


SELECTIONS = [
    np.s_[...],
    np.s_[5],
    np.s_[-1, 3],
    np.s_[2:9:3, 1:11:2, 3, 4:],
    np.s_[7:2, :],
    np.s_[:, 11, 2:5, ::3],
]


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_partial_reads(selection):
    array = create(zarr.storage.MemoryStore(), SubbandCodec(lossless=True, channels_per_chunk=3))
    np.testing.assert_array_equal(array[selection], X[selection])


def test_orthogonal_and_coordinate_reads():
    array = create(zarr.storage.MemoryStore(), SubbandCodec(lossless=True, channels_per_chunk=3))
    np.testing.assert_array_equal(array.oindex[[1, 7, 8], :, [2, 3], :], X[np.ix_([1, 7, 8], range(12), [2, 3], range(14))])
    np.testing.assert_array_equal(array.vindex[[1, 7], [0, 11], [2, 2], [13, 0]], X[[1, 7], [0, 11], [2, 2], [13, 0]])


@pytest.mark.parametrize("shape", [(6, 7), (5, 6, 7), (3, 2, 5, 6, 7)])
def test_other_ranks(shape):
    x = relu_maps(*shape)
    array = create(zarr.storage.MemoryStore(), SubbandCodec(lossless=True), x, chunks=shape)
    np.testing.assert_array_equal(array[...], x)
    np.testing.assert_array_equal(array[1], x[1])
    np.testing.assert_array_equal(array[1:2, ..., 3], x[1:2, ..., 3])


def test_partial_reads_decode_only_what_they_need():
    stream = bytearray(subband.compress(X, lossless=True, channels_per_chunk=3))
    stream[-8] ^= 1
    data = np.frombuffer(bytes(stream), np.uint8)
    found = _part(data, np.s_[0:9, :, :, :], X.shape)
    np.testing.assert_array_equal(found, X[:9])
    np.testing.assert_array_equal(_part(data, np.s_[9, 8::-3, 1, :], X.shape), X[9, 8::-3, 1, :])
    with pytest.raises(subband.CorruptError):
        _part(data, np.s_[9, 10, :, :], X.shape)


def test_what_is_refused():
    with pytest.raises(subband.InvalidArgumentError, match="targets given: none"):
        SubbandCodec()
    with pytest.raises(subband.InvalidArgumentError, match="levels is 9"):
        SubbandCodec(step=1, levels=9)
    with pytest.raises(subband.InvalidArgumentError, match="step is -1"):
        SubbandCodec(step=-1)
    with pytest.raises(subband.InvalidArgumentError, match="unexpected keyword argument 'steps'"):
        SubbandCodec.from_dict({"name": "subband", "configuration": {"steps": 1}})
    store = zarr.storage.MemoryStore
    with pytest.raises(subband.DTypeError, match="float64"):
        create(store(), SubbandCodec(step=1), X.astype("float64"))
    with pytest.raises(subband.InvalidArgumentError, match="two axes"):
        create(store(), SubbandCodec(step=1), X[0, 0, 0], chunks=(14,))


def test_a_chunk_of_another_shape_is_refused(tmp_path):
    create(tmp_path / "a.zarr", SubbandCodec(lossless=True))
    chunk = tmp_path / "a.zarr" / "c" / "0" / "0" / "0" / "0"
    chunk.write_bytes(subband.compress(X[:3], lossless=True))
    with pytest.raises(subband.InvalidArgumentError, match="the metadata says"):
        zarr.open_array(tmp_path / "a.zarr")[0:4]
    chunk.write_bytes(b"nonsense")
    with pytest.raises(subband.CorruptError):
        zarr.open_array(tmp_path / "a.zarr")[0:4]


def test_configurations_come_back():
    for codec in (
        SubbandCodec(step=[0.5, 1.0, 1.0, 2.0], levels=1),
        SubbandCodec(bits=2, effort="fast", rdo=0.1),
        SubbandCodec(step=np.full((3, 4), 0.5), levels=1, nan=0, inf=9),
    ):
        text = json.dumps(codec.to_dict())
        assert SubbandCodec.from_dict(json.loads(text)) == codec


def test_xarray_opens_them(tmp_path):
    xarray = pytest.importorskip("xarray")
    data = xarray.Dataset({"maps": (("image", "channel", "y", "x"), X)})
    encoding = {"maps": {"serializer": SubbandCodec(step=0.05), "compressors": None, "chunks": (5, 12, 9, 14)}}
    data.to_zarr(tmp_path / "x.zarr", encoding=encoding, zarr_format=3, consolidated=False)
    again = xarray.open_zarr(tmp_path / "x.zarr", consolidated=False, chunks=None)
    np.testing.assert_allclose(again.maps.isel(image=3).values, X[3], atol=0.1)


def test_numcodecs_form():
    import numcodecs

    codec = SubbandNumcodec(lossless=True)
    numcodecs.register_codec(SubbandNumcodec)
    again = numcodecs.get_codec(codec.get_config())
    encoded = codec.encode(X)
    np.testing.assert_array_equal(again.decode(encoded), X)
    out = np.empty_like(X)
    again.decode(encoded, out=out)
    np.testing.assert_array_equal(out, X)

"""IDX files: they round-trip, and damaged ones are refused in one line."""

import gzip
import struct
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varinf import data
from varinf.data._idx import read_idx
from varinf.errors import InputError

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def packed(array):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.name], array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(path, array):
    path.write_bytes(gzip.compress(packed(array)) if path.suffix == ".gz" else packed(array))
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 2), (3, 2, 4, 5)])
def test_it_round_trips(tmp_path, change_last_bit, shape, dtype, suffix):
    array = (np.random.default_rng(0).normal(size=shape) * 40).astype(dtype)
    source = data.open(write(tmp_path / f"some.idx{suffix}", array))
    taken = source.take(np.arange(len(array)))
    assert taken.dtype == array.dtype
    np.testing.assert_array_equal(taken, array)
    assert source.spec.kind == ("table" if len(shape) == 2 else "images")
    assert source.spec.max_value == (255 if dtype == "uint8" and len(shape) > 2 else None)
    if not suffix:  # it is mapped
        change_last_bit(tmp_path / "some.idx")
        assert (source.take(np.arange(len(array))) != array).any()


@pytest.mark.parametrize("name", ["x-images-idx3-ubyte", "a.images.idx3-ubyte.gz", "images-idx3.gz"])
@pytest.mark.parametrize("zipped", [False, True])
def test_the_labels_beside_it_are_taken(tmp_path, name, zipped):
    images = write(tmp_path / name, np.zeros((4, 2, 2), np.uint8))
    plain = name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    labels = write(tmp_path / (plain + ".gz" * zipped), np.arange(4, dtype=np.uint8))
    assert data.open(images).labels.tolist() == [0, 1, 2, 3]
    write(labels, np.arange(3, dtype=np.uint8))
    with pytest.raises(InputError, match=r"labels.*expected a label for each of 4 images, got 3"):
        data.open(images)
    write(labels, np.zeros((4, 1), np.uint8))
    with pytest.raises(InputError, match=r"labels.*one dimension"):
        data.open(images)
    labels.unlink()
    assert data.open(images).labels is None


GOOD = packed(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes"),
        (GOOD[:3], "3 bytes"),
        (b"\1" + GOOD[1:], "magic number.*got 01 00 08 03"),
        (GOOD[:2] + b"\x07" + GOOD[3:], "magic number.*got 00 00 07 03"),
        (GOOD[:3] + b"\0", "magic number"),
        (GOOD[:9], "ends within"),
        (GOOD[:-1], r"expected 24 bytes of data by its header \(2 × 3 × 4\), got 23"),
        (GOOD + b"\0", "expected 24 bytes of data .* got more than 24"),
        (GOOD[:4] + b"\xff" * 12 + GOOD[16:], "overflow: 4294967295 × 4294967295 × 4294967295"),
        (GOOD[:3] + b"\xff" + b"\0\0\0\1" * 255 + b"\0", "overflow"),
        (GOOD[:4] + struct.pack(">I", 10**9) + GOOD[8:], "expected 12000000000 bytes"),
        (GOOD[:4] + bytes(4) + GOOD[8:16], "at least one row"),
    ],
)
def test_damage_is_told(tmp_path, content, message, zipped):
    path = tmp_path / ("x.idx.gz" if zipped else "x.idx")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(InputError, match=message) as caught:
        data.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [5, 20, -9, -1])
def test_a_truncated_gzip(tmp_path, cut):
    path = tmp_path / "x.idx.gz"
    path.write_bytes(gzip.compress(GOOD)[:cut])
    with pytest.raises(InputError, match="damaged"):
        data.open(path)


def test_a_wrong_checksum_in_a_gzip(tmp_path):
    path = tmp_path / "x.idx.gz"
    content = bytearray(gzip.compress(GOOD, 0))
    content[-12] ^= 1  # a pixel
    path.write_bytes(content)
    with pytest.raises(InputError, match="CRC"):
        data.open(path)


def test_a_header_that_promises_too_much_costs_no_memory(tmp_path):
    path = tmp_path / "x.idx.gz"
    path.write_bytes(gzip.compress(GOOD[:4] + struct.pack(">III", 2**20, 2**10, 2**10) + GOOD[16:]))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="got 24"):
            data.open(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@settings(max_examples=100, deadline=None)
@given(
    head=st.sampled_from(
        [b"", b"\0\0\x08\x01", b"\0\0\x0d\x02", b"\0\0\x08\x03\0\0\0\1", b"\x1f\x8b", b"\x1f\x8b\x08\0"]
    ),
    tail=st.binary(max_size=60),
    zipped=st.booleans(),
)
def test_random_bytes_raise_nothing_else(head, tail, zipped):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x-ubyte"
        path.write_bytes(gzip.compress(head + tail) if zipped else head + tail)
        try:
            array = read_idx(path)
        except InputError:
            pass
        else:
            # What is accepted has the length that it says; as it was written, so it is read.
            content = head + tail
            assert len(content) == 4 + 4 * array.ndim + array.nbytes
            assert content.endswith(array.tobytes())
            del array


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 60), flip=st.integers(1, 255))
def test_flipped_bytes_of_a_gzip_never_pass_for_the_whole(at, flip):
    content = bytearray(gzip.compress(GOOD, mtime=0))
    at %= len(content)
    content[at] ^= flip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.idx.gz"
        path.write_bytes(content)
        try:
            array = read_idx(path)
        except InputError:
            return
        # What may differ without harm: the time in gzip's header, the bits that pad its stream.
        assert array.tobytes() == GOOD[16:]

"""`.npy` and `.npz`: mapped or read, never unpickled, damage told."""

import io
import pickle
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varinf import data
from varinf.errors import InputError

TABLE = np.arange(12.0).reshape(4, 3)


def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("array", [TABLE, np.asfortranarray(TABLE), TABLE.astype(">f4"), TABLE.reshape(2, 3, 2) > 5])
def test_npy_is_mapped(tmp_path, change_last_bit, array, version):
    path = tmp_path / "x.npy"
    path.write_bytes(npy(array, version))
    source = data.open(path)
    rows = np.array([1, 0])
    np.testing.assert_array_equal(source.take(rows), array[rows])
    assert source.take(rows).dtype.isnative
    change_last_bit(path)
    assert (source.take(np.arange(len(array))) != array).any()


def test_npy_is_known_by_its_first_bytes(tmp_path):
    path = tmp_path / "x.dat"
    path.write_bytes(npy(TABLE))
    assert len(data.open(path)) == 4


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


OBJECTS = np.array([[Bomb()]], dtype=object)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or not a .npy file"),
        (b"hello, this is no array", "damaged or not a .npy file"),
        (npy(TABLE)[:-1], r"expected 224 bytes .* got 223"),
        (npy(TABLE) + b"\0", r"expected 224 bytes .* got 225"),
        (npy(TABLE)[:40], "damaged"),
        (npy(TABLE)[:6] + b"\x09\x09" + npy(TABLE)[8:], r"version \(9, 9\)"),
        (npy(TABLE).replace(b"(4, 3)", b"(9**9)"), "damaged"),
        (npy(TABLE).replace(b"(4, 3)", b"(4,-3)"), "impossible shape"),
        (npy(TABLE).replace(b"(4, 3), }                ", b"(99999999999, 99999999), }"), "impossible shape|expected"),
        (npy(TABLE[0]), r"rank 2 \(a table\) or 3 or 4 \(images\), got shape \(3,\)"),
        (npy(np.zeros((1, 1, 1, 1, 1))), "got shape"),
        (npy(np.float64(3)), "single number"),
        (npy(np.zeros((0, 3))), "at least one row"),
        (npy(np.zeros((2, 3), complex)), "real numbers"),
        (npy(np.array([["a"]])), "real numbers"),
        (npy(np.zeros((2, 2), [("a", "f4")])), "real numbers"),
        (npy(np.zeros((5, 3, 32, 32), np.uint8)), "channels first"),
    ],
)
def test_npy_faults(tmp_path, content, message):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        data.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_objects_are_never_unpickled(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1, 1)})
    content = file.getvalue() + pickle.dumps(OBJECTS)
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("x.npy", npy(TABLE))
        archive.writestr("y.npy", content)
    (tmp_path / "z.npy").write_bytes(pickle.dumps(OBJECTS))
    for name in ("x.npy", "x.npz", "y.npz"):
        with pytest.raises(InputError, match="never unpickled"):
            data.open(tmp_path / name)
    with pytest.raises(InputError, match=r"not a \.npy file"):
        data.open(tmp_path / "z.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("arrays", "array", "labels"),
    [
        ({"anything": TABLE}, None, None),
        ({"x": TABLE, "y": [0, 1, 0, 1]}, None, [0, 1, 0, 1]),
        ({"images": np.asfortranarray(TABLE), "labels": list("abab")}, None, list("abab")),
        ({"data": TABLE, "y": np.zeros((4, 2))}, None, None),
        ({"x": TABLE, "y": [[2], [0], [1], [0]]}, None, [2, 0, 1, 0]),
        ({"x": TABLE, "y": np.zeros((4, 2)), "label": [3, 2, 1, 0]}, None, [3, 2, 1, 0]),
        ({"x": TABLE, "other": TABLE[:3], "y": [0, 1, 0]}, "x", None),
        ({"a": TABLE + 1, "b": TABLE, "label": [3, 2, 1, 0]}, "b", [3, 2, 1, 0]),
        ({"x": TABLE + 1, "y": TABLE}, "y", None),
        ({"y": TABLE}, None, None),
    ],
)
def test_npz(tmp_path, save, arrays, array, labels):
    save(tmp_path / "x.npz", **arrays)
    source = data.open(tmp_path / "x.npz", array=array)
    np.testing.assert_array_equal(source.take(np.arange(4)), TABLE)
    assert (source.labels if source.labels is None else source.labels.tolist()) == labels


@pytest.mark.parametrize(
    ("arrays", "array", "message"),
    [
        ({"a": TABLE, "b": TABLE}, None, r"several arrays: a, b; name one"),
        ({"x": TABLE, "y": TABLE[:, 0], "mask": TABLE}, None, r"several arrays: x, y, mask"),
        ({"a": TABLE, "y": TABLE[:, 0]}, None, "several arrays: a, y"),
        ({"train": TABLE, "b": TABLE}, "trian", r"unknown array .* known: train, b\. Did you mean 'train'"),
        ({}, None, "empty archive"),
        ({"x": TABLE, "y": [1, 2, 3]}, None, r"row of x, of shape \(4, 3\), got y of shape \(3,\); .* leave y out"),
        ({"x": TABLE, "y": TABLE[:, 0], "label": list("abab")}, None, "several arrays of labels: y, label; "),
        ({"x": 3.0, "y": 3.0}, None, "single number"),
    ],
)
def test_npz_of_several_arrays(tmp_path, arrays, array, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=message):
        data.open(tmp_path / "x.npz", array=array)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_npz_that_promises_too_much_costs_no_memory(tmp_path, method):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w", method) as archive:
        archive.writestr("x.npy", file.getvalue() + bytes(80))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="promises 80000000000 bytes"):
            data.open(tmp_path / "x.npz")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_an_npz_of_another_zip_method(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy(TABLE))
    with pytest.raises(InputError, match="zip method 14"):
        data.open(tmp_path / "x.npz")


def opens_or_says_why(name, content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            source = data.open(path)
            source.take(np.arange(len(source)))
        except InputError:
            return False
        return True


def npz(compressed):
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, x=TABLE, y=np.arange(4))
    return file.getvalue()


WHOLE = {"x.npy": npy(TABLE), "a.npz": npz(False), "b.npz": npz(True)}


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(WHOLE)), at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_flipped_bytes_raise_nothing_else(name, at, flip):
    content = bytearray(WHOLE[name])
    content[at % len(content)] ^= flip
    opens_or_says_why(name, bytes(content))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(WHOLE)), cut=st.integers(0, 10**6))
def test_what_is_cut_short_is_refused(name, cut):
    assert not opens_or_says_why(name, WHOLE[name][: cut % len(WHOLE[name])])


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["x.npy", "x.npz"]),
    head=st.sampled_from([b"", b"\x93NUMPY", b"\x93NUMPY\1\0\x10\0", b"\x93NUMPY\2\0\xff\xff\xff\xff{", b"PK\3\4"]),
    tail=st.binary(max_size=80),
)
def test_random_bytes_raise_nothing_else(name, head, tail):
    assert not opens_or_says_why(name, head + tail)


@settings(max_examples=60, deadline=None)
@given(header=st.text(st.characters(codec="latin-1"), max_size=60) | st.integers(1, 2000).map(lambda n: "(" * n))
def test_random_headers_raise_nothing_else(header):
    text = header.encode("latin-1")
    content = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(96)
    assert not opens_or_says_why("x.npy", content)

"""Sources: what is accepted as rows, and that rows come back as they went in."""

import mmap
import os

import numpy as np
import pytest

from varinf import data
from varinf.errors import InputError

IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


@pytest.mark.parametrize(
    ("given", "shape", "dtype", "kind", "max_value"),
    [
        (IMAGES, (4, 3), "uint8", "images", 255.0),
        (IMAGES.astype(np.uint16), (4, 3), "uint16", "images", 65535.0),
        (IMAGES > 3, (4, 3), "bool", "images", 1.0),
        (IMAGES.astype(np.float32), (4, 3), "float32", "images", None),
        (IMAGES.astype(">i4"), (4, 3), "int32", "images", None),
        (IMAGES[..., None], (4, 3, 1), "uint8", "images", 255.0),
        (IMAGES[0], (3,), "uint8", "table", None),
        ([[1.0, 2.0], [3.0, 4.0]], (2,), "float64", "table", None),
        (np.asfortranarray(IMAGES), (4, 3), "uint8", "images", 255.0),
    ],
)
def test_rows_come_back(given, shape, dtype, kind, max_value):
    source = data.source(given)
    assert source.spec == data.Spec(shape, np.dtype(dtype), kind, max_value)
    rows = np.array([1, 0, 1])
    taken = source.take(rows)
    assert taken.dtype == source.spec.dtype
    assert taken.dtype.isnative
    np.testing.assert_array_equal(taken, np.asarray(given)[rows])


def test_taken_rows_are_a_copy():
    array = np.zeros((3, 2))
    data.source(array).take(np.arange(3))[:] = 1
    assert not array.any()


def test_a_tuple_is_taken_side_by_side():
    source = data.source((IMAGES, np.arange(5)))
    assert [spec.shape for spec in source.spec] == [(4, 3), ()]
    x, y = source.take(np.array([4, 2]))
    np.testing.assert_array_equal(x, IMAGES[[4, 2]])
    np.testing.assert_array_equal(y, [4, 2])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_a_mapped_array_is_not_copied(tmp_path, order, dtype):
    path = tmp_path / "x.npy"
    array = np.asarray(np.random.default_rng(0).normal(size=(20, 3)), dtype, order=order)
    np.save(path, array)
    for mapped in (
        np.load(path, mmap_mode="r"),
        np.load(path, mmap_mode="r")[2:],
        np.asarray(np.load(path, mmap_mode="r")),
    ):
        source = data.source(mapped)
        held = source._arrays[0]
        while not isinstance(held, np.memmap):
            held = held.base
        assert isinstance(held._mmap, mmap.mmap)
        assert source.take(np.array([3, 1])).dtype == np.float32
        np.testing.assert_array_equal(source.take(np.array([3, 1])), np.asarray(mapped)[[3, 1]])
        np.testing.assert_array_equal(source.read(1, 4), np.asarray(mapped)[1:4])


def test_a_mapped_file_that_is_cut_short_is_told(tmp_path):
    """Reading it would end the process by SIGBUS."""
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((2000, 3)))
    source = data.open(path)
    source.take(np.array([1999]))
    os.truncate(path, 5000)
    for read in (lambda: source.take(np.array([1999])), lambda: source.read(0, 2000), lambda: data.summarize(source)):
        with pytest.raises(InputError, match=r"x\.npy: the file was cut short from 48128 to 5000 bytes"):
            read()


def test_mapped_memory_without_a_file_is_rows_too():
    assert data.source(np.frombuffer(mmap.mmap(-1, 80))).take(np.array([9])) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.array([1, "a", None], dtype=object), "Python objects"),
        (np.array(["a", "b"]), "real numbers"),
        (np.array([[1 + 2j]]), "real numbers"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "real numbers"),
        (np.zeros((2, 2), dtype=[("a", "f4")]), "real numbers"),
        (np.zeros((2, 2), dtype=np.longdouble), "64 bits"),
        (np.zeros((0, 3)), "at least one row"),
        (np.zeros((3, 0)), "rows with values"),
        (np.float64(3.0), "a single number"),
        ([[1, 2], [3]], "equal shape"),
        ((), "empty tuple"),
        ((np.zeros(3), np.zeros(4)), r"equal length, got \[3, 4\]"),
        (np.ma.masked_equal([[1, 2], [3, 4]], 3), "masked"),
        (object(), "Python objects"),
    ],
)
def test_what_is_no_rows_of_numbers_is_refused(given, message):
    with pytest.raises(InputError, match=message) as caught:
        data.source(given)
    assert "\n" not in str(caught.value)


def test_labels_must_be_one_per_row():
    assert data.ArraySource(IMAGES, labels=list("abcde")).labels.tolist() == list("abcde")
    with pytest.raises(InputError, match="label for each of the 5 rows"):
        data.ArraySource(IMAGES, labels=[1, 2])
    with pytest.raises(InputError, match="2 column names"):
        data.ArraySource(IMAGES[0], columns=["a", "b"])


def test_labels_are_words_or_real_numbers():
    given = np.array(["é", "b", "c", "d", "e"])
    assert data.ArraySource(IMAGES, labels=np.char.encode(given, "utf-8")).labels.tolist() == given.tolist()
    for dtype in ("M8[s]", "m8[s]", "c16", [("a", "i4")]):
        with pytest.raises(InputError, match="expected words or real numbers as labels, got dtype"):
            data.ArraySource(IMAGES, labels=np.arange(5).astype(dtype))
    with pytest.raises(InputError, match="expected labels in UTF-8"):
        data.ArraySource(IMAGES, labels=np.array([b"\xff"] * 5))


def test_a_subset_of_a_subset_counts_within_it():
    source = data.ArraySource(np.arange(10.0)[:, None], labels=np.arange(10), max_value=None)
    subset = data.Subset(data.Subset(source, np.array([9, 7, 5, 3])), np.array([3, 0]))
    assert len(subset) == 2
    assert subset.source is source
    assert subset.spec is source.spec
    assert subset.labels.tolist() == [3, 9]
    assert subset.take(np.array([1, 0, 1])).tolist() == [[9.0], [3.0], [9.0]]


@pytest.mark.parametrize("rows", [[10], [-1], [0.5], [[1]]])
def test_a_subset_of_rows_that_are_not_there(rows):
    with pytest.raises(InputError, match="row numbers"):
        data.Subset(data.source(np.zeros((10, 1))), np.array(rows))


class Squares:
    """A user's own source, of computed rows."""

    spec = data.Spec((1,), np.dtype(np.float64), "table")

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def take(self, rows):
        return rows[:, None].astype(float) ** 2


def test_any_object_with_the_three_is_a_source():
    mine = Squares(4)
    assert data.source(mine) is mine
    subset = data.Subset(mine, np.array([3]))
    assert subset.take(np.array([0])).tolist() == [[9.0]]
    assert subset.labels is None
    with pytest.raises(InputError, match="at least one row"):
        data.source(Squares(0))


def test_the_room_is_free_of_jax_and_cheap_to_import():
    import subprocess
    import sys

    heavy = ["jax", "numpyro", "PIL", "pyarrow", "sklearn", "pooch", "matplotlib"]
    code = (
        "import sys, varinf.data as d, numpy as np; d.summarize(d.open('digits')); d.known();"
        f"sys.exit(' '.join(m for m in {heavy} if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

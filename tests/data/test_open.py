"""`open` finds the reader for a path, and says what is wrong with one."""

import os

import numpy as np
import pytest
from PIL import Image

from varinf import data
from varinf.errors import InputError


def test_a_path_may_be_a_string_or_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    for where in (tmp_path / "x.npy", str(tmp_path / "x.npy"), "~/x.npy"):
        assert len(data.open(where)) == 3


def test_a_name_goes_before_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "digits" / "a.png")
    assert len(data.open("digits")) == 1797
    assert len(data.open("./digits")) == 1


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nowhere/at/all.npy", r"^no such file or folder: nowhere/at/all\.npy$"),
        ("fashion_mnist", "^no such file or folder: fashion_mnist; did you mean 'fashion-mnist'\\?$"),
        ("digit", "did you mean 'digits'"),
        ("x" * 300, "File name too long"),
        ("~nobody-of-that-name/x", "not a path"),
    ],
)
def test_what_is_not_there(tmp_path, monkeypatch, where, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        data.open(where)
    assert "\n" not in str(caught.value)


def make(tmp_path, name, content=b""):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("x.txt", {}, "got a file of another kind"),
        ("x", {}, "got a file of another kind"),
        ("x.gz", {}, "got a file of another kind"),
        ("x.png", {}, "is a single image; expected the folder"),
        ("x.npy", {"resize": 8}, "resize is for folders of images"),
        ("x.csv", {"array": "a"}, r"array is for \.npz files"),
        (".", {"array": "a"}, r"array is for \.npz files"),
        ("x.npy", {"split": "test"}, "no test split of its own"),
        (".", {"split": "test"}, "no test split of its own"),
        ("x.npy", {"split": "tset"}, "unknown split 'tset'; known: train, test"),
    ],
)
def test_faults_in_what_is_asked(tmp_path, name, options, message):
    if name != ".":
        make(tmp_path, name, b"some text")
    with pytest.raises(InputError, match=message) as caught:
        data.open(tmp_path / name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"resize": 8}, {"array": "x"}])
def test_options_that_a_name_has_no_use_for(options):
    with pytest.raises(InputError, match="leave it out"):
        data.open("digits", **options)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv", "x.parquet", "x.idx", "x-ubyte.gz", "x.unknown"])
def test_errors_of_the_system_are_told(tmp_path, name, monkeypatch):
    path = make(tmp_path, name, b"\x1f\x8b some")

    def refuse(*_, **__):
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    with pytest.raises(InputError, match=r"cannot read .*: Permission denied"):
        data.open(path)


def test_a_device_is_no_file():
    with pytest.raises(InputError, match="a device or a pipe"):
        data.open("/dev/zero")


def test_large_data_are_read_in_the_background_as_if_in_memory(tmp_path):
    """The way of the data: the same rows in the same order, mapped or resident."""
    array = np.random.default_rng(0).integers(0, 255, (500, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "x.npy", array)
    mapped, resident = data.open(tmp_path / "x.npy"), data.source(array)
    order = data.order(1, 0, 500).reshape(10, 50)
    streamed = list(data.prefetch(lambda i: mapped.take(order[i]), 10))
    np.testing.assert_array_equal(streamed, [resident.take(rows) for rows in order])
    assert data.summarize(mapped).fingerprint == data.summarize(resident).fingerprint

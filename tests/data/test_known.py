"""Data known by name: found where it should be, fetched with a checksum, or a line that says what to do."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from varinf import data
from varinf.data import _known
from varinf.errors import InputError


def put(folder, split="train", n=3, value=0, suffix=".gz", labels=True):
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if suffix else bytes
    pixels = struct.pack(">IIII", 0x803, n, 2, 2) + bytes([value]) * (4 * n)
    (folder / f"{split}-images-idx3-ubyte{suffix}").write_bytes(pack(pixels))
    if labels:
        (folder / f"{split}-labels-idx1-ubyte{suffix}").write_bytes(
            pack(struct.pack(">II", 0x801, n) + bytes(range(n)))
        )


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The four folders in which `mnist` is looked for, in their order; the last stands in for Debian's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VARINF_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    real = _known._folders("mnist")
    assert real[-1] == Path("/usr/share/datasets/mnist")
    system = tmp_path / "system" / "mnist"
    monkeypatch.setattr(_known, "_folders", lambda name: [*real[:-1], system])
    return [tmp_path / "given" / "mnist", tmp_path / "data" / "mnist", tmp_path / "cache" / "varinf" / "mnist", system]


def found(name):
    return next(entry for entry in data.known() if entry.name == name).found_at


def test_the_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    theirs = load_digits()
    digits = data.open("digits")
    assert digits.spec == data.Spec((8, 8), np.dtype(np.uint8), "images", 16.0)
    np.testing.assert_array_equal(digits.take(np.arange(1797)), theirs.images)
    np.testing.assert_array_equal(digits.labels, theirs.target)
    assert found("digits").is_file()


def test_the_digits_by_scikit_learn_itself(monkeypatch):
    whole = data.open("digits").take(np.arange(1797))
    monkeypatch.setattr(_known, "_digits_file", lambda: None)
    np.testing.assert_array_equal(data.open("digits").take(np.arange(1797)), whole)


def test_the_digits_have_no_test_split():
    assert data.has_split("digits", "train")
    assert not data.has_split("digits", "test")
    with pytest.raises(InputError, match="no test split"):
        data.open("digits", split="test")


def test_the_first_place_wins(places):
    for i, place in reversed(list(enumerate(places))):
        put(place, value=i)
        source = data.open("mnist")
        assert source.take(np.array([0]))[0, 0, 0] == i
        assert source.labels.tolist() == [0, 1, 2]
        assert found("mnist").resolve() == place
    assert data.has_split("mnist", "test")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_splits_zipped_or_not(places, suffix):
    put(places[0], "train", 3, suffix=suffix)
    put(places[0], "t10k", 2, suffix=suffix)
    assert (len(data.open("mnist")), len(data.open("mnist", split="test"))) == (3, 2)


def test_a_folder_of_such_files_by_its_path(tmp_path):
    put(tmp_path, "train", 3)
    assert len(data.open(tmp_path)) == 3
    assert not data.has_split(tmp_path)
    put(tmp_path, "t10k", 2)
    assert data.has_split(tmp_path)
    assert data.has_split(str(tmp_path))
    assert len(data.open(tmp_path, split="test")) == 2
    assert not data.has_split(tmp_path / "nowhere")
    # images go before such files
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "a.png")
    assert not data.has_split(tmp_path)
    assert len(data.open(tmp_path)) == 1


def test_what_cannot_be_downloaded_says_where_to_put_it(places, monkeypatch):
    import pooch

    def fail(*_, **__):
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(pooch, "retrieve", fail)
    assert found("mnist") is None
    with pytest.raises(InputError) as caught:
        data.open("mnist", split="test")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("no network", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", str(places[2]), "VARINF_DATA"):
        assert part in message


@pytest.mark.parametrize("honest", [True, False])
def test_a_download_is_checked_by_its_hash(places, monkeypatch, tmp_path, honest):
    """By pooch itself, from a mirror on this disk."""
    import pooch

    put(tmp_path / "mirror", "train")
    files = sorted((tmp_path / "mirror").iterdir())
    hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    fetched = []

    class Copier:
        def __call__(self, url, output_file, _):
            fetched.append(url)
            content = (tmp_path / "mirror" / url.rsplit("/", 1)[1]).read_bytes()
            Path(output_file).write_bytes(content if honest else content + b"!")

    monkeypatch.setattr(pooch.core, "choose_downloader", lambda *_, **__: Copier())
    known = _known._Download("", "https://mirror.example/mnist/", hashes)
    monkeypatch.setitem(_known._DOWNLOADS, "mnist", known)
    if not honest:
        with pytest.raises(InputError, match=r"could not be downloaded from .*hash"):
            data.open("mnist")
        assert not list(places[2].glob("*ubyte*"))
        return
    assert data.open("mnist").labels.tolist() == [0, 1, 2]
    assert fetched == [f"https://mirror.example/mnist/train-{part}-ubyte.gz" for part in ("labels-idx1", "images-idx3")]
    assert data.open("mnist").labels.tolist() == [0, 1, 2]  # now from the cache
    assert len(fetched) == 2
    assert found("mnist") == places[2]


def test_each_download_has_the_hashes_of_its_four_files():
    for download in _known._DOWNLOADS.values():
        assert len(download.hashes) == len(set(download.hashes.values())) == 4
        assert all(len(bytes.fromhex(value)) == 32 for value in download.hashes.values())


@pytest.mark.skipif(not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="Debian's package is not here")
def test_fashion_mnist():
    train, test = data.open("fashion-mnist"), data.open("fashion-mnist", split="test")
    assert (len(train), len(test)) == (60000, 10000)
    assert train.spec == data.Spec((28, 28), np.dtype(np.uint8), "images", 255.0)
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert round(data.summarize(train).overall_mean / 255, 4) == 0.2860  # as published everywhere

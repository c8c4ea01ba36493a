"""Data sets known by name: where they are looked for, and how they are fetched."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from varinf.errors import InputError

from ._faults import one_line, reading
from ._idx import open_idx
from ._images import has_images
from ._source import ArraySource, Source

_PREFIX = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class KnownData:
    """A data set that `open` knows by name.

    Attributes:
        name: what `open` takes.
        description: a line about it.
        found_at: the folder or file that it is in on this machine; None where it would be downloaded.
    """

    name: str
    description: str
    found_at: Path | None


@dataclass(frozen=True)
class _Download:
    """Four files in MNIST's format: their mirror, and the SHA-256 of each of its files."""

    description: str
    url: str
    hashes: dict[str, str]


_DIGITS = "handwritten digits, 1797 × 8 × 8, grey levels 0 to 16, with labels (comes with scikit-learn)"
_DOWNLOADS = {
    "fashion-mnist": _Download(
        "photographs of clothes, 60000 to train and 10000 to test, 28 × 28, 8-bit grey, with labels",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "mnist": _Download(
        "handwritten digits, 60000 to train and 10000 to test, 28 × 28, 8-bit grey, with labels",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
}
NAMES = ("digits", *_DOWNLOADS)


def known() -> list[KnownData]:
    """The data sets that `open` knows by name, and where each is on this machine."""
    found = [KnownData("digits", _DIGITS, _digits_file())]
    for name, download in _DOWNLOADS.items():
        images = _find(name, "train")
        found.append(KnownData(name, download.description, images and images.parent))
    return found


def has_split(where: str | Path, split: str = "test") -> bool:
    """Whether `open(where, split=split)` has rows to give: whether the data came with a test split."""
    if split == "train":
        return True
    if isinstance(where, str) and where in NAMES:
        return where in _DOWNLOADS and split in _PREFIX
    folder = Path(where).expanduser()
    return split in _PREFIX and idx_in(folder, split) is not None and not has_images(folder)


def open_known(name: str, split: str) -> Source:
    """The rows of the data set `name`; downloaded first where they are nowhere on this machine."""
    if name == "digits":
        if split != "train":
            raise InputError("digits has no test split of its own; hold rows out of it instead")
        return _open_digits()
    return open_idx(_find(name, split) or _download(name, split))


def idx_in(folder: Path, split: str) -> Path | None:
    """The images of `split` in a folder that holds files named as MNIST's are."""
    plain = folder / f"{_PREFIX[split]}-images-idx3-ubyte"
    return next((path for path in (plain.with_name(plain.name + ".gz"), plain) if path.is_file()), None)


def _folders(name: str) -> list[Path]:
    given = os.environ.get("VARINF_DATA")
    system = Path("/usr/share/datasets") / name  # of Debian's packages
    return [*([Path(given).expanduser() / name] if given else []), Path("data") / name, _cache(name), system]


def _cache(name: str) -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("varinf") / name


def _find(name: str, split: str) -> Path | None:
    return next((path for folder in _folders(name) if (path := idx_in(folder, split)) is not None), None)


def _download(name: str, split: str) -> Path:
    """Fetches the images and labels of one split into the cache, checked by SHA-256."""
    import pooch

    download, cache = _DOWNLOADS[name], _cache(name)
    files = [file for file in download.hashes if file.startswith(_PREFIX[split])]
    try:
        paths = [
            # The labels first: if it breaks off then, there are no images that would pass for the whole.
            pooch.retrieve(download.url + file, f"sha256:{download.hashes[file]}", fname=file, path=cache)
            for file in sorted(files, key=lambda file: "images" in file)
        ]
    except Exception as error:
        raise InputError(
            f"{name} is not on this machine and could not be downloaded from {download.url} "
            f"({one_line(error, 100)}); put {' and '.join(files)} into {cache}, or into $VARINF_DATA/{name}"
        ) from error
    return Path(paths[-1])


def _digits_file() -> Path | None:
    """scikit-learn's own file, found without importing scikit-learn, which takes longer than reading it."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    return path if path.is_file() else None


def _open_digits() -> ArraySource:
    path = _digits_file()
    if path is None:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
    else:
        with reading(path, "scikit-learn's digits"):
            table = np.loadtxt(path, delimiter=",")
            images, labels = table[:, :-1], table[:, -1]
    return ArraySource(
        images.reshape(-1, 8, 8).astype(np.uint8),
        labels=labels.astype(np.int64),
        max_value=16.0,
        name="digits",
    )

"""`open`: from a name or a path to rows."""

import builtins
import gzip
import zlib
from difflib import get_close_matches
from pathlib import Path

from varinf._checks import known
from varinf.errors import InputError

from ._arrays import open_npy, open_npz
from ._faults import reading
from ._idx import is_idx, open_idx
from ._images import SUFFIXES, FolderSource, has_images
from ._known import NAMES, idx_in, open_known
from ._source import Source, Spec
from ._tables import open_csv, open_parquet


def open(
    where: str | Path,
    *,
    split: str = "train",
    resize: tuple[int, int] | int | None = None,
    array: str | None = None,
    label: str | None = None,
) -> Source:
    """The rows of a data set, by name or by path.

    Args:
        where: `"digits"`, `"mnist"` or `"fashion-mnist"`; or the path of a folder of PNG or JPEG images (the
            names of sub-folders are labels), of a folder of IDX files named as MNIST's, or of a `.npy`,
            `.npz`, IDX, CSV or Parquet file. A name goes before a path: a folder of that name is
            `./digits`.
        split: "train", or "test" where the data came with one (see `has_split`).
        resize: `(height, width)` in pixels, or one number for both; for folders of images.
        array: which array of a `.npz` file.
        label: the column of a CSV or Parquet file that holds labels; by default one of words that is called label,
            labels or class.

    Returns:
        A Source. Rows of rank 1 are a table, of rank 2 (height, width) or 3 (height, width, channel) images.
        Labels, where there are any, are in its `labels`.

    Raises:
        InputError: no such data, or damaged, or not of a kind that can be read.
    """
    known("split", split, ("train", "test"))
    if isinstance(where, str) and where in NAMES:
        _refuse(where, resize=resize, array=array, label=label)
        return open_known(where, split)
    with reading(where, "a path"):
        path = Path(where).expanduser()
        if not path.exists():
            near = get_close_matches(str(where), NAMES, n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"no such file or folder: {where}{hint}")
        folder = path.is_dir()
    if folder:
        _refuse(path, array=array, label=label)
        return _check(_open_folder(path, split, resize), path)
    return _check(_open_file(path, split, resize, array, label), path)


def _open_folder(path: Path, split: str, resize: tuple[int, int] | int | None) -> Source:
    images = idx_in(path, split)
    if images is not None and not has_images(path):
        _refuse(path, resize=resize)
        return open_idx(images)
    _refuse_split(path, split)
    return FolderSource(path, resize)


def _open_file(
    path: Path, split: str, resize: tuple[int, int] | int | None, array: str | None, label: str | None
) -> Source:
    name = path.name.lower()
    _refuse_split(path, split)
    if not path.is_file():
        raise InputError(f"{path}: expected a file or a folder, got a device or a pipe")
    if name.endswith(SUFFIXES):
        raise InputError(f"{path} is a single image; expected the folder that holds the images")
    _refuse(path, resize=resize)
    head = _head(path)
    if name.endswith(".npz") or head.startswith(b"PK\x03\x04"):
        _refuse(path, label=label)
        return open_npz(path, array)
    _refuse(path, array=array)
    if name.endswith(".npy") or head.startswith(b"\x93NUMPY"):
        _refuse(path, label=label)
        return open_npy(path)
    if name.endswith((".parquet", ".pq")) or head.startswith(b"PAR1"):
        return open_parquet(path, label)
    if name.endswith((".csv", ".tsv", ".csv.gz")):
        return open_csv(path, label)
    _refuse(path, label=label)
    if is_idx(path.name, head):
        return open_idx(path)
    raise InputError(
        f"{path}: expected a folder of images, or a .npy, .npz, IDX, .csv or .parquet file, got a file of another kind"
    )


def _head(path: Path) -> bytes:
    """The first bytes of a file, unzipped if it is gzipped."""
    with reading(path, "a file that can be read"), builtins.open(path, "rb") as file:
        head = file.read(64)
    if not head.startswith(b"\x1f\x8b"):
        return head
    try:
        with gzip.open(path) as file:
            return file.read(64)
    except (OSError, EOFError, zlib.error):
        return b""


def _check(source: Source, path: Path) -> Source:
    """That rows have the rank of a table's or an image's, in the order that is expected."""
    spec = source.spec
    if isinstance(spec, Spec):
        shape = spec.shape
        if not 1 <= len(shape) <= 3:
            raise InputError(
                f"{path}: expected an array of rank 2 (a table) or 3 or 4 (images), got shape {(len(source), *shape)}"
            )
        if len(shape) == 3 and shape[0] in (1, 3) and shape[2] > 4:
            raise InputError(
                f"{path}: expected images as (n, height, width, channels), got shape "
                f"{(len(source), *shape)}, which looks like channels first; transpose it with (0, 2, 3, 1)"
            )
    return source


def _refuse(where: str | Path, **given: object) -> None:
    meant = {"resize": "folders of images", "array": ".npz files", "label": "CSV and Parquet files"}
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{where}: {name} is for {meant[name]}; leave it out")


def _refuse_split(path: Path, split: str) -> None:
    if split != "train":
        raise InputError(f"{path} has no {split} split of its own; hold rows out of it, or give their own path")

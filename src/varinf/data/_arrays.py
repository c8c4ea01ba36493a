"""NumPy's own files: `.npy`, memory-mapped, and `.npz`. Nothing is ever unpickled."""

import math
import warnings
import zipfile
from pathlib import Path

import numpy as np

from varinf._checks import known
from varinf.errors import InputError

from ._faults import reading
from ._source import ArraySource

_LABELS = ("y", "label", "labels")
_DATA = ("x", "X", "images", "data")
# What DEFLATE can make of one byte at most; a member that promises more is a lie.
_MAX_RATIO = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}


def open_npy(path: Path) -> ArraySource:
    """The rows of a `.npy` file, memory-mapped."""
    with reading(path, "a .npy file"), path.open("rb") as file:
        dtype, shape, fortran = _header(file)
        _refuse_objects(dtype, str(path))
        offset, held = file.tell(), path.stat().st_size
        expected = offset + math.prod(shape) * dtype.itemsize
        if held != expected:
            raise InputError(
                f"{path}: expected {expected} bytes by its header ({dtype}, shape {shape}), got {held}; "
                f"the file is damaged or cut short"
            )
        order = "F" if fortran else "C"
        if held == offset:
            array = np.empty(shape, dtype)
        else:
            array = np.memmap(path, dtype, mode="r", offset=offset, shape=shape, order=order)
    return ArraySource(array, name=str(path))


def open_npz(path: Path, array: str | None) -> ArraySource:
    """The rows of one array of a `.npz` file, with the array named y, label or labels as labels."""
    with reading(path, "a .npz file"), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        name = _choose(list(members), array, path)
        rows = _member(archive, members[name], path)
        beside = [label for label in _LABELS if label in members and label != name]
        arrays = [_member(archive, members[label], path) for label in beside]
    others = len(members) > 1 + len(beside)  # whose labels they may be
    fitting = {}
    for label, values in zip(beside, arrays, strict=True):
        if values.shape in (rows.shape[:1], (*rows.shape[:1], 1)):
            fitting[label] = values.reshape(-1)
        elif values.shape[:1] != rows.shape[:1] and not others:
            raise InputError(
                f"{path}: expected a label for each row of {name}, of shape {rows.shape}, got {label} of shape "
                f"{values.shape}; make them as many, or leave {label} out"
            )
    if len(fitting) > 1:
        raise InputError(f"{path} holds several arrays of labels: {', '.join(fitting)}; leave all but one out")
    return ArraySource(rows, labels=next(iter(fitting.values()), None), name=f"{path} ({name})")


def _choose(names: list[str], wanted: str | None, path: Path) -> str:
    if wanted is not None:
        return known(f"array in {path}", wanted, names)
    if not names:
        raise InputError(f"{path}: expected an array, got an empty archive")
    data = [name for name in names if name not in _LABELS]
    if len(names) == 1:
        return names[0]
    if len(data) == 1 and data[0] in _DATA:
        return data[0]
    raise InputError(f"{path} holds several arrays: {', '.join(names)}; name one with --array (array=)")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    name = f"{path} ({info.filename})"
    ratio = _MAX_RATIO.get(info.compress_type)
    if ratio is None:
        raise InputError(f"{name}: expected an array stored or deflated, got zip method {info.compress_type}")
    with archive.open(info) as file:
        dtype, shape, fortran = _header(file)
        _refuse_objects(dtype, name)
        size = math.prod(shape) * dtype.itemsize
        packed = min(info.compress_size, path.stat().st_size)
        if file.tell() + size != info.file_size or info.file_size > ratio * packed:
            raise InputError(
                f"{name}: its header promises {size} bytes ({dtype}, shape {shape}), which the "
                f"archive does not hold; the file is damaged"
            )
        flat = np.frombuffer(file.read(), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _header(file) -> tuple[np.dtype, tuple[int, ...], bool]:
    """dtype, shape and whether in Fortran's order; leaves `file` at the first byte of data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers written by Python 2
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version > (3, 0):
            raise ValueError(f"its format is version {version}, which is not known")
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize >= 2**63:
        raise ValueError(f"impossible shape {shape}")
    return dtype, shape, fortran


def _refuse_objects(dtype: np.dtype, name: str) -> None:
    if dtype.hasobject:
        raise InputError(
            f"{name}: expected numbers, got an array of Python objects, which is never unpickled; "
            f"save it with a numeric dtype"
        )

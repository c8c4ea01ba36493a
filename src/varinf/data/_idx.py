"""IDX files, the format of MNIST: http://yann.lecun.com/exdb/mnist/ (archived), gzipped or not."""

import gzip
import math
import re
import struct
from pathlib import Path

import numpy as np

from varinf.errors import InputError

from ._faults import reading
from ._source import ArraySource

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_SUFFIX = re.compile(r"[.-](idx\d*(-ubyte)?|ubyte)(\.gz)?$", re.IGNORECASE)
_PIECE = 1 << 22


def is_idx(name: str, head: bytes) -> bool:
    """Whether a file is IDX by its name or, failing that, by its first four bytes (already decompressed)."""
    by_magic = len(head) >= 4 and head[:2] == b"\0\0" and head[2] in _TYPES and 1 <= head[3] <= 4
    return bool(_SUFFIX.search(name)) or by_magic


def open_idx(path: Path) -> ArraySource:
    """The rows of one IDX file, with the labels of the file beside it that is named in MNIST's manner."""
    labels_path = _labels_beside(path)
    labels = None if labels_path is None else read_idx(labels_path)
    if labels is not None and labels.ndim != 1:
        raise InputError(f"{labels_path}: expected labels in one dimension, got shape {labels.shape}")
    array = read_idx(path)
    if labels is not None and len(labels) != len(array):
        raise InputError(f"{labels_path}: expected a label for each of {len(array)} images, got {len(labels)}")
    return ArraySource(array, labels=labels, name=str(path))


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file: memory-mapped, or in memory where the file is gzipped.

    Raises:
        InputError: wrong magic number, type code or length, or dimensions too large to be true.
    """
    with reading(path, "an IDX file"):
        with path.open("rb") as file:
            if file.read(2) == b"\x1f\x8b":
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as unzipped:
                    return _read_stream(unzipped, path)
            file.seek(0)
            dtype, shape, offset = _read_header(file, path)
        held, size = path.stat().st_size - offset, _size(dtype, shape, path)
        if held != size:
            raise _wrong_length(path, shape, size, held)
        if size == 0:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, mode="r", offset=offset, shape=shape)


def _read_stream(file: gzip.GzipFile, path: Path) -> np.ndarray:
    dtype, shape, _ = _read_header(file, path)
    size = _size(dtype, shape, path)
    held = bytearray()
    # Piece by piece: the header may promise more than there is, or than there is memory.
    while piece := file.read(min(_PIECE, size + 1 - len(held))):
        held += piece
    if len(held) != size:
        raise _wrong_length(path, shape, size, len(held))
    return np.frombuffer(held, dtype).reshape(shape)


def _read_header(file, path: Path) -> tuple[np.dtype, tuple[int, ...], int]:
    magic = file.read(4)
    if len(magic) < 4:
        raise InputError(f"{path}: expected an IDX file, got one of {len(magic)} bytes")
    zeros, code, rank = magic[:2], magic[2], magic[3]
    if zeros != b"\0\0" or code not in _TYPES or rank == 0:
        raise InputError(
            f"{path}: expected the magic number of an IDX file (00 00, a type from 08 to 0e, a rank), "
            f"got {magic.hex(' ')}"
        )
    dims = file.read(4 * rank)
    if len(dims) < 4 * rank:
        raise InputError(f"{path}: expected {rank} dimensions in the header, but the file ends within them")
    return np.dtype(_TYPES[code]), struct.unpack(f">{rank}I", dims), 4 + 4 * rank


def _size(dtype: np.dtype, shape: tuple[int, ...], path: Path) -> int:
    size = math.prod(shape) * dtype.itemsize
    if size >= 2**63 or len(shape) > 32:
        raise InputError(f"{path}: the dimensions in its header overflow: {_times(shape)}; the file is damaged")
    return size


def _wrong_length(path: Path, shape: tuple[int, ...], size: int, held: int) -> InputError:
    found = f"more than {size}" if held > size else str(held)
    return InputError(
        f"{path}: expected {size} bytes of data by its header ({_times(shape)}), got {found}; "
        f"the file is damaged or cut short"
    )


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape[:8])) + (" × …" if len(shape) > 8 else "")


def _labels_beside(path: Path) -> Path | None:
    """`train-labels-idx1-ubyte` for `train-images-idx3-ubyte`, zipped or not, if there is one."""
    match = re.fullmatch(r"(.*)images([.-])idx\d(.*?)(\.gz)?", path.name)
    if match is None:
        return None
    plain = f"{match[1]}labels{match[2]}idx1{match[3]}"
    candidates = (
        path.with_name(plain + (match[4] or "")),
        path.with_name(plain),
        path.with_name(plain + ".gz"),
    )
    return next((candidate for candidate in candidates if candidate.is_file()), None)

"""Files that are there whole or not at all, and pairs of arrays and JSON with a checksum."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from varinf.errors import InputError

FORMAT = 1


class DamagedFileError(InputError):
    """A file of varinf's that is incomplete or changed."""


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that after a crash at any moment there is the old content or the new, whole.

    A device or a pipe is written to as it is, and not replaced by a file. A link is followed.

    Raises:
        OSError: the system refused, and names `path`; the old content is untouched.
    """
    try:
        if path.exists() and not path.is_file():
            with open(path, "wb") as device:
                device.write(content)
            return
        if path.is_symlink():
            path = path.resolve()
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_arrays(stem: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write `stem`.safetensors, then `stem`.json, which holds `meta` and a checksum of both.

    The JSON comes last: a crash before it leaves no new JSON, and readers go by the JSON.
    """
    from safetensors.numpy import save

    # not np.ascontiguousarray, which gives a scalar an axis
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    # what NumPy lacks (bfloat16, say), safetensors does not read back, so it goes by its bits
    lacking = {name: array.dtype.name for name, array in arrays.items() if array.dtype.isbuiltin == 2}
    bits = {name: arrays[name].view(f"u{arrays[name].itemsize}") for name in lacking}
    content = save(arrays | bits)
    meta = {"format": FORMAT, **({"dtypes": lacking} if lacking else {}), **meta}
    head = {"sha256": _checksum(content, meta), **meta}
    write_file(_with_suffix(stem, ".safetensors"), content)
    write_file(_with_suffix(stem, ".json"), (json.dumps(head, indent=1) + "\n").encode())


def read_arrays(stem: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `write_arrays` wrote: the arrays, and the JSON.

    Raises:
        DamagedFileError: missing or changed; one line says which.
        InputError: of a newer format.
    """
    import ml_dtypes
    from safetensors import SafetensorError
    from safetensors.numpy import load

    tensors, path = _with_suffix(stem, ".safetensors"), _with_suffix(stem, ".json")
    try:
        head = json.loads(path.read_text())
        content = tensors.read_bytes()
    except FileNotFoundError as error:
        raise DamagedFileError(f"no such file: {error.filename}") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise DamagedFileError(f"{path} is damaged: it is no JSON") from None
    if not isinstance(head, dict) or not isinstance(head.get("format"), int):
        raise DamagedFileError(f"{path} is no file of varinf's: it names no format")
    if head["format"] > FORMAT:
        raise InputError(
            f"{path} has format {head['format']}, written by a newer varinf; this one reads up to {FORMAT}: upgrade"
        )
    meta = {name: value for name, value in head.items() if name != "sha256"}
    if _checksum(content, meta) != head.get("sha256"):
        raise DamagedFileError(f"{tensors} or {path.name} is damaged: their checksum differs from the one kept")
    try:
        arrays = load(content)
        for name, dtype in head.get("dtypes", {}).items():
            arrays[name] = arrays[name].view(getattr(ml_dtypes, dtype))
        return arrays, head
    except (AttributeError, KeyError, SafetensorError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{tensors} is damaged: {error}") from None


def _checksum(content: bytes, meta: dict[str, Any]) -> str:
    """SHA-256 over the arrays' file and what stands beside it, in the spelling that JSON gives back."""
    digest = hashlib.sha256(content)
    digest.update(json.dumps(meta, sort_keys=True).encode())
    return digest.hexdigest()


def _with_suffix(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)

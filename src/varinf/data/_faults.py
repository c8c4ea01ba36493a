"""One way to turn what goes wrong while reading into one clear line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from varinf.errors import InputError


def one_line(error: BaseException, limit: int = 160) -> str:
    """The message of `error` on one line, cut to `limit` characters; its type's name where it has none."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= limit else words[: limit - 1] + "…"


@contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Whatever fails inside becomes an `InputError` that names `path`.

    Libraries raise a dozen types on damaged bytes (SyntaxError, struct.error, zlib.error, MemoryError), so no
    list of them would be complete.
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        if error.strerror:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        raise InputError(f"{path} is damaged or not {what}: {one_line(error)}") from error
    except Exception as error:
        raise InputError(f"{path} is damaged or not {what}: {one_line(error)}") from error

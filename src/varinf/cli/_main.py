"""From arguments to an exit code: 0 done, 1 a fault of ours, 2 a fault in what was asked or given, 130 interrupted."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from typer import Abort
from typer.main import get_command

from varinf.cli._app import app
from varinf.cli._signals import Interrupted, signals
from varinf.errors import InputError, NonFiniteError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code.

    Args:
        arguments: of the command; None for those of the process, which ends here where it is interrupted.
    """
    is_process = arguments is None
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _open_streams()
    try:
        with signals(), _warnings():
            # a newcomer who gives no command asks for help, and that is no fault
            code = get_command(app)(arguments or ["--help"], prog_name="varinf", standalone_mode=False) or 0
            print(end="", flush=True)  # a fault of where it goes to shows here, and not as Python ends
            return code
    except (InputError, NonFiniteError) as error:
        return _complain(_words(error), 2)
    except BrokenPipeError:
        return 1
    except OSError as error:
        if error.strerror is None:
            raise
        return _complain(_words(error), 2)
    except (Interrupted, KeyboardInterrupt, Abort) as error:
        code = _complain("; ".join(["interrupted", *_notes(error)]), 130)
        if is_process:
            # not by Python's own end, which work of XLA's that still goes on can crash, and a source's hold up
            _silence()
            os._exit(code)
        return code
    except Exception as error:
        # Typer's own complaints (an unknown option, a missing argument) know their words.
        words = getattr(error, "format_message", None)
        if words is None:
            raise
        return _complain(words(), 2)
    finally:
        _silence()


def _open_streams() -> None:
    """Put nothing in the place of a stream that is closed: without one libraries fail, and files get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


@contextmanager
def _warnings() -> Iterator[None]:
    """Warnings are a line each, without the place in the code that they come from."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        _tell(f"warning: {_one_line(str(message))}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _words(error: Exception) -> str:
    """What a fault says, and after it what the command knows to add."""
    said = str(error)
    if isinstance(error, OSError):
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return "; ".join([said, *_notes(error)])


def _notes(error: BaseException) -> list[str]:
    # JAX adds how to see its own part of the traceback, of which none is shown
    return [note for note in getattr(error, "__notes__", []) if "JAX_TRACEBACK_FILTERING" not in note]


def _complain(message: str, code: int) -> int:
    line = _one_line(message)
    _tell(line[:1].lower() + line[1:] if line[:2].istitle() else line)
    return code


def _tell(line: str) -> None:
    """Say a line on the standard error, if there is room."""
    with suppress(OSError):
        print(f"varinf: {line}", file=sys.stderr)


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _silence() -> None:
    """Where what was printed cannot be written, let Python end without a complaint of its own."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except OSError:
            setattr(sys, name, None)

"""Ctrl-C and a polite `kill`."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(BaseException):
    """A signal asked to stop. No library takes it for its own affair, as Typer does with KeyboardInterrupt."""


@contextmanager
def signals() -> Iterator[None]:
    """While this lasts, SIGINT and SIGTERM raise `Interrupted`.

    Python drops what is raised in a callback of its garbage collector, and JAX has one: an alarm raises it again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: Any) -> None:
        raise Interrupted(signal.Signals(number).name)

    def dropped(what: Any) -> None:
        if isinstance(what.exc_value, Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            hook(what)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    hook, sys.unraisablehook = sys.unraisablehook, dropped
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)

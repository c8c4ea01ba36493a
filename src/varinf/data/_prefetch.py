"""Blocks computed in the background while the one before is used."""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def prefetch(make_block: Callable[[int], T], count: int, depth: int = 2) -> Iterator[T]:
    """`make_block(0)` to `make_block(count - 1)` in order, computed in one background thread.

    The thread starts with the first `next` and has ended when the iterator is exhausted or closed, or has
    raised. `make_block` runs at most `depth` blocks ahead of the one in use. What it raises is raised here,
    in its turn. Only an interrupt while a block is waited for leaves the thread behind, to end with that block.
    """
    if depth < 1:
        raise ValueError(f"expected a depth of at least 1, got {depth}")
    done: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
    room = threading.Semaphore(depth)
    stopped = threading.Event()

    def work() -> None:
        for i in range(count):
            room.acquire()
            if stopped.is_set():
                return
            try:
                done.put((make_block(i), None))
            except BaseException as error:
                done.put((None, error))
                return

    # A daemon, and not waited for, so that a block that never comes cannot keep an interrupted program alive.
    thread = threading.Thread(target=work, name="varinf-prefetch", daemon=True)
    thread.start()
    interrupted = False
    try:
        for _ in range(count):
            interrupted = True
            block, error = done.get()
            interrupted = False
            if error is not None:
                raise error
            room.release()
            yield block  # type: ignore[misc]
            del block
    finally:
        stopped.set()
        room.release()
        if not interrupted:
            thread.join()

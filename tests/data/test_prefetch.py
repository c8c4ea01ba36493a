"""Reading ahead: in order, not too far, and with no thread left behind."""

import signal
import threading
import time

import pytest

from varinf import data


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "varinf-prefetch"]


def wait_until(true, seconds=5.0):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.001)
    return true()


@pytest.mark.parametrize("depth", [1, 2, 10])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_blocks_come_in_order(count, depth):
    assert list(data.prefetch(lambda i: i * i, count, depth)) == [i * i for i in range(count)]
    assert not threads()


@pytest.mark.parametrize("depth", [1, 3])
def test_at_most_depth_ahead(depth):
    started = []
    blocks = data.prefetch(lambda i: started.append(i) or i, 20, depth)
    for i in range(10):
        assert next(blocks) == i
        assert wait_until(lambda i=i: len(started) == i + 1 + depth)  # it does run ahead
        time.sleep(0.002)
        assert len(started) == i + 1 + depth  # and no further
    blocks.close()
    assert not threads()


def test_what_it_raises_is_raised_in_its_turn():
    def make(i):
        if i == 2:
            raise KeyError("two")
        return i

    blocks = data.prefetch(make, 5)
    assert [next(blocks), next(blocks)] == [0, 1]
    with pytest.raises(KeyError, match="two"):
        next(blocks)
    assert not threads()
    with pytest.raises(StopIteration):
        next(blocks)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_stopping_early_ends_the_thread(taken):
    blocks = data.prefetch(lambda i: i, 1000)
    for _ in range(taken):
        next(blocks)
    blocks.close()
    assert not threads()


def test_an_interrupt_in_the_consumer_ends_the_thread():
    def consume():
        for block in data.prefetch(lambda i: i, 1000):
            if block == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert wait_until(lambda: not threads())


def test_an_interrupt_does_not_wait_for_a_block():
    comes = threading.Event()
    blocks = data.prefetch(lambda i: i if i == 0 else comes.wait(5), 3)
    assert next(blocks) == 0
    alarm = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(blocks)
    assert time.monotonic() - began < 2
    signal.signal(signal.SIGALRM, alarm)
    comes.set()
    assert wait_until(lambda: not threads())


def test_it_works_in_the_background():
    """While the consumer holds block 0, block 1 is made: without a thread `made` would never be set."""
    made = threading.Event()
    blocks = data.prefetch(lambda i: made.set() if i == 1 else None, 2)
    next(blocks)
    assert made.wait(5)
    blocks.close()


def test_a_depth_of_none():
    with pytest.raises(ValueError, match="at least 1"):
        next(data.prefetch(lambda i: i, 3, depth=0))

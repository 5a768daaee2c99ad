"""A thread gathers the next batches while a step runs: the same bytes in the same order."""

import threading
import time

import numpy as np
import pytest

from job.errors import Interrupted
from job.learning.feed import Feed
from tests.support.waiting import wait_for

SIZE = 3
INPUTS = np.random.default_rng(1).integers(0, 256, (20, 4, 4, 3), np.uint8)
ROWS = np.random.default_rng(0).permutation(20)


def read(rows: np.ndarray) -> np.ndarray:
    """Return rows of the inputs."""
    return INPUTS[rows]


def threads() -> list[threading.Thread]:
    """Return the threads of all feeds."""
    return [thread for thread in threading.enumerate() if thread.name == "feed"]


@pytest.mark.parametrize("first", [0, 6, 18])
def test_batches_are_those_without_a_thread(first):
    """From any step on the batches have the bytes that are gathered without a thread."""
    rows = ROWS[first:]
    with Feed(read, rows, SIZE) as batches:
        gathered = [batch.tobytes() for batch in batches]
        assert next(batches, None) is None
    starts = range(0, len(rows), SIZE)
    assert gathered == [INPUTS[rows[start : start + SIZE]].tobytes() for start in starts]
    assert threads() == []


def test_one_batch_is_ahead():
    """While a step runs, the next batch is gathered and no more, so the memory has a bound."""
    reads = []
    with Feed(lambda rows: reads.append(rows) or read(rows), ROWS, SIZE) as batches:
        for used in range(1, 4):
            next(batches)
            wait_for(lambda used=used: len(reads) > used)
            time.sleep(0.01)  # for a thread that would not stop
            assert len(reads) == used + 1


def test_an_error_of_the_thread_arrives():
    """A lost disk ends the loop with its OSError, and the thread ends, too."""

    def read_most(rows):
        if 7 in rows:
            raise OSError(5, "Input/output error")
        return read(rows)

    whole = 0
    with pytest.raises(OSError, match="Input/output error"), Feed(read_most, ROWS, SIZE) as batches:
        for _ in batches:
            whole += 1
    assert whole == list(ROWS).index(7) // SIZE
    assert threads() == []


def test_a_loop_that_ends_early_leaves_no_thread():
    """An exception of the loop ends the thread, whatever it has gathered."""
    with pytest.raises(Interrupted), Feed(read, ROWS, SIZE) as batches:
        next(batches)
        raise Interrupted("stopped")
    assert threads() == []


def test_a_signal_is_obeyed_while_the_disk_hangs():
    """The loop that waits for a hung read checks meanwhile, and leaves within a second."""
    answers = threading.Event()

    def hang(_):
        return answers.wait(60)

    def check():
        raise Interrupted("TERM")

    began = time.monotonic()
    with pytest.raises(Interrupted), Feed(hang, ROWS, SIZE, check) as batches:
        next(batches)
    assert time.monotonic() - began < 1
    assert len(threads()) == 1
    answers.set()
    wait_for(lambda: not threads())


def test_waiting_is_counted():
    """`waited_s` is the time in which the caller had no batch, and not that of its steps."""

    def read_slowly(rows):
        time.sleep(0.02)
        return read(rows)

    began = time.perf_counter()
    with Feed(read_slowly, ROWS[:6], SIZE) as batches:
        for _ in batches:
            pass
        assert 0.03 <= batches.waited_s <= time.perf_counter() - began
        waited_s = batches.waited_s
        time.sleep(0.01)
        assert batches.waited_s == waited_s

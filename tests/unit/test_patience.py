"""Trying again: what passes is waited for, until the deadline and no longer."""

import random
import time

import pytest

from job.errors import Invalid, Unreachable
from job.patience import Delays, Patience, Retry, patience_of
from job.storage.folder import FolderStore


class Waits(list):
    """Waits that were asked for, and slept."""

    def __call__(self, seconds: float) -> None:
        """Sleep, and note for how long."""
        self.append(seconds)
        time.sleep(seconds)


class Fails:
    """A call that fails some times before it succeeds."""

    def __init__(self, times: int):
        self.left = times

    def __call__(self) -> str:
        """Fail, or return "done"."""
        self.left -= 1
        if self.left >= 0:
            raise Unreachable("away")
        return "done"


def retry(delays: Delays, patience_s: float, waits: Waits) -> Retry:
    return Retry(delays, patience_s, waits, lambda exc, left_s: None)


def test_the_waits_double_up_to_the_longest():
    """Each wait is twice the one before, until the longest; jitter changes it by its share."""
    waits = Waits()
    delays = Delays(first_s=0.01, longest_s=0.04, jitter=0)
    assert retry(delays, 10, waits).call(Fails(5), Unreachable) == "done"
    assert waits == [0.01, 0.02, 0.04, 0.04, 0.04]
    waits = Waits()
    delays = Delays(first_s=0.01, longest_s=0.01, jitter=0.5)
    assert retry(delays, 10, waits).call(Fails(20), Unreachable) == "done"
    assert len({*waits}) > 1
    assert all(0.005 <= wait <= 0.015 for wait in waits)


def test_waiting_changes_no_net():
    """Jitter leaves Python's own generator alone, by which Keras seeds the layers of a net."""
    random.seed(1)
    state = random.getstate()
    delays = Delays(first_s=0.001, longest_s=0.001, jitter=0.5)
    assert retry(delays, 10, Waits()).call(Fails(3), Unreachable) == "done"
    assert random.getstate() == state


def test_the_deadline():
    """No wait is begun that would end after the deadline, or the last try comes right at it."""
    waits = Waits()
    with pytest.raises(Unreachable):
        retry(Delays(first_s=0.04, jitter=0), 0.1, waits).call(Fails(99), Unreachable)
    assert waits == [0.04]
    waits = Waits()
    began = time.monotonic()
    with pytest.raises(Unreachable):
        delays = Delays(first_s=0.04, jitter=0, last_try_at_deadline=True)
        retry(delays, 0.1, waits).call(Fails(99), Unreachable)
    assert waits[0] == 0.04
    assert 0 < waits[1] < 0.08
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("last_try_at_deadline", [False, True])
def test_without_patience_there_is_one_try(last_try_at_deadline):
    """A patience of 0 tries once, and sleeps not at all."""
    waits = Waits()
    fails = Fails(99)
    delays = Delays(first_s=0.2, last_try_at_deadline=last_try_at_deadline)
    with pytest.raises(Unreachable):
        retry(delays, 0, waits).call(fails, Unreachable)
    assert (fails.left, waits) == (98, [])


def test_several_calls_share_one_deadline():
    """A second call goes on with the waits and the deadline of the first."""
    waits = Waits()
    both = retry(Delays(first_s=0.02, jitter=0), 10, waits)
    assert both.call(Fails(1), Unreachable) == "done"
    assert both.call(Fails(1), Unreachable) == "done"
    assert waits == [0.02, 0.04]


def test_what_does_not_pass_is_raised_at_once():
    """An error of another kind ends the tries."""

    def refuse():
        raise Invalid("wrong password")

    waits = Waits()
    with pytest.raises(Invalid):
        retry(Delays(first_s=0.2), 10, waits).call(refuse, Unreachable)
    assert waits == []


def test_a_signal_ends_the_wait():
    """What `sleep` raises reaches the caller: a signal need not wait for the deadline."""

    def interrupted(seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Retry(Delays(first_s=5), 60, interrupted, lambda *_: None).call(Fails(9), Unreachable)


def test_patience_grows_once_there_is_work_to_lose():
    """Before the work begins the shorter time counts, then that of an outage."""
    for idle_s, before in ((60, 60), (9000, 900), (0, 0), (None, 900)):
        patience = Patience(900, idle_s)
        assert patience.seconds == before
        patience.begin_work()
        assert patience.seconds == 900
    assert patience_of(5).seconds == 5
    assert patience_of(patience) is patience


def test_who_has_a_patience_follows_it(tmp_path):
    """A store waits as long as its patience says at the call, longer once that has grown."""
    waits = Waits()
    patience = Patience(0.3, 0)
    (tmp_path / "store").mkdir()
    store = FolderStore(tmp_path / "store", patience, waits)
    assert store.listing("") == []
    (tmp_path / "store").rmdir()  # not mounted any more
    with pytest.raises(Unreachable):
        store.listing("")
    assert waits == []
    patience.begin_work()
    with pytest.raises(Unreachable):
        store.listing("")
    assert 0 < sum(waits) <= 0.31

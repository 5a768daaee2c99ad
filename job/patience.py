# pyright: strict
"""Patience: trying again what may pass by itself, by one loop, and for how long."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Sleep = Callable[[float], object]  # waits for seconds; one that raises ends the wait
Tell = Callable[[Exception, float], object]  # says what failed, and for how long it is tried again

# Of its own: Keras draws the seeds of initial weights from Python's shared generator. A thread that
# drew from that one while a net is built would change the net.
JITTER = random.Random()


@dataclass(frozen=True)
class Delays:
    """The waits between two tries.

    Attributes:
        first_s: the first wait; each later one is twice as long.
        longest_s: the longest wait.
        jitter: the share by which a wait may be shorter or longer, so that many processes do not
            all come back at once.
        last_try_at_deadline: the last wait is shortened to the time that is left. Otherwise the
            tries end when there is less time left than the next wait takes.
    """

    first_s: float
    longest_s: float = 15.0
    jitter: float = 0.5
    last_try_at_deadline: bool = False


class Patience:
    """How long each call to a server that is away is tried again; longer once work may be lost.

    Before, leaving loses nothing, and a wait only holds a device.
    """

    def __init__(self, outage_s: float, idle_s: float | None = None):
        """Set both times.

        Args:
            outage_s: seconds while work may be lost.
            idle_s: seconds before `begin_work`, if that is shorter; None for no difference.
        """
        self._outage_s = outage_s
        self._seconds = outage_s if idle_s is None else min(idle_s, outage_s)

    @property
    def seconds(self) -> float:
        """How long a call that is made now is tried again."""
        return self._seconds

    def begin_work(self) -> None:
        """Wait as long as an outage may last, from now on."""
        self._seconds = self._outage_s


def patience_of(outage_s: float | Patience) -> Patience:
    """Return a patience, or one that never changes from a number of seconds."""
    return outage_s if isinstance(outage_s, Patience) else Patience(outage_s)


class Retry:
    """Repeats calls until one of them succeeds, or until a deadline that all of them share."""

    def __init__(self, delays: Delays, patience_s: float, sleep: Sleep, tell: Tell):
        """Set the deadline.

        Args:
            delays: the waits between two tries.
            patience_s: seconds from now to the deadline.
            sleep: how to wait.
            tell: called before each wait, within the handling of the failure.
        """
        self._delays = delays
        self._delay_s = delays.first_s
        self._deadline = time.monotonic() + patience_s
        self._sleep = sleep
        self._tell = tell

    def call(self, call: Callable[[], T], passing: type[Exception]) -> T:
        """Return `call()`, repeated while it raises `passing`; raise that after the deadline."""
        while True:
            try:
                return call()
            except passing as exc:
                left_s = self._deadline - time.monotonic()
                if self._is_over(left_s):
                    raise
                self._tell(exc, left_s)
            self._wait(left_s)

    def _is_over(self, left_s: float) -> bool:
        if self._delays.last_try_at_deadline:
            return left_s <= 0
        return left_s < self._delay_s

    def _wait(self, left_s: float) -> None:
        jitter = self._delays.jitter
        wait_s = self._delay_s * JITTER.uniform(1 - jitter, 1 + jitter)
        if self._delays.last_try_at_deadline:
            wait_s = min(wait_s, left_s)
        self._sleep(wait_s)
        self._delay_s = min(self._delay_s * 2, self._delays.longest_s)


def warn_with(log: logging.Logger) -> Tell:
    """Return a function that warns of a failure in a log: it is tried again."""

    def tell(exc: Exception, left_s: float) -> None:
        log.warning("%s; trying again for %.0f s", exc, left_s)

    return tell

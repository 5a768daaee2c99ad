# pyright: strict
"""Trying again: one loop for all that may pass by itself, with growing waits and a deadline."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Sleep = Callable[[float], object]  # waits for seconds; one that raises ends the wait
Tell = Callable[[Exception, float], object]  # says what failed, and for how long it is tried again


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
        wait_s = self._delay_s * random.uniform(1 - jitter, 1 + jitter)
        if self._delays.last_try_at_deadline:
            wait_s = min(wait_s, left_s)
        self._sleep(wait_s)
        self._delay_s = min(self._delay_s * 2, self._delays.longest_s)


def warn_with(log: logging.Logger) -> Tell:
    """Return a function that warns of a failure in a log: it is tried again."""

    def tell(exc: Exception, left_s: float) -> None:
        log.warning("%s; trying again for %.0f s", exc, left_s)

    return tell

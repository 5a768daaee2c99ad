"""Signals: the first asks the process to leave, the second ends it at once.

Installed before any heavy import. Python runs a signal handler only between two of its own
instructions. The interpreter also writes each signal to a pipe at once. A thread, the watchdog,
reads that pipe, so it works while the main thread is in native code.

The first TERM, INT, USR1 or USR2 sets a flag that the work reads between its steps. The process
then saves and releases. It may wait for the database and the store, but not longer than the grace.
When the grace is nearly over, the watchdog says the last words (it releases the lease) and ends the
process. The last durable checkpoint remains. The watchdog gives its reason in the log and in
JOB_REASON_FILE.
"""

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from job.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
# Our own parent sends it. It asks like the others, but never counts as the second signal. A process
# that has not installed its handlers yet ignores it.
ASKED_AGAIN = signal.SIGURG
MARGIN_S = 2.0  # of the grace, for the watchdog's last words
AT_ONCE_S = 0.5  # for the reason of a second signal's end, if the log or the file hangs

log = logging.getLogger(__name__)


class Interrupt:
    """Whether this process was asked to leave, and what it must do before it does."""

    def __init__(self):
        self.signal: signal.Signals | None = None
        self.grace_s = 10.0
        self._last_words: Callable[[], object] | None = None
        self._asked = threading.Event()
        self._asked_at = 0.0
        self._signaled = False
        self._until: float | None = None  # while leaving: when waiting ends

    def install(self) -> None:
        """Take over the signals, and start the watchdog that sleeps until one comes."""
        pipe, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (*SIGNALS, ASKED_AGAIN):
            signal.signal(number, _leave_it_to_the_watchdog)
        threading.Thread(target=self._watch, args=(pipe,), name="watchdog", daemon=True).start()

    @contextmanager
    def last_words(self, call: Callable[[], object]) -> Iterator[None]:
        """Let the watchdog make a call before it ends the process, if it does so in this block."""
        self._last_words = call
        try:
            yield
        finally:
            self._last_words = None

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come. Called between steps."""
        if self.signal is not None:
            raise Interrupted(f"{self.signal.name}: interrupted; run it again")

    def sleep(self, seconds: float) -> None:
        """Sleep, but stop at a signal; while leaving, not beyond the grace.

        Raises:
            Interrupted: a signal came, or the grace would end before the sleep does.
        """
        if self._until is None:
            self._asked.wait(seconds)
            self.check()
        elif time.monotonic() + seconds > self._until:
            raise Interrupted("the grace is over; run it again")
        else:
            time.sleep(seconds)

    def leave(self) -> None:
        """Begin to leave: from now on `sleep` serves the last saves.

        It ends them early enough that the watchdog need not.
        """
        began = self._asked_at if self.signal else time.monotonic()
        self._until = began + max(self.grace_s - 2 * MARGIN_S, self.grace_s / 4)

    def _watch(self, pipe: int) -> None:
        """Note the first signal; end the process at the second or when the grace nearly ends."""
        first = self._read(pipe)
        self._asked_at = time.monotonic()
        self.signal = first
        self._asked.set()
        until = self._asked_at + max(self.grace_s - MARGIN_S, self.grace_s / 2)
        while _is_readable(pipe, until):
            self._read(pipe)
        why = f"{first.name}: not done when the grace was nearly over"
        _end(Interrupted.exit_code, why, MARGIN_S / 2, self._speak)

    def _read(self, pipe: int) -> signal.Signals:
        """Wait for a signal and return it; the second one ends the process."""
        number = signal.Signals(os.read(pipe, 1)[0])
        if number != ASKED_AGAIN:
            if self._signaled:
                _end(128 + number, f"{number.name}: the second signal", AT_ONCE_S)
            # Also after an ASKED_AGAIN: our parent may have received this same signal before us.
            self._signaled = True
        return number

    def _speak(self) -> None:
        try:
            if self._last_words:
                self._last_words()
        except Exception as exc:
            log.warning("the lease was not released, it will expire: %s", exc)


def _leave_it_to_the_watchdog(_number, _frame) -> None:
    """Do nothing in the main thread: the watchdog reads the signal from the pipe."""


def _is_readable(pipe: int, until: float) -> bool:
    """Wait for something to read, but not beyond a time of the monotonic clock."""
    left_s = max(0.0, until - time.monotonic())
    return bool(select.select([pipe], [], [], left_s)[0])


def _end(code: int, why: str, within_s: float, *words: Callable[[], object]) -> NoReturn:
    """Say why, say the last words, and end the process.

    Each has a thread of its own: one that hangs delays neither the others nor the end.

    Args:
        code: the exit code.
        why: the beginning of the sentence for the log and for JOB_REASON_FILE.
        within_s: seconds after which the process ends, whatever still hangs.
        words: what to call before the end.
    """
    until = time.monotonic() + within_s
    why += "; the last durable checkpoint remains: run it again"
    speakers = [threading.Thread(target=word, daemon=True) for word in words]
    speakers += [
        threading.Thread(target=_give_reason, args=(why,), daemon=True),
        threading.Thread(target=log.warning, args=("%s", why), daemon=True),
    ]
    try:
        for speaker in speakers:
            speaker.start()
        for speaker in speakers:
            speaker.join(max(0.0, until - time.monotonic()))
    finally:
        os._exit(code)


def _give_reason(why: str) -> None:
    from job.logs import give_reason  # not above: its imports take 30 ms, before `install`

    give_reason(why)


INTERRUPT = Interrupt()

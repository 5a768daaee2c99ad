"""Signals: the first asks, the second leaves at once.

Installed before any heavy import. Python runs signal handlers between two of its own instructions only,
so a thread, the watchdog, reads signals from a pipe that the interpreter writes to at once: it works, too,
while the main thread sits in native code. The first TERM, INT, USR1 or USR2 sets a flag that the work reads
between its steps. What is then done to leave (save, release) may wait for database and store, but
not beyond the grace. Should the work not have left when the grace is nearly over, the watchdog
does the last words (release the lease) and leaves from the last durable checkpoint. Whenever the
watchdog ends the process, it says why in the log and in JOB_REASON_FILE.
"""

import logging
import os
import select
import signal
import threading
import time
from typing import NoReturn

from job.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
ASKED_AGAIN = (
    signal.SIGURG
)  # from our own parent: asks as they do, but is no second one; who does not know it yet ignores it
MARGIN_S = 2.0  # of the grace, for the watchdog's last words
AT_ONCE_S = 0.5  # for the reason of a second signal's end, should the log or the file hang

log = logging.getLogger(__name__)


class Interrupt:
    """Whether this process was asked to leave, and what it must say before it does."""

    def __init__(self):
        self.signal: signal.Signals | None = None
        self.grace_s = 10.0
        self.last_words = None  # callable without arguments
        self._pipe: int | None = None
        self._asked = threading.Event()
        self._asked_at = 0.0
        self._signalled = False
        self._until: float | None = None  # while leaving: when waiting ends

    def install(self) -> None:
        """Take over the signals, and start the watchdog that sleeps until one comes."""
        self._pipe, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (*SIGNALS, ASKED_AGAIN):
            signal.signal(number, lambda number, frame: None)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come. Called between steps."""
        if self.signal is not None:
            raise Interrupted(f"{self.signal.name}: interrupted; run me again")

    def sleep(self, seconds: float) -> None:
        """Sleep, but not through a signal; while leaving, not beyond the grace."""
        if self._until is None:
            self._asked.wait(seconds)
            self.check()
        elif time.monotonic() + seconds > self._until:
            raise Interrupted("the grace is over; run me again")
        else:
            time.sleep(seconds)

    def leave(self) -> None:
        """Begin to leave: from now on `sleep` serves the last saves, and ends before the watchdog does it."""
        began = self._asked_at if self.signal else time.monotonic()
        self._until = began + max(self.grace_s - 2 * MARGIN_S, self.grace_s / 4)

    def _watch(self) -> None:
        self._heard(None)
        if self._heard(max(self.grace_s - MARGIN_S, self.grace_s / 2)) is None:
            why = f"{self.signal.name}: not done when the grace was nearly over"
            _end(Interrupted.exit_code, why, MARGIN_S / 2, self._speak)

    def _heard(self, seconds: float | None) -> int | None:
        """Wait for a signal; the first one is noted, the second one ends the process. ASKED_AGAIN is noted, and never ends it."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self._pipe], [], [], left)[0]:
                return None
            number = os.read(self._pipe, 1)[0]
            if number != ASKED_AGAIN:
                if self._signalled:
                    _end(
                        128 + number, f"{signal.Signals(number).name}: the second signal", AT_ONCE_S
                    )
                self._signalled = True  # also behind an ASKED_AGAIN: our parent may have heard of this very signal before us
            if self.signal is None:
                break
        self._asked_at = time.monotonic()
        self.signal = signal.Signals(number)
        self._asked.set()
        return number

    def _speak(self) -> None:
        try:
            if self.last_words:
                self.last_words()
        except Exception as exc:
            log.warning("the lease was not released, it will expire: %s", exc)


def _end(code: int, why: str, within_s: float, *words) -> NoReturn:
    """Say why, do the last words, and end the process.

    Each has a thread of its own: one that hangs delays neither the others nor the end.

    Args:
        code: the exit code.
        why: the beginning of the sentence for the log and for JOB_REASON_FILE.
        within_s: seconds after which the process ends, whatever still hangs.
        words: callables without arguments.
    """
    until = time.monotonic() + within_s
    why += "; left from the last durable checkpoint; run me again"
    says = (lambda: _give_reason(why), lambda: log.warning("%s", why))
    speakers = [threading.Thread(target=word, daemon=True) for word in (*words, *says)]
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

"""Signals: the first asks, the second leaves at once.

Installed before any heavy import. The first TERM, INT, USR1 or USR2 sets a flag that the work reads
between its steps. What is then done to leave (save, release) may wait for database and store, but
not beyond the grace. Should the work sit in native code until the grace is nearly over, a watchdog
does the last words (release the lease) and leaves from the last durable checkpoint.
"""

import logging
import os
import signal
import threading
import time

from job.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
MARGIN_S = 2.0  # of the grace, for the watchdog's last words

log = logging.getLogger(__name__)


class Interrupt:
    """Whether this process was asked to leave, and what it must say before it does."""

    def __init__(self):
        self.signal: signal.Signals | None = None
        self.grace_s = 10.0
        self.last_words = None  # callable without arguments
        self._asked = threading.Event()
        self._asked_at = 0.0
        self._until: float | None = None  # while leaving: when waiting ends

    def install(self) -> None:
        """Take over the four signals, and start the watchdog that sleeps until one comes."""
        for number in SIGNALS:
            signal.signal(number, self._handle)
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

    def _handle(self, number, frame) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self._asked_at = time.monotonic()
        self.signal = signal.Signals(number)
        self._asked.set()

    def _watch(self) -> None:
        self._asked.wait()
        time.sleep(max(self.grace_s - MARGIN_S, self.grace_s / 2))
        log.warning("%s: not done when the grace was nearly over; leaving from the last durable checkpoint", self.signal.name)
        speaker = threading.Thread(target=self._speak, daemon=True)
        speaker.start()
        speaker.join(MARGIN_S / 2)
        os._exit(Interrupted.exit_code)

    def _speak(self) -> None:
        try:
            if self.last_words:
                self.last_words()
        except Exception:
            log.exception("the lease could not be released; it will expire")


INTERRUPT = Interrupt()

"""Signals: the first asks, the second leaves at once.

Installed before any heavy import. The first TERM, INT, USR1 or USR2 sets a flag that the work reads
between its steps. Should the work sit in native code until `grace_s` is nearly over, a watchdog
does the last words (release the lease) and leaves from the last durable checkpoint.
"""

import logging
import os
import signal
import threading

from job.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
MARGIN_S = 2.0  # of the grace, for the last words

log = logging.getLogger(__name__)


class Interrupt:
    """Whether this process was asked to leave, and what it must say before it does."""

    def __init__(self):
        self.signal: signal.Signals | None = None
        self.grace_s = 10.0
        self.last_words = None  # callable without arguments
        self._asked = threading.Event()

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
        """Sleep, but not through a signal."""
        self._asked.wait(seconds)
        self.check()

    def _handle(self, number, frame) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = signal.Signals(number)
        self._asked.set()

    def _watch(self) -> None:
        self._asked.wait()
        left = threading.Event()
        left.wait(max(self.grace_s - MARGIN_S, 0.1))
        log.warning("%s: still in native code after the grace; leaving from the last checkpoint", self.signal.name)
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

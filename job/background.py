"""What leaves this process in the background while training goes on: reports and checkpoints."""

import threading
from collections import deque

from job.errors import Interrupted
from job.interrupt import INTERRUPT

POLL_S = 0.05


class Outbox:
    """Sends items one after the other in a thread of its own, however long the other side is away."""

    def __init__(self, send, newest: bool = False):
        """Args:
        send: called with one item; returns when it has arrived, raises when it never will.
        newest: an item that waits gives way to a newer one.
        """
        self._send, self._newest = send, newest
        self._items, self._arrived = deque(), threading.Condition()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def post(self, item) -> None:
        """Hand an item over, and go on. Raises: what `check` raises."""
        self.check()
        with self._arrived:
            if self._newest and len(self._items) > 1:
                self._items.pop()
            self._items.append(item)
            self._arrived.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raise the error that ended the sending, if one did."""
        if self._error is not None:
            raise self._error

    def flush(self) -> None:
        """Wait until everything has arrived, but not through a signal. Raises: what `check` raises."""
        while self._items:
            self.check()
            INTERRUPT.sleep(POLL_S)
        self.check()

    def _run(self) -> None:
        while True:
            with self._arrived:
                while not self._items:
                    self._arrived.wait()
                item = self._items[0]
            try:
                self._send(item)
            except Interrupted:  # the main thread leaves too, and saves by itself
                return
            except BaseException as exc:
                self._error = exc
                return
            with self._arrived:
                self._items.popleft()

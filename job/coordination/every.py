# pyright: strict
"""A call that a thread repeats."""

import threading
from collections.abc import Callable
from typing import Self


class Every:
    """Repeat a call in a thread while the `with` block runs."""

    def __init__(self, seconds: float, call: Callable[[], object]):
        """Args:
        seconds: between two calls, and before the first.
        call: must not raise, since that ends the thread.
        """
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(seconds, call), daemon=True)

    def _run(self, seconds: float, call: Callable[[], object]) -> None:
        while not self._stop.wait(seconds):
            call()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()

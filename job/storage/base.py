# pyright: strict
"""What both kinds of store share: the description of an object, and patience during an outage."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from job.errors import JobError, Unreachable
from job.patience import Delays, Patience, Retry, Sleep, patience_of, warn_with

DELAYS = Delays(first_s=0.5, last_try_at_deadline=True)

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Object:
    """An object of the store as a listing shows it.

    `modified` is in UTC, by the store's clock. It does not count when objects are compared.
    """

    key: str
    size: int
    etag: str
    modified: datetime = field(compare=False)


class Patient(ABC, Generic[E]):
    """Retries a call that fails for a temporary reason, with backoff and jitter.

    Attributes:
        url: of the store, without secrets.
        patience: how long each call is retried, before `Unreachable`.
    """

    _errors: tuple[type[E], ...]  # what `_translate` turns into ours

    def __init__(self, url: str, outage_s: float | Patience, sleep: Sleep):
        self.url = url
        self.patience = patience_of(outage_s)
        self._sleep = sleep

    @abstractmethod
    def _translate(self, exc: E, key: str) -> JobError:
        """Return our error for one of `_errors`."""

    def _try(self, key: str, call: Callable[[], T], patience_s: float | None = None) -> T:
        """Return `call()`, retried while the store is out of reach."""
        return self._patiently(lambda: self._once(key, call), patience_s)

    def _once(self, key: str, call: Callable[[], T]) -> T:
        """Return `call()`, with its errors translated into ours."""
        try:
            return call()
        except self._errors as exc:
            raise self._translate(exc, key) from exc

    def _patiently(self, call: Callable[[], T], patience_s: float | None = None) -> T:
        """Return `call()`, retried for `patience_s` (default: `patience`) while `Unreachable`."""
        patience_s = self.patience.seconds if patience_s is None else patience_s
        retry = Retry(DELAYS, patience_s, self._sleep, warn_with(log))
        return retry.call(call, Unreachable)

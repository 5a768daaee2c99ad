"""What a training takes and returns: examples, hooks and an outcome."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from job.learning.checkpoint import Snapshot


@dataclass(frozen=True)
class Examples:
    """The rows of a part that a net trains on or is scored on.

    Attributes:
        inputs: images, uint8 [n, height, width, channels], or features, float32 [n, d]; possibly
            mapped.
        labels: int64 [n].
        rows: which of the n are used, int64.
    """

    inputs: np.ndarray
    labels: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def _save_nothing(_take: Callable[[], Snapshot]) -> None:
    pass


def proceed() -> None:
    """Do nothing, so that the caller proceeds."""


def _never_prune(_epoch: int, _metrics: dict, _value: float | None) -> bool:
    return False


@dataclass
class Hooks:
    """What the loop calls; by default nothing is saved, stopped, pruned or scored.

    Attributes:
        offer: called after each step with a function that takes a snapshot, now or later.
        check: called after that; raises to stop between two steps.
        report: called after each epoch with its number (from 0), metrics and value; returns
            whether to prune.
        score: maps labels and probabilities to the value; required for a validation part.
        evaluating: returns a block in which the validation rows are scored, such as a clock.
    """

    offer: Callable[[Callable[[], Snapshot]], None] = _save_nothing
    check: Callable[[], None] = proceed
    report: Callable[[int, dict, float | None], bool] = _never_prune
    score: Callable[[np.ndarray, np.ndarray], float] | None = None
    evaluating: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass
class Outcome:
    """How a training ended.

    Attributes:
        history: the metrics of each epoch.
        step: how many steps were trained, with those before a checkpoint.
        pruned_at: the epoch (from 0) after which it was pruned; None if it is complete.
        value: of the last epoch.
        probabilities: of the validation rows after the last epoch, float32 [n, k].
        dtype: in which the steps computed.
    """

    history: list[dict]
    step: int
    pruned_at: int | None = None
    value: float | None = None
    probabilities: np.ndarray | None = None
    dtype: str = "float32"

"""What a training takes and returns: examples, hooks and an outcome."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from job.learning.checkpoint import Snapshot


@dataclass(frozen=True)
class Examples:
    """The rows of a part that a net trains on or is scored on.

    Attributes:
        inputs: images, uint8 [n, height, width, channels], or features, float32 [n, d] or of
            each view [n, v, d]; possibly mapped.
        labels: int64 [n].
        rows: which of the n are used, int64.
    """

    inputs: np.ndarray
    labels: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Start:
    """Where a training counts on from: the epochs and steps of the repeats before it."""

    epoch: int = 0
    step: int = 0


FROM_NOTHING = Start()


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
        check: called after that, and while a batch is late; raises to stop between two steps.
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
        history: the rows of the epochs, see `history_row`.
        step: how many steps were trained, with those before a checkpoint and those it started
            from.
        pruned_at: the epoch (from 0) after which it was pruned; None if it is complete.
        value: of the last epoch.
        probabilities: of the validation rows after the last epoch, float32 [n, k].
        dtype: in which the steps computed.
        steps_s: seconds that this call spent in the steps of epochs, checkpoints included.
        waited_s: of these, the seconds that the steps waited for their batches.
    """

    history: list[dict]
    step: int
    pruned_at: int | None = None
    value: float | None = None
    probabilities: np.ndarray | None = None
    dtype: str = "float32"
    steps_s: float = 0.0
    waited_s: float = 0.0


def history_row(epoch: int, metrics: Mapping[str, Any], value: float | None) -> dict[str, Any]:
    """Return the row of an epoch in a history: its number, its metrics, and its value if any."""
    row = {"epoch": epoch, **metrics}
    if value is not None:
        row["value"] = value
    return row


def metrics_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of such a row: all but the epoch's number and its value."""
    return {name: value for name, value in row.items() if name not in ("epoch", "value")}

# pyright: strict
"""Rows of our tables as values: one field per column, as schema.sql describes it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class TaskRow:
    """A task of an experiment."""

    model: str
    stage: str
    index: int
    state: str
    attempt: int
    owner: str | None
    lease_until: datetime | None
    progress: int
    parameters: dict[str, Any] | None
    value: float | None
    # Of these two `job verify` doubts the form, too.
    metrics: Any
    artifact: Any
    reason: str | None
    optuna_trial_id: int | None
    finished: datetime | None

    @property
    def score(self) -> float:
        """The value of a task that has one. Raises: ValueError where it is missing."""
        if self.value is None:
            raise ValueError("the row has no value")
        return self.value


@dataclass(frozen=True)
class AttemptRow:
    """An attempt at a task."""

    model: str
    stage: str
    index: int
    number: int
    owner: str
    host: str
    machine: dict[str, Any] | None
    scheduler: str | None
    started: datetime
    ended: datetime | None
    outcome: str | None
    reason: str | None
    # The statement that begins an attempt sets both.
    first_step: int
    last_step: int


@dataclass(frozen=True)
class SelectionRow:
    """The trial that a model continues with."""

    model: str
    trial: int
    value: float
    parameters: dict[str, Any]
    made: datetime


@dataclass(frozen=True)
class OpeningRow:
    """Once that an attempt opened the test part."""

    model: str
    stage: str
    index: int
    attempt: int
    opened: datetime

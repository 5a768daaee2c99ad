"""The results that a report is made of, as plain values."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from job.coordination.outcome import lost_s
from job.experiment.experiment import Experiment
from job.experiment.manifest import Prepared
from job.learning.result_format import Result
from job.report.predictions import Predictions


@dataclass(frozen=True)
class Task:
    """One task, as its row says; `metrics` and `artifact` are empty until it is decided."""

    stage: str
    index: int
    state: str
    attempt: int = 0
    parameters: dict | None = None
    value: float | None = None
    metrics: dict = field(default_factory=dict)
    artifact: dict = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One execution of a task; times are those of the database's clock."""

    model: str
    stage: str
    index: int
    number: int
    started: datetime
    last_beat: datetime
    ended: datetime | None = None
    outcome: str | None = None
    reason: str | None = None
    first_step: int | None = None
    last_step: int | None = None
    seconds: dict = field(default_factory=dict)

    @property
    def wall_s(self) -> float:
        """Seconds from its start to its end, or to its last beat if it vanished or still runs."""
        end = self.last_beat if self.outcome == "vanished" or self.ended is None else self.ended
        return max((end - self.started).total_seconds(), 0.0)

    @property
    def lost_s(self) -> float:
        """Seconds that led to no result."""
        progressed = (self.last_step or 0) > (self.first_step or 0)
        return lost_s(self.outcome, self.wall_s, self.seconds, progressed)


@dataclass
class Model:
    """Everything that is known about one model.

    Attributes:
        tasks: of each stage, in order of index.
        selection: trial, value and parameters of the selected trial.
        epochs: metrics of each epoch, by (stage, index).
        predictions: by (stage, index).
        results: the content of result.json, by (stage, index).
        augmentation: originals uint8 [8, h, w, 3] and variants uint8 [8, 8, h, w, 3].
        mistakes: of final 0: images uint8 [m, h, w, 3], rows, labels, predictions, confidence.
    """

    name: str
    tasks: dict[str, list[Task]] = field(default_factory=dict)
    selection: dict | None = None
    epochs: dict[tuple[str, int], list[dict]] = field(default_factory=dict)
    predictions: dict[tuple[str, int], Predictions] = field(default_factory=dict)
    results: dict[tuple[str, int], Result] = field(default_factory=dict)
    augmentation: tuple[np.ndarray, np.ndarray] | None = None
    mistakes: dict[str, np.ndarray] | None = None

    def stage(self, stage: str, *states: str) -> list[Task]:
        """Return the tasks of a stage; if states are given, only those in one of them."""
        return [t for t in self.tasks.get(stage, []) if not states or t.state in states]

    def scored_trials(self, state: str = "complete") -> list[tuple[Task, float]]:
        """Return the trials in a state that have a value, each with its value, by index."""
        return [(t, t.value) for t in self.stage("trial", state) if t.value is not None]

    def best_trial(self, direction: str) -> Task | None:
        """Return the best complete trial so far; of equal ones, the one with the lowest index.

        Once all trials are decided, it is the selected one.
        """
        sign = -1 if direction == "maximize" else 1

        def rank(scored: tuple[Task, float]) -> tuple[float, int]:
            trial, value = scored
            return sign * value, trial.index

        best = min(self.scored_trials(), key=rank, default=None)
        return best[0] if best else None


@dataclass
class Collected:
    """Everything that a report is made of.

    Attributes:
        models: in the order of the experiment's file.
        openings: of the test part: model, stage, index, attempt.
        samples: uint8 [k, n, h, w, 3].
        problems: one sentence, without its period, per artifact that is missing or altered.
    """

    id: str
    experiment: Experiment
    fingerprint: str
    data: Prepared
    models: dict[str, Model]
    attempts: list[Attempt] = field(default_factory=list)
    openings: list[dict] = field(default_factory=list)
    samples: np.ndarray | None = None
    problems: list[str] = field(default_factory=list)

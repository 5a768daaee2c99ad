# pyright: strict
"""What a sampler learns of a model's trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from job.coordination.database import Database
from job.coordination.statements import queries
from job.experiment.experiment import Experiment

SQL = queries("study")
# The trials of a model that a sampler sees. TPE never takes more than 25 for good ones.
SHOWN_BEST = 25
SHOWN_RUNNING = 100
SHOWN_SPREAD = 500


@dataclass(frozen=True)
class PastTrial:
    """A trial that a sampler learns from: a row of `history`.

    Attributes:
        value: of a pruned trial, the metric at its last epoch.
        epochs: of a pruned trial, how many it did; None for others.
    """

    index: int
    state: str
    parameters: dict[str, Any]
    value: float | None
    epochs: int | None


def past_trials(
    database: Database, experiment: Experiment, values: Mapping[str, Any]
) -> list[PastTrial]:
    """Return the trials for a sampler, in order of the index; none for random search."""
    if experiment.search.sampler == "random":
        return []
    limits: dict[str, Any] = {
        "best": SHOWN_BEST,
        "running": SHOWN_RUNNING,
        "spread": SHOWN_SPREAD,
        "sign": experiment.sign,
    }
    return [PastTrial(**row) for row in database.rows(SQL["history"], **values, **limits)]

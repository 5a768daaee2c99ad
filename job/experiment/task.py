# pyright: strict, reportUnknownVariableType=false
"""Which task this invocation is: from a flag, from Slurm, or from Kubernetes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from job.errors import UsageError
from job.experiment.experiment import Experiment
from job.sentences import nearest


@dataclass(frozen=True)
class Element:
    """An index and where it came from."""

    index: int
    # --index, SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX.
    origin: str

    @property
    def from_scheduler(self) -> bool:
        """Tell whether a scheduler gave the index, not a person."""
        return self.origin != "--index"


@dataclass(frozen=True)
class Key:
    """The name of a task within an experiment."""

    model: str
    stage: str
    index: int

    def __str__(self) -> str:
        return f"{self.model} {self.stage} {self.index}"


def element(flag: int | str | None, environ: Mapping[str, str] = os.environ) -> Element:
    """Return the index of this invocation.

    The flag takes precedence, then SLURM_ARRAY_TASK_ID + JOB_INDEX_OFFSET, then
    JOB_COMPLETION_INDEX.

    Raises: UsageError if none is set or one is not a whole number from 0.
    """
    if flag is not None:
        return Element(_whole(flag, "--index"), "--index")
    if slurm := environ.get("SLURM_ARRAY_TASK_ID"):
        offset = _whole(environ.get("JOB_INDEX_OFFSET") or 0, "JOB_INDEX_OFFSET")
        index = _whole(slurm, "SLURM_ARRAY_TASK_ID") + offset
        return Element(index, "SLURM_ARRAY_TASK_ID")
    if kubernetes := environ.get("JOB_COMPLETION_INDEX"):
        return Element(_whole(kubernetes, "JOB_COMPLETION_INDEX"), "JOB_COMPLETION_INDEX")
    raise UsageError(
        "which task? give --index I, or run under a Slurm array"
        " or a Kubernetes Indexed Job (SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX)"
    )


def resolve(experiment: Experiment, stage: str, element: Element, model: str | None) -> Key | None:
    """Return the task of an index, or None if a scheduler gave an index beyond the stage.

    Without a model the index runs over the experiment's models in order.

    Raises: UsageError for an unknown model, or for an index beyond the stage given by --index.
    """
    counts = experiment.task_counts(stage)
    if model is not None:
        if model not in experiment.models:
            raise UsageError(
                f"--model {model}{nearest(model, experiment.models)}:"
                f" experiment {experiment.name} has {', '.join(experiment.models)}"
            )
        counts = {model: counts.get(model, 0)}
    rest = element.index
    for name, count in counts.items():
        if rest < count:
            return Key(name, stage, rest)
        rest -= count
    if element.from_scheduler:
        return None
    raise UsageError(beyond(experiment, stage, element, sum(counts.values()), model))


def beyond(
    experiment: Experiment, stage: str, element: Element, total: int, model: str | None = None
) -> str:
    """Return the sentence for an index beyond its stage, which has `total` tasks."""
    index = f"{stage} index {element.index} (from {element.origin})"
    of_model = f" of {model}" if model else ""
    if total == 0:
        return f"{index}: experiment {experiment.name} has no {stage} tasks{of_model}"
    return (
        f"{index} is not in 0..{total - 1}:"
        f" experiment {experiment.name} has {total} {stage} tasks{of_model}; see `job plan`"
    )


def _whole(value: int | str, origin: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise UsageError(f"{origin} = {value!r}: expected a whole number from 0")
    return number

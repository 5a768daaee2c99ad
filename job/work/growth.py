"""What a new file may change in an experiment that exists: more trials or seeds, references."""

import logging
from dataclasses import replace

from job.coordination.registered import Registered
from job.errors import Invalid
from job.experiment.experiment import IMPLIED, METHODS, Experiment, differences

GROWS = {"search.trials": "trials", "final.seeds": "seeds"}  # key -> what is counted

log = logging.getLogger(__name__)


def keep_method(experiment: Experiment, known: Experiment) -> Experiment:
    """Return the experiment with the method it began with, unless its file names another one.

    Args:
        experiment: as its file describes it.
        known: the experiment of this name in the database.
    """
    if experiment.says_method or experiment.method == known.method:
        return experiment
    log.info(
        "%s: continues with method %d, as it began; its file names none, which means method %d: %s",
        experiment.name,
        known.method,
        experiment.method,
        "; ".join(METHODS[method] for method in range(known.method + 1, experiment.method + 1)),
    )
    return replace(experiment, method=known.method)


def check_changes(known: Registered, experiment: Experiment, selected: list[dict]) -> None:
    """Raise `Invalid`, naming the differences, unless the new file only lets trials or seeds grow.

    Args:
        known: the experiment in the database.
        experiment: as its new file describes it.
        selected: its selections, each with its model.
    """
    name = experiment.name
    if refused := _refused_changes(known.experiment, experiment):
        raise Invalid(
            f"experiment {name} exists and differs: {'; '.join(refused)}."
            f" Give the file a new name, undo the change, or `job drop {name}`"
        )
    for key, counted in GROWS.items():
        section, parameter = key.split(".")
        old = known.experiment.spec[section][parameter]
        new = experiment.spec[section][parameter]
        if new < old:
            raise Invalid(
                f"experiment {name}: {key} = {new}, but {old} {counted} exist already;"
                f" they may only grow: set at least {old}"
            )
    check_growth(known.experiment.spec, experiment, selected)


def _refused_changes(known: Experiment, experiment: Experiment) -> list[str]:
    """Return the differences of two specifications that are not allowed."""
    refused = []
    for change in differences(IMPLIED | known.spec, IMPLIED | experiment.spec):
        if change.partition(":")[0] in GROWS or change.startswith("reference"):
            continue
        is_source = change.startswith("models.") and ".source: " in change
        refused.append(f"{change} (the code of its factory)" if is_source else change)
    return refused


def check_growth(old: dict, experiment: Experiment, selected: list[dict]) -> None:
    """Raise `Invalid` when trials or seeds would grow although parameters are selected.

    Args:
        old: the specification in the database.
        experiment: as its new file describes it.
        selected: its selections, each with its model.
    """
    for key in GROWS:
        section, parameter = key.split(".")
        before = old[section][parameter]
        wanted = experiment.spec[section][parameter]
        if wanted > before and selected:
            models = ", ".join(row["model"] for row in selected)
            raise Invalid(
                f"experiment {experiment.name}: {key} cannot grow from {before} to {wanted}:"
                f" parameters are already selected for {models}; give the file a new name"
            )


def merge(stored: dict, experiment: Experiment) -> dict:
    """Return the stored specification with the larger numbers, and with the file's references."""
    merged = dict(stored)
    merged["search"]["trials"] = max(stored["search"]["trials"], experiment.search.trials)
    merged["reference"] = experiment.spec["reference"]  # figures that are only shown beside ours
    merged["final"]["seeds"] = max(stored["final"]["seeds"], experiment.final.seeds)
    return merged

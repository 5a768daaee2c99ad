"""The preflight: does a job find what it needs, and what will it cost?

Everything that it writes it also removes.
"""

from collections.abc import Iterator

from job.experiment.experiment import Experiment
from job.preflight.costs import device_time
from job.preflight.findings import Finding, check_one
from job.preflight.places import Places
from job.preflight.planned import Planned
from job.settings import Settings


class Preflight:
    """All findings, one after the other.

    Args:
        settings: where database, store and cache are.
        experiment: None: only the places and the device are checked.
        location: where the data is, instead of `data.source`.
        weights_place: a folder or URL with the weights of the frozen bases.
    """

    def __init__(
        self,
        settings: Settings,
        experiment: Experiment | None,
        location: str | None,
        weights_place: str | None,
    ):
        self.settings = settings
        self.experiment = experiment
        self.location = location
        self.weights_place = weights_place

    def findings(self) -> Iterator[Finding]:
        """Yield every finding as soon as it is known."""
        places = Places(self.settings)
        yield check_one("database", places.check_database)
        yield check_one("store", places.check_store)
        yield check_one("cache", places.check_cache)
        yield check_one("device", places.check_device)
        if self.experiment is not None:
            planned = Planned(places, self.experiment, self.location, self.weights_place)
            yield from experiment_findings(self.experiment, planned)


def experiment_findings(experiment: Experiment, planned: Planned) -> Iterator[Finding]:
    """Yield the findings about data, weights and models, and the cost of all stages."""
    yield check_one("data", planned.check_data)
    for model in experiment.pretrained():
        yield check_one(f"weights {model}", planned.check_weights, model)
    hours: list[float] = []
    for model in experiment.models:
        finding = check_one(f"model {model}", planned.check_model, model)
        if "device_hours" in finding.measured:
            hours.append(finding.measured["device_hours"])
        yield finding
    if len(hours) == len(experiment.models):
        yield _sum_up(experiment, sum(hours))


def _sum_up(experiment: Experiment, hours: float) -> Finding:
    processes = sum(sum(counts.values()) for counts in experiment.plan().values())
    text = (
        f"at most about {device_time(hours)} without pruning,"
        f" plus the startup of {processes} processes"
    )
    return Finding("together", text, measured={"device_hours": hours})

"""What an experiment needs, checked: its data, its weights and each of its models."""

from dataclasses import dataclass
from typing import Any

from job.coordination.registered import Registered, find
from job.data import downloads, parts, sources, staging
from job.data.formats import cifar10
from job.data.workspace import workspace
from job.errors import JobError, NotReady
from job.experiment.experiment import Experiment
from job.learning import weights
from job.local.fallback import is_reachable
from job.preflight.costs import costs, device_time
from job.preflight.findings import Finding
from job.preflight.launch import probe
from job.preflight.places import Places


@dataclass(frozen=True)
class Facts:
    """What is known about the data."""

    # Height, width and channels.
    image_shape: tuple[int, int, int]
    classes: int
    # Number of training images, the validation part included.
    train: int

    def __str__(self) -> str:
        height, width, _ = self.image_shape
        return (
            f"{self.train:,} training images of {width} x {height} (width x height),"
            f" {self.classes} classes"
        )


class Planned:
    """One experiment; the checks of weights and models use what the earlier ones found."""

    def __init__(
        self,
        places: Places,
        experiment: Experiment,
        location: str | None,
        weights_place: str | None,
    ):
        self.settings = places.settings
        self.places = places
        self.experiment = experiment
        self.location = location
        self.weights_place = weights_place
        self.facts: Facts | None = None
        # Model -> file of its weights, None where it is not on this machine.
        self.weights_files: dict[str, str | None] = {}

    def check_data(self) -> Finding:
        """Look for prepared data, else read it, else see whether it can be downloaded.

        Raises: JobError; what `job prepare` would raise.
        """
        if prepared := self._find_prepared():
            return self._check_prepared(prepared)
        where = self.location or self.experiment.data.source
        if downloads.is_url(where):
            return self._check_download(where)
        if where == "cifar10" and cifar10.cached(self.settings.cache_dir) is None:
            return self._check_download(where)
        return self._check_source()

    def _find_prepared(self) -> Registered | None:
        """Return the experiment from the database, or None if it or its data is missing."""
        if self.places.database is None:
            return None
        try:
            registered = find(self.places.database, self.experiment.name)
        except NotReady:
            return None
        store = self.places.store
        if store is None or staging.manifest_in(store, registered.data):
            return registered
        return None

    def _check_prepared(self, prepared: Registered) -> Finding:
        data = prepared.data
        self.facts = Facts(data.image_shape, len(data.classes), data.train)
        return Finding("data", f"already prepared as {prepared.id}: {self.facts}")

    def _check_source(self) -> Finding:
        """Read the data, cut and split it as `job prepare` does."""
        with workspace(self.settings.cache_dir) as work:
            source = sources.read_for(self.experiment.data, self.location, work)
            train, test = parts.cut(source, self.experiment)
            groups = parts.relate(train, test).train
        parts.make_splits(self.experiment, source.classes, train, groups, test.labels)
        shape = train.images.shape[1:]
        self.facts = Facts(shape, len(source.classes), len(train.labels))
        notes = "".join(f"; note: {note}" for note in source.notes)
        return Finding(
            "data",
            f"{source.name}: {self.facts}{notes}",
            measured={"notes": list(source.notes)},
        )

    def _check_download(self, where: str) -> Finding:
        """See whether the data can be downloaded, and take the facts from the file."""
        data = self.experiment.data
        if where == "cifar10":
            shape = _shape_of(data.image_size or cifar10.SIDE)
            self.facts = Facts(shape, cifar10.CLASSES, data.train or cifar10.TRAIN_IMAGES)
            where = cifar10.URL
        elif data.image_size and data.train:
            self.facts = Facts(_shape_of(data.image_size), 10, data.train)
        shown = downloads.redact(where)
        if not downloads.is_s3(where) and not is_reachable(where):
            raise JobError(
                f"{shown} cannot be downloaded from this machine within minutes:"
                " name a file with --data"
            )
        guess = "its contents are unknown until then"
        if self.facts:
            guess = f"the models are measured as if it were {self.facts}"
        return Finding("data", f"{shown}: not downloaded yet; {guess}")

    def check_weights(self, model: str) -> Finding:
        """Look for the weights of a pretrained model. Raises: JobError."""
        what = f"weights {model}"
        parameters = self.experiment.fixed(model)
        file_name = weights.names(model, parameters)[0]
        place = self.weights_place
        self.weights_files[model] = None
        if place and downloads.is_url(place):
            shown = downloads.redact(place)
            return Finding(what, f"{shown}: `job prepare` downloads {file_name} from it")
        if path := weights.find(model, parameters, place, self.settings.cache_dir):
            self.weights_files[model] = str(path)
            return Finding(what, str(path))
        store = self.places.store
        if store and weights.find_staged(store, model, parameters):
            return Finding(what, "in the store, from an earlier experiment")
        url = weights.url(model, parameters)
        if not is_reachable(url):
            raise JobError(
                f"{url} cannot be downloaded from this machine within minutes:"
                f" pass a folder that holds {file_name} with --weights"
            )
        return Finding(what, f"not on this machine yet; {url} can be downloaded")

    def check_model(self, model: str) -> Finding:
        """Build and train a model for a few steps, and extrapolate its cost. Raises: JobError."""
        what = f"model {model}"
        if self.facts is None:
            raise JobError(
                "not measured: the data is not available;"
                " data.image_size and data.train in the file would be enough"
            )
        request = {
            "model": model,
            "spec": self.experiment.spec,
            "image_shape": self.facts.image_shape,
            "classes": self.facts.classes,
            "weights": self.weights_files.get(model),
        }
        measured = probe(request)
        if "error" in measured:
            return Finding(what, measured["error"], measured["code"])
        cost = costs(self.experiment, model, self.facts.train, measured)
        text = _describe(self.experiment, model, measured, cost)
        return Finding(what, text, measured=measured | cost)


def _describe(
    experiment: Experiment, model: str, measured: dict[str, Any], cost: dict[str, Any]
) -> str:
    """Return the measurement of a model, and what it costs in this experiment, in words."""
    values = ", ".join(f"{key} {value}" for key, value in measured["point"].items())
    point = f" at the costliest point ({values})" if values else ""
    epoch = ", ".join(f"{s:.2g} s with batches of {batch}" for batch, s in cost["epoch_s"].items())
    frozen = experiment.frozen(model)
    features = f", the features take {cost['features_s']:.2g} s once" if frozen else ""
    trials = experiment.search.trials
    epochs = experiment.epochs("trial", model)
    folds = experiment.folds.count
    finals = experiment.final.seeds
    return (
        f"{measured['parameters']:,} parameters{point}; an epoch takes about {epoch}{features};"
        f" {measured['memory_bytes'] / 1e9:.1f} GB of memory;"
        f" {trials} trials x {epochs} epochs, {folds} folds,"
        f" {finals} final{'s' if finals > 1 else ''}:"
        f" at most about {device_time(cost['device_hours'])} without pruning"
    )


def _shape_of(size: int | tuple[int, int]) -> tuple[int, int, int]:
    """Return the shape that `data.image_size` gives to an image."""
    height, width = size if isinstance(size, tuple) else (size, size)
    return height, width, 3

"""Stage what an experiment's tasks read: data, splits and weights."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from job.coordination.registered import Registered
from job.data import describe, parts, sources, staged, staging
from job.data.dataset import Part, Source
from job.data.workspace import Workspace, workspace
from job.errors import Invalid, JobError
from job.experiment.experiment import Experiment
from job.experiment.manifest import Manifest, Prepared
from job.experiment.parameters import corner
from job.learning import provenance, weights
from job.storage import paths
from job.storage.cache import Cache
from job.storage.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """Where staging reads from, and the cache whose store it writes to."""

    cache: Cache
    location: str | None  # of the data, instead of what `data.source` says
    weights: str | None  # a folder with ImageNet weights, or its URL
    trusted: frozenset[str]  # hashes of weights that an experiment of this database uses


def stage(experiment: Experiment, origin: Origin, notice: str | None = None) -> dict:
    """Put data, splits and weights into the store; return what the database keeps of them.

    Args:
        experiment: as its file describes it.
        origin: where to read from.
        notice: something the report must show prominently.

    Returns:
        data: as `Prepared`; splits: key and sha256; weights: the same by model.

    Raises:
        Invalid: unusable data or weights, or a custom model that cannot work.
        Unreachable: a download failed, or the store is away for too long.
    """
    weight_files = _fetch_weights(experiment, origin)
    with workspace(origin.cache.folder) as work:
        source, train, test = _read(experiment, origin, work)
        data = staging.stage(source, train, test, work.scratch)
        splits = parts.make_splits(experiment, source.classes, train, data.groups, test.labels)
        validation = int(splits.validation.sum())
        manifest = replace(data.manifest, notes=_notes(data.manifest, validation, experiment))
        _announce(manifest, validation, experiment)
        _check_models(experiment, manifest, weight_files)
        stored = staging.upload(origin.cache.store, data)
    stored |= (frozen := _store_splits(origin.cache.store, manifest, splits))
    uploaded = {
        model: weights.upload(origin.cache.store, model, experiment.fixed(model), path)
        for model, path in weight_files.items()
    }
    stored |= {entry["key"]: _only(entry, "sha256", "size", "etag") for entry in uploaded.values()}
    prepared = Prepared(**vars(manifest), validation=validation, objects=stored, notice=notice)
    ((key, entry),) = frozen.items()
    return {
        "data": prepared,
        "splits": {"key": key, "sha256": entry["sha256"]},
        "weights": {model: _only(entry, "key", "sha256") for model, entry in uploaded.items()},
    }


def _announce(manifest: Manifest, validation: int, experiment: Experiment) -> None:
    """Log what the data is, and its notes."""
    log.info(
        "data: %s, %d training (%d to compare trials on) and %d test images of %d classes",
        manifest.source,
        manifest.train,
        validation,
        manifest.test,
        len(manifest.classes),
    )
    for note in manifest.notes:
        log.warning("%s: %s", experiment.name, note)


def _store_splits(store: Store, manifest: Manifest, splits: parts.Splits) -> dict[str, dict]:
    """Put the splits into the store. Returns: their key -> sha256, size and etag."""
    content = splits.content
    key = paths.splits_file(manifest.id, provenance.sha256(content))
    return {key: staged.put_whole(store, key, content)}


def stage_again(known: Registered, experiment: Experiment, lost: list[str], origin: Origin) -> dict:
    """Put again what the store has lost; it must be the same.

    Args:
        known: the experiment in the database.
        experiment: as its file describes it.
        lost: the keys of missing or damaged objects, at least one.
        origin: where to read it from.

    Raises:
        JobError: the source cannot be read; the class is the one that reading raises.
        Invalid: the source holds something else now.
    """
    name = experiment.name
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    what = f"{lost[0]}{more}"
    log.warning(
        "%s: %s is missing in the store, or is not what was staged; it is staged again", name, what
    )
    try:
        again = stage(experiment, origin)
    except JobError as exc:
        raise type(exc)(
            f"{name}: {what} is missing in the store, or is not what was staged,"
            f" and cannot be staged again: {exc}"
        ) from exc
    _check_same(known, again)
    return again


def _check_same(known: Registered, again: dict) -> None:
    """Raise `Invalid` unless data, splits and weights are those of the first `job prepare`."""
    compared = {
        "data": (known.data.id, again["data"].id),
        "splits": (known.splits["sha256"], again["splits"]["sha256"]),
    }
    for model, entry in known.weights.items():
        compared[f"weights of {model}"] = (entry["sha256"], again["weights"][model]["sha256"])
    name = known.experiment.name
    for part, (before, now) in compared.items():
        if before != now:
            raise Invalid(
                f"experiment {name} was prepared with other {part} ({before[:16]}, now {now[:16]}):"
                f" give it a new name, or `job drop {name}`"
            )


def _fetch_weights(experiment: Experiment, origin: Origin) -> dict[str, Path]:
    """Return the file of ImageNet weights of each pretrained model."""
    return {
        model: weights.fetch(
            origin.cache, model, experiment.fixed(model), origin.weights, origin.trusted
        )
        for model in experiment.pretrained()
    }


def _read(experiment: Experiment, origin: Origin, work: Workspace) -> tuple[Source, Part, Part]:
    """Return the data set, and its training and test part."""
    source = sources.read_for(experiment.data, origin.location, work)
    return source, *parts.cut(source, experiment)


def _notes(manifest: Manifest, validation: int, experiment: Experiment) -> list[str]:
    """Return what the owner of the data should know, a sentence each."""
    copies = manifest.duplicates["train_test"]
    copied = (
        f"{copies} test images are also in the training part;"
        " the report adds the accuracy without them"
    )
    unbalanced = describe.unbalanced(manifest.train_counts, experiment)
    uncertain = describe.uncertain(validation, experiment)
    return [*manifest.notes, *([copied] if copies else []), *unbalanced, *uncertain]


def _check_models(
    experiment: Experiment, manifest: Manifest, weight_files: dict[str, Path]
) -> None:
    """Raise `Invalid` for what cannot work, before anything is stored.

    That is: weights of another architecture, and a custom model that cannot be trained or saved.
    """
    shape = manifest.image_shape
    classes = len(manifest.classes)
    if weight_files:
        _check_weights(experiment, shape, classes, weight_files)
    if experiment.factories():
        from job.learning import custom_check  # imports TensorFlow

        for model in experiment.factories():
            log.info("%s: building it, training it for three steps, saving it", model)
            custom_check.prove(experiment, model, shape, classes)


def _check_weights(
    experiment: Experiment, shape: tuple, classes: int, weight_files: dict[str, Path]
) -> None:
    from job.learning.models import build  # imports TensorFlow

    for model, path in weight_files.items():
        if experiment.frozen(model):
            build.build_base(experiment, model, shape, path)
        else:
            largest = corner(experiment, model, max)
            build.build(experiment, model, largest, shape, classes, path)


def _only(entry: dict, *names: str) -> dict:
    """Return some of an entry's values."""
    return {name: entry[name] for name in names}

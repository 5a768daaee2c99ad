"""Stage data and weights, freeze the splits, create tables, studies and tasks: idempotent, any number at once."""

import json
import logging
import secrets
from dataclasses import replace
from pathlib import Path

from job.coordination import study
from job.coordination.database import Database, alone, json_value, queries
from job.coordination.tasks import Registered, find
from job.data import describe, sources, staged, staging
from job.errors import Invalid, JobError, NotReady, UsageError
from job.experiment.experiment import METHODS, STAGES, UNSAID, Experiment, differences
from job.experiment.parameters import corner
from job.learning import custom_source, provenance, weights
from job.storage.cache import Cache
from job.storage.paths import experiment_folder, note_of
from job.storage.store import Store

SQL = queries("prepare")
GROWS = {"search.trials": "trials", "final.seeds": "seeds"}

log = logging.getLogger(__name__)


def prepare(
    database: Database,
    experiment: Experiment,
    cache: Cache,
    location: str | None = None,
    weights_place: str | None = None,
    notice: str | None = None,
) -> Registered:
    """Make everything ready that the workers of an experiment need; return what the database has of it.

    Args:
        cache: this node's, on the store to stage into.
        location: where the data is found, instead of what `data.source` says.
        weights_place: a folder with ImageNet weights, or its URL.
        notice: something the report must say loudly.

    Raises: Invalid for an experiment of this name that differs, or for unusable data or weights.
    """
    experiment = custom_source.seal(experiment)
    for note in experiment.notes:
        log.warning("%s: %s", experiment.name, note)
    database.create_schema()
    try:
        known = find(database, experiment.name)
    except NotReady:
        known = None
    if known:
        experiment = _go_on(experiment, known.experiment)
        compare(database, known, experiment)
    stored, lacking = staged.look(cache.store, known) if known else ({}, [])
    trusted = frozenset(row["sha256"] for row in database.rows(SQL["weights"]))
    if known and not lacking:
        log.info(
            "%s: data, weights and splits stay as they were frozen by the first `job prepare`",
            experiment.name,
        )
        for note in known.data.get("notes", ()):
            log.warning("%s: %s", experiment.name, note)
        found = {"data": known.data, "weights": known.weights, "splits": known.splits}
    elif known:
        found = _stage_again(known, experiment, lacking, cache, location, weights_place, trusted)
        stored |= found["data"]["stored"]
    else:
        found = _stage(experiment, cache, location, weights_place, trusted)
        found["data"]["notice"] = notice
    _register(database, experiment, found)
    if known and stored != known.data.get("stored"):
        database.rows(SQL["set_stored"], id=known.id, stored=json_value(stored))
    return find(database, experiment.name)


def _stage_again(
    known: Registered,
    experiment: Experiment,
    lacking: list[str],
    cache: Cache,
    location,
    weights_place,
    trusted: frozenset[str],
) -> dict:
    """Put again what the store has lost; it is to be the same. Raises: what reading the source does, with what it was for; Invalid."""
    name, what = (
        experiment.name,
        f"{lacking[0]}{f' and {len(lacking) - 1} more' if len(lacking) > 1 else ''}",
    )
    log.warning(
        "%s: %s is missing in the store, or not what was staged; it is staged again", name, what
    )
    try:
        found = _stage(experiment, cache, location, weights_place, trusted)
    except JobError as exc:
        raise type(exc)(
            f"{name}: {what} is missing in the store, or not what was staged, and cannot be staged again: {exc}"
        ) from exc
    compared = {
        "data": (known.data["id"], found["data"]["id"]),
        "splits": (known.splits["sha256"], found["splits"]["sha256"]),
    }
    for model, entry in known.weights.items():
        compared[f"weights of {model}"] = entry["sha256"], found["weights"][model]["sha256"]
    for part, (before, now) in compared.items():
        if before != now:
            raise Invalid(
                f"experiment {name} was prepared on other {part} ({before[:16]}, now {now[:16]}): give it a new name, or `job drop {name}`"
            )
    return found


def _go_on(experiment: Experiment, known: Experiment) -> Experiment:
    """Return the experiment by the method of the one that exists, unless its file names another."""
    if experiment.says_method or experiment.method == known.method:
        return experiment
    log.info(
        "%s: goes on by method %d, by which it was begun; of itself its file means method %d: %s",
        *(experiment.name, known.method, experiment.method, METHODS[experiment.method]),
    )
    return replace(experiment, method=known.method)


def compare(database: Database, known: Registered, experiment: Experiment) -> None:
    """Raise `Invalid`, naming the differences, unless the new file only raises trials or seeds before a selection."""
    found = differences(UNSAID | known.experiment.spec, UNSAID | experiment.spec)
    growing = [d for d in found if d.partition(":")[0] in GROWS]
    refused = [d for d in found if d not in growing and not d.startswith("reference")]
    refused = [
        f"{d} (the code of its factory)" if d.startswith("models.") and ".source: " in d else d
        for d in refused
    ]
    if refused:
        raise Invalid(
            f"experiment {experiment.name} exists and differs: {'; '.join(refused)}. Give the file a new name, take the change back, or `job drop {experiment.name}`"
        )
    for key, word in GROWS.items():
        section, name = key.split(".")
        old, new = getattr(known.experiment, section)[name], getattr(experiment, section)[name]
        if new < old:
            raise Invalid(
                f"experiment {experiment.name}: {key} = {new}, but {old} {word} exist already; they may only grow: set at least {old}"
            )
    _check_growth(
        known.experiment.spec, experiment, database.rows(SQL["selected"], experiment=known.id)
    )


def _check_growth(old: dict, experiment: Experiment, selected: list[dict]) -> None:
    """Raise `Invalid` when trials or seeds would grow though parameters are selected."""
    for section, name in (key.split(".") for key in GROWS):
        before, wanted = old[section][name], experiment.spec[section][name]
        if wanted > before and selected:
            raise Invalid(
                f"experiment {experiment.name}: {section}.{name} cannot grow from {before} to {wanted}: parameters are selected already for {', '.join(r['model'] for r in selected)}; give the file a new name"
            )


def _stage(
    experiment: Experiment, cache: Cache, location, weights_place, trusted: frozenset[str]
) -> dict:
    """Put data, splits and weights into the store; return what the database keeps of them."""
    store = cache.store
    found_weights = {
        m: weights.fetch(cache, m, experiment.fixed(m), weights_place, trusted)
        for m in experiment.pretrained()
    }
    source = sources.read(
        experiment.data["source"],
        experiment.data["image_size"],
        location,
        cache.folder,
        experiment.data["groups"],
    )
    train, test = staging.cut(source, experiment)
    source = replace(
        source, train=train, test=test
    )  # what was cut from is let go: images are large
    made_of = staging.stage(source, train, test)
    made = staging.make_splits(
        experiment, source.classes, train.labels, made_of.groups, test.labels
    )
    content, manifest = made.content, made_of.manifest | {"validation": int(made.validation.sum())}
    log.info(
        "data: %s, %d training and %d test images of %d classes",
        manifest["source"],
        manifest["train"],
        manifest["test"],
        len(manifest["classes"]),
    )
    unbalanced = describe.unbalanced(manifest["train_counts"], experiment)
    manifest["notes"] = [*manifest["notes"], *_copies(manifest), *unbalanced]
    for note in manifest["notes"]:
        log.warning("%s: %s", experiment.name, note)
    _check_models(experiment, manifest, found_weights)
    stored = staging.upload(store, made_of)
    digest = provenance.sha256(content)
    splits = {"key": f"data/{manifest['id']}/splits-{digest[:16]}.npz", "sha256": digest}
    stored[splits["key"]] = staged.put_whole(store, splits["key"], content)
    uploaded = {
        m: weights.upload(store, m, experiment.fixed(m), p) for m, p in found_weights.items()
    }
    stored |= {
        e["key"]: {name: e[name] for name in ("sha256", "size", "etag")} for e in uploaded.values()
    }
    return {
        "data": manifest | {"stored": stored},
        "splits": splits,
        "weights": {m: {name: e[name] for name in ("key", "sha256")} for m, e in uploaded.items()},
    }


def _copies(manifest: dict) -> list[str]:
    """Return what is to be said of test images that are copies of training images."""
    n = manifest["duplicates"]["train_test"]
    return (
        [
            f"{n} test images stand in the training part too; the report adds the accuracy without them"
        ]
        if n
        else []
    )


def _check_models(experiment: Experiment, manifest: dict, found: dict[str, Path]) -> None:
    """Raise `Invalid` for weights of another architecture and for an own model that cannot work, before anything is stored."""
    shape, classes = tuple(manifest["image_shape"]), len(manifest["classes"])
    if found:
        from job.learning.models import build, transfer

        for model, path in found.items():
            if experiment.frozen(model):
                transfer.base(model, experiment.fixed(model), shape, path, method=experiment.method)
            else:
                build.build(experiment, model, corner(experiment, model, max), shape, classes, path)
    if experiment.factories():
        from job.learning import custom_check

        for model in experiment.factories():
            log.info("%s: building it, training it for three steps, saving it", model)
            custom_check.prove(experiment, model, shape, classes)


def _register(database: Database, experiment: Experiment, found: dict) -> None:
    """Create experiment, tasks and studies, or let them grow, in one transaction under the experiment's lock."""
    experiment_id = f"{experiment.name}-{secrets.token_hex(4)}"

    def work(cursor):
        alone(cursor, "prepare")
        cursor.execute(SQL["add_experiment"], {
            "id": experiment_id, "name": experiment.name, "spec": json_value(experiment.spec), "fingerprint": experiment.fingerprint,
            "data": json_value(found["data"]), "weights": json_value(found["weights"]), "splits": json_value(found["splits"]),
        })  # fmt: skip
        cursor.execute(SQL["locked"], {"name": experiment.name})
        row = cursor.fetchone()
        if row["fingerprint"] != experiment.fingerprint or row["data"]["id"] != found["data"]["id"]:
            raise Invalid(
                f"experiment {experiment.name} was prepared at the same time from another file or other data: run `job prepare` again to see the difference"
            )
        cursor.execute(
            SQL["selected"], {"experiment": row["id"]}
        )  # who selects locks the experiment's row as we do
        _check_growth(row["spec"], experiment, cursor.fetchall())
        merged = dict(row["spec"])
        merged["search"]["trials"] = max(
            row["spec"]["search"]["trials"], experiment.search["trials"]
        )
        merged["reference"] = experiment.spec["reference"]  # figures that only stand beside ours
        merged["final"]["seeds"] = max(row["spec"]["final"]["seeds"], experiment.final["seeds"])
        cursor.execute(SQL["set_spec"], {"id": row["id"], "spec": json_value(merged)})
        for stage in STAGES:
            for model, tasks in experiment.tasks_of(stage).items():
                cursor.execute(
                    SQL["add_tasks"],
                    {"experiment": row["id"], "model": model, "stage": stage, "tasks": tasks},
                )
        for model, study_id in study.create(database, experiment).items():
            study.add_trials(cursor, row["id"], model, study_id, merged["search"]["trials"])

    database.run(work)


def drop(database: Database, store: Store, name: str) -> None:
    """Remove an experiment: its studies, its rows, then its artifacts. Staged data stays: others may share it.

    A note in the store comes first: what a crash leaves, or a worker that did not know yet, `job gc` finds by it.
    """
    try:
        registered = find(database, name)
    except NotReady as exc:
        raise UsageError(
            f"there is no experiment '{name}' in the database: nothing to remove"
        ) from exc
    note, at_work = note_of(registered.id), bool(database.rows(SQL["at_work"], id=registered.id))
    store.put(note, json.dumps({"experiment": name}).encode())

    def work(cursor):
        alone(cursor, "prepare")
        cursor.execute(SQL["drop"], {"id": registered.id})
        study.drop(database, registered.experiment)

    database.run(work)
    store.delete(
        [o.key for o in store.listing(f"{experiment_folder(registered.id)}/", halves=True)]
    )
    if at_work:
        log.warning(
            "%s: workers are at it and leave by themselves; `job gc` removes what they write meanwhile, a lease later",
            name,
        )
    else:
        store.delete([note])
    log.info("%s is removed", name)

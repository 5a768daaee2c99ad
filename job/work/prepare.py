"""Stage data and weights, freeze the splits, create tables, studies and tasks; or remove them.

`prepare` is idempotent, and any number of processes may run it at once.
"""

import json
import logging
import secrets

from job.coordination import study
from job.coordination.database import Database, json_value, lock_work
from job.coordination.registered import Registered, find
from job.coordination.statements import queries
from job.data import staged
from job.errors import Invalid, NotReady, UsageError
from job.experiment.experiment import STAGES, Experiment
from job.learning import custom_source
from job.storage.cache import Cache
from job.storage.paths import drop_note, experiment_folder
from job.storage.store import Store
from job.work.growth import check_changes, check_growth, keep_method, merge
from job.work.inputs import Origin, stage, stage_again

SQL = queries("prepare")

log = logging.getLogger(__name__)


def prepare(
    database: Database,
    experiment: Experiment,
    cache: Cache,
    location: str | None = None,
    weights_place: str | None = None,
    notice: str | None = None,
) -> Registered:
    """Prepare everything that the workers of an experiment need; return it as registered.

    Args:
        database: where to register the experiment.
        experiment: as its file describes it.
        cache: this node's, on the store to stage into.
        location: where the data is, instead of what `data.source` says.
        weights_place: a folder with ImageNet weights, or its URL.
        notice: something the report must show prominently.

    Raises:
        Invalid: an experiment of this name differs, or data or weights are unusable.
        Unreachable: database, store or a download is away for too long.
    """
    experiment = custom_source.with_source_hashes(experiment)
    _warn(experiment.name, experiment.notes)
    database.create_schema()
    known = _find(database, experiment.name)
    if known:
        experiment = keep_method(experiment, known.experiment)
        selected = database.rows(SQL["selected"], experiment=known.id)
        check_changes(known, experiment, selected)
    trusted = frozenset(row["sha256"] for row in database.rows(SQL["weights"]))
    origin = Origin(cache, location, weights_place, trusted)
    if known:
        _stage_what_is_lost(database, known, experiment, origin)
    else:
        register(database, experiment, stage(experiment, origin, notice))
    return find(database, experiment.name)


def _find(database: Database, name: str) -> Registered | None:
    try:
        return find(database, name)
    except NotReady:
        return None


def _warn(name: str, notes) -> None:
    for note in notes:
        log.warning("%s: %s", name, note)


def _stage_what_is_lost(
    database: Database, known: Registered, experiment: Experiment, origin: Origin
) -> None:
    """Stage again what the store has lost of an experiment, if anything, and let it grow."""
    stored, lost = staged.inspect(origin.cache.store, known)
    inputs = {"data": known.data, "weights": known.weights, "splits": known.splits}
    if lost:
        inputs = stage_again(known, experiment, lost, origin)
        stored |= inputs["data"].objects
    else:
        log.info(
            "%s: data, weights and splits stay as the first `job prepare` froze them",
            experiment.name,
        )
        _warn(experiment.name, known.data.notes)
    register(database, experiment, inputs)
    if stored != known.data.objects:
        database.rows(SQL["set_stored"], id=known.id, stored=json_value(stored))


def register(database: Database, experiment: Experiment, inputs: dict) -> None:
    """Create experiment, tasks and studies, or let them grow, in one locked transaction.

    Args:
        database: where to register them.
        experiment: as its file describes it.
        inputs: data, weights and splits, as `stage` returns them.

    Raises:
        Invalid: another process has registered something else under this name.
    """
    new = {
        "id": f"{experiment.name}-{secrets.token_hex(4)}",
        "name": experiment.name,
        "spec": json_value(experiment.spec),
        "fingerprint": experiment.fingerprint,
        "data": json_value(inputs["data"].stored()),
        "weights": json_value(inputs["weights"]),
        "splits": json_value(inputs["splits"]),
    }

    def work(cursor) -> None:
        lock_work(cursor, "prepare")
        cursor.execute(SQL["add_experiment"], new)
        cursor.execute(SQL["locked"], {"name": experiment.name})
        row = cursor.fetchone()
        _check_same(row, experiment, inputs["data"].id)
        # A worker that selects locks the experiment's row as we do.
        cursor.execute(SQL["selected"], {"experiment": row["id"]})
        check_growth(row["spec"], experiment, cursor.fetchall())
        spec = merge(row["spec"], experiment)
        cursor.execute(SQL["set_spec"], {"id": row["id"], "spec": json_value(spec)})
        _add_tasks(cursor, row["id"], experiment)
        for model, study_id in study.create(database, experiment).items():
            study.add_trials(cursor, row["id"], model, study_id, spec["search"]["trials"])

    database.transaction(work)


def _check_same(row: dict, experiment: Experiment, data: str) -> None:
    """Raise `Invalid` unless an experiment's row is of this file and this data."""
    if row["fingerprint"] != experiment.fingerprint or row["data"]["id"] != data:
        raise Invalid(
            f"experiment {experiment.name} was prepared at the same time from another file or"
            " other data: run `job prepare` again to see the difference"
        )


def _add_tasks(cursor, experiment_id: str, experiment: Experiment) -> None:
    """Create the tasks that are not there yet."""
    for stage_name in STAGES:
        for model, tasks in experiment.task_counts(stage_name).items():
            task = {"experiment": experiment_id, "model": model, "stage": stage_name}
            cursor.execute(SQL["add_tasks"], task | {"tasks": tasks})


def drop(database: Database, store: Store, name: str) -> None:
    """Remove an experiment: its studies, its rows, then its artifacts.

    Staged data stays, because other experiments may share it. A note in the store comes first:
    `job gc` finds by it what a crash leaves, and what a worker writes that did not know yet.

    Raises:
        UsageError: there is no experiment of this name.
    """
    try:
        registered = find(database, name)
    except NotReady as exc:
        raise UsageError(
            f"there is no experiment '{name}' in the database: nothing to remove"
        ) from exc
    note = drop_note(registered.id)
    at_work = bool(database.rows(SQL["at_work"], id=registered.id))
    store.put(note, json.dumps({"experiment": name}).encode())

    def work(cursor) -> None:
        lock_work(cursor, "prepare")
        cursor.execute(SQL["drop"], {"id": registered.id})
        study.drop(database, registered.experiment)

    database.transaction(work)
    folder = f"{experiment_folder(registered.id)}/"
    store.delete([o.key for o in store.listing(folder, halves=True)])
    if at_work:
        log.warning(
            "%s: its workers leave by themselves;"
            " `job gc` removes what they write meanwhile, a lease later",
            name,
        )
    else:
        store.delete([note])
    log.info("%s is removed", name)

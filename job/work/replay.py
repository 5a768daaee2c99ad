"""Replay: train a decided task again from its record, and compare the bits. Nothing is written."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from job.coordination.database import Database
from job.coordination.registered import Registered
from job.coordination.statements import queries
from job.data.staging import npy
from job.errors import OUT_OF_MEMORY, Infeasible, Invalid
from job.experiment.task import Key
from job.learning import custom_source, provenance
from job.learning.checkpoint import hash_arrays
from job.learning.result_format import Machine
from job.storage import paths
from job.storage.cache import Cache
from job.storage.store import Store
from job.verify.replayed import Replayed
from job.work.context import Assignment

if TYPE_CHECKING:  # it imports TensorFlow
    from job.learning.train import Hooks
    from job.work.training import Learned

SQL = queries("tasks")
SAME = Replayed("same")


class DecidedTask:
    """A decided task in place of an attempt: its stored parameters and decisions, no write."""

    def __init__(self, database: Database, registered: Registered, key: Key):
        """Read the task's record. Args: key: a task that is decided, and has files."""
        self.key = key
        self._database = database
        self._values = registered.values(key)
        row = self._rows("record")[0]
        self.parameters: dict | None = row["parameters"]
        self.artifact: dict = row["artifact"]
        self.pruned: dict[int, bool] = {e["epoch"]: e["pruned"] for e in self._rows("epochs")}
        self.seconds: dict[str, float] = {}

    def artifacts(self, stage: str) -> list[dict]:
        """Return the committed artifacts of a stage of this task's model, by index."""
        return [row["artifact"] for row in self._rows("artifacts", stage=stage)]

    def was_pruned(self, epoch: int, _metrics: dict, _value: float | None) -> bool:
        """Tell whether the pruner ended the trial after this epoch."""
        return self.pruned.get(epoch, False)

    def _rows(self, name: str, **values: str) -> list[dict]:
        return self._database.rows(SQL[name], None, **self._values | values)


def replay(
    database: Database, store: Store, registered: Registered, cache: Cache, key: Key
) -> Replayed:
    """Train a decided task again, and return whether it comes out bit for bit the same.

    Weights, history and predictions are compared; of a final no predictions, because the test part
    stays closed.

    Args:
        database: where the record is.
        store: where the result is.
        registered: the experiment.
        cache: this node's, on that store.
        key: a decided task with files, as `verify.choose` draws them.

    Raises:
        Damaged, Missing, Invalid: the store has lost what the task needs.
    """
    from job.learning.train import Hooks, set_up  # imports TensorFlow
    from job.work.training import scorer

    if custom := registered.experiment.factories().get(key.model):
        try:
            custom_source.check(key.model, custom)
        except Invalid as exc:
            return Replayed("not comparable", f"not comparable here: {exc}")
    task = DecidedTask(database, registered, key)
    assignment = Assignment(task, registered, store, cache)
    threads = registered.experiment.threads
    try:
        set_up(threads)
    except RuntimeError:  # TensorFlow's threads are fixed with its first operation
        return Replayed(
            "not comparable",
            "not comparable in this process,"
            f" which began with other threads than {threads}: name its experiment",
        )
    hooks = Hooks(report=task.was_pruned, score=scorer(assignment))
    if key.stage == "features":
        return _features(assignment, task, hooks)
    return _learned(assignment, task, hooks)


def _features(assignment: Assignment, task: DecidedTask, hooks: "Hooks") -> Replayed:
    """Compute a shard of features again, and compare it."""
    from job.work.stages import made_here
    from job.work.training import shard

    file = task.artifact[paths.FEATURES]
    if not paths.is_made_on(file["key"], made_here()):
        why = "not comparable: made on another processor, or by another TensorFlow"
        return Replayed("not comparable", why)
    if provenance.sha256(npy(shard(assignment, hooks))) == file["sha256"]:
        return SAME
    return Replayed("differs", "the features have other bits")


def _learned(assignment: Assignment, task: DecidedTask, hooks: "Hooks") -> Replayed:
    """Train a trial, fold or final again, and compare it."""
    from job.work.training import learn

    result = provenance.unseal(assignment.store.get(task.artifact[paths.RESULT]["key"]))
    here = provenance.machine()
    if not provenance.is_exact([*result["machines"], here]):
        trained = _names(result["machines"])
        why = f"not comparable: trained on {trained}, this is {_names([here])}"
        return Replayed("not comparable", why)
    try:
        learned = learn(assignment, hooks)
    except Infeasible as exc:
        if str(exc).startswith(OUT_OF_MEMORY):
            return Replayed("not comparable", f"not comparable here: {exc}")
        return Replayed("differs", f"it is infeasible now: {exc}")
    return _compare(_hashes(assignment, learned), result)


def _hashes(assignment: Assignment, learned: "Learned") -> dict[str, str]:
    """Return what a result says of the bits: of a trial its net, else the end-to-end model."""
    from job.work.training import whole

    net = learned.net
    if assignment.key.stage != "trial":
        net = whole(assignment, net)
    history = provenance.history_csv(learned.outcome.history)
    hashes = {
        "weights_sha256": hash_arrays([np.asarray(v) for v in net.weights]),
        "history_sha256": provenance.sha256(history),
    }
    if learned.held_out is not None:
        hashes["predictions_sha256"] = provenance.sha256(learned.held_out.predictions)
    return hashes


def _compare(hashes: dict[str, str], result: Mapping[str, object]) -> Replayed:
    other = [name for name, digest in hashes.items() if digest != result[name]]
    if not other:
        return SAME
    parts = ", ".join(name.removesuffix("_sha256") for name in other)
    return Replayed("differs", f"other bits: {parts}")


def _names(machines: list[Machine]) -> str:
    return ", then ".join(f"{m['cpu']} with TensorFlow {m['tensorflow']}" for m in machines)

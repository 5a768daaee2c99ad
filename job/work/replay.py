"""Replay: train a decided task again from its record, and compare the bits. Nothing is written."""

import numpy as np

from job.coordination.database import Database, queries
from job.coordination.tasks import Registered
from job.data.staging import npy
from job.errors import Diverged, Invalid
from job.experiment.task import Key
from job.learning import custom_source, provenance
from job.learning.checkpoint import hash_arrays
from job.storage.cache import Cache
from job.storage.store import Store
from job.work.context import Run

SQL = queries("tasks")


class Skipped(str):
    """Why a task's bits cannot be compared here."""


class Recorded:
    """A decided task in the place of an attempt: its stored parameters and decisions, and no write."""

    number = 1  # no checkpoint is looked for

    def __init__(self, database: Database, registered: Registered, key: Key):
        self.key, self._database, self._values = key, database, registered.values(key)
        row = database.rows(SQL["record"], **self._values)[0]
        self.parameters, self.artifact, self.reason = (
            row["parameters"],
            row["artifact"],
            row["reason"],
        )
        self.pruned = {
            e["epoch"]: e["pruned"] for e in database.rows(SQL["epochs"], **self._values)
        }
        self.seconds: dict[str, float] = {}

    def artifacts(self, stage: str) -> list[dict]:
        """Return the committed artifacts of a stage of this task's model, in order of the index."""
        return [
            row["artifact"]
            for row in self._database.rows(SQL["artifacts"], **self._values | {"stage": stage})
        ]


def replay(
    database: Database, store: Store, registered: Registered, cache: Cache, key: Key
) -> str | None:
    """Return None when a decided task comes out bit for bit the same, else why not: other bits, or `Skipped`.

    Weights, history and, but for finals, predictions are compared: the test part stays closed.
    """
    from job.learning.train import Hooks, set_up
    from job.work import stages  # TensorFlow comes with it

    if own := registered.experiment.factories().get(key.model):
        try:
            custom_source.check(key.model, own)
        except Invalid as exc:
            return Skipped(f"not comparable here: {exc}")
    attempt = Recorded(database, registered, key)
    r = Run(attempt, registered, store, cache, checkpoint_s=float("inf"))
    try:
        set_up(r.experiment.threads)
    except RuntimeError:  # TensorFlow's threads are fixed with its first operation
        return Skipped(
            f"not comparable in this process, which began with other threads than {r.experiment.threads}: name its experiment"
        )
    hooks = Hooks(
        report=lambda epoch, metrics, value: attempt.pruned.get(epoch, False),
        score=stages.scorer(r),
    )
    if key.stage == "features":
        if f"-{stages.made_here()}-" not in attempt.artifact["features.npy"]["key"]:
            return Skipped("not comparable: made on another processor, or by another TensorFlow")
        same = (
            provenance.sha256(npy(stages.shard(r, hooks)))
            == attempt.artifact["features.npy"]["sha256"]
        )
        return None if same else "the features have other bits"
    result = (
        provenance.unseal(store.get(attempt.artifact["result.json"]["key"]))
        if attempt.artifact
        else None
    )
    if result and not provenance.exact([*result["machines"], provenance.machine()]):
        return Skipped(
            f"not comparable: trained on {_names(result['machines'])}, this is {_names([provenance.machine()])}"
        )
    try:
        learned = stages.learn(r, hooks)
    except Diverged as exc:
        return None if attempt.reason == f"diverged: {exc}" else f"it diverged now: {exc}"
    if result is None:
        return f"it did not diverge now; the record says: {attempt.reason}"
    net = learned.net if key.stage == "trial" else stages.whole(r, learned.net)
    again = {
        "weights_sha256": hash_arrays([np.asarray(v) for v in net.weights]),
        "history_sha256": provenance.sha256(provenance.history_csv(learned.outcome.history)),
    }
    if learned.rows is not None:
        again["predictions_sha256"] = provenance.sha256(learned.predictions)
    other = [
        name.removesuffix("_sha256") for name, digest in again.items() if digest != result[name]
    ]
    return f"other bits: {', '.join(other)}" if other else None


def _names(machines: list[dict]) -> str:
    return ", then ".join(f"{m['cpu']} with TensorFlow {m['tensorflow']}" for m in machines)

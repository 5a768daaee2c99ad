"""Results: bytes first, then ONE fenced commit that names them. Without TensorFlow.

A result is complete when its result.json is there: it is written last, lists the other files with
their hashes, and is sealed by one over itself. So a take-over can tell whether an attempt that died
before its commit had done all the work, and commits that.
"""

import logging

import numpy as np

from job.errors import JobError, Missing
from job.interrupt import INTERRUPT
from job.learning import provenance
from job.learning.checkpoint import Damaged, hash_arrays
from job.sentences import UNREADABLE
from job.storage.paths import TaskFile, task_file
from job.storage.store import Object
from job.work.context import Run

ADOPTED = (
    "attempt",
    "state",
    "reason",
    "value",
    "metrics",
    "step",
    "files",
    "machines",
)  # what a commit needs of a result

log = logging.getLogger(__name__)


def publish(
    r: Run,
    net,
    outcome,
    metrics: dict,
    value: float | None,
    files: dict,
    state: str = "complete",
    reason: str | None = None,
) -> None:
    """Write every file under this attempt, then commit.

    Args:
        net: a Keras model; outcome: how its training ended; files: name -> bytes, predictions.npz among them.
    """
    files = files | {"history.csv": provenance.history_csv(outcome.history)}
    result = r.identity | {
        "attempt": r.attempt.number,
        "state": state,
        "reason": reason,
        "value": value,
        "metrics": metrics,
        "step": outcome.step,
        "files": {
            name: {"sha256": provenance.sha256(content), "size": len(content)}
            for name, content in files.items()
        },
        "weights_sha256": hash_arrays([np.asarray(v) for v in net.weights]),
        "history_sha256": provenance.sha256(files["history.csv"]),
        "predictions_sha256": provenance.sha256(files["predictions.npz"]),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "image_digest": provenance.image_digest(),
        "device": provenance.device(),
        "dtype": outcome.dtype,
        "machines": r.checkpoints.machines,
        "peak_memory_bytes": provenance.peak_memory(),
        "parameters_count": int(net.count_params()),
        "layers": provenance.layers(net),
    }
    artifact = {}

    def put(name: str, content: bytes) -> None:
        r.check()
        artifact[name] = entry(r.store.put(f"{r.attempt_folder}/{name}", content), content)

    with r.clock("upload"):
        for name, content in files.items():
            put(name, content)
    result["seconds"] = r.attempt.seconds | {"lost": round(r.attempt.lost_before(), 3)}
    with r.clock("upload"):
        put("result.json", provenance.seal(result))
        r.reports.flush()
    r.check()
    r.attempt.commit(state, value, metrics, artifact, reason, outcome.step)
    log.info(
        "%s is %s: %s",
        r.key,
        state,
        f"{r.experiment.search['metric']} {value:.4f}" if value is not None else reason,
    )
    clear(r)


def adopt(r: Run) -> bool:
    """Commit the newest complete, verifying result of an earlier attempt; tell whether there was one.

    What the result implies and the database does not have (one that was restored from before), it has again.
    """
    listed = {o.key: o for o in r.store.listing(f"{r.folder}/")}
    found = [p for p in map(task_file, listed) if p and p.name == "result.json"]
    for where in sorted(found, key=lambda p: (p.attempt, listed[p.key].modified), reverse=True):
        try:
            result, artifact, history = _verified(r, where, listed)
        except (Damaged, Missing) as exc:
            log.warning("the result of an earlier attempt, %s, is not used: %s", where.key, exc)
            continue
        r.attempt.computes_on(result["machines"][-1])
        r.attempt.tell_again(_epochs(r, history, result["state"]))
        r.attempt.commit(
            result["state"],
            result["value"],
            result["metrics"],
            artifact,
            result["reason"],
            result["step"],
        )
        log.info(
            "%s is %s: the complete result of attempt %d is committed, nothing trained again",
            r.key,
            result["state"],
            result["attempt"],
        )
        clear(r)
        return True
    return False


def _epochs(r: Run, history: list[dict], state: str) -> list[dict]:
    """Return the epochs of a result as rows: epoch, metrics, value, bracket, and pruned where the pruner ended the trial."""
    from job.coordination import study  # optuna comes with it

    def row(past: dict) -> dict:
        metrics = {k: v for k, v in past.items() if k not in ("epoch", "value")}
        pruned = state == "pruned" and past is history[-1]
        bracket = study.rule(r.experiment, r.key, past["epoch"])["bracket"]
        return {
            "epoch": past["epoch"],
            "metrics": metrics,
            "value": past.get("value"),
            "bracket": bracket,
            "pruned": pruned,
        }

    return [row(past) for past in history]


def entry(stored: Object, content: bytes) -> dict:
    """Return what a task's row says of a file."""
    return {
        "key": stored.key,
        "sha256": provenance.sha256(content),
        "size": stored.size,
        "etag": stored.etag,
    }


def clear(r: Run) -> None:
    """Remove the checkpoints of a decided task; what cannot be removed now is left to `job gc`."""
    INTERRUPT.leave()
    try:
        r.checkpoints.clear()
    except JobError as exc:
        log.warning("the checkpoints of %s are left to `job gc`: %s", r.key, exc)


def _verified(r: Run, where: TaskFile, listed: dict[str, Object]) -> tuple[dict, dict, list[dict]]:
    """Return result, artifact and history of a complete result. Raises: Damaged, Missing."""
    content = r.store.get(where.key)
    result = provenance.unseal(content)
    differing = [name for name, wanted in r.identity.items() if result.get(name) != wanted]
    if differing:
        raise Damaged(f"it is of another task or experiment ({', '.join(differing)} differ)")
    if missing := [name for name in ADOPTED if name not in result]:
        raise Damaged(f"it does not say {', '.join(missing)}")
    artifact, bodies = {"result.json": entry(listed[where.key], content)}, {}
    try:
        for name, wanted in result["files"].items():
            key = f"{where.folder}/{name}"
            bodies[name] = r.store.get(key)
            if provenance.sha256(bodies[name]) != wanted["sha256"]:
                raise Damaged(f"{name} is not the one it names")
            artifact[name] = entry(listed[key], bodies[name])
        return result, artifact, provenance.history_of(bodies["history.csv"])
    except UNREADABLE as exc:
        raise Damaged(f"it does not say what a result says: {type(exc).__name__} {exc}") from exc

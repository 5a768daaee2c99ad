"""Results: bytes first, then ONE fenced commit that names them. Without TensorFlow.

A result is complete when its result.json exists. That file is written last, lists the other files
with their hashes, and is sealed by a hash over itself. An attempt may die before its commit. The
next one then sees whether all the work was done, and commits that.
"""

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np

from job.errors import JobError, Missing
from job.interrupt import INTERRUPT
from job.learning import provenance
from job.learning.checkpoint import Damaged, hash_arrays
from job.learning.interface import Outcome, metrics_of
from job.learning.result_format import Metrics, Result
from job.sentences import UNREADABLE
from job.storage.paths import HISTORY, PREDICTIONS, RESULT, TaskFile, task_file
from job.storage.store import Object
from job.work.context import Context

# What a commit needs of a result.
ADOPTED = ("attempt", "state", "reason", "value", "metrics", "step", "files", "machines")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """What a task is decided as."""

    metrics: Metrics
    value: float | None  # of the experiment's metric
    state: Literal["complete", "pruned"] = "complete"
    reason: str | None = None


def publish(
    context: Context, net, outcome: Outcome, decision: Decision, files: dict[str, bytes]
) -> None:
    """Write every file under this attempt, then commit.

    Args:
        context: the attempt that owns the task.
        net: the trained Keras model.
        outcome: how its training ended.
        decision: what the task is decided as.
        files: name -> bytes; predictions.npz is one of them.

    Raises:
        JobError: a signal, a lost lease, or an outage that lasts too long.
    """
    files = files | {HISTORY: provenance.history_csv(outcome.history)}
    result = _result(context, net, outcome, decision, files)
    artifact = {}

    def put(name: str, content: bytes) -> None:
        context.check()
        stored = context.store.put(f"{context.attempt_folder}/{name}", content)
        artifact[name] = entry(stored, content)

    attempt = context.attempt
    with context.clock("upload"):
        for name, content in files.items():
            put(name, content)
    result["seconds"] = attempt.seconds | {"lost": round(attempt.lost_before_s(), 3)}
    with context.clock("upload"):
        put(RESULT, provenance.seal(result))
        context.reports.flush()
    context.check()
    value = decision.value
    reason = decision.reason
    attempt.commit(decision.state, value, decision.metrics, artifact, reason, outcome.step)
    score = reason if value is None else f"{context.experiment.search.metric} {value:.4f}"
    log.info("%s is %s: %s", context.key, decision.state, score)
    clear(context)


def _result(
    context: Context, net, outcome: Outcome, decision: Decision, files: dict[str, bytes]
) -> Result:
    """Return what result.json says, except for the seconds."""
    return {
        **context.identity,
        "attempt": context.attempt.number,
        "state": decision.state,
        "reason": decision.reason,
        "value": decision.value,
        "metrics": decision.metrics,
        "step": outcome.step,
        "files": {
            name: {"sha256": provenance.sha256(content), "size": len(content)}
            for name, content in files.items()
        },
        "weights_sha256": hash_arrays([np.asarray(v) for v in net.weights]),
        "history_sha256": provenance.sha256(files[HISTORY]),
        "predictions_sha256": provenance.sha256(files[PREDICTIONS]),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "image_digest": provenance.image_digest(),
        "device": provenance.device(),
        "dtype": outcome.dtype,
        "machines": context.checkpoints.machines,
        "peak_memory_bytes": provenance.peak_memory(),
        "parameters_count": int(net.count_params()),
        "layers": provenance.layers(net),
        "seconds": {},
        "feeding": {
            "steps_s": round(outcome.steps_s, 3),
            "waited_s": round(outcome.waited_s, 3),
        },
    }


def adopt(context: Context) -> bool:
    """Commit the newest complete, verified result of an earlier attempt; tell whether there is one.

    A database that was restored from an older dump may lack what the result implies. It is
    recorded again.
    """
    listed = {o.key: o for o in context.store.listing(f"{context.folder}/")}
    for where in _results(listed):
        try:
            result, artifact, history = _verify(context, where, listed)
        except (Damaged, Missing) as exc:
            log.warning("the result of an earlier attempt, %s, is not used: %s", where.key, exc)
            continue
        _commit(context, result, artifact, history)
        return True
    return False


def _results(listed: dict[str, Object]) -> list[TaskFile]:
    """Return where the results of a task lie, newest attempt first."""
    files = [task_file(key) for key in listed]
    results = [file for file in files if file and file.name == RESULT]
    return sorted(results, key=lambda f: (f.attempt, listed[f.key].modified), reverse=True)


def _commit(context: Context, result: Result, artifact: dict, history: list[dict]) -> None:
    """Commit a verified result, and record what it implies."""
    attempt = context.attempt
    state = result["state"]
    attempt.record_machine(result["machines"][-1])
    attempt.restore_records(_epochs(context, history, state))
    attempt.commit(
        state, result["value"], result["metrics"], artifact, result["reason"], result["step"]
    )
    log.info(
        "%s is %s: the complete result of attempt %d is committed; nothing is trained again",
        context.key,
        state,
        result["attempt"],
    )
    clear(context)


def _epochs(context: Context, history: list[dict], state: str) -> list[dict]:
    """Return the epochs of a result as rows: epoch, metrics, value, bracket and pruned.

    `pruned` is true where the pruner ended the trial.
    """
    from job.coordination import study  # imports optuna

    def row(past: dict) -> dict:
        return {
            "epoch": past["epoch"],
            "metrics": metrics_of(past),
            "value": past.get("value"),
            "bracket": study.rule(context.experiment, context.key, past["epoch"])["bracket"],
            "pruned": state == "pruned" and past is history[-1],
        }

    return [row(past) for past in history]


def entry(stored: Object, content: bytes) -> dict:
    """Return what a task's row says of a file: key, sha256, size in bytes and etag."""
    return {
        "key": stored.key,
        "sha256": provenance.sha256(content),
        "size": stored.size,
        "etag": stored.etag,
    }


def clear(context: Context) -> None:
    """Remove the checkpoints of a decided task; `job gc` removes what cannot be removed now."""
    INTERRUPT.leave()
    try:
        context.checkpoints.clear()
    except JobError as exc:
        log.warning("the checkpoints of %s are left to `job gc`: %s", context.key, exc)


def _verify(
    context: Context, where: TaskFile, listed: dict[str, Object]
) -> tuple[Result, dict, list[dict]]:
    """Return result, artifact and history of a complete result. Raises: Damaged, Missing."""
    content = context.store.get(where.key)
    result = provenance.unseal(content)
    differing = [name for name, wanted in context.identity.items() if result.get(name) != wanted]
    if differing:
        raise Damaged(f"it belongs to another task or experiment ({', '.join(differing)} differ)")
    if missing := [name for name in ADOPTED if name not in result]:
        raise Damaged(f"it lacks {', '.join(missing)}")
    artifact = {RESULT: entry(listed[where.key], content)}
    bodies = {}
    try:
        for name, wanted in result["files"].items():
            key = f"{where.folder}/{name}"
            bodies[name] = context.store.get(key)
            if provenance.sha256(bodies[name]) != wanted["sha256"]:
                raise Damaged(f"{name} does not have the hash it lists")
            artifact[name] = entry(listed[key], bodies[name])
        return result, artifact, provenance.history_of(bodies[HISTORY])
    except UNREADABLE as exc:
        raise Damaged(f"it is not a result: {type(exc).__name__} {exc}") from exc

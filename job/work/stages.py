"""One task from its claim to its commit: wires data, nets, the loop, the store and the database.

Imported only when there is work to do: TensorFlow comes with it.
"""

import io
import json
import logging
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from job.coordination import study
from job.coordination.tasks import Registered
from job.data import staging
from job.errors import Diverged, JobError, Missing, NotReady
from job.learning import evaluate, kernels, provenance
from job.learning.backend import keras, tf
from job.learning.checkpoint import Damaged
from job.learning.models import transfer
from job.learning.models.build import build
from job.learning.train import (
    PREDICT_BATCH,
    Examples,
    Hooks,
    Outcome,
    batches,
    out_of_memory,
    predict,
    set_up,
    train,
)
from job.randomness import derive
from job.storage.store import Object, Store
from job.work import artifacts
from job.work.context import Run
from job.work.results import clear, entry, publish

log = logging.getLogger(__name__)


@dataclass
class Learned:
    """A trained net, how its training went, and what it was scored on."""

    net: keras.Model
    outcome: Outcome
    rows: np.ndarray | None  # of the training part, scored after each epoch; none for a final
    labels: np.ndarray  # of the whole training part

    @property
    def scored(self) -> np.ndarray:
        """The labels of the scored rows."""
        return self.labels[self.rows]

    @property
    def predictions(self) -> bytes:
        """The scored rows as predictions.npz."""
        return artifacts.predictions(self.outcome.probabilities, self.scored, self.rows)


def run(r: Run) -> None:
    """Do the task: commit its result, or leave it to a later attempt by the error raised."""
    set_up(r.experiment.threads)
    machine = provenance.machine()
    log.info("device: %(device)s (%(cpu)s, TensorFlow %(tensorflow)s)", machine)
    r.attempt.computes_on(machine)
    try:
        {"features": run_features, "trial": run_trial, "fold": run_fold, "final": run_final}[
            r.key.stage
        ](r)
    except tf.errors.OpError as exc:
        if not out_of_memory(exc):
            raise
        raise MemoryError(str(exc)) from exc
    except Diverged as exc:
        if r.key.stage != "trial":
            raise JobError(f"{r.key}: {exc}") from exc
        r.reports.flush()
        r.attempt.commit("pruned", None, {}, {}, reason=f"diverged: {exc}")
        log.info("%s ends as pruned: %s", r.key, exc)
        clear(r)


def run_features(r: Run) -> None:
    """Run the frozen base once over one shard of the training part, or take what another experiment made of it."""
    prefix = features_prefix(r.registered, r.key.model, r.key.index)
    with r.clock("upload"):
        stored, content = next(_made(r.store, prefix), (None, None))
    if stored is None:
        content = staging.npy(shard(r, _hooks(r)))
        with r.clock(
            "upload"
        ):  # its hash in the key: no put of another attempt or experiment replaces other bytes, but for damaged ones
            stored = r.store.put(_named(prefix, content), content)
    rows = len(np.load(io.BytesIO(content), allow_pickle=False))
    r.attempt.commit(
        "complete", None, {"images": rows}, {"features.npy": entry(stored, content)}, step=rows
    )
    clear(r)


def _made(store: Store, prefix: str) -> Iterator[tuple[Object, bytes]]:
    """Yield the objects of a shard, and their bytes, that are what their names say."""
    for o in store.listing(prefix):
        with suppress(Missing):  # removed since
            content = store.get(o.key)
            if o.key == _named(prefix, content):
                yield o, content


def shard(r: Run, hooks: Hooks) -> np.ndarray:
    """Return the features of this task's shard, from the newest checkpoint on: float32 [n, k]."""
    with r.clock("stage"):
        images, _ = staging.training_part(r.cache, r.registered.data)
        rows = np.array_split(np.arange(len(images)), r.experiment.features["shards"])[r.key.index]
    with r.clock("build"):
        base = _base(r)
    parts = (
        next(([arrays[0]] for arrays, _ in r.checkpoints.newest()), [])
        if r.attempt.number > 1
        else []
    )
    done = began = sum(len(part) for part in parts)

    def take():
        return [np.concatenate(parts)], {"step": done}

    r.begin()
    with r.clock("train"):
        for part in batches(base, images, rows[done:]):
            parts.append(part)
            done += len(part)
            if done - began <= PREDICT_BATCH:
                log.info("training: at step %d of %d", done, len(rows))
            hooks.offer(take)
            hooks.check()
    log.info("training: over at step %d", done)
    return np.concatenate(parts)


def run_trial(r: Run) -> None:
    """Train with the parameters the sampler gave, compare on the validation part."""
    study.choose(r.experiment, r.attempt)
    log.info("%s: %s", r.key, json.dumps(r.attempt.parameters))
    learned = learn(r, _hooks(r))
    outcome = learned.outcome
    metrics = {
        name: evaluate.score(
            name, learned.scored, outcome.probabilities, method=r.experiment.method
        )
        for name in ("accuracy", "log_loss")
    }
    pruned = outcome.pruned_at is not None
    reason = (
        f"pruned after epoch {outcome.pruned_at + 1} by {r.experiment.search['pruner']}"
        if pruned
        else None
    )
    files = {"predictions.npz": learned.predictions}
    publish(
        r,
        learned.net,
        outcome,
        metrics,
        outcome.value,
        files,
        "pruned" if pruned else "complete",
        reason,
    )


def run_fold(r: Run) -> None:
    """Train on all folds but one with the selected parameters, score the one left out."""
    learned = learn(r, _hooks(r))
    outcome = learned.outcome
    with r.clock("evaluate"):
        metrics = _scores(r, learned.scored, outcome.probabilities)
    images, _ = staging.training_part(r.cache, r.registered.data)
    model = whole(r, learned.net)
    content = artifacts.model_file(r, model, images[learned.rows[:64]], outcome.probabilities[:64])
    publish(
        r,
        model,
        outcome,
        metrics,
        outcome.value,
        {"predictions.npz": learned.predictions, "model.keras": content},
    )


def run_final(r: Run) -> None:
    """Train on the whole training part, then open the test part, once."""
    learned = learn(r, _hooks(r))
    r.reports.flush()  # the opening comes after the last epoch in the database, too
    r.check()
    with r.clock("evaluate"):
        images, labels, copies = staging.open_test_part(r.cache, r.registered.data, r.attempt)
        model = whole(r, learned.net)
        probabilities = predict(model, images, check=r.check)
        metrics = _scores(r, labels, probabilities)
        value = scorer(r)(labels, probabilities)
        metrics["without_copies"] = (
            {
                "n": int((~copies).sum()),
                "accuracy": float((probabilities.argmax(1) == labels)[~copies].mean()),
            }
            if copies.any() and not copies.all()
            else None
        )
    content = artifacts.model_file(r, model, images[:64], probabilities[:64])
    files = {
        "predictions.npz": artifacts.predictions(probabilities, labels, np.arange(len(labels))),
        "model.keras": content,
    }
    files["mistakes.npz"] = artifacts.mistakes(images, labels, probabilities)
    if r.parameters.get("augment"):
        files["augmentation.npz"] = artifacts.augmentation(r)
    publish(r, model, learned.outcome, metrics, value, files)


def features_prefix(registered: Registered, model: str, shard: int) -> str:
    """Return how the keys of one shard begin: data, base, weights, size, and all that its bits depend on; its hash follows."""
    experiment, fixed = registered.experiment, registered.experiment.fixed(model)
    alpha = f"-{fixed['alpha']:g}" if "alpha" in fixed else ""
    shrunk = (
        "-antialias"
        if transfer.antialiased(
            registered.data["image_shape"], fixed["input_size"], experiment.method
        )
        else ""
    )
    folder = f"features/{registered.data['id']}/{model}{alpha}-{registered.weights[model]['sha256'][:12]}-{fixed['input_size']}{shrunk}"
    return (
        f"{folder}/{shard}-of-{experiment.features['shards']}-{experiment.threads}-{made_here()}-"
    )


def _named(prefix: str, content: bytes) -> str:
    return f"{prefix}{provenance.sha256(content)[:16]}.npy"


def made_here() -> str:
    """Return a short name of the processor and the TensorFlow build, on which bits depend."""
    return provenance.sha256(json.dumps(provenance.machine(), sort_keys=True).encode())[:8]


def learn(r: Run, hooks: Hooks) -> Learned:
    """Train this task's net on its rows of the training part, from the newest checkpoint on."""
    with r.clock("stage"):
        inputs, labels = (
            _inputs(r),
            np.asarray(staging.training_part(r.cache, r.registered.data)[1]),
        )
        rows, scored = _rows(r, len(labels))
    with r.clock("build"):
        keras.utils.set_random_seed(r.seed)
        weights = None if r.experiment.frozen(r.key.model) else _weights(r)
        net = build(
            r.experiment,
            r.key.model,
            r.parameters,
            inputs.shape[1:],
            len(r.registered.data["classes"]),
            weights,
        )
    validation = Examples(inputs, labels, scored) if scored is not None else None
    r.begin()
    with r.clock("train"):
        outcome = _train(r, net, Examples(inputs, labels, rows), validation, hooks)
    r.attempt.seconds["train"] = round(r.attempt.seconds["train"] - outcome.evaluate_s, 3)
    r.attempt.seconds["evaluate"] = round(outcome.evaluate_s, 3)
    return Learned(net, outcome, scored, labels)


def _train(r: Run, net, training: Examples, validation: Examples | None, hooks: Hooks) -> Outcome:
    """Train from the newest checkpoint that is whole, or from the start."""
    fixed = transfer.fixed(net) if r.key.model in r.registered.weights else ()
    compiled, method = kernels.compiles(_expected_steps(r, len(training)), net), r.experiment.method
    for snapshot in r.checkpoints.newest() if r.attempt.number > 1 else ():
        try:
            return train(
                net,
                r.parameters,
                training,
                validation,
                r.seed,
                hooks,
                snapshot,
                fixed,
                compiled,
                method=method,
            )
        except Damaged as exc:
            log.warning("a checkpoint is skipped: %s", exc)
    return train(
        net, r.parameters, training, validation, r.seed, hooks, None, fixed, compiled, method=method
    )


def _expected_steps(r: Run, images: int) -> int:
    """Return how many steps a task of these parameters takes on average: a pruner ends most trials early."""
    share = study.EXPECTED_SHARE[r.experiment.search["pruner"]] if r.key.stage == "trial" else 1.0
    return round(share * r.parameters["epochs"] * math.ceil(images / r.parameters["batch_size"]))


def _hooks(r: Run) -> Hooks:
    """Return what the loop tells the store and the database, and asks them."""

    def report(epoch: int, metrics: dict, value: float | None) -> bool:
        return r.report(epoch, metrics, value, study.rule(r.experiment, r.key, epoch))

    return Hooks(r.checkpoints.offer, r.check, report, scorer(r))


def scorer(r: Run):
    """Return the experiment's metric as a function of labels and probabilities."""
    metric, method = r.experiment.search["metric"], r.experiment.method
    return lambda labels, probabilities: evaluate.score(
        metric, labels, probabilities, method=method
    )


def _scores(r: Run, labels: np.ndarray, probabilities: np.ndarray) -> dict:
    """Return all scores of a fold or final."""
    return evaluate.evaluate(
        labels,
        probabilities,
        r.registered.data["classes"],
        derive(r.seed, "bootstrap"),
        method=r.experiment.method,
    )


def _rows(r: Run, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the rows this task trains on, and those it is scored on."""
    if r.key.stage == "final":
        return np.arange(n), None
    validation, folds = staging.frozen_splits(r.cache, r.registered.splits)
    scored = validation if r.key.stage == "trial" else folds == r.key.index
    return np.flatnonzero(~scored), np.flatnonzero(scored)


def _inputs(r: Run) -> np.ndarray:
    """Return what the net trains on: mapped images, or mapped features of a frozen base."""
    if not r.experiment.frozen(r.key.model):
        return staging.training_part(r.cache, r.registered.data)[0]
    shards = r.attempt.artifacts("features")
    if len(shards) != r.experiment.features["shards"]:
        raise NotReady(
            f"{r.key}: {len(shards)} of {r.experiment.features['shards']} feature shards are there; the others are done again"
        )
    with staging.needed("`job repair` has it done again"):
        return r.cache.joined(
            {a["features.npy"]["key"]: a["features.npy"]["sha256"] for a in shards}
        )


def _weights(r: Run) -> Path | None:
    """Return the file of ImageNet weights this model begins with, if it is one that does."""
    entry = r.registered.weights.get(r.key.model)
    with staging.needed(staging.STAGED_AGAIN):
        return r.cache.file(entry["key"], entry["sha256"]) if entry else None


def _base(r: Run) -> keras.Model:
    experiment, shape = r.experiment, tuple(r.registered.data["image_shape"])
    return transfer.base(
        r.key.model, experiment.fixed(r.key.model), shape, _weights(r), method=experiment.method
    )


def whole(r: Run, net: keras.Model) -> keras.Model:
    """Return the end-to-end model: a frozen base before its head."""
    return transfer.join(_base(r), net) if r.experiment.frozen(r.key.model) else net

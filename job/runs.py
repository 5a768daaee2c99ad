"""One task from its claim to its commit: wires data, nets, the loop, the store and the database.

Imported only when there is work to do: TensorFlow comes with it.
"""

import io
import json
import logging
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from job import checkpoint, data, evaluate, record, study
from job.errors import Diverged, Impossible, JobError
from job.experiment import Experiment
from job.index import Key
from job.interrupt import INTERRUPT
from job.models import cnn, transfer
from job.randomness import derive
from job.store import Object, Store
from job.tasks import Attempt, Registered
from job.train import Examples, Hooks, Outcome, predict, set_up, train

SAME = 1e-5  # an end-to-end model's predictions are the stored ones, within this
SHOWN_IMAGES = 8
CHECKPOINTS_KEPT = 2

log = logging.getLogger(__name__)


@dataclass
class Run:
    """One attempt at work: where it reads, where it writes, what it is about."""

    attempt: Attempt
    registered: Registered
    store: Store
    cache: data.Cache
    checkpoint_s: float

    @property
    def experiment(self) -> Experiment:
        return self.registered.experiment

    @property
    def key(self) -> Key:
        return self.attempt.key

    @property
    def folder(self) -> str:
        """The store's folder of this task; each attempt writes under its number in it."""
        return f"experiments/{self.registered.id}/{self.key.model}/{self.key.stage}/{self.key.index}"

    @property
    def seed(self) -> int:
        return derive(self.experiment.seed, self.key.model, self.key.stage, self.key.index)

    @property
    def parameters(self) -> dict:
        """All parameters of this task: the fixed ones of the experiment and the chosen ones of the task."""
        return self.experiment.fixed(self.key.model) | (self.attempt.parameters or {})

    @contextmanager
    def clock(self, part: str):
        """Count the seconds of one part of the worker's life."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.attempt.seconds[part] = round(self.attempt.seconds.get(part, 0.0) + time.monotonic() - started, 3)

    def check(self) -> None:
        """Stop between two steps: for a signal, or because the lease is another's."""
        INTERRUPT.check()
        self.attempt.check()


def run(r: Run) -> None:
    """Do the task: commit its result, or leave it to a later attempt by the error raised."""
    set_up(r.experiment.threads)
    keras.utils.set_random_seed(r.seed)
    try:
        with r.attempt.keep():
            {"features": run_features, "trial": run_trial, "fold": run_fold, "final": run_final}[r.key.stage](r)
    except Diverged as exc:
        if r.key.stage != "trial":
            raise JobError(f"{r.key}: {exc}") from exc
        r.attempt.commit("pruned", None, {}, {}, reason=f"diverged: {exc}")
        log.warning("%s ends as pruned: %s", r.key, exc)


def run_features(r: Run) -> None:
    """Run the frozen base once over one shard of the training part."""
    key, rows = features_key(r.registered, r.key.model, r.key.index), None
    if r.store.head(key) is None:
        with r.clock("stage"):
            images, _ = data.training_part(r.cache, r.registered.data)
            rows = np.array_split(np.arange(len(images)), r.experiment.features["shards"])[r.key.index]
        with r.clock("build"):
            base = _base(r)
        with r.clock("train"):
            features = predict(base, images, rows, r.check)
        with r.clock("upload"):
            r.store.put(key, data.npy(features))
    with r.clock("upload"):
        content = r.store.get(key)
    entry = _entry(r.store.head(key), content)
    r.attempt.commit("complete", None, {"images": len(rows) if rows is not None else None}, {"features.npy": entry}, step=1)


def run_trial(r: Run) -> None:
    """Train with the parameters the sampler gave, compare on the validation part."""
    r.attempt.set_parameters(lambda cursor: study.suggest(r.experiment, r.key, r.attempt.values, cursor))
    log.info("%s: %s", r.key, json.dumps(r.attempt.parameters))
    validation, _ = _splits(r)
    net, outcome, _ = _learn(r, np.flatnonzero(~validation), np.flatnonzero(validation))
    labels = _labels(r)[validation]
    metrics = {
        "accuracy": evaluate.score("accuracy", labels, outcome.probabilities),
        "log_loss": evaluate.score("log_loss", labels, outcome.probabilities),
    }
    pruned = outcome.pruned_at is not None
    reason = f"pruned after epoch {outcome.pruned_at + 1} by {r.experiment.search['pruner']}" if pruned else None
    files = {"predictions.npz": _predictions(outcome.probabilities, labels, np.flatnonzero(validation))}
    _publish(r, net, outcome, metrics, outcome.value, files, "pruned" if pruned else "complete", reason)


def run_fold(r: Run) -> None:
    """Train on all folds but one with the selected parameters, score the one left out."""
    _, folds = _splits(r)
    rows = np.flatnonzero(folds == r.key.index)
    net, outcome, base = _learn(r, np.flatnonzero(folds != r.key.index), rows)
    labels = _labels(r)[rows]
    with r.clock("evaluate"):
        metrics = evaluate.evaluate(labels, outcome.probabilities, r.registered.data["classes"], derive(r.seed, "bootstrap"))
        value = evaluate.score(r.experiment.search["metric"], labels, outcome.probabilities)
    images, _ = data.training_part(r.cache, r.registered.data)
    model, content = _model_file(r, net, base, images[rows[:64]], outcome.probabilities[:64])
    files = {"predictions.npz": _predictions(outcome.probabilities, labels, rows), "model.keras": content}
    _publish(r, model, outcome, metrics, value, files)


def run_final(r: Run) -> None:
    """Train on the whole training part, then open the test part, once."""
    net, outcome, base = _learn(r, np.arange(r.registered.data["train"]), None)
    r.check()
    with r.clock("evaluate"):
        images, labels, copies = data.open_test_part(r.cache, r.registered.data, r.attempt)
        inputs = predict(base, images, check=r.check) if base else images
        probabilities = predict(net, inputs, check=r.check)
        metrics = evaluate.evaluate(labels, probabilities, r.registered.data["classes"], derive(r.seed, "bootstrap"))
        value = evaluate.score(r.experiment.search["metric"], labels, probabilities)
        metrics["without_copies"] = (
            {"n": int((~copies).sum()), "accuracy": float((probabilities.argmax(1) == labels)[~copies].mean())}
            if copies.any() and not copies.all()
            else None
        )
    model, content = _model_file(r, net, base, images[:64], probabilities[:64])
    files = {"predictions.npz": _predictions(probabilities, labels, np.arange(len(labels))), "model.keras": content}
    if r.parameters.get("augment"):
        files["augmentation.npz"] = _augmentation(r)
    _publish(r, model, outcome, metrics, value, files)


def features_key(registered: Registered, model: str, shard: int) -> str:
    """Return the store's key of one shard: content-addressed by data, base, weights and size."""
    fixed, weights = registered.experiment.fixed(model), registered.weights[model]
    alpha = f"-{fixed['alpha']:g}" if "alpha" in fixed else ""
    return f"features/{registered.data['id']}/{model}{alpha}-{weights['sha256'][:12]}-{fixed['input_size']}/{shard}-of-{registered.experiment.features['shards']}.npy"


def _learn(r: Run, rows: np.ndarray, validation_rows: np.ndarray | None) -> tuple[keras.Model, Outcome, keras.Model | None]:
    """Train this task's net; return it, how it went, and the frozen base (folds and finals) or None."""
    with r.clock("stage"):
        inputs, labels = _inputs(r), _labels(r)
    with r.clock("build"):
        frozen, classes = r.experiment.frozen(r.key.model), len(r.registered.data["classes"])
        base = _base(r) if frozen and r.key.stage in ("fold", "final") else None
        keras.utils.set_random_seed(r.seed)
        net = transfer.head(r.parameters, inputs.shape[1], classes) if frozen else cnn.build(r.parameters, inputs.shape[1:], classes)
    hooks = Hooks(
        check=r.check,
        save=lambda bundle, step: _save_checkpoint(r, bundle, step),
        report=lambda epoch, step, metrics, value: _report(r, epoch, step, metrics, value),
        score=lambda labels, probabilities: evaluate.score(r.experiment.search["metric"], labels, probabilities),
        checkpoint_s=r.checkpoint_s,
    )
    validation = Examples(inputs, labels, validation_rows) if validation_rows is not None else None
    with r.clock("train"):
        outcome = _train(r, net, Examples(inputs, labels, rows), validation, hooks)
    r.attempt.seconds["train"] = round(r.attempt.seconds["train"] - outcome.evaluate_s, 3)
    r.attempt.seconds["evaluate"] = round(outcome.evaluate_s, 3)
    return net, outcome, base


def _train(r: Run, net, training: Examples, validation: Examples | None, hooks: Hooks) -> Outcome:
    """Train from the newest checkpoint that is whole, or from the start."""
    for key in reversed(_checkpoints(r)):
        try:
            return train(net, r.parameters, training, validation, r.seed, hooks, r.store.get(key))
        except checkpoint.Damaged as exc:
            log.warning("checkpoint %s is skipped: %s", key, exc)
    return train(net, r.parameters, training, validation, r.seed, hooks)


def _report(r: Run, epoch: int, step: int, metrics: dict, value: float | None) -> bool:
    """Record an epoch; a trial's pruning decision is made in the same transaction."""
    decide = None
    if r.key.stage == "trial":
        decide = lambda cursor: study.decide(r.experiment, r.key, r.attempt.values, epoch, value, cursor)  # noqa: E731
    return r.attempt.report(epoch, step, metrics, value, decide)


def _save_checkpoint(r: Run, bundle: bytes, step: int) -> None:
    r.store.put(f"{r.folder}/{r.attempt.number}/checkpoint-{step:09d}", bundle)
    r.store.delete(_checkpoints(r)[:-CHECKPOINTS_KEPT])
    log.info("saved at step %d", step)


def _checkpoints(r: Run) -> list[str]:
    """Return the keys of this task's checkpoints, of all its attempts, by step."""
    keys = [o.key for o in r.store.listing(f"{r.folder}/") if "/checkpoint-" in o.key]
    return sorted(keys, key=lambda k: k.rpartition("-")[2])


def _inputs(r: Run) -> np.ndarray:
    """Return what the net trains on: mapped images, or mapped features of a frozen base."""
    if not r.experiment.frozen(r.key.model):
        return data.training_part(r.cache, r.registered.data)[0]
    shards = r.attempt.artifacts("features")
    if len(shards) != r.experiment.features["shards"]:
        raise Impossible(f"{r.key}: {len(shards)} of {r.experiment.features['shards']} feature shards are there")
    return r.cache.joined({a["features.npy"]["key"]: a["features.npy"]["sha256"] for a in shards})


def _labels(r: Run) -> np.ndarray:
    return np.asarray(data.training_part(r.cache, r.registered.data)[1])


def _splits(r: Run) -> tuple[np.ndarray, np.ndarray]:
    with r.clock("stage"):
        return data.frozen_splits(r.cache, r.registered.splits)


def _base(r: Run) -> keras.Model:
    entry = r.registered.weights[r.key.model]
    path = r.cache.file(entry["key"], entry["sha256"])
    return transfer.base(r.key.model, r.experiment.fixed(r.key.model), tuple(r.registered.data["image_shape"]), path)


def _model_file(r: Run, net: keras.Model, base: keras.Model | None, images: np.ndarray, stored: np.ndarray) -> tuple[keras.Model, bytes]:
    """Return the end-to-end model and its .keras file, checked against the stored predictions."""
    model = transfer.join(base, net) if base else net
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        content = path.read_bytes()
        again = predict(keras.saving.load_model(path, compile=False), np.asarray(images))
    worst = float(np.abs(again - stored).max())
    if worst > SAME:
        raise JobError(f"{r.key}: the saved model predicts otherwise than the trained one, by up to {worst:.2g}")
    return model, content


def _augmentation(r: Run) -> bytes:
    """Return 8 training images with 8 variants each, for the report."""
    import tensorflow as tf

    from job.augment import warp

    images = np.asarray(data.training_part(r.cache, r.registered.data)[0][:SHOWN_IMAGES])
    variants = [
        warp(images, r.parameters["augment"], tf.constant([derive(r.seed, "shown"), i], tf.int32)).numpy() for i in range(SHOWN_IMAGES)
    ]
    return _npz(originals=images, variants=np.stack(variants, 1).round().astype(np.uint8))


def _publish(
    r: Run,
    net: keras.Model,
    outcome: Outcome,
    metrics: dict,
    value: float | None,
    files: dict,
    state: str = "complete",
    reason: str | None = None,
) -> None:
    """Bytes first: every file under this attempt, then one fenced commit that names them with their hashes."""
    history = record.history_csv(outcome.history)
    result = {
        "schema": 1,
        "experiment": r.experiment.name,
        "experiment_id": r.registered.id,
        "fingerprint": r.registered.fingerprint,
        "model": r.key.model,
        "stage": r.key.stage,
        "index": r.key.index,
        "attempt": r.attempt.number,
        "state": state,
        "reason": reason,
        "parameters": r.parameters,
        "value": value,
        "metrics": metrics,
        "seed": r.seed,
        "threads": r.experiment.threads,
        "versions": record.versions(),
        "git_commit": record.git_commit(),
        "image_digest": record.image_digest(),
        "device": record.device(),
        "cpu": record.cpu_model(),
        "peak_memory_bytes": record.peak_memory(),
        "weights_sha256": checkpoint.hash_arrays([np.asarray(v) for v in net.weights]),
        "history_sha256": record.sha256(history),
        "predictions_sha256": record.sha256(files["predictions.npz"]),
        "parameters_count": int(net.count_params()),
        "layers": record.layers(net),
        "seconds": r.attempt.seconds,
    }
    with r.clock("upload"):
        files = files | {"history.csv": history, "result.json": json.dumps(result, indent=1).encode()}
        artifact = {name: _entry(r.store.put(f"{r.folder}/{r.attempt.number}/{name}", content), content) for name, content in files.items()}
    r.check()
    r.attempt.commit(state, value, metrics, artifact, reason, outcome.step)
    r.store.delete(_checkpoints(r))
    log.info("%s is %s%s", r.key, state, f": {r.experiment.search['metric']} {value:.4f}" if value is not None else "")


def _entry(stored: Object, content: bytes) -> dict:
    return {"key": stored.key, "sha256": record.sha256(content), "size": stored.size, "etag": stored.etag}


def _predictions(probabilities: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> bytes:
    return _npz(probabilities=probabilities.astype(np.float32), labels=labels.astype(np.int64), rows=rows.astype(np.int64))


def _npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()

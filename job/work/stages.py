"""One task from its claim to its commit: features, trial, fold or final.

Imports TensorFlow, so it is imported only when there is work to do.
"""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from job.coordination import study
from job.coordination.registered import Registered
from job.data import staging
from job.errors import Infeasible, JobError, Missing
from job.experiment.parameters import with_implied
from job.learning import evaluate, provenance
from job.learning.backend import keras, tf
from job.learning.models import transfer
from job.learning.result_format import Evaluation, FinalEvaluation, TrialScores, WithoutCopies
from job.learning.train import Hooks, out_of_memory, predict, set_up
from job.randomness import derive
from job.storage import paths
from job.storage.store import Object, Store
from job.work import artifacts
from job.work.context import Context
from job.work.results import Decision, clear, entry, publish
from job.work.training import Scored, learn, scorer, shard, whole

CHECKED = 64  # images on which the saved model is compared with the trained one

log = logging.getLogger(__name__)


def do(context: Context) -> None:
    """Do the task: commit its result, or leave it to a later attempt by the error raised.

    Raises:
        MemoryError: TensorFlow has no memory left.
        JobError: a fold or final is infeasible, or what `context.check` raises.
    """
    set_up(context.experiment.threads)
    machine = provenance.machine()
    log.info("device: %(device)s (%(cpu)s, TensorFlow %(tensorflow)s)", machine)
    context.attempt.record_machine(machine)
    stages = {"features": features, "trial": trial, "fold": fold, "final": final}
    try:
        stages[context.key.stage](context)
    except tf.errors.OpError as exc:
        if not out_of_memory(exc):
            raise
        raise MemoryError(str(exc)) from exc
    except Infeasible as exc:
        if context.key.stage != "trial":
            raise JobError(f"{context.key}: {exc}") from exc
        _prune(context, exc)


def _prune(context: Context, why: Infeasible) -> None:
    """Commit a trial whose parameters cannot be trained: pruned, without any file."""
    context.reports.flush()
    context.attempt.commit("pruned", None, {}, {}, reason=str(why))
    log.info("%s ends as pruned: %s", context.key, why)
    clear(context)


def features(context: Context) -> None:
    """Run the frozen base once over one shard of the training part, or take what exists.

    Another experiment may have made the same features.
    """
    prefix = features_prefix(context.registered, context.key.model, context.key.index)
    with context.clock("upload"):
        made = next(_made(context.store, prefix), None)
    stored, content = made or _make(context, prefix)
    rows = len(np.load(io.BytesIO(content), allow_pickle=False))
    artifact = {paths.FEATURES: entry(stored, content)}
    context.attempt.commit("complete", None, {"images": rows}, artifact, step=rows)
    clear(context)


def _made(store: Store, prefix: str) -> Iterator[tuple[Object, bytes]]:
    """Yield each object of a shard whose bytes are what its name says, and these bytes."""
    for stored in store.listing(prefix):
        with suppress(Missing):  # removed since
            content = store.get(stored.key)
            if stored.key == _named(prefix, content):
                yield stored, content


def _make(context: Context, prefix: str) -> tuple[Object, bytes]:
    """Compute a shard and store it.

    The hash is in the key. So a put of another attempt or experiment replaces only damaged bytes.
    """
    content = staging.npy(shard(context, _hooks(context)))
    with context.clock("upload"):
        return context.store.put(_named(prefix, content), content), content


def trial(context: Context) -> None:
    """Train with the parameters the sampler chose, compare on the validation part."""
    study.choose(context.experiment, context.attempt)
    log.info("%s: %s", context.key, json.dumps(context.attempt.parameters))
    learned = learn(context, _hooks(context))
    outcome = learned.outcome
    scored = learned.scored
    metrics: TrialScores = {
        "accuracy": _score("accuracy", context, scored),
        "log_loss": _score("log_loss", context, scored),
    }
    decision = Decision(metrics, outcome.value)
    if outcome.pruned_at is not None:
        pruner = context.experiment.search.pruner
        reason = f"pruned after epoch {outcome.pruned_at + 1} by {pruner}"
        decision = Decision(metrics, outcome.value, "pruned", reason)
    publish(context, learned.net, outcome, decision, {paths.PREDICTIONS: scored.predictions})


def _score(name: str, context: Context, scored: Scored) -> float:
    """Return one score of a trial."""
    method = context.experiment.method
    return evaluate.score(name, scored.labels, scored.probabilities, method=method)


def fold(context: Context) -> None:
    """Train on all folds but one with the selected parameters, score the one left out."""
    learned = learn(context, _hooks(context))
    scored = learned.scored
    with context.clock("evaluate"):
        metrics = _scores(context, scored.labels, scored.probabilities)
    images, _ = staging.training_part(context.cache, context.registered.data)
    model = whole(context, learned.net)
    checked = images[scored.rows[:CHECKED]]
    files = {
        paths.PREDICTIONS: scored.predictions,
        paths.MODEL: artifacts.model_file(context, model, checked, scored.probabilities[:CHECKED]),
    }
    publish(context, model, learned.outcome, Decision(metrics, learned.outcome.value), files)


def final(context: Context) -> None:
    """Train on the whole training part, then open the test part, once."""
    learned = learn(context, _hooks(context))
    context.reports.flush()  # the database, too, records the opening after the last epoch
    context.check()
    with context.clock("evaluate"):
        data = context.registered.data
        images, labels, copies = staging.open_test_part(context.cache, data, context.attempt)
        model = whole(context, learned.net)
        probabilities = predict(model, images, check=context.check)
        metrics: FinalEvaluation = {
            **_scores(context, labels, probabilities),
            "without_copies": _without_copies(labels, probabilities, copies),
        }
        value = scorer(context)(labels, probabilities)
    files = _final_files(context, model, images, labels, probabilities)
    publish(context, model, learned.outcome, Decision(metrics, value), files)


def _without_copies(
    labels: np.ndarray, probabilities: np.ndarray, copies: np.ndarray
) -> WithoutCopies | None:
    """Return the accuracy on test images that are not in the training part.

    None if it would be the same as for all images, or if no image is left.
    """
    if not copies.any() or copies.all():
        return None
    right = probabilities.argmax(1) == labels
    return {"n": int((~copies).sum()), "accuracy": float(right[~copies].mean())}


def _final_files(
    context: Context,
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
) -> dict[str, bytes]:
    """Return the files of a final: name -> bytes."""
    content = artifacts.model_file(context, model, images[:CHECKED], probabilities[:CHECKED])
    rows = np.arange(len(labels))
    files = {
        paths.PREDICTIONS: artifacts.predictions(probabilities, labels, rows),
        paths.MODEL: content,
        paths.MISTAKES: artifacts.mistakes(images, labels, probabilities),
    }
    if context.parameters.get("augment"):
        files[paths.AUGMENTATION] = artifacts.augmentation(context)
    return files


def features_prefix(registered: Registered, model: str, index: int) -> str:
    """Return how the keys of one shard begin, which name all that its bits depend on."""
    experiment = registered.experiment
    fixed = with_implied(experiment.fixed(model))
    size = fixed["input_size"]
    return paths.FeatureShard(
        data=registered.data.id,
        model=model,
        alpha=fixed.get("alpha"),
        weights=registered.weights[model]["sha256"],
        input_size=size,
        antialiased=transfer.is_antialiased(registered.data.image_shape, size, experiment.method),
        views=fixed["views"],
        depths=experiment.depths(model),
        index=index,
        shards=experiment.features.shards,
        threads=experiment.threads,
        machine=made_here(),
    ).prefix


def _named(prefix: str, content: bytes) -> str:
    return paths.features_file(prefix, provenance.sha256(content))


def made_here() -> str:
    """Return a short name of the processor and the TensorFlow build, on which bits depend."""
    return provenance.sha256(json.dumps(provenance.machine(), sort_keys=True).encode())[:8]


def _hooks(context: Context) -> Hooks:
    """Return what the training loop reports to the store and the database, and asks them."""

    def report(epoch: int, metrics: dict, value: float | None) -> bool:
        rule = study.rule(context.experiment, context.key, epoch)
        return context.report(epoch, metrics, value, rule)

    return Hooks(context.checkpoints.offer, context.check, report, scorer(context))


def _scores(context: Context, labels: np.ndarray, probabilities: np.ndarray) -> Evaluation:
    """Return all scores of a fold or final."""
    return evaluate.evaluate(
        labels,
        probabilities,
        context.registered.data.classes,
        derive(context.seed, "bootstrap"),
        method=context.experiment.method,
    )

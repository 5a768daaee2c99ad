"""A training stopped at any step, for any reason, and resumed gives the same bits."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from job.errors import Interrupted
from job.experiment.experiment import NEWEST
from job.experiment.parameters import with_implied
from job.learning import checkpoint, resident
from job.learning import train as learning_train
from job.learning.backend import keras, tf
from job.learning.evaluate import score
from job.learning.kernels import training_kernels
from job.learning.models import cnn, transfer, whitenet
from job.learning.models.build import adapt
from job.learning.optimizer import build_optimizer
from job.learning.provenance import history_csv, sha256
from job.learning.step import class_weights
from job.learning.train import (
    Examples,
    Hooks,
    predict,
    train,
)
from job.mapped import MAPPED_BYTES, read_rows
from job.randomness import generator
from job.work.artifacts import predictions

pytestmark = pytest.mark.slow
STEPS = 6  # of 2 epochs over 60 images in batches of 25
DECAYED = {"learning_rate": 0.01, "batch_size": 25, "epochs": 2}
DECAYED |= {"schedule": "cosine", "weight_decay": 0.01, "label_smoothing": 0.1}
CONSTANT = {"learning_rate": 0.01, "batch_size": 16, "epochs": 3}
CONSTANT |= {"schedule": "constant", "weight_decay": 0, "label_smoothing": 0}


def accuracy(labels, probabilities) -> float:
    """Return the accuracy, as a trial is scored by."""
    return score("accuracy", labels, probabilities, method=NEWEST)


def no_score(*_) -> float:
    """Return 0, where a test needs no score."""
    return 0.0


def parts(inputs) -> tuple[Examples, Examples]:
    """Return 60 examples to train on and 20 to validate with."""
    labels = np.arange(80) % 3
    return Examples(inputs, labels, np.arange(60)), Examples(inputs, labels, np.arange(60, 80))


def conv_net():
    """Return a small CNN, its parameters and images."""
    augment = {"shift": 0.1, "flip": True, "rotation": 10}
    parameters = {"blocks": 1, "width": 4, "units": 8, "dropout": 0.3, "augment": augment}
    net = cnn.build(parameters, (16, 16, 3), 3)
    images = np.random.default_rng(0).integers(0, 255, (80, 16, 16, 3), np.uint8)
    return net, parameters, images


def bfloat16_net():
    """Return the CNN with parameters for bfloat16, and with what conv_net leaves out."""
    net, parameters, images = conv_net()
    augment = {"flip": True, "crop": 2, "brightness": 0.2, "contrast": 0.2, "cutout": 0.3}
    augment["randaugment"] = 0.4
    parameters |= {"dtype": "mixed_bfloat16", "cutmix": 1.0, "augment": augment}
    parameters["views"] = "mirror"
    return net, parameters, images


def head():
    """Return a classification head, its parameters and features."""
    parameters = {"units": 8, "dropout": 0.3, "class_weights": "balanced"}
    features = np.random.default_rng(0).normal(size=(80, 20)).astype(np.float32)
    return transfer.head(parameters, 20, 3), parameters, features


def head_by_another_recipe():
    """Return the head with parameters that specifications older than them imply."""
    net, parameters, features = head()
    features = np.stack([features, -features], axis=1)  # of two views
    parameters |= {"views": "mirror", "optimizer": "sgd", "momentum": 0.8, "clip_norm": 0.5}
    parameters |= {"mixup": 0.4, "ema": 0.8}
    return net, parameters | {"schedule": "linear", "warmup": 0.4}, features


def tuned():
    """Return a net to fine-tune, its parameters and images."""
    parameters = {"input_size": 32, "units": 0, "dropout": 0.3, "unfreeze": 1}
    parameters["augment"] = {"shift": 0.1, "flip": True}
    images = np.random.default_rng(0).integers(0, 255, (80, 32, 32, 3), np.uint8)
    net = transfer.fine_tuning_model("vgg16", parameters, (32, 32, 3), 3, None, method=NEWEST)
    return net, parameters, images


class Drifting(keras.layers.Layer):
    """A layer with its own state: it counts training steps and adds more noise each time."""

    def __init__(self):
        super().__init__()
        self.random = keras.random.SeedGenerator(1)

    def build(self, shape):
        """Count the training steps in a weight."""
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        """Add noise that grows with each training step."""
        if training:
            self.steps.assign_add(1.0)
            return x + 0.01 * self.steps * keras.random.normal(keras.ops.shape(x), seed=self.random)
        return x


def stateful_net():
    """Return a net with a layer that has its own state."""
    images = np.random.default_rng(0).integers(0, 255, (80, 8, 8, 3), np.uint8)
    last = keras.layers.Dense(3, "softmax", kernel_regularizer="l2")
    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), Drifting(), last]
    return keras.Sequential(layers), {}, images


def whitened_net():
    """Return the net that takes its first layer from its training images."""
    parameters = {"blocks": 1, "width": 4, "dropout": 0.3, "augment": {"crop": 2, "flip": True}}
    parameters |= {"optimizer": "muon", "warmup": 0.2, "ema": 0.9}
    images = np.random.default_rng(0).integers(0, 255, (80, 12, 12, 3), np.uint8)
    return whitenet.build(parameters, (12, 12, 3), 3), parameters, images


class World:
    """A process that trains until it is stopped, and the store that outlives it."""

    def __init__(self, build):
        self.build = build
        self.bundle = None
        self.reported = {}
        self.asked_to_leave = threading.Event()

    def run(self, stop_at: int | None = None, stop_in_report: bool = False):
        """Train from the stored bundle; stop after a step, or in the report after it."""
        keras.utils.set_random_seed(5)
        net, parameters, inputs = self.build()
        parameters = DECAYED | parameters
        taken = []

        def check():
            if self.asked_to_leave.is_set():
                raise Interrupted("stopped")
            if not stop_in_report and len(taken) and taken[-1]()[1]["step"] == stop_at:
                raise Interrupted("stopped")

        def report(epoch, metrics, value):
            if stop_in_report and (epoch + 1) * 3 >= stop_at:
                raise Interrupted("stopped")
            assert self.reported.setdefault(epoch, (metrics, value)) == (metrics, value)
            return False

        hooks = Hooks(taken.append, check, report, accuracy)
        fixed = transfer.fixed_variables(net) if "unfreeze" in parameters else ()
        snapshot = checkpoint.unpack(self.bundle) if self.bundle else None
        if snapshot is None:
            adapt(net.name, net, parts(inputs)[0], 7)
        try:
            run = (net, parameters, *parts(inputs), 7, hooks, snapshot, fixed)
            outcome = train(*run, method=NEWEST)
        except Interrupted:
            self.bundle = checkpoint.pack(*taken[-1]())
            return None
        weights = checkpoint.hash_arrays([np.asarray(v) for v in net.weights])
        curve = history_csv(outcome.history)
        return weights, curve, outcome.probabilities.tobytes(), outcome.value, outcome.step


@pytest.mark.parametrize(
    "build", [conv_net, bfloat16_net, whitened_net, head, head_by_another_recipe, stateful_net]
)
def test_stopped_at_every_step(build):
    """A training stopped after every step, and in a report, gives an undisturbed one's bits."""
    calm = World(build).run()
    assert calm[-1] == STEPS
    world = World(build)
    for step in range(1, STEPS):
        assert world.run(stop_at=step) is None
        assert checkpoint.unpack(world.bundle)[1]["step"] == step
    assert world.run(stop_at=STEPS, stop_in_report=True) is None
    assert world.run() == calm
    assert sorted(world.reported) == [0, 1]


def test_a_training_leaves_while_a_batch_is_late(monkeypatch):
    """A training that leaves before the first step of an epoch, as the disk hangs, resumes there.

    The thread that reads changes no bit.
    """
    calm = World(head).run()
    world = World(head)
    answers = threading.Event()
    reads = []

    def read(array, rows):
        reads.append(threading.current_thread().name)
        if len(reads) == 4:  # the first batch of the second epoch
            world.asked_to_leave.set()
            answers.wait(60)
        return array[rows]

    with monkeypatch.context() as slow:
        slow.setattr(resident, "read_rows", read)
        assert world.run() is None
    answers.set()
    assert set(reads) == {"feed"}
    assert checkpoint.unpack(world.bundle)[1]["step"] == 3
    world.asked_to_leave.clear()
    assert world.run() == calm


def test_a_part_on_the_device_changes_no_bit(monkeypatch):
    """A training that gathers its batches on a device has the bits of one that reads them.

    The device is the processor here. A part of a GiB may stay there, a larger one may not.
    """
    calm = World(head).run()
    gathered = []

    def gather_on_cpu(inputs):
        gather = resident.gather_on("CPU:0", inputs)
        return lambda rows: gathered.append(len(rows)) or gather(rows)

    monkeypatch.setattr(learning_train, "reader", gather_on_cpu)
    assert World(head).run() == calm
    assert gathered == [25, 25, 10] * 2
    assert resident.fits(1 << 30) == (True, "it has 1,024 MiB and 1,024 MiB may stay")
    assert not resident.fits((1 << 30) + 1)[0]


def test_fine_tuning_resumes_bit_for_bit():
    """Fine-tuning resumes with the same bits.

    Its checkpoints hold what is trained, and nothing that is frozen.
    """
    calm = World(tuned).run()
    world = World(tuned)
    assert world.run(stop_at=5) is None
    frozen = sum(v.numpy().nbytes for v in transfer.fixed_variables(tuned()[0]))
    trained = sum(a.nbytes for a in checkpoint.unpack(world.bundle)[0])
    assert frozen > trained > len(world.bundle) - 20_000
    assert world.run() == calm  # the frozen part comes from a file; here from its seed


def test_a_stored_decision_ends_a_resumed_training():
    """A trial that was pruned, stopped and resumed trains no further step."""

    def once(snapshot, pruned_after):
        keras.utils.set_random_seed(5)
        net, parameters, inputs = head()
        taken = []

        def report(epoch, *_) -> bool:
            return epoch == pruned_after

        hooks = Hooks(taken.append, report=report, score=accuracy)
        run = (net, parameters | CONSTANT, *parts(inputs), 7, hooks, snapshot)
        return train(*run, method=NEWEST), taken

    first, taken = once(None, 1)
    again, steps = once(checkpoint.unpack(checkpoint.pack(*taken[-1]())), 1)
    assert steps == []
    assert (again.pruned_at, again.step) == (1, 8)
    assert (again.value, again.history) == (first.value, first.history)
    assert again.probabilities.tobytes() == first.probabilities.tobytes()


def test_predictions_are_the_same_bytes_under_every_python():
    """predictions.npz depends only on its arrays, so another Python can replay it bit for bit."""
    stored = predictions(np.eye(3), np.arange(3), np.arange(3))
    assert sha256(stored) == "4a73a2baf8c7f2637af76d5108fa15407a9a035a671a8afa313ecf2954a815e7"


def test_class_weights_are_those_of_scikit_learn():
    """Class weights are n / (k * count) of the training rows, and none without."""
    labels = np.array([0] * 50 + [1] * 30 + [2] * 20)
    rows = np.flatnonzero(np.arange(100) % 10 < 7)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels[rows])
    weights = class_weights(labels[rows], 3, {"class_weights": "balanced"})
    assert weights == pytest.approx(expected)
    assert class_weights(labels[rows], 3, {"class_weights": "none"}) is None


@pytest.mark.parametrize(("mode", "share"), [("none", 0.9), ("balanced", 0.5)])
def test_balanced_classes_weigh_the_same(mode, share):
    """Where inputs carry no information, a net learns class frequencies; balanced, equal ones."""
    labels = np.array([0] * 90 + [1] * 10)
    examples = Examples(np.zeros((100, 4), np.float32), labels, np.arange(100))
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    parameters = CONSTANT | {"learning_rate": 0.05, "batch_size": 100, "epochs": 150}
    parameters["class_weights"] = mode
    hooks = Hooks(score=accuracy)
    outcome = train(net, parameters, examples, examples, 1, hooks, method=NEWEST)
    assert outcome.probabilities[0, 0] == pytest.approx(share, abs=0.02)


PLAIN = {"learning_rate": 0.01, "batch_size": 20, "epochs": 2, "schedule": "constant"}


def test_by_method_1_a_training_has_the_old_bits():
    """Method 1 computes what the first versions did: AdamW over all variables.

    Its validation loss is not smoothed.
    """
    keras.utils.set_random_seed(5)
    net, parameters, inputs = head()
    labels = np.arange(80) % 3
    smoothing = 0.1
    decay = 0.2
    then = keras.models.clone_model(net)
    then.set_weights(net.get_weights())
    parameters |= PLAIN | {"weight_decay": decay, "label_smoothing": smoothing}
    parameters |= {"dropout": 0.0, "class_weights": "none"}
    for one in (net, then):
        next(layer for layer in one.layers if isinstance(layer, keras.layers.Dropout)).rate = 0.0
    hooks = Hooks(score=no_score)
    outcome = train(net, parameters, *parts(inputs), 7, hooks, method=1)
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=decay)
    optimizer.build(then.trainable_variables)
    for epoch in range(2):
        order = generator(7, "order", epoch).permutation(np.arange(60))
        for rows in np.split(order, 3):
            step_of_then(then, optimizer, inputs[rows], labels[rows], smoothing)
    assert [a.tobytes() for a in net.get_weights()] == [a.tobytes() for a in then.get_weights()]
    p = predict(then, inputs, np.arange(60, 80))
    right = p[np.arange(20), labels[60:]].astype(float)
    assert outcome.history[-1]["val_loss"] == float(-np.log(np.clip(right, 1e-7, 1)).mean())


@tf.function(autograph=False)
def step_of_then(net, optimizer, x, labels, smoothing):
    """Take one training step as the first versions did."""
    with tf.GradientTape() as tape, training_kernels(net, "float32"):
        losses = keras.losses.categorical_crossentropy(
            tf.one_hot(labels, 3), net(x, training=True), label_smoothing=smoothing
        )
        loss = tf.reduce_mean(losses)
    optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)


def test_both_losses_of_a_curve_are_of_one_kind():
    """With label smoothing, the validation loss is smoothed as the training loss is.

    On the same rows, and without a step, both are one number.
    """
    _, parameters, inputs = head()
    parameters |= PLAIN | {"batch_size": 60, "epochs": 1, "learning_rate": 1e-8}
    parameters |= {"weight_decay": 0.0, "label_smoothing": 0.3, "class_weights": "none"}
    net = keras.Sequential([keras.Input((20,)), keras.layers.Dense(3, "softmax")])
    rows = Examples(inputs, np.arange(80) % 3, np.arange(60))
    for method, same in ((2, True), (1, False)):
        outcome = train(net, parameters, rows, rows, 7, Hooks(score=no_score), method=method)
        losses = outcome.history[0]
        assert (losses["loss"] == pytest.approx(losses["val_loss"], rel=1e-4)) == same


def test_weight_decay_leaves_biases_and_normalization_alone():
    """Without gradients only kernels and embeddings shrink, by learning rate x decay per step.

    By method 1 every variable shrinks.
    """
    layers = [
        keras.layers.Conv2D(2, 3),
        keras.layers.BatchNormalization(),
        keras.layers.DepthwiseConv2D(3),
        keras.layers.LayerNormalization(),
    ]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    for method, decayed in ((2, {"kernel"}), (1, {"kernel", "bias", "gamma", "beta"})):
        copies = [type(layer).from_config(layer.get_config()) for layer in layers]
        net = keras.Sequential([keras.Input((8, 8, 3)), *copies])
        parameters = with_implied(PLAIN | {"weight_decay": 0.5})
        optimizer = build_optimizer(parameters, 10, net, method)
        optimizer.build(net.trainable_variables)
        for variable in net.trainable_variables:
            variable.assign(tf.ones_like(variable))
        no_gradients = [tf.zeros_like(v) for v in net.trainable_variables]
        optimizer.apply(no_gradients, net.trainable_variables)
        shrunk = {v.name for v in net.trainable_variables if (np.asarray(v) < 1).all()}
        assert shrunk == decayed
        assert np.asarray(net.layers[-1].kernel) == pytest.approx(1 - 0.01 * 0.5)


def test_averages_are_scored_and_published():
    """With `ema` the training goes on as without; scored and published is the average by formula.

    Batch statistics are averaged, too, and the state of random numbers is not.
    """
    _, parameters, inputs = head()
    parameters |= PLAIN | {"weight_decay": 0.0, "label_smoothing": 0.0}
    training, validation = parts(inputs)
    runs = {}
    for ema in (0.0, 0.5):
        keras.utils.set_random_seed(5)
        net = transfer.head(parameters, 20, 3)
        begin = [np.array(v.numpy()) for v in net.variables]
        seen = []
        hooks = Hooks(score=no_score, offer=lambda take: seen.append(take()[0][: len(begin)]))
        outcome = train(net, parameters | {"ema": ema}, training, validation, 7, hooks, method=2)
        runs[ema] = (begin, seen, net, outcome)
    assert checkpoint.hash_arrays(sum(runs[0.0][1], [])) == checkpoint.hash_arrays(
        sum(runs[0.5][1], [])
    )
    begin, seen, net, outcome = runs[0.5]
    averages = begin
    for done, weights in enumerate(seen, 1):
        decay = min(0.5, (1 + done) / (10 + done))
        averages = [a + (w - a) * (1 - decay) for a, w in zip(averages, weights, strict=True)]
    for variable, average, last in zip(net.variables, averages, seen[-1], strict=True):
        is_number = "float" in str(variable.dtype)
        assert np.asarray(variable) == pytest.approx(average if is_number else last, abs=1e-6)
    again = predict(net, inputs, validation.rows)
    assert np.array_equal(outcome.probabilities, again)
    assert not np.array_equal(outcome.probabilities, runs[0.0][3].probabilities)


def test_a_mapped_file_is_no_memory_of_the_process(tmp_path):
    """However much of a large mapped file was read, little of it counts as process memory.

    What was read is what the file holds.
    """
    n = 2 * MAPPED_BYTES // 3072
    shape = (n, 32, 32, 3)
    written = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, shape)
    # The file is mostly a hole.
    written[::1000] = 7
    del written
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    batches = np.array_split(np.random.default_rng(0).permutation(n), n // 256)
    sums = [int(read_rows(images, rows).sum()) for rows in batches]
    assert sum(sums) == len(range(0, n, 1000)) * 3072 * 7
    assert resident_bytes(tmp_path / "images.npy") < MAPPED_BYTES / 4


def resident_bytes(path) -> int:
    """Return how much of a mapped file is in this process's memory."""
    rest = Path("/proc/self/smaps").read_text().partition(f"{path}\n")[2]
    return int(re.search(r"^Rss: +(\d+) kB", rest, re.M)[1]) * 1024

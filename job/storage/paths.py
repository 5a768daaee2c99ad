# pyright: strict
"""The keys of the store: the one place that knows their form.

    data/ID/NAME                     a staged data set, by its content
    weights/SHA256.weights.h5        ImageNet weights, and a pointer of each model to its file
    features/DATA/BASE/SHARD.npy     features of a frozen base, for all experiments
    experiments/ID/report/NAME       a copy of the report
    experiments/ID/MODEL/STAGE/INDEX/ATTEMPT-OWNER/NAME     files of an attempt
    dropped/ID.json                  a note for `job gc`

OWNER is the beginning of the name of the process that has the attempt. A database that was set
back in time issues an attempt's number again, and two attempts of one number must not overwrite
each other. Older versions wrote ATTEMPT alone.
"""

import re
from dataclasses import dataclass

from job.experiment.task import Key

# Files of a staged data set.
MANIFEST = "manifest.json"
SAMPLES = "samples.npz"
TRAIN_IMAGES = "train-images.npy"
TRAIN_LABELS = "train-labels.npy"
TRAIN_GROUPS = "train-groups.npy"
TEST_IMAGES = "test-images.npy"
TEST_LABELS = "test-labels.npy"
TEST_COPIES = "test-copies.npy"
TEST_GROUPS = "test-groups.npy"
# Files of a task, as its row names them.
FEATURES = "features.npy"
RESULT = "result.json"
HISTORY = "history.csv"
PREDICTIONS = "predictions.npz"
MISTAKES = "mistakes.npz"
AUGMENTATION = "augmentation.npz"
MODEL = "model.keras"

OWNER_LENGTH = 8
HASH_LENGTH = 16  # of the sha256 in a key
TOP = "experiments"
NOTES = "dropped/"
ATTEMPT = re.compile(rf"(?P<attempt>\d+)(-(?P<owner>[0-9a-f]{{{OWNER_LENGTH}}}))?", re.ASCII)
TASK = rf"{TOP}/(?P<experiment>[^/]+)/(?P<model>[^/]+)/(?P<stage>[^/]+)/(?P<index>\d+)"
KEY = re.compile(rf"{TASK}/{ATTEMPT.pattern}/(?P<name>.+)", re.ASCII)
DROPPED = re.compile(rf"{NOTES}(?P<experiment>[a-z0-9-]+)\.json")
WEIGHTS = re.compile(r"weights/(?P<sha256>[0-9a-f]{64})(\.weights)?\.h5")
CHECKPOINT = re.compile(r"checkpoint-(?P<step>\d+)(-(?P<mark>[0-9a-f]+))?", re.ASCII)


# --- data, weights and features: shared by experiments ---


def data_file(data: str, name: str) -> str:
    """Return the key of a file of a staged data set.

    Args:
        data: id of the data set.
        name: of the file, such as `MANIFEST`; "" for the beginning of all its keys.
    """
    return f"data/{data}/{name}"


def is_manifest(key: str) -> bool:
    """Tell whether a staged object is the manifest of its data set."""
    return key.endswith(f"/{MANIFEST}")


def splits_file(data: str, sha256: str) -> str:
    """Return the key of the frozen splits of a data set, by their hash."""
    return data_file(data, f"splits-{sha256[:HASH_LENGTH]}.npz")


def weights_file(sha256: str, file: str) -> str:
    """Return the key of a file of weights.

    Args:
        sha256: of its bytes.
        file: its name. Keras tells its current layout, `.weights.h5`, from the older one, `.h5`,
            by the ending.
    """
    ending = ".weights.h5" if file.endswith(".weights.h5") else ".h5"
    return f"weights/{sha256}{ending}"


def weights_pointer(name: str) -> str:
    """Return the key of the object that names the file staged last under one of our names."""
    return f"weights/{name}.json"


def hash_of_weights(key: str) -> str | None:
    """Return the hash that a key of `weights_file` names, or None for any other key."""
    match = WEIGHTS.fullmatch(key)
    return match["sha256"] if match else None


@dataclass(frozen=True, kw_only=True)
class FeatureShard:
    """One shard of the features of a frozen base, and all that its bits depend on."""

    data: str  # id of the data set
    model: str
    alpha: float | None  # of the base, None where it has none
    weights: str  # sha256
    input_size: int  # pixels
    antialiased: bool  # while the images shrink to that size
    views: str  # of an image: "none" or "mirror"
    depths: int  # how many maps the features are means of
    index: int
    shards: int
    threads: int
    machine: str  # a short name of the processor and the TensorFlow build

    @property
    def prefix(self) -> str:
        """How the keys of the shard begin; the hash of its bytes follows."""
        alpha = "" if self.alpha is None else f"-{self.alpha:g}"
        shrunk = "-antialias" if self.antialiased else ""
        views = "" if self.views == "none" else f"-{self.views}"
        depths = "" if self.depths == 1 else f"-depths{self.depths}"
        made = f"{self.weights[:12]}-{self.input_size}{shrunk}{depths}{views}"
        shard = f"{self.index}-of-{self.shards}-{self.threads}-{self.machine}"
        return f"{features_folder(self.data)}{self.model}{alpha}-{made}/{shard}-"


def features_folder(data: str) -> str:
    """Return how the keys of all features of a data set begin."""
    return f"features/{data}/"


def features_file(prefix: str, sha256: str) -> str:
    """Return the key of the bytes of a shard, see `FeatureShard`."""
    return f"{prefix}{sha256[:HASH_LENGTH]}.npy"


def is_made_on(key: str, machine: str) -> bool:
    """Tell whether the features of a key were made on a machine, see `FeatureShard`."""
    return f"-{machine}-" in key


# --- an experiment's own ---


@dataclass(frozen=True)
class TaskFile:
    """A file of an attempt, as its key describes it."""

    key: str
    experiment: str
    task: Key
    attempt: int
    owner: str | None  # its first letters; None for files of an older version
    name: str

    @property
    def step(self) -> int | None:
        """The step of a checkpoint, None for any other file."""
        match = CHECKPOINT.fullmatch(self.name)
        return int(match["step"]) if match else None

    @property
    def mark(self) -> str | None:
        """The mark of a checkpoint (see `checkpoint_name`).

        None for any other file, and for a checkpoint of an older version.
        """
        match = CHECKPOINT.fullmatch(self.name)
        return match["mark"] if match else None

    @property
    def folder(self) -> str:
        """The folder of the attempt."""
        return self.key[: -len(self.name) - 1]


def task_file(key: str) -> TaskFile | None:
    """Return what a key says, or None if it is not the key of an attempt's file."""
    match = KEY.fullmatch(key)
    if match is None:
        return None
    return TaskFile(
        key=key,
        experiment=match["experiment"],
        task=Key(match["model"], match["stage"], int(match["index"])),
        attempt=int(match["attempt"]),
        owner=match["owner"],
        name=match["name"],
    )


def attempt_of(experiment: str, task: Key, files: dict[str, str]) -> tuple[int, str | None] | None:
    """Return number and owner of the one attempt that wrote all files of a task.

    The result is that of `task_file`. For the ten thousand tasks of an experiment, this takes a
    tenth of its time.

    Args:
        experiment: id of the experiment.
        task: the task.
        files: name of a file -> key.

    Returns:
        None if the files are not all of one attempt at this task.
    """
    head = f"{task_folder(experiment, task)}/"
    folders = {key[len(head) : -len(name) - 1] for name, key in files.items()}
    folder = folders.pop() if len(folders) == 1 else ""
    match = ATTEMPT.fullmatch(folder)
    if match is None or any(key != f"{head}{folder}/{name}" for name, key in files.items()):
        return None
    return int(match["attempt"]), match["owner"]


def experiment_folder(experiment: str) -> str:
    """Return the folder of an experiment, by its id."""
    return f"{TOP}/{experiment}"


def report_file(experiment: str, name: str) -> str:
    """Return the key of a file of an experiment's report."""
    return f"{experiment_folder(experiment)}/report/{name}"


def is_of_experiment(key: str) -> bool:
    """Tell whether an object belongs to an experiment: a file of a task, or of the report."""
    return key.startswith(f"{TOP}/")


def drop_note(experiment: str) -> str:
    """Return the key of the note that an experiment was dropped and may have left files.

    Args:
        experiment: id of the experiment.
    """
    return f"{NOTES}{experiment}.json"


def dropped_experiment(key: str) -> str | None:
    """Return the id of the experiment whose note (see `drop_note`) has this key, or None."""
    match = DROPPED.fullmatch(key)
    return match["experiment"] if match else None


def task_folder(experiment: str, task: Key) -> str:
    """Return the folder of all attempts at a task."""
    return f"{experiment_folder(experiment)}/{task.model}/{task.stage}/{task.index}"


def attempt_folder(experiment: str, task: Key, attempt: int, owner: str) -> str:
    """Return the folder that an attempt writes to."""
    return f"{task_folder(experiment, task)}/{attempt}-{owner[:OWNER_LENGTH]}"


def checkpoint_name(step: int, mark: str) -> str:
    """Return the name of a checkpoint.

    Args:
        step: of the training, at least 0.
        mark: hexadecimal digits, equal for all checkpoints of one task and its parameters.
    """
    return f"checkpoint-{step:09d}-{mark}"

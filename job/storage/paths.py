# pyright: strict
"""The keys of a task's files in the store: the one place that knows their form.

    experiments/ID/MODEL/STAGE/INDEX/ATTEMPT-OWNER/NAME

OWNER is the beginning of the name of the process that has the attempt. A database that was set
back in time issues an attempt's number again, and two attempts of one number must not overwrite
each other. Older versions wrote ATTEMPT alone.
"""

import re
from dataclasses import dataclass

from job.experiment.task import Key

OWNER_LENGTH = 8
TOP = "experiments"
ATTEMPT = re.compile(rf"(?P<attempt>\d+)(-(?P<owner>[0-9a-f]{{{OWNER_LENGTH}}}))?", re.ASCII)
TASK = rf"{TOP}/(?P<experiment>[^/]+)/(?P<model>[^/]+)/(?P<stage>[^/]+)/(?P<index>\d+)"
KEY = re.compile(rf"{TASK}/{ATTEMPT.pattern}/(?P<name>.+)", re.ASCII)
DROPPED = re.compile(r"dropped/(?P<experiment>[a-z0-9-]+)\.json")
CHECKPOINT = re.compile(r"checkpoint-(?P<step>\d+)(-(?P<mark>[0-9a-f]+))?", re.ASCII)


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


def note_of(experiment: str) -> str:
    """Return the key of the note that an experiment was dropped and may have left files.

    Args:
        experiment: id of the experiment.
    """
    return f"dropped/{experiment}.json"


def dropped(key: str) -> str | None:
    """Return the id of the experiment whose note (see `note_of`) has this key, or None."""
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

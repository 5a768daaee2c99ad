"""Where the files of a task lie in the store: the one place that knows the shape of their keys.

    experiments/ID/MODEL/STAGE/INDEX/ATTEMPT-OWNER/NAME

OWNER begins the name of the process that holds the attempt: a database that went back in time hands out a
number again, and two attempts of one number must not write over each other. Older versions wrote ATTEMPT alone.
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
    """A file of an attempt, taken from its key."""

    key: str
    experiment: str
    task: Key
    attempt: int
    owner: str | None  # the first letters of it; None where an older version wrote
    name: str

    @property
    def step(self) -> int | None:
        """The step of a checkpoint, None for any other file."""
        found = CHECKPOINT.fullmatch(self.name)
        return int(found["step"]) if found else None

    @property
    def mark(self) -> str | None:
        """What a checkpoint's name says of whose it is; None for any other file, and where an older version wrote."""
        found = CHECKPOINT.fullmatch(self.name)
        return found["mark"] if found else None

    @property
    def folder(self) -> str:
        """The folder of the attempt."""
        return self.key[: -len(self.name) - 1]


def task_file(key: str) -> TaskFile | None:
    """Return what a key says, or None if it is not of a file of an attempt."""
    found = KEY.fullmatch(key)
    if found is None:
        return None
    task = Key(found["model"], found["stage"], int(found["index"]))
    return TaskFile(
        key, found["experiment"], task, int(found["attempt"]), found["owner"], found["name"]
    )


def attempt_of(experiment: str, task: Key, files: dict[str, str]) -> tuple[int, str | None] | None:
    """Return number and owner of the one attempt at a task that all these files (name -> key) are of, or None.

    As `task_file` would tell, but for the ten thousand tasks of an experiment in a tenth of its time.
    """
    head = f"{task_folder(experiment, task)}/"
    folders = {key[len(head) : -len(name) - 1] for name, key in files.items()}
    folder = folders.pop() if len(folders) == 1 else ""
    found = ATTEMPT.fullmatch(folder)
    if found is None or any(key != f"{head}{folder}/{name}" for name, key in files.items()):
        return None
    return int(found["attempt"]), found["owner"]


def experiment_folder(experiment: str) -> str:
    """Return the folder of an experiment, by its id."""
    return f"{TOP}/{experiment}"


def note_of(experiment: str) -> str:
    """Return the key of the note that an experiment, by its id, was dropped and may have left something."""
    return f"dropped/{experiment}.json"


def dropped(key: str) -> str | None:
    """Return the id of the experiment of which a key is that note, or None."""
    found = DROPPED.fullmatch(key)
    return found["experiment"] if found else None


def task_folder(experiment: str, task: Key) -> str:
    """Return the folder of a task: of all its attempts."""
    return f"{experiment_folder(experiment)}/{task.model}/{task.stage}/{task.index}"


def attempt_folder(experiment: str, task: Key, attempt: int, owner: str) -> str:
    """Return the folder that an attempt writes to."""
    return f"{task_folder(experiment, task)}/{attempt}-{owner[:OWNER_LENGTH]}"


def checkpoint_name(step: int, mark: str) -> str:
    """Return the name of a checkpoint. Args: mark: hexadecimal digits, equal for checkpoints of one task and its parameters."""
    return f"checkpoint-{step:09d}-{mark}"

"""The files of tasks in the store, checked by their hashes; a problem becomes a sentence."""

import hashlib
import io
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from job.errors import Missing
from job.report.results import Task
from job.storage.cache_folder import CacheFolder
from job.storage.store import Store

MOST_BYTES = 1 << 26  # of a file that is read into memory; a larger one goes to the disk
Content = io.BytesIO | io.BufferedReader


class Artifacts:
    """The files of tasks, as their rows name them.

    Attributes:
        problems: one sentence, without its period, per file that is missing or altered.
    """

    def __init__(self, store: Store, folder: CacheFolder, problems: list[str]):
        """Args: folder: this node's cache, where large files lie while they are read."""
        self.problems = problems
        self._store = store
        self._folder = folder

    def read(self, model: str, task: Task, file: str) -> bytes | None:
        """Return the bytes of a file of a task, or None and one more problem."""
        with self.opened(model, task, file) as content:
            return content.read() if content else None

    @contextmanager
    def opened(self, model: str, task: Task, file: str) -> Generator[Content | None]:
        """Yield a file of a task, open for reading, or None and one more problem.

        Raises: Unreachable if the cache's disk is full; Invalid if it cannot be used.
        """
        entry = task.artifact.get(file)
        where = f"{model} {task.stage} {task.index}"
        with ExitStack() as stack:
            content = None
            if entry is None:
                self.problems.append(f"{where} has no {file}")
            else:
                content = self._checked(entry, f"{where}: {file}", stack)
            yield content

    def _checked(self, entry: dict, what: str, stack: ExitStack) -> Content | None:
        """Return an artifact if it has the sha256 that the task's row names."""
        try:
            content = self._fetch(entry, stack)
        except Missing:
            self.problems.append(f"{what} is not in the store under {entry['key']}")
            return None
        if hashlib.file_digest(content, "sha256").hexdigest() != entry["sha256"]:
            self.problems.append(
                f"{what} in the store is left out: its sha256 is not the one in the task's row"
            )
            return None
        content.seek(0)
        return content

    def _fetch(self, entry: dict, stack: ExitStack) -> Content:
        if entry["size"] <= MOST_BYTES:
            return io.BytesIO(self._store.get(entry["key"]))
        path = stack.enter_context(self._folder.scratch()) / "artifact"
        self._store.download(entry["key"], path)
        return stack.enter_context(open(path, "rb"))

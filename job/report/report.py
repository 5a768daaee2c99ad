"""The report: what came of an experiment, for people (index.html) and programs (report.json).

It reads rows and artifacts only, trains nothing, never opens the test part, and works at any time:
what is not there yet is said in words and never averaged away.
"""

import errno
import logging
from pathlib import Path

from job.coordination.database import Database
from job.coordination.tasks import Registered
from job.errors import Invalid, Unreachable
from job.files import write_whole
from job.report.collect import collect
from job.report.figures import draw
from job.report.page import render
from job.report.summary import leaderboard, summarise, to_text
from job.storage.paths import experiment_folder
from job.storage.store import Store

log = logging.getLogger(__name__)


def write(database: Database, store: Store, registered: Registered, out: Path) -> dict:
    """Write index.html, report.json, leaderboard.csv and the pictures to `out` and to the store.

    Written again, it replaces what it wrote; the same rows and artifacts give the same bytes.

    Returns: report.json as a dict.
    Raises: Invalid when `out` cannot be written, Unreachable when its disk is full.
    """
    collected = collect(database, store, registered)
    summary = summarise(collected)
    files = assemble(collected, summary)
    for name, content in files.items():
        _replace(Path(out), name, content)
    for name, content in files.items():
        store.put(f"{experiment_folder(registered.id)}/report/{name}", content)
    log.info("report: %s", Path(out) / "index.html")
    return summary


def assemble(collected, summary: dict) -> dict[str, bytes]:
    """Return every file of the report by its name; index.html is the last, as it shows the others."""
    pictures = draw(collected, summary)
    files = {name: picture.content for name, picture in pictures.items()}
    files["leaderboard.csv"] = leaderboard(summary).encode()
    files["report.json"] = to_text(summary).encode()
    files["index.html"] = render(collected, summary, pictures).encode()
    return files


def _replace(folder: Path, name: str, content: bytes) -> None:
    """Write a file whole or not at all: a reader sees the old one or the new one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, content, 0o644)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unreachable(
                f"no space left to write {folder / name}: free some, then run `job report` again"
            ) from exc
        raise Invalid(
            f"--out {folder}: {name} cannot be written: {exc.strerror or exc}; expected a folder this user may write to"
        ) from exc

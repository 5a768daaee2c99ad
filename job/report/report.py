"""The report of an experiment: index.html for people, report.json for programs.

The report reads rows and artifacts only, trains nothing and never opens the test part. It can be
written at any time: it names what is missing, and takes no mean over missing values.
"""

import errno
import logging
from pathlib import Path

from job.coordination.database import Database
from job.coordination.registered import Registered
from job.errors import Invalid, Unreachable
from job.files import write_whole
from job.report.collect import collect
from job.report.figures import draw
from job.report.leaderboard import leaderboard
from job.report.page import render
from job.report.report_format import Report
from job.report.results import Collected
from job.report.summary import summarize, to_text
from job.storage.cache_folder import CacheFolder
from job.storage.paths import report_file
from job.storage.store import Store

log = logging.getLogger(__name__)


def write(
    database: Database, store: Store, registered: Registered, folder: CacheFolder, out: Path
) -> Report:
    """Write index.html, report.json, leaderboard.csv and the pictures to `out` and to the store.

    A second report replaces the first. The same rows and artifacts give the same bytes.

    Args:
        database, store, registered, folder: as for `collect`.
        out: the folder of the files.

    Returns:
        The content of report.json.

    Raises:
        Invalid: `out` cannot be written.
        Unreachable: its disk is full, or as for `collect`.
    """
    collected = collect(database, store, registered, folder)
    summary = summarize(collected)
    files = assemble(collected, summary)
    for name, content in files.items():
        _replace(Path(out), name, content)
    for name, content in files.items():
        store.put(report_file(registered.id, name), content)
    log.info("report: %s", Path(out) / "index.html")
    return summary


def assemble(collected: Collected, summary: Report) -> dict[str, bytes]:
    """Return the content of every file of the report, by file name.

    index.html comes last, because it shows the others.
    """
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
                f"no space left to write {folder / name}:"
                " free some space, then run `job report` again"
            ) from exc
        raise Invalid(
            f"--out {folder}: {name} cannot be written: {exc.strerror or exc};"
            " expected a folder that this user may write to"
        ) from exc

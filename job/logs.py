"""Records of the log, every one with the secrets taken out: lines for people, or JSON."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from job.errors import UsageError
from job.settings import SETTINGS, redact
from job.text import printable_lines

# What a JSON record says of the task at hand, as far as it is known.
ABOUT = dict.fromkeys(("experiment", "model", "stage", "index", "attempt"))

PASSING = (
    "job.coordination.database",
    "job.storage.folder",
    "job.coordination.attempt",
    "job.work.worker",
)  # they warn of outages, which pass and cost nothing

log = logging.getLogger(__name__)


class Lines(logging.Formatter):
    """Format a record, then take secrets, and what a terminal would obey, out of the whole text, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(redact(super().format(record)))


class Json(logging.Formatter):
    """Format a record as one line of JSON: time (UTC), level, message, what it is about, a traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {
            "time": time,
            "level": record.levelname,
            "message": redact(record.getMessage()),
            **ABOUT,
        }
        if record.exc_info:
            entry["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry)


class Warned(logging.Handler):
    """Keep what is warned of, but for outages: of each kind the first sentence, and how often there was one."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self._kinds: dict[str, list] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.name not in PASSING:
            self._kinds.setdefault(record.msg, [redact(record.getMessage()), 0])[1] += 1

    def sentences(self) -> list[str]:
        """Return the sentences kept."""
        return [
            sentence if n == 1 else f"{sentence} ({n} of this kind)"
            for sentence, n in self._kinds.values()
        ]


@contextmanager
def warned() -> Iterator[Warned]:
    """Keep what our own code warns of within the block."""
    handler = Warned()
    logging.getLogger("job").addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger("job").removeHandler(handler)


def as_json() -> bool:
    """Tell whether JOB_LOG asks for JSON. Raises: UsageError for neither word."""
    setting = SETTINGS["log"]
    kind = os.environ.get(setting.variable) or setting.default
    if kind not in ("text", "json"):
        raise UsageError(f"{setting.variable} = {kind!r}: expected text or json")
    return kind == "json"


def start(is_output: bool = False) -> None:
    """Send our records where they belong; the libraries' from warnings on.

    Args:
        is_output: JSON goes to standard output, where collectors of logs look; else, like lines always, to standard error.

    Raises: UsageError.
    """
    asked = as_json()
    handler = logging.StreamHandler(sys.stdout if asked and is_output else sys.stderr)
    handler.setFormatter(
        Json() if asked else Lines("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(asked)
    logging.raiseExceptions = (
        False  # a log that nobody reads, or whose disk is full, must not end the work
    )
    logging.getLogger("job").setLevel(logging.INFO)
    os.environ.setdefault(
        "TF_CPP_MIN_LOG_LEVEL", "2"
    )  # less of TensorFlow's own chatter; before its import


def about(**names) -> None:
    """Say from now on, in every JSON record, what it is about."""
    ABOUT.update(names)


def give_reason(sentence: str) -> None:
    """Write why this invocation ends into JOB_REASON_FILE, if there is one.

    No newline ends it: Kubernetes shows the file as it is. A file that cannot be written is
    said in the log, and does not change the end.
    """
    path = os.environ.get(SETTINGS["reason_file"].variable)
    if not path:
        return
    try:
        with open(path, "w") as file:
            file.write(printable_lines(sentence))
    except OSError as exc:
        log.warning(
            "%s = %s: cannot be written (%s)", SETTINGS["reason_file"].variable, path, exc.strerror
        )

# pyright: strict
"""Records of the log, without secrets: lines for people, or JSON."""

import json
import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from job.errors import UsageError
from job.settings import SETTINGS, redact
from job.text import printable_lines

# What a JSON record says about the current task, as far as it is known.
ABOUT: dict[str, object] = {
    "experiment": None,
    "model": None,
    "stage": None,
    "index": None,
    "attempt": None,
}
# These loggers warn of outages, which pass and cost nothing.
OUTAGE_LOGGERS = (
    "job.coordination.database",
    "job.storage.base",
    "job.coordination.attempt",
    "job.work.worker",
)

log = logging.getLogger(__name__)


class Lines(logging.Formatter):
    """Format a record as text, and remove secrets and control characters, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record, with each line but the first indented."""
        return printable_lines(redact(super().format(record)))


class Json(logging.Formatter):
    """Format a record as one line of JSON.

    Its keys are time (UTC), level, message, those of `ABOUT`, and traceback if there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, object] = {
            "time": time,
            "level": record.levelname,
            "message": redact(record.getMessage()),
            **ABOUT,
        }
        if record.exc_info:
            entry["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry)


@dataclass
class _Kind:
    """Warnings that share a format string: the first of them, and their number."""

    sentence: str
    count: int = 0


class Warned(logging.Handler):
    """Collect warnings, except of outages: the first sentence of each kind, and its count."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self._kinds: dict[str, _Kind] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Count a warning."""
        if record.name in OUTAGE_LOGGERS:
            return
        kind = self._kinds.setdefault(record.msg, _Kind(redact(record.getMessage())))
        kind.count += 1

    def sentences(self) -> list[str]:
        """Return one sentence per kind of warning."""
        return [
            kind.sentence if kind.count == 1 else f"{kind.sentence} ({kind.count} of this kind)"
            for kind in self._kinds.values()
        ]


@contextmanager
def collect_warnings() -> Generator[Warned]:
    """Collect the warnings of our own code within the block."""
    handler = Warned()
    logging.getLogger("job").addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger("job").removeHandler(handler)


def as_json() -> bool:
    """Tell whether JOB_LOG asks for JSON.

    Raises:
        UsageError: JOB_LOG is neither text nor json.
    """
    setting = SETTINGS["log"]
    kind = os.environ.get(setting.variable) or setting.default
    if kind not in ("text", "json"):
        raise UsageError(f"{setting.variable} = {kind!r}: expected text or json")
    return kind == "json"


def start(is_output: bool = False) -> None:
    """Start logging: our records, and the libraries' from warnings on.

    Args:
        is_output: send JSON to standard output, where log collectors look. Otherwise JSON goes
            to standard error, as lines always do.

    Raises:
        UsageError: JOB_LOG is neither text nor json.
    """
    use_json = as_json()
    handler = logging.StreamHandler(sys.stdout if use_json and is_output else sys.stderr)
    lines = Lines("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler.setFormatter(Json() if use_json else lines)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(use_json)
    # A log that nobody reads, or whose disk is full, must not end the work.
    logging.raiseExceptions = False
    logging.getLogger("job").setLevel(logging.INFO)
    # TensorFlow reads this when it is imported: fewer messages of its own.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def about(**names: object) -> None:
    """Add these values to every JSON record from now on: experiment, model, stage, ..."""
    ABOUT.update(names)


def give_reason(sentence: str) -> None:
    """Write why this invocation ends to JOB_REASON_FILE, if that is set.

    The file does not end with a newline: Kubernetes shows it as it is. If it cannot be written,
    the log says so, and the exit code stays.
    """
    variable = SETTINGS["reason_file"].variable
    path = os.environ.get(variable)
    if not path:
        return
    try:
        with open(path, "w") as file:
            file.write(printable_lines(sentence))
    except OSError as exc:
        log.warning("%s = %s: cannot be written (%s)", variable, path, exc.strerror)

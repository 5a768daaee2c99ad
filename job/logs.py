"""Plain lines on standard error, every one with the secrets taken out."""

import logging
import os
import sys

from job.settings import redact


class Redacting(logging.Formatter):
    """Format a record, then take passwords and keys out of the whole text, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def start() -> None:
    """Send our records to standard error; the libraries' from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("job").setLevel(logging.INFO)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # less of TensorFlow's own chatter; before its import

"""Standard error without TensorFlow's own notes.

TensorFlow's C++ code writes them straight to file descriptor 2, some of them whatever
TF_CPP_MIN_LOG_LEVEL says: "oneDNN custom operations are on", for example.
"""

import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Notes (I) and warnings (W) in the format of C++ logs, and the two lines that come without it.
NOISE = re.compile(
    rb"[IW]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\] "
    rb"|WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|To enable the following instructions: "
)


@contextmanager
def without_tensorflow_notes() -> Iterator[None]:
    """Drop TensorFlow's notes and warnings from standard error within the block.

    Errors pass, and so do our own lines. TF_CPP_MIN_LOG_LEVEL=0 or 1 shows everything.
    """
    if os.environ.get(LEVEL) in ("0", "1") or sys.stderr is None:
        yield
        return
    terminal = os.dup(2)
    # Our own lines go past the filter: a process that ends at once must not lose its last one.
    with open(
        os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
    ) as direct:
        reading, writing = os.pipe()
        os.dup2(writing, 2)
        os.close(writing)
        reader = threading.Thread(target=_forward, args=(reading, terminal), daemon=True)
        reader.start()
        try:
            with _python_writes_to(direct):
                yield
        finally:
            # The pipe has no writer any more, so the reader forwards the rest and ends.
            os.dup2(direct.fileno(), 2)
            reader.join(5)


@contextmanager
def _python_writes_to(stream) -> Iterator[None]:
    """Let `sys.stderr`, and the log handlers that write to it, write to a stream instead."""
    before = sys.stderr
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is before
    ]
    sys.stderr = stream
    for handler in handlers:
        handler.setStream(stream)
    try:
        yield
    finally:
        sys.stderr = before
        for handler in handlers:
            handler.setStream(before)


def _forward(reading: int, terminal: int) -> None:
    """Copy lines from one file descriptor to another, without the noise, until the first ends."""
    with open(reading, "rb") as lines, open(terminal, "wb", buffering=0) as out:
        for line in lines:
            if not NOISE.match(line):
                with suppress(OSError):  # Nobody reads it, or its disk is full.
                    out.write(line)

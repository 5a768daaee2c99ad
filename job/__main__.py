"""The command `job`: signals first, everything heavy after."""

import gc
import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    """Run the command line; never returns."""
    gc.set_threshold(
        100_000
    )  # imports only add: by default the collector's passes are a fifth of TensorFlow's
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # until ours is there: no traceback of a half-done import
    from job.interrupt import INTERRUPT

    INTERRUPT.install()
    from job.cli.cli import run

    code = run(sys.argv[1:])
    with suppress(OSError):  # said where it was written
        if sys.stdout:  # closed by our caller
            sys.stdout.flush()
    os._exit(
        code
    )  # at once: a thread that still sends, or TensorFlow's own tidying, must not change the code


if __name__ == "__main__":
    main()

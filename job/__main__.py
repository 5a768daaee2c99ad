"""The command `job`: signals first, everything heavy after."""

import os
import sys
from contextlib import suppress


def main() -> None:
    """Run the command line; never returns."""
    from job.interrupt import INTERRUPT

    INTERRUPT.install()
    from job.cli import run

    code = run(sys.argv[1:])
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    os._exit(code)  # at once: a thread that still sends, or TensorFlow's own tidying, must not change the code


if __name__ == "__main__":
    main()

"""The command `job`: signals first, everything heavy after."""

import sys


def main() -> None:
    """Run the command line; never returns."""
    from job.interrupt import INTERRUPT

    INTERRUPT.install()
    from job.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

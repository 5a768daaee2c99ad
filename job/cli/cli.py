"""The command line: arguments and environment into settings, errors into exit codes."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress

import click

from job import __version__, logs
from job.cli import local, overview, preflight, upkeep, use, work
from job.errors import EXIT_CODES, Interrupted, JobError, NotReady, Unreachable
from job.experiment.experiment import STAGES
from job.sentences import machine_error
from job.settings import S3_VARIABLES, redact
from job.text import printable_lines

# Schedulers run these, and their log is all they leave. Other commands print their answer.
LOGGED = ("prepare", *STAGES, "report")
# Errors that pass by themselves: warnings in a log, not errors.
PASSING = (Unreachable.exit_code, NotReady.exit_code)

log = logging.getLogger(__name__)


def run(arguments: list[str]) -> int:
    """Run one command; report every expected error in one sentence.

    Args:
        arguments: The words after `job`.

    Returns: The exit code.
    """
    try:
        logs.start(is_output=_logs_to_output(arguments))
        # A notebook's shell names a backend that matplotlib refuses outside of the notebook.
        os.environ["MPLBACKEND"] = "svg"
        # Click returns the code of its own `Exit`.
        code = job.main(arguments, prog_name="job", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.UsageError as exc:
        # Click declares `message` final; what the user typed must not move the cursor.
        exc.message = printable_lines(exc.message)  # pyright: ignore[reportAttributeAccessIssue]
        return _explain(exc.format_message(), 2, exc.show)
    except (click.Abort, KeyboardInterrupt):
        return Interrupted.exit_code
    except JobError as exc:
        return _explain(str(exc), exc.exit_code)
    except Exception as exc:
        if known := machine_error(exc):
            return _explain(str(known), known.exit_code)
        return _report_bug(exc, arguments)


def _logs_to_output(arguments: list[str]) -> bool:
    """Return whether a command's log is its output."""
    return arguments[:1] != [] and arguments[0] in LOGGED and "--describe" not in arguments


def _report_bug(exc: Exception, arguments: list[str]) -> int:
    """Log an error that nobody expected, with its traceback; return the exit code."""
    log.error(
        "this is a bug of ours: please report it in the project's issues,"
        " with job %s, `%s`, and the log from here on",
        __version__,
        " ".join(["job", *arguments]),
        exc_info=exc,
    )
    logs.give_reason(redact(f"a bug of ours, please report it with its log: {exc!r}"))
    return 1


def _explain(sentence: str, code: int, show: Callable[[], None] | None = None) -> int:
    """Say why the command ends, to a person or in the log, and in JOB_REASON_FILE.

    Args:
        sentence: What failed; secrets are removed from it.
        code: The exit code.
        show: Prints the reason for a person; default: one line on standard error.

    Returns: The exit code.
    """
    sentence = redact(sentence)
    if os.environ.get("JOB_LOG") == "json":
        log.log(logging.WARNING if code in PASSING else logging.ERROR, "%s", sentence)
    else:
        # Nobody may read it, or its disk may be full: the exit code still tells.
        with suppress(OSError):
            if show:
                show()
            else:
                click.echo(f"job: {printable_lines(sentence)}", err=True)
    logs.give_reason(sentence)
    return code


CODES = "\n".join(f"{code:5}  {meaning}" for code, meaning in EXIT_CODES.items())
EPILOG = (
    f"\b\nExit codes:\n{CODES}\n128+n  a second signal n ended the command at once\n\n"
    "Flags take precedence over variables, and variables over defaults. A secret may also be in"
    " a file that VARIABLE_FILE names. For S3, set boto3's own variables:"
    f" {', '.join(S3_VARIABLES)}."
)

GROUPS = {
    "Run an experiment": ("local", "check", "plan", "prepare", *STAGES, "report"),
    "Inspect": ("status", "list", "dashboard", "verify"),
    "Use a model": ("predict", "export"),
    "Repair and clean up": ("retry", "repair", "gc", "drop"),
    "Provide a database": ("serve", "migrate"),
}


class _Grouped(click.Group):
    """A group whose help lists the commands by purpose."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS.items():
            rows = [
                (name, command.get_short_help_str(limit=90))
                for name in names
                if (command := self.get_command(ctx, name))
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group(
    cls=_Grouped,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EPILOG,
)
@click.version_option(__version__)
def job() -> None:
    """Tune, cross-validate, train and honestly evaluate image classifiers, one task per invocation.

    To see it work on this machine, run `job local examples/quick.toml`.

    On a cluster, run `job prepare` once. Then run the tasks of each stage, any number at a time:
    first features, then trial, then fold and final. Finish with `job report`.

    `job COMMAND --help` describes a command and gives an example.
    """


for module in (work, local, preflight, overview, use, upkeep):
    for command in module.COMMANDS:
        job.add_command(command)

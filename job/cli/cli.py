"""The command line: arguments and environment into settings, errors into exit codes."""

import logging
import os
from contextlib import suppress

import click

from job import __version__, logs
from job.cli import preflight, upkeep, use, work
from job.errors import EXIT_CODES, Interrupted, JobError, NotReady, Unreachable
from job.sentences import outside
from job.settings import S3_VARIABLES, redact
from job.text import printable_lines

# What a scheduler runs: the log is all that comes of it. Of other commands the output is the answer.
LOGGED = ("prepare", "features", "trial", "fold", "final", "report")

log = logging.getLogger(__name__)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; every error of ours is one sentence."""
    try:
        logs.start(
            is_output=arguments[:1] != []
            and arguments[0] in LOGGED
            and "--describe" not in arguments
        )
        os.environ["MPLBACKEND"] = (
            "svg"  # a notebook's shell names one that matplotlib refuses outside of it
        )
        code = job.main(
            arguments, prog_name="job", standalone_mode=False
        )  # click returns the code of its own `Exit`
        return code if isinstance(code, int) else 0
    except click.UsageError as exc:
        exc.message = printable_lines(exc.message)
        return _say_why(exc.format_message(), 2, exc.show)
    except (click.Abort, KeyboardInterrupt):
        return Interrupted.exit_code
    except JobError as exc:
        return _say_why(str(exc), exc.exit_code)
    except Exception as exc:
        if known := outside(exc):
            return _say_why(str(known), known.exit_code)
        command = " ".join(["job", *arguments])
        log.exception(
            "this is a bug of ours: please report it in the project's issues, with job %s, `%s`, and the log from here on",
            __version__,
            command,
        )
        logs.give_reason(redact(f"a bug of ours, please report it with its log: {exc!r}"))
        return 1


def _say_why(sentence: str, code: int, show=None) -> int:
    """Say why the command ends: to a person, in the log, and where JOB_REASON_FILE says; return the exit code."""
    sentence = redact(sentence)
    if os.environ.get("JOB_LOG") == "json":
        log.log(
            logging.WARNING
            if code in (Unreachable.exit_code, NotReady.exit_code)
            else logging.ERROR,
            "%s",
            sentence,
        )
    else:
        with suppress(OSError):  # nobody reads it, or its disk is full: the code says it still
            show() if show else click.echo(f"job: {printable_lines(sentence)}", err=True)
    logs.give_reason(sentence)
    return code


EPILOG = "\n\n".join(
    (
        "\b\nExit codes:\n"
        + "\n".join(f"  {code:2}  {meaning}" for code, meaning in EXIT_CODES.items())
        + "\n128+n  the second signal n",
        "Flags go before variables, variables before defaults; what is secret may also stand in a file that VARIABLE_FILE names. S3 by boto3's own variables: "
        + ", ".join(S3_VARIABLES)
        + ".",
    )
)


GROUPS = {
    "Do an experiment": (
        "local",
        "check",
        "plan",
        "prepare",
        "features",
        "trial",
        "fold",
        "final",
        "report",
    ),
    "Look": ("status", "list", "dashboard", "verify"),
    "Use a model": ("predict", "export"),
    "Mend and tidy up": ("retry", "repair", "gc", "drop", "serve"),
}


class _Grouped(click.Group):
    """A group whose help lists the commands by what one wants to do."""

    def format_commands(self, context, formatter):
        for title, names in GROUPS.items():
            found = [(name, self.commands[name]) for name in names if name in self.commands]
            if found:
                with formatter.section(title):
                    formatter.write_dl(
                        [(name, command.get_short_help_str(limit=90)) for name, command in found]
                    )


@click.group(
    cls=_Grouped,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EPILOG,
)
@click.version_option(__version__)
def job():
    """Tune, cross-validate, train and honestly evaluate image classifiers: one task an invocation.

    To see it work on this machine: job local examples/quick.toml. On a cluster, `job prepare` once; then each stage's tasks, any number at
    a time, in this order: features, trial, fold and final; then `job report`. `job COMMAND --help` says more, with an example.
    """


for command in (*work.COMMANDS, *preflight.COMMANDS, *use.COMMANDS, *upkeep.COMMANDS):
    job.add_command(command)

"""What the commands share: options that say where things are, and ways to print and to end."""

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from job import logs
from job.errors import UsageError
from job.interrupt import INTERRUPT
from job.settings import SETTINGS, Settings
from job.text import printable

if TYPE_CHECKING:
    from job.coordination.database import Database
    from job.storage.store import Store

PLACES = ("database_url", "store_url", "experiment", "cache_dir")

log = logging.getLogger(__name__)


DATA = click.option(
    "--data",
    "location",
    envvar="JOB_DATA",
    metavar="",
    help="path or URL of the data; takes precedence over data.source [JOB_DATA]",
)
WEIGHTS = click.option(
    "--weights",
    envvar="JOB_WEIGHTS",
    metavar="",
    help="folder or URL with ImageNet weights [JOB_WEIGHTS]",
)
JSON = click.option("--json", "as_json", is_flag=True, help="print JSON, for programs")
LOCAL = click.option(
    "--local",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="use the output DIR of `job local`: its servers, which are started if necessary,"
    " and its experiment unless another one is named",
)


def where(*names: str, or_local: bool = False) -> Callable[[Callable], Callable]:
    """Return a decorator that adds the options for places; the command gets `settings`.

    Args:
        names: Which settings get an option.
        or_local: Add `--local DIR`, which takes the places from the output of `job local`.
    """

    def decorate(command: Callable) -> Callable:
        @functools.wraps(command)
        def with_settings(local: Path | None = None, **arguments: Any) -> Any:
            flags = {name: arguments.pop(name) for name in names}
            settings = Settings.read(flags)
            INTERRUPT.grace_s = settings.grace_s
            with _locate(settings, flags, local) as located:
                return command(settings=located, **arguments)

        decorated = LOCAL(with_settings) if or_local else with_settings
        for name in reversed(names):
            decorated = _option(name)(decorated)
        return decorated

    return decorate


def _option(name: str) -> Callable[[Callable], Callable]:
    """Return the option of a setting."""
    setting = SETTINGS[name]
    default = f"; default {setting.default}" if setting.default is not None else ""
    text = f"{setting.help} [{setting.variable}{default}]"
    return click.option(f"--{name.replace('_', '-')}", name, metavar="", help=text)


@contextmanager
def _locate(settings: Settings, flags: dict, local: Path | None) -> Iterator[Settings]:
    """Yield the settings, or those that lead to the output of `job local` in a folder.

    Raises: UsageError when a flag and the folder contradict each other.
    """
    if local is None:
        yield settings
        return
    for name in ("database_url", "store_url"):
        if flags.get(name):
            raise UsageError(
                f"--local {local} and --{name.replace('_', '-')} both say where things are:"
                " give one of them"
            )
    from job.local.local import reopen

    explicit = {"experiment": settings.experiment} if settings.experiment else {}
    explicit |= {"cache_dir": settings.cache_dir} if flags.get("cache_dir") else {}
    with reopen(local, with_store="store_url" in flags) as places:
        yield replace(settings, **(places | explicit))


def database_of(settings: Settings) -> "Database":
    """Return the database a command works on. Raises: UsageError when none is set."""
    from job.coordination.database import Database

    options = click.get_current_context().command.params
    takes_local = any(option.name == "local" for option in options)
    url = settings.need("database_url", "--local DIR" if takes_local else "")
    return Database(url, settings.outage_s, INTERRUPT.sleep, auth=settings.database_auth)


def store_of(settings: Settings) -> "Store":
    """Return the store a command works on. Raises: UsageError when none is set."""
    from job.storage.store import open_store

    return open_store(settings.need("store_url"), settings.outage_s, INTERRUPT.sleep)


def options_given(context: click.Context, but: tuple[str, ...]) -> list[str]:
    """Return the options that a command was given, for a child that runs the same command.

    Args:
        context: of the command.
        but: names of the options that the child gets anew.
    """
    return [
        f"{option.opts[0]}={context.params[option.name]}"
        for option in context.command.params
        if option.name and option.name not in but and context.params[option.name] is not None
    ]


def say(*lines: str, err: bool = False) -> None:
    """Print lines for a person.

    Each stays one line and moves no cursor, whatever names from data are in it.
    """
    click.echo("\n".join(map(printable, lines)), err=err)


def announce(text: str) -> None:
    """Say what a command for schedulers has done: print it, or log it under JOB_LOG=json."""
    if logs.as_json():
        log.info("%s", text)
    else:
        say(text)


def end(code: int) -> None:
    """End this command with an exit code. Raises: click's `Exit` unless the code is 0."""
    if code:
        raise click.exceptions.Exit(code)

"""What the commands share: where things are, how they are opened, how a command says what it has done."""

import functools
import logging
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from job import logs
from job.errors import UsageError
from job.interrupt import INTERRUPT
from job.settings import SETTINGS, Settings
from job.text import printable

PLACES = ("database_url", "store_url", "experiment", "cache_dir")

log = logging.getLogger(__name__)


DATA = click.option(
    "--data",
    "location",
    envvar="JOB_DATA",
    metavar="",
    help="path or URL of the data, instead of what data.source says [JOB_DATA]",
)
WEIGHTS = click.option(
    "--weights",
    envvar="JOB_WEIGHTS",
    metavar="",
    help="folder with ImageNet weights, or its URL [JOB_WEIGHTS]",
)
LOCAL = click.option(
    "--local",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="what `job local` has in DIR: its servers, running or started for as long, and its experiment unless one is named",
)


def where(*names: str, local: bool = False):
    """Add the options that say where things are; the command gets them as `settings`. With `local`, also by what `job local` has."""

    def decorate(command):
        @functools.wraps(command)
        def with_settings(local=None, **arguments):
            flags = {name: arguments.pop(name) for name in names}
            settings = Settings.read(flags)
            INTERRUPT.grace_s = settings.grace_s
            with _places(settings, flags, local) as settings:
                return command(settings=settings, **arguments)

        if local:
            with_settings = LOCAL(with_settings)
        for name in reversed(names):
            setting = SETTINGS[name]
            default = f"; default {setting.default}" if setting.default is not None else ""
            with_settings = click.option(
                f"--{name.replace('_', '-')}",
                name,
                metavar="",
                help=f"{setting.help} [{setting.variable}{default}]",
            )(with_settings)
        return with_settings

    return decorate


@contextmanager
def _places(settings: Settings, flags: dict, local: Path | None):
    """Yield the settings, or those that lead to what `job local` has in a folder. Raises: UsageError for both at once."""
    if local is None:
        yield settings
        return
    for name in ("database_url", "store_url"):
        if flags.get(name):
            raise UsageError(
                f"--local {local} and --{name.replace('_', '-')} both say where things are: give one of them"
            )
    from job.local.local import reopened

    named = {"experiment": settings.experiment} if settings.experiment else {}
    named |= {"cache_dir": settings.cache_dir} if flags.get("cache_dir") else {}
    with reopened(local, with_store="store_url" in flags) as found:
        yield replace(settings, **(found | named))


def database_of(settings: Settings):
    """Return the database a command works on."""
    from job.coordination.database import Database

    takes_local = any(
        option.name == "local" for option in click.get_current_context().command.params
    )
    url = settings.need("database_url", "--local DIR" if takes_local else "")
    return Database(url, settings.outage_s, INTERRUPT.sleep, auth=settings.database_auth)


def store_of(settings: Settings):
    """Return the store a command works on."""
    from job.storage.store import open_store

    return open_store(settings.need("store_url"), settings.outage_s, INTERRUPT.sleep)


def say(*lines: str, err: bool = False) -> None:
    """Print lines for a person. Each stays one line and moves no cursor, whatever names from data are in it."""
    click.echo("\n".join(map(printable, lines)), err=err)


def tell(text: str) -> None:
    """Say what a command that a scheduler runs has done: to a person, or in the log."""
    if logs.as_json():
        log.info("%s", text)
    else:
        say(text)


def end(code: int) -> None:
    """End this command with an exit code."""
    if code:
        raise click.exceptions.Exit(code)

"""What the commands share: where things are, how they are opened, how a command says what it has done."""

import functools
import logging

import click

from job import logs
from job.interrupt import INTERRUPT
from job.settings import SETTINGS, Settings

PLACES = ("database_url", "store_url", "experiment", "cache_dir")

log = logging.getLogger(__name__)


def where(*names: str):
    """Add the options that say where things are; the command gets them as `settings`."""

    def decorate(command):
        @functools.wraps(command)
        def with_settings(**arguments):
            flags = {name: arguments.pop(name) for name in names}
            settings = Settings.read(flags)
            INTERRUPT.grace_s = settings.grace_s
            return command(settings=settings, **arguments)

        for name in reversed(names):
            setting = SETTINGS[name]
            default = f"; default {setting.default}" if setting.default is not None else ""
            with_settings = click.option(
                f"--{name.replace('_', '-')}", name, metavar="", help=f"{setting.help} [{setting.variable}{default}]"
            )(with_settings)
        return with_settings

    return decorate


def database_of(settings: Settings):
    """Return the database a command works on."""
    from job.database import Database

    return Database(settings.need("database_url"), settings.outage_s, INTERRUPT.sleep)


def store_of(settings: Settings):
    """Return the store a command works on."""
    from job.store import open_store

    return open_store(settings.need("store_url"), settings.outage_s, INTERRUPT.sleep)


def tell(text: str) -> None:
    """Say what a command that a scheduler runs has done: to a person, or in the log."""
    if logs.as_json():
        log.info("%s", text)
    else:
        click.echo(text)


def end(code: int) -> None:
    """End this command with an exit code."""
    if code:
        raise click.exceptions.Exit(code)

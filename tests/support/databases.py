"""Databases of a test server: made, copied and dropped."""

import uuid
from contextlib import closing

import psycopg2

from tests.support.waiting import wait_for

# Files are copied. By default the copy is in the log, which takes six times as long.
COPY = "strategy file_copy"


def create_database(server_url: str) -> str:
    """Return the URL of a new, empty database."""
    name = f"t{uuid.uuid4().hex}"
    execute(server_url, f"create database {name} {COPY}")
    return f"{server_url.rpartition('/')[0]}/{name}"


def copy_database(url: str, template_url: str) -> None:
    """Replace a database by a copy of another one, to which nobody is connected."""
    server, _, name = url.rpartition("/")
    execute(f"{server}/postgres", f"drop database {name} with (force)")
    template = template_url.rpartition("/")[2]
    execute(f"{server}/postgres", f"create database {name} template {template} {COPY}")


def drop_database(url: str) -> None:
    """Drop a database, whoever is connected to it."""
    server, _, name = url.rpartition("/")

    def dropped() -> bool:
        try:
            execute(f"{server}/postgres", f"drop database {name} with (force)")
            return True
        except psycopg2.errors.InsufficientPrivilege:
            return False  # autovacuum works in it, which only a superuser may end

    wait_for(dropped)


def execute(url: str, statement: str) -> None:
    """Execute a statement outside of a transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)

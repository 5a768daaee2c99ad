"""A database refuses at once, in one sentence, without a secret, and leaves no connection."""

import os
import re
import uuid
from contextlib import contextmanager, suppress

import pytest

from job.coordination.database import Database
from job.errors import Invalid, JobError, NotReady


@contextmanager
def role(url: str, options: str = ""):
    """Create a role for a test and yield the URL for it."""
    name = f"r{uuid.uuid4().hex[:8]}"
    owner = Database(url, 5)
    owner.rows(f"create role {name} login password 'secret' {options}")
    yield url.replace(url[len("postgresql://") : url.index("@")], f"{name}:secret")
    owner.rows(f"drop role {name}")


def sockets() -> int:
    """Count the open sockets of this process."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


def refused(url: str, statement="select 1", kind=Invalid) -> str:
    """Return the sentence with which a URL is refused, at once and without leaving a connection."""
    before = sockets()

    def sleep(_seconds):
        pytest.fail("the error is permanent: there is nothing to wait for")

    with pytest.raises(kind) as caught:
        Database(url, outage_s=60, sleep=sleep).rows(statement)
    assert sockets() == before
    sentence = str(caught.value)
    assert "\n" not in sentence and "secret" not in sentence
    assert "LOCATION" not in f"{sentence} {caught.value.__cause__}"
    return sentence


def refused_in(url: str, zero: str, password: str, database: str, table: str) -> None:
    """Meet every refusal of a server: a wrong password, a missing role, database or grant.

    Args:
        url: The database.
        zero: The server's words for a division by zero; they show which language it speaks.
        password: Its words for a wrong password or a missing role.
        database: Its words for a missing database.
        table: Its words for a missing grant.
    """
    owner = Database(url, 5)
    assert zero in refused(url, "select 1/0", JobError)
    owner.rows(
        "create schema if not exists job; create table job.closed ();"
        " grant usage on schema job to public"
    )
    user = url[len("postgresql://") : url.index(":", len("postgresql://"))]
    with role(url) as theirs:
        wrong_password = url.replace(f"{user}:", f"{user}:secret", 1)
        missing_role = url.replace(f"{user}:", "nobody-of-this-name:", 1)
        for wrong in (wrong_password, missing_role):
            assert re.search(f"refused us: {password}", refused(wrong))
        assert re.search(f"refused us: .*{database}", refused(url + "x"))
        assert f"refused us: {table}" in refused(theirs, "select * from closed")
    assert "has no tables yet" in refused(url, "select * from nothing_of_this_name", NotReady)
    owner.rows("drop schema job cascade")

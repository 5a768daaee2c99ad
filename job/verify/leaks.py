"""Whether a secret stands where it can be read: in a row, or in a text of the store.

A password is looked for as a whole word and only from 8 characters on: a shorter one, or one that is
also the name of the user, the database or the host, cannot be told from an honest text.
"""

import json
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

from job.storage.store import Store
from job.verify.collect import Recorded, sentences
from job.verify.objects import Listing

URL_WITH_PASSWORD = re.compile(r"\w+://[^\s:/@\"']*:(?!\*\*\*@)[^\s/@\"'<>]+@")
VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")
SHORTEST = 8
TEXTS = (".json", ".csv", ".html", ".svg")


def secrets(database_url: str) -> dict[str, re.Pattern]:
    """Return what must stand nowhere, by what it is called."""
    parts = urlsplit(database_url)
    public = {parts.username, parts.hostname, parts.path.strip("/")}
    known = {"the database's password": unquote(parts.password or "")} | {
        v: os.environ.get(v, "") for v in VARIABLES
    }
    patterns = {
        name: re.compile(rf"(?<!\w)({re.escape(value)}|{re.escape(quote(value, safe=''))})(?!\w)")
        for name, value in known.items()
        if len(value) >= SHORTEST and value not in public
    }
    return patterns | {"a URL with a password": URL_WITH_PASSWORD}


def rows(recorded: Recorded, known: dict[str, re.Pattern]) -> Iterator[str]:
    """No row of the experiment holds a secret."""
    registered = recorded.registered
    yield from _found(
        known,
        "the experiment's row",
        [recorded.spec, registered.data, registered.weights, registered.splits],
    )
    for task in recorded.tasks.values():
        yield from _found(known, str(task.key), task.row)
        for attempt in task.attempts:
            yield from _found(known, f"{task.key}, attempt {attempt['number']},", attempt)
    for selection in recorded.selections.values():
        yield from _found(known, f"the selection of {selection['model']}", selection)


def texts(store: Store, listing: Listing, known: dict[str, re.Pattern]) -> Iterator[str]:
    """No result, history or report in the store holds a secret."""
    for key in listing.objects:
        if key.startswith("experiments/") and key.endswith(TEXTS):
            yield from sentences(key, _text(known, store.get(key)))


def _text(known: dict[str, re.Pattern], content: bytes) -> Iterator[str]:
    text = content.decode(errors="replace")
    yield from (f"holds {name}" for name, pattern in known.items() if pattern.search(text))


def _found(known: dict[str, re.Pattern], subject: str, value) -> Iterator[str]:
    """Look through each string of a row, keys included."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    yield from (
        f"{subject} holds {name}" for name, pattern in known.items() if pattern.search(text)
    )

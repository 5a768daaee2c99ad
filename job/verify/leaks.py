"""Whether a secret can be read: in a row, or in a text of the store.

A password counts only as a whole word of at least 8 characters. A shorter one, or one that is
also the name of the user, the database or the host, looks like any honest text.
"""

import json
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from job.storage.paths import is_of_experiment
from job.storage.store import Store
from job.verify.collect import Recorded, sentences
from job.verify.objects import Listing

URL_WITH_PASSWORD = re.compile(r"\w+://[^\s:/@\"']*:(?!\*\*\*@)[^\s/@\"'<>]+@")
VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")
SHORTEST = 8
TEXTS = (".json", ".csv", ".html", ".svg")
# Name -> pattern.
Secrets = dict[str, re.Pattern[str]]


def secrets(database_url: str) -> Secrets:
    """Return what must not appear anywhere, by name."""
    parts = urlsplit(database_url)
    public = {parts.username, parts.hostname, parts.path.strip("/")}
    values = {"the database's password": unquote(parts.password or "")}
    values |= {variable: os.environ.get(variable, "") for variable in VARIABLES}
    patterns = {
        name: _whole_word(value)
        for name, value in values.items()
        if len(value) >= SHORTEST and value not in public
    }
    return patterns | {"a URL with a password": URL_WITH_PASSWORD}


def rows(recorded: Recorded, known: Secrets) -> Iterator[str]:
    """Check that no row of the experiment holds a secret."""
    registered = recorded.registered
    experiment = [recorded.spec, recorded.data, registered.weights, registered.splits]
    yield from _search_row(known, "the experiment's row", experiment)
    for task in recorded.tasks.values():
        yield from _search_row(known, str(task.key), vars(task.row))
        for attempt in task.attempts:
            subject = f"{task.key}, attempt {attempt.number},"
            yield from _search_row(known, subject, vars(attempt))
    for selection in recorded.selections.values():
        yield from _search_row(known, f"the selection of {selection.model}", vars(selection))


def texts(store: Store, listing: Listing, known: Secrets) -> Iterator[str]:
    """Check that no result, history or report in the store holds a secret."""
    for key in listing.objects:
        if is_of_experiment(key) and key.endswith(TEXTS):
            yield from sentences(key, _search_text(known, store.get(key)))


def _whole_word(value: str) -> re.Pattern[str]:
    """Return the pattern of a secret, as it is or quoted as in a URL."""
    forms = f"{re.escape(value)}|{re.escape(quote(value, safe=''))}"
    return re.compile(rf"(?<!\w)({forms})(?!\w)")


def _search_text(known: Secrets, content: bytes) -> Iterator[str]:
    text = content.decode(errors="replace")
    yield from (f"holds {name}" for name, pattern in known.items() if pattern.search(text))


def _search_row(known: Secrets, subject: str, value: Any) -> Iterator[str]:
    """Search each string of a row, keys included."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    for name, pattern in known.items():
        if pattern.search(text):
            yield f"{subject} holds {name}"

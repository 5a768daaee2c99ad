"""Small helpers to read what a person wrote and to answer in one sentence."""

import difflib
import json

from job.errors import Invalid


def expect(condition: bool, message: str) -> None:
    """Raise `Invalid(message)` unless the condition holds."""
    if not condition:
        raise Invalid(message)


def nearest(word, known) -> str:
    """Return " (did you mean 'x'?)" for the nearest known word, or nothing."""
    found = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.6)
    return f" (did you mean '{found[0]}'?)" if found else ""


def show(value, limit: int = 80) -> str:
    """Return a value as it would stand in the file, shortened."""
    try:
        text = json.dumps(value)
    except TypeError:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def first_line(exc: Exception) -> str:
    """Return the first line of what an exception says, else its kind."""
    return str(exc).strip().partition("\n")[0] or type(exc).__name__

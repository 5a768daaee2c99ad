"""The findings of a preflight.

Each is one thing checked: a line for a person, an object for programs, an exit code.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from job.errors import JobError, NotReady
from job.sentences import machine_error
from job.settings import SETTINGS, redact


@dataclass(frozen=True)
class Finding:
    """One thing checked: its name, a sentence, its exit code; `measured` is for programs."""

    what: str
    text: str
    code: int = 0
    measured: dict[str, Any] = field(default_factory=dict)
    # False: not set, so not checked.
    looked: bool = True


def check_one(what: str, look: Callable[..., Finding], *arguments: Any) -> Finding:
    """Return what `look(*arguments)` finds; an error that a person can fix is a finding too."""
    try:
        return look(*arguments)
    except NotReady as exc:
        return Finding(what, redact(str(exc)))
    except JobError as exc:
        return Finding(what, redact(str(exc)), exc.exit_code)
    except Exception as exc:
        if known := machine_error(exc):
            return Finding(what, redact(str(known)), known.exit_code)
        raise


def not_set(what: str, name: str) -> Finding:
    """Return the finding for a setting without a value, by its name in `SETTINGS`."""
    setting = SETTINGS[name]
    return Finding(what, f"{setting.variable} is not set: {setting.help}", looked=False)


def worst(findings: list[Finding]) -> int:
    """Return the highest exit code: permanent errors take precedence over temporary ones."""
    return max((f.code for f in findings), default=0)


def line(finding: Finding) -> str:
    """Return a finding for a person."""
    return f"{finding.what:<22} {_verdict(finding):<8} {finding.text}"


def _verdict(finding: Finding) -> str:
    if not finding.looked:
        return "-"
    return f"FAIL {finding.code}" if finding.code else "OK"


def entry(finding: Finding) -> dict[str, Any]:
    """Return a finding for programs."""
    return {
        "what": finding.what,
        "looked": finding.looked,
        "ok": finding.code == 0,
        "code": finding.code,
        "text": finding.text,
        **finding.measured,
    }

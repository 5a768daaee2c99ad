"""What a preflight found: one thing looked at, as a line for a person, an object for programs, an exit code."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, a sentence, the exit code it deserves; `measured` is for programs."""

    what: str
    text: str
    code: int = 0
    measured: dict = field(default_factory=dict)
    looked: bool = True  # False: not set, so not looked at


def worst(findings: list[Finding]) -> int:
    """Return the exit code of the worst finding: what waiting cannot mend before what it can."""
    return max((f.code for f in findings), default=0)


def line(finding: Finding) -> str:
    """Return a finding for a person."""
    return f"{finding.what:<22} {'-' if not finding.looked else 'OK' if finding.code == 0 else f'FAIL {finding.code}':<8} {finding.text}"


def entry(finding: Finding) -> dict:
    """Return a finding for programs."""
    return {
        "what": finding.what,
        "looked": finding.looked,
        "ok": finding.code == 0,
        "code": finding.code,
        "text": finding.text,
        **finding.measured,
    }

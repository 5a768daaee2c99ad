"""Where things are and how patient to be: flag > variable > default. Empty means unset.

What to run is the experiment's; it is read from the database, so a worker needs nothing but these.
"""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from job.errors import Invalid, UsageError
from job.sentences import expect


@dataclass(frozen=True)
class Setting:
    """One setting: its variable, its default and what it means (docs/reference/settings.md is made of these)."""

    variable: str
    default: object
    help: str
    secret: bool = False  # may also be given as a file, by VARIABLE_FILE


SETTINGS = {
    "database_url": Setting(
        "JOB_DATABASE_URL", None, "postgresql://user:password@host:port/database", secret=True
    ),
    "database_auth": Setting(
        "JOB_DATABASE_AUTH",
        "scram-sha-256",
        "how a database on another machine must ask for the password; `any`: in clear, too, for a site that cannot do better",
    ),
    "store_url": Setting(
        "JOB_STORE_URL", None, "s3://bucket/prefix or file:///folder", secret=True
    ),
    "experiment": Setting("JOB_EXPERIMENT", None, "the experiment's name"),
    "cache_dir": Setting(
        "JOB_CACHE_DIR",
        Path(tempfile.gettempdir()) / f"job-cache-{os.getuid()}",
        "staged data of this node, shared by its tasks",
    ),
    "cache_gb": Setting(
        "JOB_CACHE_GB",
        50.0,
        "gigabytes the cache may hold; beyond them what was used longest ago goes, unless in use",
    ),
    "lease_s": Setting(
        "JOB_LEASE_S",
        180.0,
        "seconds a task stays its owner's without a renewal; renewed six times as often",
    ),
    "wait_s": Setting(
        "JOB_WAIT_S", 60.0, "seconds to wait for another owner or a stage before, then exit 75"
    ),
    "grace_s": Setting("JOB_GRACE_S", 10.0, "seconds from a signal to the exit"),
    "checkpoint_s": Setting("JOB_CHECKPOINT_S", 60.0, "seconds between checkpoints"),
    "outage_s": Setting(
        "JOB_OUTAGE_S", 900.0, "seconds database or store may be away, then exit 69"
    ),
    "progress_file": Setting(
        "JOB_PROGRESS_FILE",
        None,
        "a file to touch at every checkpoint that has arrived and every task that is decided: for restart limits and probes",
    ),
    "reason_file": Setting(
        "JOB_REASON_FILE",
        None,
        "a file that gets the reason of an end other than 0, in one sentence: Kubernetes' termination message",
    ),
    "log": Setting(
        "JOB_LOG",
        "text",
        "`text`: lines on standard error; `json`: one object a record, on standard output unless that is a command's answer",
    ),
}
HARMLESS = re.compile(
    r"(((download|dl|raw)=(1|true)?|(v|version|format)=[\w.]{0,6})&?)*"
)  # queries that are no secret
# S3's own, read by boto3 itself; named here for --help and docs/reference/settings.md.
S3_VARIABLES = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_CA_BUNDLE",
)


@dataclass(frozen=True)
class Settings:
    """Settings of one invocation; a missing URL is an error only where it is needed."""

    database_url: str | None
    database_auth: str
    store_url: str | None
    experiment: str | None
    cache_dir: Path
    cache_gb: float
    lease_s: float
    wait_s: float
    grace_s: float
    checkpoint_s: float
    outage_s: float
    progress_file: str | None
    reason_file: str | None
    log: str

    @classmethod
    def read(cls, flags: dict, environ=os.environ) -> "Settings":
        """Read each setting from its flag, its variable (or VARIABLE_FILE), or take the default."""
        return cls(
            **{
                name: _read(name, setting, flags.get(name), environ)
                for name, setting in SETTINGS.items()
            }
        )

    def need(self, name: str, otherwise: str = "") -> str:
        """Return a setting that this command cannot do without. Raises: UsageError, naming flag, variable and another way."""
        value = getattr(self, name)
        if value is None:
            setting = SETTINGS[name]
            file = f" (or {setting.variable}_FILE)" if setting.secret else ""
            other = f"; after `job local`: {otherwise}" if otherwise else ""
            raise UsageError(
                f"{setting.variable}{file} is not set: give {setting.help}, by --{name.replace('_', '-')} or by the variable{other}"
            )
        return value


def _read(name: str, setting: Setting, flag, environ):
    origin, text = f"--{name.replace('_', '-')}", flag
    if text in (None, ""):
        origin, text = setting.variable, environ.get(setting.variable) or None
    if text is None and setting.secret and environ.get(f"{setting.variable}_FILE"):
        origin, text = f"{setting.variable}_FILE", _file(setting, environ)
    if text is None:
        return setting.default
    if isinstance(setting.default, float):
        return _amount(text, origin, "seconds" if setting.variable.endswith("_S") else "gigabytes")
    return Path(text) if isinstance(setting.default, Path) else str(text)


def _file(setting: Setting, environ) -> str:
    path = environ[f"{setting.variable}_FILE"]
    try:
        text = Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise Invalid(
            f"{setting.variable}_FILE = {path}: cannot be read ({why}); expected a file holding {setting.help}"
        ) from exc
    expect(
        bool(text), f"{setting.variable}_FILE = {path}: the file is empty; expected {setting.help}"
    )
    return text


def _amount(text, origin: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e7:
        raise UsageError(f"{origin} = {text!r}: expected {unit} above 0")
    return value


def redact(text: str) -> str:
    """Return the text with password and query of every URL in it, and every known secret, replaced by ***.

    A query may be a secret whatever its names are: sig, auth, code, X-Amz-Signature. So may be the user of an http(s) URL.
    """
    text = re.sub(r"(\w+://[^\s:/@]*):[^\s@]*@", r"\1:***@", text)
    text = re.sub(r"(https?://)[^\s:/@?#]+@", r"\1***@", text)
    text = re.sub(
        r"(\w+://[^\s?\"'<>]*\?)([^\s\"'<>]*)", lambda found: found[1] + _query(found[2]), text
    )
    for variable in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD"):
        if len(os.environ.get(variable, "")) > 3:
            text = text.replace(os.environ[variable], "***")
    return text


def _query(text: str) -> str:
    return text if HARMLESS.fullmatch(text) else "***"


def describe(url: str) -> str:
    """Return where a URL points, without its user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"

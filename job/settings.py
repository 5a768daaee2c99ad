# pyright: strict
"""Where things are and how long to wait: flag over variable over default. Empty means unset.

What to run belongs to the experiment, which is read from the database. A worker needs only these.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

from job.errors import Invalid, UsageError
from job.sentences import expect

# Queries of a URL that are not secret.
HARMLESS = re.compile(r"(((download|dl|raw)=(1|true)?|(v|version|format)=[\w.]{0,6})&?)*")
# S3's own variables, which boto3 reads; named here for --help and docs/reference/settings.md.
S3_VARIABLES = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_CA_BUNDLE",
)
SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")
DEFAULT_CACHE = Path(tempfile.gettempdir()) / f"job-cache-{os.getuid()}"
MAX_AMOUNT = 1e7  # seconds or gigabytes
URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*):[^\s@]*@")
HTTP_USER = re.compile(r"(https?://)[^\s:/@?#]+@")
URL_QUERY = re.compile(r"(\w+://[^\s?\"'<>]*\?)([^\s\"'<>]*)")


@dataclass(frozen=True)
class Setting:
    """One setting: its variable, its default and its meaning (see docs/reference/settings.md)."""

    variable: str
    default: object
    help: str
    secret: bool = False  # may also be given as a file, by VARIABLE_FILE


@dataclass(frozen=True)
class Settings:
    """Settings of one invocation; a missing URL is an error only where it is needed."""

    database_url: Annotated[
        str | None,
        Setting(
            "JOB_DATABASE_URL",
            None,
            "postgresql://user:password@host:port/database",
            secret=True,
        ),
    ]
    database_auth: Annotated[
        str,
        Setting(
            "JOB_DATABASE_AUTH",
            "scram-sha-256",
            "how a database on another machine must ask for the password; `any` allows clear text,"
            " for a site that offers nothing better",
        ),
    ]
    store_url: Annotated[
        str | None,
        Setting(
            "JOB_STORE_URL",
            None,
            "s3://bucket/prefix or file:///folder",
            secret=True,
        ),
    ]
    experiment: Annotated[str | None, Setting("JOB_EXPERIMENT", None, "the experiment's name")]
    cache_dir: Annotated[
        Path,
        Setting(
            "JOB_CACHE_DIR",
            DEFAULT_CACHE,
            "folder for this node's copy of staged data, shared by its tasks",
        ),
    ]
    cache_gb: Annotated[
        float,
        Setting(
            "JOB_CACHE_GB",
            50.0,
            "gigabytes the cache may hold; beyond that, the least recently used files are removed,"
            " unless in use",
        ),
    ]
    lease_s: Annotated[
        float,
        Setting(
            "JOB_LEASE_S",
            180.0,
            "seconds a lease lasts without a renewal; it is renewed six times as often",
        ),
    ]
    wait_s: Annotated[
        float,
        Setting(
            "JOB_WAIT_S",
            60.0,
            "seconds to wait for another owner or an earlier stage, then exit 75",
        ),
    ]
    grace_s: Annotated[float, Setting("JOB_GRACE_S", 10.0, "seconds from a signal to the exit")]
    checkpoint_s: Annotated[float, Setting("JOB_CHECKPOINT_S", 60.0, "seconds between checkpoints")]
    outage_s: Annotated[
        float,
        Setting(
            "JOB_OUTAGE_S",
            900.0,
            "seconds the database or the store may be out of reach, then exit 69",
        ),
    ]
    progress_file: Annotated[
        str | None,
        Setting(
            "JOB_PROGRESS_FILE",
            None,
            "a file to touch at every stored checkpoint and every decided task:"
            " for restart limits and probes",
        ),
    ]
    reason_file: Annotated[
        str | None,
        Setting(
            "JOB_REASON_FILE",
            None,
            "a file for the reason of an exit code other than 0, in one sentence:"
            " Kubernetes' termination message",
        ),
    ]
    log: Annotated[
        str,
        Setting(
            "JOB_LOG",
            "text",
            "`text`: lines on standard error; `json`: one object per record, on standard output"
            " unless that is a command's answer",
        ),
    ]

    @classmethod
    def read(
        cls, flags: Mapping[str, object], environ: Mapping[str, str] = os.environ
    ) -> "Settings":
        """Read each setting from its flag, its variable or VARIABLE_FILE, else take the default.

        Args:
            flags: name of a setting -> value of its flag; None or "" for unset.
            environ: variables.

        Raises:
            UsageError: an amount is not a number above 0.
            Invalid: a file that a variable names cannot be read or is empty.
        """
        values: dict[str, Any] = {
            name: _read(name, setting, flags.get(name), environ)
            for name, setting in SETTINGS.items()
        }
        return cls(**values)

    def need(self, name: str, otherwise: str = "") -> str:
        """Return a setting that this command requires.

        Args:
            name: of the setting.
            otherwise: the flag that replaces it after `job local`, for the error.

        Raises:
            UsageError: it is not set; the message names flag, variable and alternatives.
        """
        value = getattr(self, name)
        if value is not None:
            return value
        setting = SETTINGS[name]
        file = f" (or {setting.variable}_FILE)" if setting.secret else ""
        other = f"; after `job local`: {otherwise}" if otherwise else ""
        raise UsageError(
            f"{setting.variable}{file} is not set:"
            f" give {setting.help}, by {_flag(name)} or by the variable{other}"
        )


# name -> what is declared above
SETTINGS: dict[str, Setting] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Settings, include_extras=True).items()
}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _read(name: str, setting: Setting, flag: object, environ: Mapping[str, str]) -> object:
    origin, text = _origin_and_text(name, setting, flag, environ)
    if text is None:
        return setting.default
    if isinstance(setting.default, float):
        return _amount(text, origin, "seconds" if setting.variable.endswith("_S") else "gigabytes")
    return Path(str(text)) if isinstance(setting.default, Path) else str(text)


def _origin_and_text(
    name: str, setting: Setting, flag: object, environ: Mapping[str, str]
) -> tuple[str, object]:
    """Return the name of the flag or variable that sets a setting, and its text, None if unset."""
    if flag not in (None, ""):
        return _flag(name), flag
    text = environ.get(setting.variable)
    if text:
        return setting.variable, text
    if setting.secret and environ.get(f"{setting.variable}_FILE"):
        return f"{setting.variable}_FILE", _file(setting, environ)
    return setting.variable, None


def _file(setting: Setting, environ: Mapping[str, str]) -> str:
    variable = f"{setting.variable}_FILE"
    path = environ[variable]
    try:
        text = Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise Invalid(
            f"{variable} = {path}: cannot be read ({why}); expected a file holding {setting.help}"
        ) from exc
    expect(bool(text), f"{variable} = {path}: the file is empty; expected {setting.help}")
    return text


def _amount(text: Any, origin: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < MAX_AMOUNT:
        raise UsageError(f"{origin} = {text!r}: expected {unit} above 0")
    return value


def redact(text: str) -> str:
    """Return the text with every secret replaced by ***.

    Secrets are the password and the query of every URL, the user of an http(s) URL, and the
    values of some variables. A whole query counts, since any parameter may hold a secret: sig,
    auth, code, X-Amz-Signature.
    """
    text = URL_PASSWORD.sub(r"\1:***@", text)
    text = HTTP_USER.sub(r"\1***@", text)
    text = URL_QUERY.sub(_hide_query, text)
    for variable in SECRET_VARIABLES:
        value = os.environ.get(variable, "")
        if len(value) > 3:
            text = text.replace(value, "***")
    return text


def _hide_query(match: re.Match[str]) -> str:
    query = match[2]
    return match[1] + (query if HARMLESS.fullmatch(query) else "***")


def describe(url: str) -> str:
    """Return where a URL points, without its user and password."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"

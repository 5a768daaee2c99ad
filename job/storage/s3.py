# pyright: strict, reportMissingTypeStubs=false
"""The store in an S3 bucket."""

import io
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from job.errors import JobError, Missing
from job.patience import Patience, Sleep
from job.storage import s3_client
from job.storage.base import Object, Patient
from job.storage.keys import check_key

# Bytes. S3 takes 5 GiB in one request, but of an upload in parts only the part that failed is
# sent again.
ONE_PUT = 1 << 30
DELETE_LIMIT = 1000  # keys per request
# Statuses of a store that does not delete several objects in one request.
NO_BULK_STATUS = {400, 405, 501}


class S3Store(Patient[Exception]):
    """A store in an S3 bucket; boto3's own variables set endpoint, keys, region and CA bundle."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        outage_s: float | Patience,
        sleep: Sleep,
        connect_s: float = 5.0,
        read_s: float = 20.0,
        one_put: int = ONE_PUT,
    ):
        """Open the store; no request is sent yet.

        Args:
            bucket: name of the bucket.
            prefix: of all keys, without slashes at its ends.
            outage_s: how long each call is retried, before `Unreachable`.
            sleep: waits for a number of seconds.
            connect_s: time to connect, and to send the next block of an upload: urllib3 has one
                limit for both.
            read_s: time from the end of a request to its answer, and between two pieces of an
                answer. A store answers in milliseconds. 20 s allow for one that is busy, or that
                still reads our socket's buffer (4 MB over a slow line); a silent one is retried
                that soon. A signal does not wait for it: the watchdog leaves within the grace.
            one_put: largest number of bytes to send in one request.

        Raises:
            Invalid: endpoint or region are malformed.
        """
        from job.storage.s3_errors import Endpoint

        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"), outage_s, sleep)
        s3_client.unset_empty_variables()
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self._one_put = one_put
        self._errors = s3_client.errors()
        self._transfer = s3_client.transfer()
        self._client, address = s3_client.connect(self.url, connect_s, read_s)
        self._endpoint = Endpoint(self.url, address, self.prefix)

    def put(self, key: str, source: bytes | Path) -> Object:
        """Write an object whole; see `Store.put`."""
        if isinstance(source, Path):
            self._try(key, lambda: self._upload_file(key, source))
        elif len(source) > self._one_put:
            self._try(key, lambda: self._upload_parts(key, source))
        elif stored := self._try(key, lambda: self._put_at_once(key, source)):
            return stored
        return self._try(key, lambda: self._head(key))

    def get(self, key: str) -> bytes:
        """Return an object's bytes; see `Store.get`."""

        def read() -> bytes:
            answer = self._client.get_object(Bucket=self.bucket, Key=self._name(key))
            # botocore needs it to notice a body that was cut.
            _require(answer, "ContentLength")
            return answer["Body"].read()

        return self._try(key, read)

    def download(self, key: str, path: Path) -> None:
        """Write an object to a new file; see `Store.download`."""
        self._try(key, lambda: self._download(key, path))

    def head(self, key: str) -> Object | None:
        """Return an object's description, or None; see `Store.head`."""
        try:
            return self._try(key, lambda: self._head(key))
        except Missing:
            return None

    def listing(self, prefix: str, halves: bool = False) -> list[Object]:  # noqa: ARG002
        """Return all objects below a prefix; see `Store.listing`.

        `halves` changes nothing: S3 lists no object before its upload is complete.
        """
        return self._try(prefix, lambda: self._list(prefix))

    def delete(self, keys: list[str], patience_s: float | None = None) -> None:
        """Delete objects; see `Store.delete`."""
        for start in range(0, len(keys), DELETE_LIMIT):
            batch = keys[start : start + DELETE_LIMIT]
            self._try(batch[0], lambda batch=batch: self._delete(batch), patience_s)

    def _upload_file(self, key: str, source: Path) -> None:
        self._client.upload_file(str(source), self.bucket, self._name(key))

    def _upload_parts(self, key: str, source: bytes) -> None:
        self._client.upload_fileobj(io.BytesIO(source), self.bucket, self._name(key))

    def _put_at_once(self, key: str, source: bytes) -> Object | None:
        """Put bytes in one request.

        Returns:
            The object; None for an answer without a date, which was cut: the object is stored,
            but its description is unknown.
        """
        answer = self._client.put_object(Bucket=self.bucket, Key=self._name(key), Body=source)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if not date:
            return None
        return _object(key, len(source), answer["ETag"], parsedate_to_datetime(date))

    def _head(self, key: str) -> Object:
        answer = self._client.head_object(Bucket=self.bucket, Key=self._name(key))
        return _object(key, answer["ContentLength"], answer["ETag"], answer["LastModified"])

    def _download(self, key: str, path: Path) -> None:
        name = self._name(key)
        size = self._client.head_object(Bucket=self.bucket, Key=name)["ContentLength"]
        self._client.download_file(self.bucket, name, str(path), Config=self._transfer)
        if path.stat().st_size != size:
            path.unlink()
            raise ValueError(f"the object has {size} bytes, fewer came")

    def _list(self, prefix: str) -> list[Object]:
        paginator = self._client.get_paginator("list_objects_v2")
        answers = list(paginator.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix))
        # An answer without a body, which was cut, does not have it.
        _require(answers[-1], "IsTruncated")
        return [
            _object(o["Key"][len(self.prefix) :], o["Size"], o["ETag"], o["LastModified"])
            for answer in answers
            for o in answer.get("Contents", [])
        ]

    def _delete(self, keys: list[str]) -> None:
        from botocore.exceptions import ClientError

        from job.storage.s3_errors import MISSING_CODES

        objects = [{"Key": self._name(key)} for key in keys]
        try:
            answer = self._client.delete_objects(
                Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True}
            )
        except ClientError as exc:
            # boto3 sends no Content-MD5, without which some stores only delete one at a time.
            if exc.response["ResponseMetadata"]["HTTPStatusCode"] not in NO_BULK_STATUS:
                raise
            for key in keys:
                self._client.delete_object(Bucket=self.bucket, Key=self._name(key))
            return
        failed = [e for e in answer.get("Errors", []) if e["Code"] not in MISSING_CODES]
        if failed:
            # The answer has no status for each key.
            status = 403 if failed[0]["Code"] == "AccessDenied" else 503
            raise ClientError(
                {"Error": failed[0], "ResponseMetadata": {"HTTPStatusCode": status}},
                "DeleteObjects",
            )

    def _name(self, key: str) -> str:
        """Return the object's key in the bucket, always below the store's prefix.

        Some stores make paths of keys. A key that ends in a slash is a "folder", as S3 consoles
        make them.
        """
        check_key(key.removesuffix("/"), self.url)
        return self.prefix + key

    def _translate(self, exc: Exception, key: str) -> JobError:
        return self._endpoint.translate(exc, key)


def _require(answer: dict[str, Any], name: str) -> None:
    """Raise `KeyError` if an answer lacks a field: it was cut."""
    answer[name]


def _object(key: str, size: int, etag: str, modified: datetime) -> Object:
    """Return an object as S3 describes it. Raises: ValueError if etag or time were cut."""
    if etag.count('"') == 1 or modified.tzinfo is None:
        raise ValueError(f"etag {etag}, time {modified}")
    return Object(key, size, etag.strip('"'), modified.astimezone(UTC))

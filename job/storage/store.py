"""The artifact store: S3 or a folder, by one protocol of a few methods; the only importer of boto3.

Keys are relative to the store's prefix and use `/`. A put is atomic: readers see the whole object
or none. Errors: `Missing` for no such object, `Unreachable` for what waiting mends, `Invalid` for
what it does not.
"""

import hashlib
import io
import os
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from job.errors import Invalid, JobError, Missing, Unreachable, on_this_node
from job.settings import S3_VARIABLES, describe, redact
from job.storage.folder import FolderStore, Object, Patient
from job.storage.keys import checked

# A 3xx, 4xx or 501 is final, but for what another try mends: a request that came late, in part or altered, a busy store, a lost upload.
RETRIED_STATUS = {408, 409, 425, 429}
RETRIED_CODES = {
    "BadDigest", "IncompleteBody", "NoSuchUpload", "OperationAborted", "RequestTimeout", "SlowDown",
    "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch",
}  # fmt: skip
ONE_PUT = (
    1 << 30
)  # bytes; S3 takes 5 GiB in one request, and of parts only the one that failed is sent again
SKEW_S = 300  # a clock that is 15 minutes off is refused, by any code, and without one where the answer has no body
NOT_YET = "certificate is not yet valid"  # by this machine's clock
UNTRUSTED = (
    "CERTIFICATE_VERIFY_FAILED",
    "[Errno 2]",
    "NO_CERTIFICATE_OR_CRL_FOUND",
)  # any other error of TLS may be a cut
NO_BULK_STATUS = {400, 405, 501}  # of a store that does not delete several objects in one request
MISSING_CODES = {"NoSuchKey", "404", "NotFound"}
_KEYS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy: it must allow to get, put, delete and list"
_BUCKET = "create the bucket, or correct JOB_STORE_URL"
_TOKEN = "AWS_SESSION_TOKEN is no longer valid: give this job new credentials"
_REGION = "set AWS_REGION to the bucket's region, and AWS_ENDPOINT_URL_S3 to where the store itself answers"
_CHECKSUM = "if the store does not know checksum trailers, set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
HINTS = {
    **dict.fromkeys(("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"), _KEYS),
    **dict.fromkeys(("NoSuchBucket", "InvalidBucketName"), _BUCKET),
    **dict.fromkeys(("ExpiredToken", "InvalidToken", "TokenRefreshRequired"), _TOKEN),
    **dict.fromkeys(
        (
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
            "301",
            "400",
        ),
        _REGION,
    ),
    **dict.fromkeys(
        ("InvalidArgument", "InvalidRequest", "NotImplemented", "MissingContentLength", "501"),
        _CHECKSUM,
    ),
    **dict.fromkeys(
        ("BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"), _CHECKSUM
    ),
}


class Store(Protocol):
    """What both kinds of store do."""

    url: str

    def put(self, key: str, source: bytes | Path) -> Object:
        """Write an object whole, replacing one of the same key. Raises: OSError for what is wrong with the source file."""

    def get(self, key: str) -> bytes:
        """Return an object's bytes. Raises: Missing."""

    def download(self, key: str, path: Path) -> None:
        """Write an object to a new file. Raises: Missing; OSError for what is wrong with that file."""

    def head(self, key: str) -> Object | None:
        """Return an object's size and etag, or None."""

    def listing(self, prefix: str, halves: bool = False) -> list[Object]:
        """Return all objects whose key starts with the prefix, in order of their keys; with `halves` what killed puts left, too."""

    def delete(self, keys: list[str], patience_s: float | None = None) -> None:
        """Delete objects, trying for `patience_s` (default: `outage_s`); missing ones are no error."""


def open_store(url: str, outage_s: float = 900.0, sleep=time.sleep) -> Store:
    """Return the store a URL names. Raises: Invalid for any other scheme.

    Args:
        outage_s: how long each call is tried again when the store is away, before `Unreachable`.
        sleep: how to wait; one that raises on a signal lets a worker leave during an outage.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.netloc:
        return S3Store(parts.netloc, parts.path.strip("/"), outage_s, sleep)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return FolderStore(Path(unquote(parts.path)), outage_s, sleep)
    raise Invalid(f"JOB_STORE_URL = {redact(url)}: expected s3://bucket/prefix or file:///folder")


class S3Store(Patient):
    """A store in an S3 bucket; endpoint, keys, region and CA bundle by boto3's own variables."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        outage_s: float,
        sleep,
        connect_s: float = 5.0,
        read_s: float = 20.0,
        one_put: int = ONE_PUT,
    ):
        """Args:
        connect_s: to connect, and to be rid of the next block of an upload (urllib3 has one limit for both).
        read_s: from the end of a request to its answer, and between two pieces of one. A store answers in milliseconds; 20 s
            is for one that is busy or still empties our socket's buffer (4 MB over a slow line), and a silent one is tried
            again that soon. A signal does not wait for it: the watchdog leaves within the grace.
        """
        import boto3
        from boto3.exceptions import Boto3Error
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from s3transfer.exceptions import S3DownloadFailedError, S3ValidationError
        from urllib3.exceptions import HTTPError

        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"), outage_s, sleep)
        for name in (n for n in S3_VARIABLES if os.environ.get(n) == ""):
            del os.environ[
                name
            ]  # empty means unset, as for our own variables; boto3 would take it for a value
        self.bucket, self.prefix, self._one_put = bucket, f"{prefix}/" if prefix else "", one_put
        # The last three: http.client takes an answer that was cut within its headers for whole, with those it has.
        cut = (KeyError, ValueError, ResponseParserError)
        self._errors = (
            BotoCoreError,
            ClientError,
            Boto3Error,
            S3DownloadFailedError,
            S3ValidationError,
            HTTPError,
            RecursionError,
            *cut,
        )
        config = Config(
            signature_version="s3v4",
            connect_timeout=connect_s,
            read_timeout=read_s,
            # One more try at once is for a single part of a transfer, or a connection that idled too long; `_try` does the rest.
            retries={"mode": "standard", "total_max_attempts": 2},
            s3={"addressing_style": "path"} if os.environ.get("AWS_ENDPOINT_URL_S3") else None,
        )
        # Four times boto3's pieces: a quarter less time for 150 MB, which pays for most of the hashing after it.
        self._transfer = TransferConfig(
            num_download_attempts=2, multipart_chunksize=16 << 20, io_chunksize=1 << 20
        )
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        try:  # a session of its own: the default one keeps the first credentials it saw
            self._client = boto3.Session().client("s3", region_name=region, config=config)
            self._at = f"the store {self.url} at {describe(self._client.meta.endpoint_url)}"
        except (BotoCoreError, ValueError) as exc:
            raise Invalid(
                f"the store {self.url} cannot be opened: {redact(str(exc))}; check AWS_ENDPOINT_URL_S3 and AWS_REGION"
            ) from exc
        self._client.meta.events.register_last("before-call.s3", _expect_nothing)

    def put(self, key: str, source: bytes | Path) -> Object:
        if isinstance(source, Path):
            self._try(
                key, lambda: self._client.upload_file(str(source), self.bucket, self._name(key))
            )
            return self.head(key)
        if len(source) > self._one_put:
            self._try(
                key,
                lambda: self._client.upload_fileobj(
                    io.BytesIO(source), self.bucket, self._name(key)
                ),
            )
            return self.head(key)

        def put():
            answer = self._client.put_object(Bucket=self.bucket, Key=self._name(key), Body=source)
            date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
            return (
                _object(key, len(source), answer["ETag"], parsedate_to_datetime(date))
                if date
                else None
            )

        return self._try(key, put) or self.head(
            key
        )  # an answer without a date was cut: it is stored, but ask what

    def get(self, key: str) -> bytes:
        def get():
            answer = self._client.get_object(Bucket=self.bucket, Key=self._name(key))
            answer[
                "ContentLength"
            ]  # without it botocore cannot, and with it does, tell a body that was cut
            return answer["Body"].read()

        return self._try(key, get)

    def download(self, key: str, path: Path) -> None:
        def download():
            size = self._client.head_object(Bucket=self.bucket, Key=self._name(key))[
                "ContentLength"
            ]
            self._client.download_file(
                self.bucket, self._name(key), str(path), Config=self._transfer
            )
            if path.stat().st_size != size:
                path.unlink()
                raise ValueError(f"the object has {size} bytes, fewer came")

        self._try(key, download)

    def head(self, key: str) -> Object | None:
        def head():
            answer = self._client.head_object(Bucket=self.bucket, Key=self._name(key))
            return _object(key, answer["ContentLength"], answer["ETag"], answer["LastModified"])

        try:
            return self._try(key, head)
        except Missing:
            return None

    def listing(self, prefix: str, halves: bool = False) -> list[Object]:
        def pages():
            paginator = self._client.get_paginator("list_objects_v2")
            answers = list(paginator.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix))
            answers[-1]["IsTruncated"]  # an answer without a body, which was cut, has none
            found = [o for answer in answers for o in answer.get("Contents", [])]
            return [
                _object(o["Key"][len(self.prefix) :], o["Size"], o["ETag"], o["LastModified"])
                for o in found
            ]

        return self._try(prefix, pages)

    def delete(self, keys: list[str], patience_s: float | None = None) -> None:
        for start in range(0, len(keys), 1000):
            batch = keys[start : start + 1000]
            self._try(batch[0], lambda batch=batch: self._delete(batch), patience_s)

    def _delete(self, keys: list[str]) -> None:
        from botocore.exceptions import ClientError

        objects = [{"Key": self._name(key)} for key in keys]
        try:
            answer = self._client.delete_objects(
                Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True}
            )
        except ClientError as exc:  # boto3 sends no Content-MD5, without which some front ends delete one at a time only
            if exc.response["ResponseMetadata"]["HTTPStatusCode"] not in NO_BULK_STATUS:
                raise
            for key in keys:
                self._client.delete_object(Bucket=self.bucket, Key=self._name(key))
            return
        failed = [e for e in answer.get("Errors", []) if e["Code"] not in MISSING_CODES]
        if failed:  # a status for each key is not told
            status = 403 if failed[0]["Code"] == "AccessDenied" else 503
            raise ClientError(
                {"Error": failed[0], "ResponseMetadata": {"HTTPStatusCode": status}},
                "DeleteObjects",
            )

    def _name(self, key: str) -> str:
        """Return what S3 calls an object; below the store, whoever named the key: some front ends make paths of keys."""
        checked(
            key.removesuffix("/"), self.url
        )  # with one at its end it is a "folder", as consoles make them
        return self.prefix + key

    def _translate(self, exc: Exception, key: str) -> JobError:
        from botocore.exceptions import (
            NoCredentialsError,
            ParamValidationError,
            PartialCredentialsError,
            SSLError,
        )

        if isinstance(exc, (NoCredentialsError, PartialCredentialsError)):
            hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
            return Invalid(f"the store {self.url} needs credentials: {exc}; {hint}")
        if isinstance(
            exc, RecursionError
        ):  # botocore asks for the region, is redirected, asks for the region...
            return Invalid(
                f"{self._at} refused {key or 'us'}: every request is redirected; {_REGION}"
            )
        response = (
            getattr(exc, "response", None) or getattr(exc.__context__, "response", None) or {}
        )
        status, error = (
            response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
            response.get("Error", {}),
        )
        code = error.get("Code", "")
        if code in MISSING_CODES and getattr(exc, "operation_name", "") in (
            "GetObject",
            "HeadObject",
        ):
            return Missing(f"{self.url} has no {key}")
        if (status == 403 and _is_skewed(response, code)) or (
            isinstance(exc, SSLError) and NOT_YET in str(exc)
        ):
            return on_this_node(
                f"{self._at} refused {key or 'us'}: {code or redact(str(exc))}, for the clock of this machine is off"
            )
        if (
            (300 <= status < 500 or status == 501)
            and status not in RETRIED_STATUS
            and code not in RETRIED_CODES
        ):
            hint = HINTS.get(
                code,
                _KEYS if status in (401, 403) else "check JOB_STORE_URL and AWS_ENDPOINT_URL_S3",
            )
            said = (
                f" ({redact(error['Message'])})"
                if error.get("Message") and hint not in (_KEYS, _BUCKET)
                else ""
            )
            what = error.get("Key", "").removeprefix(self.prefix) or key or "us"
            return Invalid(f"{self._at} refused {what}: {code}{said}; {hint}")
        if isinstance(exc, ParamValidationError):
            return Invalid(f"{self._at} cannot have {key}: {redact(str(exc))}; check JOB_STORE_URL")
        if isinstance(exc, SSLError) and any(sign in str(exc) for sign in UNTRUSTED):
            return Invalid(
                f"{self._at} is not trusted: {redact(str(exc))}; set AWS_CA_BUNDLE to the file with its authority's certificate"
            )
        told = (
            f"an answer that was cut ({exc!r})"
            if isinstance(exc, (KeyError, ValueError))
            else str(getattr(exc, "last_exception", exc))
        )
        hint = f"; {HINTS[code]}" if code in HINTS else ""
        return Unreachable(f"{self._at} cannot be reached for {key or 'us'}: {redact(told)}{hint}")


def _is_skewed(response: dict, code: str) -> bool:
    """Tell whether a refusal comes of this machine's clock: the answer says so, or bears quite another time."""
    date = response["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    try:
        off_s = (
            abs((datetime.now(UTC) - parsedate_to_datetime(date).astimezone(UTC)).total_seconds())
            if date
            else 0
        )
    except ValueError:  # cut, or no date
        off_s = 0
    return code == "RequestTimeTooSkewed" or off_s > SKEW_S


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _object(key: str, size: int, etag: str, modified: datetime) -> Object:
    """Return what S3 told of an object. Raises: ValueError when the end of etag or time was cut off."""
    if etag.count('"') == 1 or modified.tzinfo is None:
        raise ValueError(f"etag {etag}, time {modified}")
    return Object(key, size, etag.strip('"'), modified.astimezone(UTC))


def _expect_nothing(params: dict, **_) -> None:
    """Ask for no `100 Continue`: botocore reads for ever, at full speed, when the connection ends within one."""
    params["headers"].pop("Expect", None)

# pyright: strict, reportMissingTypeStubs=false
"""What a failed call to S3 means: our error for each of boto3's, with what to do next.

This imports botocore, which takes a while; so `S3Store` imports it once a store is opened.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import (
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSLError,
)

from job.errors import Invalid, JobError, Missing, Unreachable, on_this_node
from job.settings import redact

MISSING_CODES = {"NoSuchKey", "404", "NotFound"}
READS = ("GetObject", "HeadObject")
# A status of 3xx, 4xx or 501 is final, except for these. Another try may succeed after a request
# that came late, in part or altered, at a busy store, or after a lost upload.
RETRIED_STATUS = {408, 409, 425, 429}
RETRIED_CODES = {
    "BadDigest",
    "IncompleteBody",
    "NoSuchUpload",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
}
# S3 refuses a clock that is 15 minutes off, with various codes, or none if there is no body.
SKEW_S = 300
NOT_YET = "certificate is not yet valid"  # by this machine's clock
# Any other error of TLS may be a connection that was cut.
UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "[Errno 2]", "NO_CERTIFICATE_OR_CRL_FOUND")

KEYS = (
    "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy,"
    " which must allow get, put, delete and list"
)
BUCKET = "create the bucket, or correct JOB_STORE_URL"
TOKEN = "AWS_SESSION_TOKEN is no longer valid: give this job new credentials"
REGION = (
    "set AWS_REGION to the bucket's region,"
    " and AWS_ENDPOINT_URL_S3 to the address where the store itself answers"
)
CHECKSUM = (
    "if the store does not support checksum trailers,"
    " set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
)
PLACE = "check JOB_STORE_URL and AWS_ENDPOINT_URL_S3"
# hint -> the codes that ask for it
CODES = {
    KEYS: ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"),
    BUCKET: ("NoSuchBucket", "InvalidBucketName"),
    TOKEN: ("ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
    REGION: (
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "301",
        "400",
    ),
    CHECKSUM: (
        "InvalidArgument",
        "InvalidRequest",
        "NotImplemented",
        "MissingContentLength",
        "501",
        "BadDigest",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    ),
}
HINTS = {code: hint for hint, codes in CODES.items() for code in codes}


@dataclass(frozen=True)
class Endpoint:
    """The store that was called: its URL, the address that answers, and the prefix of its keys."""

    url: str
    address: str
    prefix: str

    @property
    def name(self) -> str:
        """The store and its address, for an error."""
        return f"the store {self.url} at {self.address}"

    def translate(self, exc: Exception, key: str) -> JobError:
        """Return our error for an exception of boto3.

        Args:
            exc: what a call raised.
            key: what the call was for: a key or a prefix, "" for the whole store.

        Returns:
            `Missing`, `Invalid` for what is permanent, or `Unreachable` for what waiting or
            another node may solve.
        """
        failure = Failure(exc, key, self)
        for applies, error in DECISIONS:
            if applies(failure):
                return error(failure)
        return _unreachable(failure)


@dataclass(frozen=True)
class Failure:
    """A failed call: what boto3 raised for a key, and what the store answered, if it did."""

    exc: Exception
    key: str
    store: Endpoint

    @property
    def response(self) -> dict[str, Any]:
        """The store's answer as botocore gives it, {} for none."""
        exc = self.exc
        own = getattr(exc, "response", None)
        return own or getattr(exc.__context__, "response", None) or {}

    @property
    def status(self) -> int:
        """The HTTP status, 0 for none."""
        return self.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)

    @property
    def error(self) -> dict[str, Any]:
        """What the answer says about the error, {} for nothing."""
        return self.response.get("Error", {})

    @property
    def code(self) -> str:
        """S3's code of the error, "" for none."""
        return self.error.get("Code", "")

    @property
    def what(self) -> str:
        """What was refused, for an error: a key, or this client."""
        return self.key or "us"

    @property
    def text(self) -> str:
        """What the exception says, without secrets."""
        return redact(str(self.exc))


def _lacks_credentials(failure: Failure) -> bool:
    return isinstance(failure.exc, (NoCredentialsError, PartialCredentialsError))


def _needs_credentials(failure: Failure) -> Invalid:
    return Invalid(
        f"the store {failure.store.url} needs credentials: {failure.exc};"
        " set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
    )


def _loops(failure: Failure) -> bool:
    """Tell whether botocore asks for the region, is redirected, asks for the region, and so on."""
    return isinstance(failure.exc, RecursionError)


def _redirected(failure: Failure) -> Invalid:
    return Invalid(
        f"{failure.store.name} refused {failure.what}: every request is redirected; {REGION}"
    )


def _is_missing(failure: Failure) -> bool:
    return failure.code in MISSING_CODES and getattr(failure.exc, "operation_name", "") in READS


def _missing(failure: Failure) -> Missing:
    return Missing(f"{failure.store.url} has no {failure.key}")


def _has_wrong_clock(failure: Failure) -> bool:
    """Tell whether a refusal results from this machine's clock."""
    if isinstance(failure.exc, SSLError) and NOT_YET in str(failure.exc):
        return True
    if failure.status != 403:
        return False
    return failure.code == "RequestTimeTooSkewed" or _offset_s(failure.response) > SKEW_S


def _offset_s(response: dict[str, Any]) -> float:
    """Return by how many seconds this machine's clock and the answer's date differ.

    Returns:
        A positive number, 0 for an answer without a date, or with one that was cut.
    """
    date = response["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    if not date:
        return 0.0
    try:
        answered = parsedate_to_datetime(date).astimezone(UTC)
    except ValueError:
        return 0.0
    return abs((datetime.now(UTC) - answered).total_seconds())


def _wrong_clock(failure: Failure) -> Unreachable:
    return on_this_node(
        f"{failure.store.name} refused {failure.what}: {failure.code or failure.text},"
        " because this machine's clock is wrong"
    )


def _is_final(failure: Failure) -> bool:
    refused = 300 <= failure.status < 500 or failure.status == 501
    retried = failure.status in RETRIED_STATUS or failure.code in RETRIED_CODES
    return refused and not retried


def _refused(failure: Failure) -> Invalid:
    default = KEYS if failure.status in (401, 403) else PLACE
    hint = HINTS.get(failure.code, default)
    message = failure.error.get("Message")
    said = f" ({redact(message)})" if message and hint not in (KEYS, BUCKET) else ""
    what = failure.error.get("Key", "").removeprefix(failure.store.prefix) or failure.what
    return Invalid(f"{failure.store.name} refused {what}: {failure.code}{said}; {hint}")


def _is_malformed(failure: Failure) -> bool:
    return isinstance(failure.exc, ParamValidationError)


def _malformed(failure: Failure) -> Invalid:
    return Invalid(
        f"{failure.store.name} does not accept {failure.key}: {failure.text}; check JOB_STORE_URL"
    )


def _is_untrusted(failure: Failure) -> bool:
    text = str(failure.exc)
    return isinstance(failure.exc, SSLError) and any(sign in text for sign in UNTRUSTED)


def _untrusted(failure: Failure) -> Invalid:
    return Invalid(
        f"{failure.store.name} is not trusted: {failure.text};"
        " set AWS_CA_BUNDLE to the file with its authority's certificate"
    )


def _unreachable(failure: Failure) -> Unreachable:
    exc = failure.exc
    why = str(getattr(exc, "last_exception", exc))
    if isinstance(exc, (KeyError, ValueError)):
        why = f"an answer that was cut short ({exc!r})"
    hint = f"; {HINTS[failure.code]}" if failure.code in HINTS else ""
    return Unreachable(
        f"{failure.store.name} cannot be reached for {failure.what}: {redact(why)}{hint}"
    )


# The first condition that holds decides; if none does, the store is out of reach.
DECISIONS = (
    (_lacks_credentials, _needs_credentials),
    (_loops, _redirected),
    (_is_missing, _missing),
    (_has_wrong_clock, _wrong_clock),
    (_is_final, _refused),
    (_is_malformed, _malformed),
    (_is_untrusted, _untrusted),
)

# pyright: strict, reportMissingTypeStubs=false
"""boto3's client for a store: where it connects, how long it waits, and what it raises."""

import os
from typing import Any

from job.errors import Invalid
from job.settings import S3_VARIABLES, describe, redact


def unset_empty_variables() -> None:
    """Unset S3's variables that are empty, as for our own; boto3 would take "" for a value."""
    for name in S3_VARIABLES:
        if os.environ.get(name) == "":
            del os.environ[name]


def errors() -> tuple[type[Exception], ...]:
    """Return what boto3 raises, and the libraries below it, when a call fails."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from s3transfer.exceptions import S3DownloadFailedError, S3ValidationError
    from urllib3.exceptions import HTTPError

    # http.client takes an answer that was cut within its headers for complete.
    cut = (KeyError, ValueError, ResponseParserError)
    transfer = (S3DownloadFailedError, S3ValidationError, HTTPError)
    return (BotoCoreError, ClientError, Boto3Error, *transfer, RecursionError, *cut)


def transfer() -> Any:
    """Return how files are downloaded.

    Pieces larger than boto3's take a quarter less time for 150 MB, which pays for most of the
    hashing afterwards.
    """
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        num_download_attempts=2, multipart_chunksize=16 << 20, io_chunksize=1 << 20
    )


def connect(url: str, connect_s: float, read_s: float) -> tuple[Any, str]:
    """Return boto3's client and the address of its endpoint.

    The client has a session of its own: the default session keeps the first credentials it saw.

    Args:
        url: of the store, for an error.
        connect_s: as for `S3Store`.
        read_s: as for `S3Store`.

    Raises:
        Invalid: endpoint or region are malformed.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        signature_version="s3v4",
        connect_timeout=connect_s,
        read_timeout=read_s,
        # One immediate retry serves a single part of a transfer, or a connection that was idle
        # too long; `_try` does the rest.
        retries={"mode": "standard", "total_max_attempts": 2},
        s3={"addressing_style": "path"} if os.environ.get("AWS_ENDPOINT_URL_S3") else None,
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    try:
        session: Any = boto3.Session()
        client = session.client("s3", region_name=region, config=config)
        client.meta.events.register_last("before-call.s3", _expect_nothing)
        return client, describe(client.meta.endpoint_url)
    except (BotoCoreError, ValueError) as exc:
        raise Invalid(
            f"the store {url} cannot be opened: {redact(str(exc))};"
            " check AWS_ENDPOINT_URL_S3 and AWS_REGION"
        ) from exc


def _expect_nothing(params: dict[str, Any], **_: Any) -> None:
    """Remove the request for `100 Continue`.

    When the connection ends within that answer, botocore reads forever, at full speed.
    """
    params["headers"].pop("Expect", None)

"""Download an object of the store to this node; print the megabytes per second without imports.

Usage: python -m bench.yardsticks.download KIND KEY SHA256 FOLDER
KIND is boto3 (a bare download_file) or cache (ours: one download per node, hashed and mapped).
JOB_STORE_URL is the store.
"""

import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import numpy as np

from job.storage.cache import Cache
from job.storage.store import open_store


def bare(key: str, sha256: str, folder: Path) -> None:
    """Download as the documentation of boto3 does."""
    place = urlsplit(os.environ["JOB_STORE_URL"])
    boto3.client("s3", region_name="us-east-1").download_file(
        place.netloc, f"{place.path[1:]}/{key}", str(folder / "object")
    )


def cached(key: str, sha256: str, folder: Path) -> None:
    """Download as a worker does."""
    cache = Cache(open_store(os.environ["JOB_STORE_URL"]), folder, 50)
    assert isinstance(cache.array(key, sha256), np.memmap)


if __name__ == "__main__":
    kind, key, sha256, folder = sys.argv[1:]
    started = time.monotonic()
    {"boto3": bare, "cache": cached}[kind](key, sha256, Path(folder))
    seconds = time.monotonic() - started
    size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
    print(f"megabytes per second: {size / 1e6 / seconds:.3f}")

"""Download all objects below an s3:// URL as a folder, whole or not at all."""

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from job import errors
from job.data import digests, downloads
from job.interrupt import INTERRUPT
from job.storage.keys import is_below
from job.storage.store import Store, open_store

AT_ONCE = 8  # small objects at a time; boto3 keeps ten connections

log = logging.getLogger(__name__)


def fetch_folder(url: str, folder: Path) -> Path:
    """Return the copy of all objects below an s3:// URL, downloaded if needed.

    It appears whole or not at all.

    Args:
        url: s3://.
        folder: the cache.

    Raises:
        errors.Unreachable: as `downloads.download`.
        errors.Invalid: as `downloads.download`; or there is no object, or one whose key is not
            a path below the URL.
    """
    url = url.rstrip("/")
    target = downloads.copy_of(url, folder)
    if downloads.is_usable(target, url):
        return target
    store = open_store(url, downloads.TIMEOUT_S, INTERRUPT.sleep)
    # Consoles make "folders" that are objects with a slash at the end.
    objects = [entry for entry in store.listing("") if not entry.key.endswith("/")]
    if not objects:
        raise errors.Invalid(f"{url} has no object below it: check the bucket and the prefix")
    keys = [entry.key for entry in objects]
    check_below(url, keys)
    size_mb = sum(entry.size for entry in objects) / 1e6
    log.info("downloading %d files (%.0f MB) of %s to %s", len(objects), size_mb, url, target)
    part = downloads.part_of(target)
    try:
        with downloads.writing(target):
            _all_from_s3(store, keys, part)
            digests.write_note(target, part)
            _rename_unless_there(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def _rename_unless_there(part: Path, target: Path) -> None:
    """Give a folder its name, without a sync: after a power cut its note decides."""
    try:
        part.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was faster
            raise


def check_below(url: str, keys: list[str]) -> None:
    """Raise `Invalid` for a key that, as a path, leads out of its folder, or is not a path."""
    if bad := next((key for key in keys if not is_below(key)), None):
        raise errors.Invalid(f"object {bad!r} of {url} is not a path below it: rename or remove it")


def _all_from_s3(store: Store, keys: list[str], folder: Path) -> None:
    """Write small objects to files, several at a time; the first error ends it."""

    def write(key: str) -> None:
        INTERRUPT.check()
        content = store.get(key)
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for _ in pool.map(write, keys):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise

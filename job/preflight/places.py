"""The places of a job, checked: database, store, cache and device."""

import os
import shutil
import tempfile
import uuid
from pathlib import Path

from job.coordination.database import Database
from job.errors import Invalid, JobError, NotReady
from job.files import check_private_folder
from job.interrupt import INTERRUPT
from job.preflight.findings import Finding, not_set
from job.preflight.launch import probe
from job.settings import Settings, redact
from job.storage.store import Store, open_store

# For a server to answer: a preflight reports, it does not wait.
PATIENCE_S = 3.0


class Places:
    """What the settings name; `database` and `store` are set once they answer."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.database: Database | None = None
        self.store: Store | None = None

    def check_database(self) -> Finding:
        """Connect, and look for the tables. Raises: JobError."""
        if self.settings.database_url is None:
            return not_set("database", "database_url")
        auth = self.settings.database_auth
        database = Database(self.settings.database_url, PATIENCE_S, INTERRUPT.sleep, auth=auth)
        rows = database.rows("select current_setting('server_version'::text) as version")
        version = rows[0]["version"]
        self.database = database
        try:
            database.check_schema()
            tables = "the tables exist"
        except NotReady:
            tables = "no tables yet, `job prepare` creates them"
            database.may_prepare()
        return Finding("database", f"{database.where}, PostgreSQL {version}: {tables}")

    def check_store(self) -> Finding:
        """Write, read and remove one small object. Raises: JobError."""
        if self.settings.store_url is None:
            return not_set("store", "store_url")
        where = redact(self.settings.store_url)
        store = open_store(self.settings.store_url, PATIENCE_S, INTERRUPT.sleep)
        key = f"check-{uuid.uuid4().hex}"
        content = b"job check"
        try:
            store.put(key, content)
            if store.get(key) != content:
                raise JobError(f"{where}: an object came back with different bytes")
        finally:
            _remove(store, key)
        self.store = store
        return Finding("store", f"{where}: an object was written, read and removed")

    def check_cache(self) -> Finding:
        """Write into the cache folder, or the nearest existing one above it. Raises: Invalid."""
        folder = self.settings.cache_dir
        if os.path.lexists(folder):
            check_private_folder(folder, "JOB_CACHE_DIR")
        existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        _check_writable(folder, existing)
        free = shutil.disk_usage(existing).free / 1e9
        limit = self.settings.cache_gb
        shortage = "" if free > limit else f", less than JOB_CACHE_GB = {limit:g}"
        return Finding("cache", f"{folder}: writable, {free:.0f} GB free{shortage}")

    def check_device(self) -> Finding:
        """Start TensorFlow in a process and ask for its device. Raises: JobError."""
        answer = probe({"model": None})
        if "error" in answer:
            return Finding("device", answer["error"], answer["code"])
        machine = answer["machine"]
        device = machine["device"]
        where = machine["cpu"] if device == "cpu" else f"{device} ({machine['cpu']})"
        return Finding(
            "device",
            f"{where}, {os.cpu_count()} cores, TensorFlow {machine['tensorflow']}",
            measured=machine,
        )


def _remove(store: Store, key: str) -> None:
    """Remove the object of the check.

    Tasks run without the right to delete, so the error says which commands need it.
    Raises: Invalid.
    """
    try:
        store.delete([key], PATIENCE_S)
    except Invalid as exc:
        raise Invalid(
            f"{exc}; without the right to delete, old checkpoints stay,"
            f" and `job gc` and `job drop` cannot work ({key} is left behind)"
        ) from exc


def _check_writable(folder: Path, existing: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as exc:
        raise Invalid(
            f"JOB_CACHE_DIR = {folder}: {existing} cannot be written ({exc.strerror}):"
            " name a folder that this user may write"
        ) from exc

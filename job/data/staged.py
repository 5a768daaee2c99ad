"""Objects that were put into the store once, recognized by size, etag or hash.

An object is written unless these very bytes are there. That a key exists proves nothing about its
content.
"""

import hashlib
from pathlib import Path

from job.coordination.registered import Registered
from job.storage import paths
from job.storage.store import Object, Store, sha256_of


def put_whole(store: Store, key: str, content: bytes | Path, entry: dict | None = None) -> dict:
    """Write an object unless these very bytes are there.

    Args:
        store: where to.
        key: of the object.
        content: its bytes, or the path of a file that holds them.
        entry: their sha256 and size; None if they are not known yet.

    Returns:
        Its sha256, size and etag.
    """
    entry = entry or _entry(content)
    stored = _find(store, key, entry, content) or store.put(key, content)
    return entry | {"etag": stored.etag}


def _find(store: Store, key: str, entry: dict, content: bytes | Path) -> Object | None:
    """Return an object if it has these bytes; those of a file are compared on its disk."""
    if isinstance(content, bytes):
        return find_whole(store, key, entry)
    stored = store.head(key)
    if stored is None or stored.size != entry["size"]:
        return None
    copy = content.with_name(f"{content.name}.stored")
    try:
        store.download(key, copy)
        return stored if sha256_of(copy) == entry["sha256"] else None
    finally:
        copy.unlink(missing_ok=True)


def _entry(content: bytes | Path) -> dict:
    if isinstance(content, Path):
        return {"sha256": sha256_of(content), "size": content.stat().st_size}
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def find_whole(store: Store, key: str, entry: dict) -> Object | None:
    """Return an object if it is what an entry says, else None.

    Size and etag decide; if the etag is unknown or another, the bytes do.

    Args:
        store: where to look.
        key: of the object.
        entry: sha256, size and etag, as far as they are known; without a sha256, any content
            of that size counts.
    """
    stored = store.head(key)
    if stored is None or stored.size != entry.get("size", stored.size):
        return None
    if "sha256" not in entry or stored.etag == entry.get("etag"):
        return stored
    is_same = hashlib.sha256(store.get(key)).hexdigest() == entry["sha256"]
    return stored if is_same else None


def objects(registered: Registered) -> dict[str, dict]:
    """Return every object an experiment was prepared with.

    Returns:
        Key -> sha256, size and etag, as far as they are known.
    """
    data = registered.data
    files = data.files | {name: {} for name in (paths.MANIFEST, paths.SAMPLES)}
    entries = {paths.data_file(data.id, name): entry for name, entry in files.items()}
    entries |= {entry["key"]: entry for entry in (registered.splits, *registered.weights.values())}
    return {
        key: entry | data.objects.get(key, {}) if isinstance(entry, dict) else entry
        for key, entry in entries.items()
    }


def inspect(store: Store, registered: Registered) -> tuple[dict[str, dict], list[str]]:
    """Check the objects of an experiment in the store.

    Returns:
        Those that are whole, key -> sha256, size and etag; and the keys of the others.
    """
    stored = {}
    lacking = []
    for key, entry in objects(registered).items():
        if whole := find_whole(store, key, entry):
            digest = entry.get("sha256") or hashlib.sha256(store.get(key)).hexdigest()
            stored[key] = {"sha256": digest, "size": whole.size, "etag": whole.etag}
        else:
            lacking.append(key)
    return stored, lacking

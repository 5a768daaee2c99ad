"""What was put into the store once: written unless these very bytes are there, and known again by size, etag or hash.

That a key exists says nothing of what lies under it.
"""

import hashlib
from pathlib import Path

from job.coordination.tasks import Registered
from job.storage.store import Object, Store, sha256_of


def put_whole(store: Store, key: str, content: bytes | Path) -> dict:
    """Write an object unless these very bytes are there; return its sha256, size and etag."""
    if isinstance(content, Path):
        entry = {"sha256": sha256_of(content), "size": content.stat().st_size}
    else:
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    found = whole(store, key, entry) or store.put(key, content)
    return entry | {"etag": found.etag}


def whole(store: Store, key: str, entry: dict) -> Object | None:
    """Return an object if it is what an entry says, else None: by size and etag; where no such etag is known, by its bytes.

    Args: entry: sha256, size and etag, as far as they are known; without a sha256 it is enough to be there.
    """
    found = store.head(key)
    if found is None or found.size != entry.get("size", found.size):
        return None
    if "sha256" not in entry or found.etag == entry.get("etag"):
        return found
    return found if hashlib.sha256(store.get(key)).hexdigest() == entry["sha256"] else None


def objects(registered: Registered) -> dict[str, dict]:
    """Return every object an experiment was prepared with: key -> sha256, size and etag, as far as they are known."""
    data = registered.data
    folder = f"data/{data['id']}"
    entries = {f"{folder}/{name}": entry for name, entry in data["files"].items()}
    entries |= {f"{folder}/{name}": {} for name in ("manifest.json", "samples.npz")}
    entries |= {entry["key"]: entry for entry in (registered.splits, *registered.weights.values())}
    stored = data.get("stored", {})
    return {
        key: entry | stored.get(key, {}) if isinstance(entry, dict) else entry
        for key, entry in entries.items()
    }


def look(store: Store, registered: Registered) -> tuple[dict[str, dict], list[str]]:
    """Return what of an experiment's objects is whole, by key, as `put_whole` does, and the keys of what is not."""
    stored, lacking = {}, []
    for key, entry in objects(registered).items():
        if found := whole(store, key, entry):
            digest = entry.get("sha256") or hashlib.sha256(store.get(key)).hexdigest()
            stored[key] = {"sha256": digest, "size": found.size, "etag": found.etag}
        else:
            lacking.append(key)
    return stored, lacking

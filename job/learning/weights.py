"""ImageNet weights of the frozen bases: where their files are found, and into the store once.

The folder or URL that a person names is that person's word. What lies elsewhere under Keras' name, or is named by an object of
the store, is anybody's: it is used if it has the hash that Keras names, or one that an experiment of this database recorded.
"""

import json
import logging
import os
import re
from pathlib import Path

from job.data.downloads import download, has_hash, is_url, kept, shown
from job.data.staged import put_whole
from job.errors import Invalid, Missing
from job.experiment.backbones import BACKBONES, BASE_URL
from job.storage.cache import Cache
from job.storage.store import Store, sha256_of

ROOT = 0

log = logging.getLogger(__name__)


def names(model: str, parameters: dict) -> tuple[str, str]:
    """Return the name of a model's file in a folder of weights, and Keras' own name of it."""
    ours = f"{model}_{parameters['alpha']}_224" if model == "mobilenetv2" else model
    return f"{ours}_no_top.weights.h5", BACKBONES[model].file.format(**parameters)


def url(model: str, parameters: dict) -> str:
    """Return where Keras downloads a model's file from."""
    backbone = BACKBONES[model]
    return f"{BASE_URL}/{backbone.folder or backbone.module}/{backbone.remote or names(model, parameters)[1]}"


def keras_folder() -> Path:
    """Return where Keras keeps the weights it downloaded; for a user without a home that is the temporary folder."""
    home = os.path.expanduser("~")
    return (
        Path(os.environ.get("KERAS_HOME") or Path("/tmp" if home == "~" else home) / ".keras")
        / "models"
    )


def find(model: str, parameters: dict, place: str | None, cache_dir: Path) -> Path | None:
    """Return the file in the folder or at the URL given, under our name or Keras', else Keras' own in its cache, else None.

    Raises: Invalid for a folder that is not there, or a URL without the file; Unreachable.
    """
    if place and is_url(place):
        return _mirrored(place.rstrip("/"), model, parameters, cache_dir)
    folder = Path(place) if place else None
    if folder and not folder.is_dir():
        raise Invalid(
            f"--weights (or JOB_WEIGHTS) = {folder}: no such folder; expected one with {names(model, parameters)[0]}, or its URL"
        )
    places = [folder / name for name in names(model, parameters)] if folder else []
    if folder and not os.access(folder, os.R_OK | os.X_OK):
        raise Invalid(
            f"--weights (or JOB_WEIGHTS) = {folder}: this user ({os.getuid()}) may not read it: give it the right to, or name another"
        )
    return next((p for p in places if p.is_file()), None) or _in_keras_cache(model, parameters)


def _in_keras_cache(model: str, parameters: dict) -> Path | None:
    """Return the file in Keras' cache, unless it is not the one that Keras means, or anybody may have put it there."""
    path = keras_folder() / names(model, parameters)[1]
    if not path.is_file():
        return None
    if not os.environ.get("KERAS_HOME") and path.parent.stat().st_uid not in (
        ROOT,
        os.geteuid(),
    ):  # /tmp/.keras, without a home
        log.warning(
            "%s is not used: its folder belongs to another user, %d",
            path,
            path.parent.stat().st_uid,
        )
    elif not _is_keras(path, model, unknown=True):
        log.warning(
            "%s is not used: it has another hash than Keras names, %s", path, BACKBONES[model].hash
        )
    else:
        return path
    return None


def _is_keras(path: Path, model: str, unknown: bool) -> bool:
    """Tell whether a file has the hash that Keras names; `unknown` where it names none."""
    expected = BACKBONES[model].hash
    return unknown if expected is None else has_hash(path.resolve(), expected)


def _mirrored(url: str, model: str, parameters: dict, cache_dir: Path) -> Path:
    """Download the file from below a URL, by the first of its names that is there; under Keras' name it is to be Keras' file."""
    ours, keras = names(model, parameters)
    refused = []
    for name in (ours, keras):
        try:
            found = kept(
                f"{url}/{name}", cache_dir, "name another by --weights (make local: WEIGHTS=)"
            )
        except Invalid as exc:
            refused.append(str(exc))
            continue
        if name == ours or _is_keras(found, model, unknown=True):
            return found
        refused.append(f"{name} has another hash than Keras names, {BACKBONES[model].hash}")
    raise Invalid(
        f"--weights (or JOB_WEIGHTS) = {shown(url)}: expected {ours} below it: {'; '.join(refused)}"
    )


def fetch(
    cache: Cache,
    model: str,
    parameters: dict,
    place: str | None,
    recorded: frozenset[str] = frozenset(),
) -> Path:
    """Return the file: from the place given or Keras' cache, from the store if it was ever staged there, else downloaded for Keras' cache.

    Args: recorded: the hashes of weights that experiments of this database were prepared with.

    Raises: Unreachable, Invalid.
    """
    if found := find(model, parameters, place, cache.folder) or _from_store(
        cache, model, parameters, recorded
    ):
        return found
    path = keras_folder() / names(model, parameters)[1]
    log.info("downloading %s", path.name)
    return download(
        url(model, parameters), path, BACKBONES[model].hash, _way_out(model, parameters, place)
    )


def _from_store(
    cache: Cache, model: str, parameters: dict, recorded: frozenset[str]
) -> Path | None:
    """Return the file that was staged last, unless nobody but its pointer says that it is the right one."""
    entry = staged(cache.store, model, parameters)
    try:
        path = entry and cache.file(entry["key"], entry["sha256"])
    except Missing as exc:
        log.warning("the weights of %s staged before are gone: %s", model, exc)
        return None
    if path is None or entry["sha256"] in recorded or _is_keras(path, model, unknown=False):
        return path
    log.warning(
        "%s/%s is not used: it has not the hash that Keras names, and no experiment of this database recorded it; name its folder by --weights if it is right",
        *(cache.store.url, entry["key"]),
    )
    return None


def _way_out(model: str, parameters: dict, place: str | None) -> str:
    """Say which file is wanted, and how to name its folder."""
    ours, keras = names(model, parameters)
    lacking = f" ({place} has neither)" if place else ""
    return f"get the file {ours} (or {keras}){lacking} and name its folder by --weights (make local: WEIGHTS=)"


def upload(store: Store, model: str, parameters: dict, path: Path) -> dict:
    """Write a weight file into the store unless it is there; return its key, sha256, size and etag."""
    digest = sha256_of(path)
    # Keras reads the two layouts by their ending: `.weights.h5` is its own of today, `.h5` the older one.
    entry = {
        "key": f"weights/{digest}{'.weights.h5' if path.name.endswith('.weights.h5') else '.h5'}",
        "sha256": digest,
    }
    stored = put_whole(store, entry["key"], path)
    store.put(_pointer(model, parameters), json.dumps(entry).encode())
    return entry | stored


def staged(store: Store, model: str, parameters: dict) -> dict | None:
    """Return key and sha256 of a file staged for an earlier experiment, as an object of the store says; None for none."""
    try:
        entry = json.loads(store.get(_pointer(model, parameters)))
        if (
            re.fullmatch(r"weights/[0-9a-f]{64}(\.weights)?\.h5", entry["key"])
            and entry["key"][8:72] == entry["sha256"]
        ):
            return {"key": entry["key"], "sha256": entry["sha256"]}
    except Missing:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    log.warning(
        "%s/%s is not used: expected the key of weights and their sha256",
        store.url,
        _pointer(model, parameters),
    )
    return None


def _pointer(model: str, parameters: dict) -> str:
    """Return the key of the object that says which file was staged last under a model's name."""
    return f"weights/{names(model, parameters)[0]}.json"

"""ImageNet weights of the bases: finding their files, and uploading each to the store once.

A folder or URL that the user names is trusted. Anybody may have written a file under Keras' name
elsewhere, or one that an object of the store points to. Such a file is used only if it has the
hash that Keras names, or one that an experiment of this database recorded.
"""

import json
import logging
import os
from pathlib import Path

from job.data.downloads import download, fetch_once, has_hash, is_url, redact
from job.data.staged import put_whole
from job.errors import Invalid, Missing
from job.experiment.backbones import BACKBONES, BASE_URL
from job.storage import paths
from job.storage.cache import Cache
from job.storage.store import Store, sha256_of

ROOT = 0

log = logging.getLogger(__name__)


def names(model: str, parameters: dict) -> tuple[str, str]:
    """Return our name of a model's file in a folder of weights, and Keras' own name."""
    ours = f"{model}_{parameters['alpha']}_224" if model == "mobilenetv2" else model
    return f"{ours}_no_top.weights.h5", BACKBONES[model].file.format(**parameters)


def url(model: str, parameters: dict) -> str:
    """Return the URL that Keras downloads a model's file from."""
    backbone = BACKBONES[model]
    folder = backbone.folder or backbone.module
    return f"{BASE_URL}/{folder}/{backbone.remote or names(model, parameters)[1]}"


def keras_folder() -> Path:
    """Return the folder of Keras' downloaded weights; below /tmp for a user without a home."""
    home = os.path.expanduser("~")
    parent = Path("/tmp" if home == "~" else home)
    return Path(os.environ.get("KERAS_HOME") or parent / ".keras") / "models"


def find(model: str, parameters: dict, place: str | None, cache_dir: Path) -> Path | None:
    """Return a model's weights without the store and without Keras' server, or None.

    They come from the place given, under our name or Keras', else from Keras' cache.

    Args:
        model: a key of BACKBONES.
        parameters: `alpha` of MobileNetV2.
        place: a folder, or a URL, which is downloaded from; None for neither.
        cache_dir: the node's cache, for downloads.

    Raises:
        Invalid: the folder does not exist or cannot be read, or the URL lacks the file.
        Unreachable: the URL does not answer, or the disk is full.
    """
    if place and is_url(place):
        return _from_mirror(place.rstrip("/"), model, parameters, cache_dir)
    folder = Path(place) if place else None
    if folder and not folder.is_dir():
        raise Invalid(
            f"--weights (or JOB_WEIGHTS) = {folder}: no such folder;"
            f" expected one with {names(model, parameters)[0]}, or its URL"
        )
    if folder and not os.access(folder, os.R_OK | os.X_OK):
        raise Invalid(
            f"--weights (or JOB_WEIGHTS) = {folder}: this user ({os.getuid()}) may not read it:"
            " grant read access, or name another folder"
        )
    paths = [folder / name for name in names(model, parameters)] if folder else []
    return next((p for p in paths if p.is_file()), None) or _in_keras_cache(model, parameters)


def _in_keras_cache(model: str, parameters: dict) -> Path | None:
    """Return the file in Keras' cache, unless it has another hash or a stranger owns its folder."""
    path = keras_folder() / names(model, parameters)[1]
    if not path.is_file():
        return None
    # Without a home the folder is /tmp/.keras, which anybody may create.
    owner = path.parent.stat().st_uid
    if not os.environ.get("KERAS_HOME") and owner not in (ROOT, os.geteuid()):
        log.warning("%s is not used: its folder belongs to another user, %d", path, owner)
        return None
    if not _is_keras_file(path, model, if_unknown=True):
        log.warning("%s is not used: %s", path, _other_hash(model))
        return None
    return path


def _is_keras_file(path: Path, model: str, if_unknown: bool) -> bool:
    """Return whether a file has the hash that Keras names, or `if_unknown` if it names none."""
    expected = BACKBONES[model].hash
    return if_unknown if expected is None else has_hash(path.resolve(), expected)


def _other_hash(model: str) -> str:
    return f"it does not have the hash that Keras names, {BACKBONES[model].hash}"


def _from_mirror(url: str, model: str, parameters: dict, cache_dir: Path) -> Path:
    """Download the file from below a URL, by the first of its two names that is there.

    Under Keras' name it must be Keras' file.
    """
    ours, keras = names(model, parameters)
    reasons = []
    for name in (ours, keras):
        try:
            path = fetch_once(
                f"{url}/{name}", cache_dir, "name another by --weights (make local: WEIGHTS=)"
            )
        except Invalid as exc:
            reasons.append(str(exc))
            continue
        if name == ours or _is_keras_file(path, model, if_unknown=True):
            return path
        reasons.append(f"{name} is not used: {_other_hash(model)}")
    raise Invalid(
        f"--weights (or JOB_WEIGHTS) = {redact(url)}: expected {ours} below it:"
        f" {'; '.join(reasons)}"
    )


def fetch(
    cache: Cache,
    model: str,
    parameters: dict,
    place: str | None,
    recorded: frozenset[str] = frozenset(),
) -> Path:
    """Return a model's weights from the first source that has them.

    The sources are the place given, Keras' cache, the store, and Keras' server, whose file goes
    into Keras' cache.

    Args:
        cache: the node's cache, with the store.
        model: a key of BACKBONES.
        parameters: `alpha` of MobileNetV2.
        place: a folder or a URL that the user names, or None.
        recorded: the sha256 of all weights that experiments of this database were prepared with.

    Raises:
        Invalid: the place is wrong, or the file cannot be downloaded, or it has another hash.
        Unreachable: store, server or disk are out of reach for now.
    """
    path = find(model, parameters, place, cache.folder)
    path = path or _from_store(cache, model, parameters, recorded)
    if path:
        return path
    target = keras_folder() / names(model, parameters)[1]
    log.info("downloading %s", target.name)
    way_out = _way_out(model, parameters, place)
    return download(url(model, parameters), target, BACKBONES[model].hash, way_out)


def _from_store(
    cache: Cache, model: str, parameters: dict, recorded: frozenset[str]
) -> Path | None:
    """Return the file that was staged last, if its hash is recorded or the one that Keras names."""
    entry = find_staged(cache.store, model, parameters)
    if entry is None:
        return None
    try:
        path = cache.file(entry["key"], entry["sha256"])
    except Missing as exc:
        log.warning("the staged weights of %s are gone: %s", model, exc)
        return None
    if entry["sha256"] in recorded or _is_keras_file(path, model, if_unknown=False):
        return path
    log.warning(
        "%s/%s is not used: it does not have the hash that Keras names, and no experiment of this"
        " database recorded it; name its folder by --weights if it is right",
        cache.store.url,
        entry["key"],
    )
    return None


def _way_out(model: str, parameters: dict, place: str | None) -> str:
    """Return, for an error, which file to get and how to name its folder."""
    ours, keras = names(model, parameters)
    lacking = f" ({place} has neither)" if place else ""
    return (
        f"get the file {ours} (or {keras}){lacking}"
        " and name its folder by --weights (make local: WEIGHTS=)"
    )


def upload(store: Store, model: str, parameters: dict, path: Path) -> dict:
    """Write a weights file to the store unless it is there; return its key, sha256, size, etag."""
    digest = sha256_of(path)
    entry = {"key": paths.weights_file(digest, path.name), "sha256": digest}
    stored = put_whole(store, entry["key"], path)
    store.put(_pointer(model, parameters), json.dumps(entry).encode())
    return entry | stored


def find_staged(store: Store, model: str, parameters: dict) -> dict | None:
    """Return key and sha256 of the file staged last for any experiment, or None.

    Both are what an object of the store says, which anybody with write access to it may change.
    """
    pointer = _pointer(model, parameters)
    try:
        entry = json.loads(store.get(pointer))
        digest = paths.hash_of_weights(entry["key"])
        if digest and digest == entry["sha256"]:
            return {"key": entry["key"], "sha256": entry["sha256"]}
    except Missing:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    log.warning(
        "%s/%s is not used: expected the key of weights and their sha256", store.url, pointer
    )
    return None


def _pointer(model: str, parameters: dict) -> str:
    """Return the key of the object that names the file staged last for a model."""
    return paths.weights_pointer(names(model, parameters)[0])

"""ImageNet weights of the frozen bases: where their files are found, and into the store once."""

import hashlib
import json
import logging
import os
from pathlib import Path

from job.backbones import BACKBONES, BASE_URL
from job.cache import Cache
from job.downloads import download, is_url, kept, shown
from job.errors import Invalid, Missing
from job.store import Store, sha256_of

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
    return Path(os.environ.get("KERAS_HOME") or Path("/tmp" if home == "~" else home) / ".keras") / "models"


def find(model: str, parameters: dict, place: str | None, cache_dir: Path) -> Path | None:
    """Return the file in the folder or at the URL given, under our name or Keras', else in Keras' cache, else None.

    Raises: Invalid for a folder that is not there, or a URL without the file; Unreachable.
    """
    if place and is_url(place):
        return _mirrored(place.rstrip("/"), names(model, parameters), cache_dir / "downloads")
    folder = Path(place) if place else None
    if folder and not folder.is_dir():
        raise Invalid(f"--weights (or JOB_WEIGHTS) = {folder}: no such folder; expected one with {names(model, parameters)[0]}, or its URL")
    places = [folder / name for name in names(model, parameters)] if folder else []
    if folder and not os.access(folder, os.R_OK | os.X_OK):
        raise Invalid(
            f"--weights (or JOB_WEIGHTS) = {folder}: this user ({os.getuid()}) may not read it: give it the right to, or name another"
        )
    return next((p for p in [*places, keras_folder() / names(model, parameters)[1]] if p.is_file()), None)


def _mirrored(url: str, names: tuple[str, ...], folder: Path) -> Path:
    """Download the file from below a URL, by the first of its names that is there."""
    refused = []
    for name in names:
        try:
            return kept(f"{url}/{name}", folder, "name another by --weights (make local: WEIGHTS=)")
        except Invalid as exc:
            refused.append(str(exc))
    raise Invalid(f"--weights (or JOB_WEIGHTS) = {shown(url)}: expected {names[0]} below it: {'; '.join(refused)}")


def fetch(cache: Cache, model: str, parameters: dict, place: str | None) -> Path:
    """Return the file: from the place given or Keras' cache, from the store if it was ever staged there, else downloaded for Keras' cache.

    Raises: Unreachable, Invalid.
    """
    found = find(model, parameters, place, cache.folder)
    if found is None and (entry := staged(cache.store, model, parameters)):
        return cache.file(entry["key"], entry["sha256"])
    if found is None:
        found = keras_folder() / names(model, parameters)[1]
        log.info("downloading %s", found.name)
        download(url(model, parameters), found, way_out=_way_out(model, parameters, place))
        _check_hash(found, BACKBONES[model].hash)
    return found


def _way_out(model: str, parameters: dict, place: str | None) -> str:
    """Say which file is wanted, and how to name its folder."""
    ours, keras = names(model, parameters)
    lacking = f" ({place} has neither)" if place else ""
    return f"get the file {ours} (or {keras}){lacking} and name its folder by --weights (make local: WEIGHTS=)"


def _check_hash(path: Path, expected: str | None) -> None:
    """Remove a download that is not the file Keras means. Raises: Invalid."""
    if expected is None:
        return
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "md5" if len(expected) == 32 else "sha256").hexdigest()
    if digest != expected:
        path.unlink()
        raise Invalid(
            f"{path.name} was downloaded with the hash {digest}, Keras expects {expected}: get the file, and name its folder by --weights"
        )


def upload(store: Store, model: str, parameters: dict, path: Path) -> dict:
    """Write a weight file into the store unless it is there; return its key and sha256."""
    digest = sha256_of(path)
    # Keras reads the two layouts by their ending: `.weights.h5` is its own of today, `.h5` the older one.
    entry = {"key": f"weights/{digest}{'.weights.h5' if path.name.endswith('.weights.h5') else '.h5'}", "sha256": digest}
    if store.head(entry["key"]) is None:
        store.put(entry["key"], path)
    store.put(_pointer(model, parameters), json.dumps(entry).encode())
    return entry


def staged(store: Store, model: str, parameters: dict) -> dict | None:
    """Return key and sha256 of a file staged for an earlier experiment, or None."""
    try:
        return json.loads(store.get(_pointer(model, parameters)))
    except Missing:
        return None


def _pointer(model: str, parameters: dict) -> str:
    """Return the key of the object that says which file was staged last under a model's name."""
    return f"weights/{names(model, parameters)[0]}.json"

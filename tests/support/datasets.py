"""Data sets as files: images, folders, archives and arrays, and the sentence that refuses one."""

import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from job import errors
from job.data import sources, staging
from job.data.dataset import Part, Source
from job.data.workspace import workspace

RED = (255, 0, 0)
GREEN = (0, 255, 0)
BLUE = (0, 0, 255)
WHITE = (255, 255, 255)


def encoded(image, format="PNG", **options):
    """Return the bytes of an image: a Pillow image, an array or a color of 4 x 4 pixels."""
    if isinstance(image, tuple):
        image = Image.new("RGB", (4, 4), image)
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def two_classes(**more):
    """Return the smallest folder that can be read, plus other files: {name: bytes}."""
    return {"train/cat/1.png": encoded(RED), "train/dog/1.png": encoded(GREEN), **more}


def write_folder(root, files):
    """Write a folder of {name: bytes}; return its path."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return str(root)


def write_tar(path, files, mode="w:gz", extra=()):
    """Write a tar archive of {name: bytes} and of extra TarInfo; return its path."""
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    return str(path)


def write_zip(path, files):
    """Write a zip archive of {name: bytes}; return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return str(path)


def write_npz(path, **arrays):
    """Write an npz archive of these arrays; return its path."""
    np.savez(path, **arrays)
    return str(path)


def images(n=4, *shape, dtype=np.uint8):
    """Return n random images, uint8 [n, 5, 6, 3] by default."""
    return np.random.default_rng(1).integers(0, 256, (n, *(shape or (5, 6, 3)))).astype(dtype)


def read_source(*args, cache_dir: Path | None = None, **options) -> Source:
    """Read a data set with a workspace of its own; the pixels stay readable after its end.

    Args:
        cache_dir: where downloads stay; None for a temporary folder.
    """
    with tempfile.TemporaryDirectory() as folder, workspace(cache_dir or Path(folder)) as work:
        return sources.read(*args, **options, work=work)


def data_id(source: Source, train: Part, test: Part) -> str:
    """Return the id of a staged data set."""
    with tempfile.TemporaryDirectory() as folder:
        return staging.stage(source, train, test, Path(folder)).manifest.id


def refused(*args, error=errors.Invalid, **options):
    """Return the one sentence with which `read` refuses."""
    with pytest.raises(error) as caught:
        read_source(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message

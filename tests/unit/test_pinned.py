"""The same input gives the same staged bytes: ids of data sets stay what they once were."""

import numpy as np
import pytest
from PIL import Image

from tests.support.cifar_archive import cifar_files
from tests.support.datasets import (
    data_id,
    encoded,
    read_source,
    write_folder,
    write_npz,
    write_tar,
    write_zip,
)

RNG = np.random.default_rng(7)
GREY = RNG.integers(0, 256, (12, 12)).astype(np.uint8)
RGBA = RNG.integers(0, 256, (12, 12, 4)).astype(np.uint8)
DEEP = RNG.integers(0, 65536, (12, 12)).astype(np.uint16)
DEEP[0, 0] = 65535


def pictures():
    """Return an image of each mode, one of another size, one on its side, and no image."""
    lying = Image.Exif()
    lying[0x0112] = 6
    palette = Image.fromarray(GREY // 64 * 64).convert("P")
    return {
        "train/cat/1.png": encoded(GREY),
        "train/cat/2.png": encoded(RGBA),
        "train/cat/3.png": encoded(DEEP),
        "train/dog/1.PNG": encoded(palette, transparency=0),
        "train/dog/2.bmp": encoded(RGBA[..., :3], "BMP"),
        "train/dog/e\u0301.png": encoded(RGBA[:7, :, :3], exif=lying),
        "train/dog/4.jpeg": encoded(Image.new("L", (16, 16), 96), "JPEG"),
        "test/dog/1.webp": encoded(RGBA[..., :3], "WEBP", lossless=True),
        "test/cat/1.png": encoded(Image.fromarray(GREY).convert("1")),
        "README.md": b"no image",
    }


def describe_source(kind, folder):
    """Return the arguments of `sources.read` for a data set of this kind."""
    x = RGBA.reshape(6, 6, 4, 4)
    y = np.array([0, 1, 2, 0, 1, 2])
    if kind == "folder":
        return write_folder(folder / "set", pictures()), 8
    if kind == "zip":
        around = {f"pets/{name}": content for name, content in pictures().items()}
        return write_zip(folder / "set.zip", around), [9, 7]
    if kind == "tar":
        names = ("a", "b", "ca\u0301")
        files = {f"{c}/{i}.png": encoded(GREY + i) for c in names for i in range(3)}
        return (write_tar(folder / "set.tar.gz", files),)
    if kind == "npz":
        arrays = {"x_train": x, "y_train": y, "x_test": x[:2, ..., :3], "y_test": y[:2]}
        return (write_npz(folder / "a.npz", **arrays, classes=["x", "y", "z"]),)
    if kind == "floats":
        arrays = {"x_train": (x[..., 0] / 255).astype(np.float32), "y_train": np.eye(3)[y]}
        return write_npz(folder / "b.npz", **arrays), 5
    if kind == "digits":
        return "digits", 8
    return "cifar10", None, write_tar(folder / "c.tar.gz", cifar_files()[0])


@pytest.mark.parametrize(
    ("kind", "id"),
    [
        ("folder", "8a2ffa17be947ea5"),
        ("zip", "46027f988a2061ac"),
        ("tar", "6099ff173a297c55"),
        ("npz", "5e6584d6d210c067"),
        ("floats", "21e8cb9664bbd052"),
        ("digits", "18f4522455501728"),
        ("cifar10", "44eb3c59c60f02b2"),
    ],
)
def test_the_id_stays(tmp_path, kind, id):
    """Classes, pixels and labels are still those read at 5cdea46, by the id over all of them."""
    source = read_source(*describe_source(kind, tmp_path))
    assert data_id(source, source.train, source.test or source.train) == id

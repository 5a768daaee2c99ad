"""Turn arrays of pixels of any shape, type and size into one form: uint8 in RGB, 0..255.

Arrays may be mapped: all is done block by block.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from job import errors
from job.data import decoding
from job.data.images import blocks

VALUES = "expected integers 0..255, floats 0..1, or floats that are whole numbers 0..255"


def rgb(images: np.ndarray, what: str, whole: bool = False) -> Iterator[np.ndarray]:
    """Check images, and return them as uint8 [., height, width, 3], block by block.

    Alpha goes over white.

    Args:
        images: [n, height, width] or [n, height, width, 1, 3 or 4]; integers 0..255 of any type,
            or floats 0..1; in memory or mapped.
        what: what errors call them.
        whole: floats are whole numbers 0..255.

    Raises:
        errors.Invalid: another shape, type or range.
    """
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.ndim not in (3, 4) or channels not in (1, 3, 4) or 0 in images.shape:
        raise errors.Invalid(
            f"{what} has the shape {images.shape}: "
            "expected [n, height, width] or [n, height, width, 1, 3 or 4]"
        )
    _check_values(images, what, whole)
    scale = 255 if images.dtype.kind == "f" and not whole else 1
    return (_to_rgb(_to_bytes(block, scale)) for block in blocks(images))


def rgb_shape(images: np.ndarray) -> tuple[int, int, int, int]:
    """Return the shape of all images that `rgb` yields."""
    n, height, width = images.shape[:3]
    return n, height, width, 3


def are_whole(images: np.ndarray) -> bool:
    """Tell whether floats are whole numbers, some above 1: then they mean 0..255."""
    largest = 0
    for block in blocks(images):
        if not block.size or not (block == np.rint(block)).all():
            return False
        largest = max(largest, block.max())
    return largest > 1


def _check_values(images: np.ndarray, what: str, whole: bool) -> None:
    """Raise `Invalid` for a type or a value that means no brightness."""
    if images.dtype == np.uint8:
        return
    if images.dtype.kind not in "iuf":
        raise errors.Invalid(f"{what} is {images.dtype}: {VALUES}; save it as such")
    low = np.min([block.min() for block in blocks(images)])
    high = np.max([block.max() for block in blocks(images)])
    seen = f"{what} is {images.dtype} from {low} to {high}"
    is_float = images.dtype.kind == "f"
    top = 1 if is_float and not whole else 255
    if not (low >= 0 and high <= top):  # NaN fails both
        raise errors.Invalid(f"{seen}: {VALUES}; scale it")
    if is_float and whole and high > 1 and not are_whole(images):
        raise errors.Invalid(f"{seen}, not all whole: {VALUES}")


def _to_bytes(block: np.ndarray, scale: int) -> np.ndarray:
    """Return numbers that were checked as uint8."""
    if block.dtype.kind != "f":
        return block.astype(np.uint8, copy=False)
    return np.rint(block.astype(np.float32) * scale).astype(np.uint8)


def _to_rgb(block: np.ndarray) -> np.ndarray:
    """Return bytes of one, three or four channels in three."""
    if block.ndim == 3:
        block = block[..., None]
    if block.shape[3] == 1:
        return np.repeat(block, 3, axis=3)
    if block.shape[3] == 4:
        return np.stack([np.asarray(decoding.put_on_white(Image.fromarray(i))) for i in block])
    return block


def resize(images: np.ndarray, size: tuple[int, int], fit: str) -> np.ndarray:
    """Resize images, as `decoding.resize_image` does.

    Args:
        images: uint8 [n, height, width, 3].
        size: (height, width).
        fit: one of `decoding.FITS`.
    """
    if images.shape[1:3] == size:
        return images
    result = np.empty((len(images), *size, 3), np.uint8)
    for i, image in enumerate(images):
        result[i] = np.asarray(decoding.resize_image(Image.fromarray(image), size, fit))
    return result

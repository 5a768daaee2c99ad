"""Turn arrays of pixels of any shape, type and size into one form: uint8 in RGB, 0..255.

Arrays may be mapped: all is done block by block.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from job import errors
from job.data import decoding, depths
from job.data.images import blocks

VALUES = (
    "expected integers 0..255, integers of 16 bits 0..65535, floats 0..1, or floats that are whole"
    " numbers 0..255"
)
CHANNELS = (1, 3, 4)


def is_channels_first(images: np.ndarray) -> bool:
    """Tell whether only the second axis of images can be that of the channels."""
    return images.ndim == 4 and images.shape[1] in CHANNELS and images.shape[3] not in CHANNELS


def rgb(
    images: np.ndarray, what: str, whole: bool = False, bits: int | None = None
) -> Iterator[np.ndarray]:
    """Check images, and return them as uint8 [., height, width, 3], block by block.

    Alpha goes over white.

    Args:
        images: [n, height, width] or [n, height, width, 1, 3 or 4]; integers 0..255 of any type,
            integers of two bytes, or floats 0..1; in memory or mapped.
        what: what errors call them.
        whole: floats are whole numbers 0..255.
        bits: how many bits integers of two bytes use: 0 to 2**bits - 1 become 0 to 255.

    Raises:
        errors.Invalid: another shape, type or range.
    """
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.ndim not in (3, 4) or channels not in CHANNELS or 0 in images.shape:
        raise errors.Invalid(
            f"{what} has the shape {images.shape}: "
            "expected [n, height, width] or [n, height, width, 1, 3 or 4]"
        )
    if images.dtype.itemsize != 2 or images.dtype.kind not in "iu":
        bits = None
    _check_values(images, what, whole, bits)
    scale = 255 if images.dtype.kind == "f" and not whole else 1
    return (_to_rgb(_to_bytes(block, scale, bits)) for block in blocks(images))


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


def extremes(images: np.ndarray) -> tuple[float, float]:
    """Return the lowest and the highest value."""
    ends = [(block.min(), block.max()) for block in blocks(images)]
    lows, highs = zip(*ends, strict=True)
    return np.min(lows), np.max(highs)  # unlike min() of Python, these keep NaN


def _check_values(images: np.ndarray, what: str, whole: bool, bits: int | None) -> None:
    """Raise `Invalid` for a type or a value that means no brightness."""
    if images.dtype == np.uint8:
        return
    if images.dtype.kind not in "iuf":
        raise errors.Invalid(f"{what} is {images.dtype}: {VALUES}; save it as such")
    low, high = extremes(images)
    seen = f"{what} is {images.dtype} from {low} to {high}"
    is_float = images.dtype.kind == "f"
    top = 1 if is_float and not whole else (1 << (bits or 8)) - 1
    if not (low >= 0 and high <= top):  # NaN fails both
        raise errors.Invalid(f"{seen}: {VALUES}; scale it")
    if is_float and whole and high > 1 and not are_whole(images):
        raise errors.Invalid(f"{seen}, not all whole: {VALUES}")


def _to_bytes(block: np.ndarray, scale: int, bits: int | None) -> np.ndarray:
    """Return numbers that were checked as uint8."""
    if bits:
        return depths.table(bits)[block]
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

"""Turn arrays of pixels of any shape, type and size into one form: uint8 in RGB, 0..255."""

import numpy as np
from PIL import Image

from job import errors
from job.data import decoding

VALUES = "expected integers 0..255, floats 0..1, or floats that are whole numbers 0..255"


def rgb(images: np.ndarray, what: str, whole: bool = False) -> np.ndarray:
    """Return images as uint8 [n, height, width, 3]; alpha goes over white.

    Args:
        images: [n, height, width] or [n, height, width, 1, 3 or 4]; integers 0..255 of any type,
            or floats 0..1.
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
    images = _to_bytes(images, what, whole).reshape(*images.shape[:3], channels)
    if channels == 1:
        return np.repeat(images, 3, axis=3)
    if channels == 4:
        return np.stack([np.asarray(decoding.put_on_white(Image.fromarray(i))) for i in images])
    return images


def are_whole(images: np.ndarray) -> bool:
    """Tell whether floats are whole numbers, some above 1: then they mean 0..255."""
    if not images.size or not images.max() > 1:
        return False
    return all((image == np.rint(image)).all() for image in images)


def _to_bytes(images: np.ndarray, what: str, whole: bool) -> np.ndarray:
    """Return images as uint8; floats one by one, to need no second array of floats."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iuf":
        raise errors.Invalid(f"{what} is {images.dtype}: {VALUES}; save it as such")
    low = images.min()
    high = images.max()
    seen = f"{what} is {images.dtype} from {low} to {high}"
    is_float = images.dtype.kind == "f"
    top = 1 if is_float and not whole else 255
    if not (low >= 0 and high <= top):  # NaN fails both
        raise errors.Invalid(f"{seen}: {VALUES}; scale it")
    if not is_float:
        return images.astype(np.uint8)
    if whole and high > 1 and not are_whole(images):
        raise errors.Invalid(f"{seen}, not all whole: {VALUES}")
    result = np.empty(images.shape, np.uint8)
    scale = 1 if whole else 255
    for i, image in enumerate(images):
        result[i] = np.rint(image.astype(np.float32) * scale)
    return result


def resize(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize images, averaging over all pixels when they get smaller.

    Args:
        images: uint8 [n, height, width, 3].
        size: (height, width).
    """
    if images.shape[1:3] == size:
        return images
    result = np.empty((len(images), *size, 3), np.uint8)
    for i, image in enumerate(images):
        result[i] = np.asarray(resize_image(Image.fromarray(image), size))
    return result


def resize_image(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize an image to (height, width)."""
    height, width = size
    return image.resize((width, height), Image.Resampling.BILINEAR)

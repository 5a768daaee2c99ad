"""Images of 16 bits per value: scaled to 8 by the bits that they use."""

import sys

import numpy as np
from PIL import Image, ImageFile

from job.data.unreadable import VALUES, Unreadable

DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners put into 16
DEEP_COLOR = ("RGB;16", "RGBA;16", "RGBX;16")  # Pillow's raw modes, without the byte order


def smallest(largest: int) -> int:
    """Return the smallest of `DEPTHS` that holds a value of 0..65535."""
    return next(bits for bits in DEPTHS if largest < 1 << bits)


def table(bits: int) -> np.ndarray:
    """Return uint8 [65536]: 0..2**bits - 1 scaled to 0..255 and rounded, 255 above."""
    top = (1 << bits) - 1
    return ((np.minimum(np.arange(65536), top) * 255 + top // 2) // top).astype(np.uint8)


def to_eight_bits(
    image: Image.Image, low: np.ndarray | None, bits: int, what: str
) -> tuple[Image.Image, int | None]:
    """Return an image of 8 bits per value.

    Args:
        image: of any mode.
        low: `low_bytes` of a 16-bit color image, else None.
        bits: how many of their 16 bits the values use: 0 to 2**bits - 1 become 0 to 255,
            larger ones 255.
        what: what errors call the image.

    Returns:
        The image, and the largest value it had if it had 16 bits.

    Raises:
        Unreadable: values that are floats or outside of 0..65535.
    """
    if image.mode == "F":
        sentence = f"{what} has floating-point values: expected 8 or 16 bits per value"
        raise Unreadable(f"{sentence}; save it as such", VALUES)
    if not image.mode.startswith("I"):
        return (image, None) if low is None else _color_to_eight_bits(image, low, bits)
    gray = np.asarray(image)
    if gray.min() < 0 or gray.max() > 65535:
        sentence = f"{what} has values from {gray.min()} to {gray.max()}: expected 0..65535"
        raise Unreadable(f"{sentence}; save it as 8 or 16 bits", VALUES)
    # A table, since convert() would clip.
    scaled = table(bits)[gray.astype(np.uint16, copy=False)]
    return Image.fromarray(scaled), int(gray.max())


def _color_to_eight_bits(image: Image.Image, low: np.ndarray, bits: int) -> tuple[Image.Image, int]:
    """Scale a color image, of which Pillow keeps the high bytes; at 16 bits these stay."""
    values = np.asarray(image)[..., :3].astype(np.uint16) << 8 | low[..., :3]
    if bits == 16:
        return image, int(values.max())
    scaled = Image.fromarray(table(bits)[values])
    if image.mode == "RGBA":
        scaled.putalpha(image.getchannel("A"))
    return scaled, int(values.max())


def is_deep_color(image: ImageFile.ImageFile) -> bool:
    """Tell whether an image that is open, not loaded, has 16 bits per value of color."""
    return bool(image.tile) and _raw_mode(image)[:-1] in DEEP_COLOR


def _raw_mode(image: ImageFile.ImageFile) -> str:
    arguments = image.tile[0].args
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def low_bytes(image: ImageFile.ImageFile) -> np.ndarray:
    """Return the low bytes of a 16-bit color image that is open, not loaded.

    Pillow keeps the high bytes, so it is given the other byte order.
    """
    raw = _raw_mode(image)
    is_native_big = raw.endswith("N") and sys.byteorder == "big"
    order = "L" if raw.endswith("B") or is_native_big else "B"
    other = raw[:-1] + order
    arguments = image.tile[0].args
    swapped = (other, *arguments[1:]) if isinstance(arguments, tuple) else other
    image.tile = [tile._replace(args=swapped) for tile in image.tile]
    return np.asarray(image)

"""Decode the bytes of one image file: by content, within bounds, whatever its metadata says.

A data set reaches Pillow through this file, `depths`, `pictures` and `pixels` only.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import (
    AvifImagePlugin,
    ExifTags,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    UnidentifiedImageError,
)

from job.data import depths, metadata
from job.data.unreadable import DAMAGED, EMPTY, NO_IMAGE, TOO_LARGE, Unreadable

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".webp", ".avif"),
    *(".tif", ".tiff", ".gif", ".ppm", ".pgm"),
)
# Pillow's only decoders in use, whatever a file is called.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "AVIF", "TIFF", "GIF", "PPM")
TO_JPEG = "convert it to JPEG, as `magick mogrify -format jpg` and `heif-convert` do"
CONVERT: dict[str, str] = dict.fromkeys((".heic", ".heif"), TO_JPEG)
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")

# How an image gets another shape (`data.fit`): out of proportion; without its longer ends; between
# black bars.
STRETCH = "stretch"
CROP = "crop"
PAD = "pad"
FITS = (STRETCH, CROP, PAD)

# Bounds in pixels.
# An image that is decoded as it is.
MAX_PIXELS = 50_000_000
# An image that is decoded whole and reduced then; measured 0.8 to 1.8 GB of memory.
MAX_WHOLE = 200_000_000
# WebP's decoder takes 15 bytes per pixel.
MAX_WEBP = 120_000_000
# A JPEG that decodes at 1/2 or 1/4. A progressive one takes 3 to 6 bytes per pixel: MAX_WHOLE.
MAX_JPEG = 500_000_000
# Of an image above MAX_PIXELS, per byte of the file; photos have 1 to 20, bombs 1,000 and more.
MAX_PER_BYTE = 200
# Of all images that are decoded at once. A pixel takes up to 12 bytes until it is resized.
AT_ONCE_PIXELS = 50_000_000

# EXIF's orientation -> what turns the image upright. A damaged orientation has any type.
TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = tuple(TURNS[orientation] for orientation in (5, 6, 7, 8))


@dataclass(frozen=True)
class Decoded:
    """An image file, decoded."""

    image: Image.Image  # RGB, resized if asked for
    size: tuple[int, int]  # (width, height) as a viewer shows it, before it was resized
    largest: int | None  # value of a 16-bit image, None for one of 8 bits


class _Room:
    """A number of pixels that threads share; one image alone may have more."""

    def __init__(self, pixels: int):
        self.pixels = pixels
        self._taken = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Hold room for an image, after waiting for it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + pixels <= self.pixels)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


_ROOM = _Room(AT_ONCE_PIXELS)


def decode(
    data: bytes,
    what: str,
    size: tuple[int, int] | None = None,
    bits: int = 16,
    fit: str = STRETCH,
) -> Decoded:
    """Decode a file to RGB as a viewer shows it.

    The image is upright by its EXIF data, alpha lies over white, and of several images the first
    counts.

    Any number of threads may decode at once: those of large images wait for each other.

    Args:
        data: the bytes of the file.
        what: what errors call the file.
        size: (height, width) to resize to, so that a large one may be reduced while it is read;
            None keeps it as it is, with MAX_PIXELS at most.
        bits: how many of its 16 bits a 16-bit image uses: 0 to 2**bits - 1 become 0 to 255,
            and larger values become 255.
        fit: one of FITS.

    Raises:
        Unreadable: empty, damaged, too large, or of an unsupported format.
    """
    if not data:
        raise Unreadable(f"{what} is empty, it has no byte: replace or remove it", EMPTY)
    try:
        return _decode_robustly(data, what, size, bits, fit)
    except (Unreadable, MemoryError):
        raise
    except Image.DecompressionBombError as exc:
        sentence = f"{what} has more pixels than are read ({exc}): make it smaller"
        raise Unreadable(sentence, TOO_LARGE) from exc
    except UnidentifiedImageError as exc:
        raise _unidentified(data, what) from exc
    except Exception as exc:  # damaged bytes raise anything: OSError, SyntaxError, struct.error
        sentence = f"{what} is damaged or cut short ({exc}): replace or remove it"
        raise Unreadable(sentence, DAMAGED) from exc


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Set Pillow's own bound, which is global, to ours, and silence its warnings.

    The main thread does so around all decoding, because neither is a thread's own.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MAX_JPEG // 2  # it raises at twice that
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # per image; we decode several at once
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _unidentified(data: bytes, what: str) -> Unreadable:
    sentence = (
        f"{what} is not a {', '.join(FORMATS)} image, or its start is damaged: replace or remove it"
    )
    if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS:
        sentence = f"{what} is HEIC, whatever its name, which is unsupported: {TO_JPEG}"
    return Unreadable(sentence, NO_IMAGE)


def _decode_robustly(
    data: bytes, what: str, size: tuple[int, int] | None, bits: int, fit: str
) -> Decoded:
    """Decode a file; if that fails, without its metadata, which may be the only damage.

    Raises: Unreadable, else what was raised first.
    """
    try:
        return _decode(data, what, size, bits, fit)
    except (Unreadable, MemoryError):
        raise
    except Exception as first:
        stripped = metadata.strip(data)
        if stripped == data:
            raise
        try:
            return _decode(stripped, what, size, bits, fit)
        except (Unreadable, MemoryError):
            raise
        except Exception:
            raise first from None


def _decode(data: bytes, what: str, size: tuple[int, int] | None, bits: int, fit: str) -> Decoded:
    image = _open(data)
    width, height = image.size
    divisor = _divisor(image, len(data), what, size)
    with _ROOM.taken(width * height):
        decoded = _load(image, data, what, bits, divisor)
        if size is None:
            return decoded
        return replace(decoded, image=resize_image(decoded.image, size, fit))


def _load(
    opened: ImageFile.ImageFile,
    data: bytes,
    what: str,
    bits: int,
    divisor: int,
) -> Decoded:
    """Decode an image whose header was read."""
    shape = opened.size
    width, height = shape
    opened.verify()  # the checksums of a PNG, which load() does not compare; it uses the file up
    image = _open(data)
    low = depths.low_bytes(_open(data)) if depths.is_deep_color(image) else None
    if divisor > 1 and isinstance(image, JpegImagePlugin.JpegImageFile):
        image.draft(None, (width // divisor, height // divisor))
    image.load()
    turn = _turn(image)
    image, largest = depths.to_eight_bits(image, low, bits, what)
    if divisor > 1 and image.size == shape:
        image = _reduce(image, divisor)
    image = put_on_white(image)
    if turn is not None:
        image = image.transpose(turn)
    upright = (height, width) if turn in SIDEWAYS else shape
    return Decoded(image, upright, largest)


def _open(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _divisor(
    image: ImageFile.ImageFile, n_bytes: int, what: str, size: tuple[int, int] | None
) -> int:
    """Return what the sides of a large image are divided by while it is read, else 1.

    Raises: Unreadable for an image that is too large.
    """
    width, height = image.size
    pixels = width * height
    if pixels <= MAX_PIXELS:
        return 1
    has = f"{what} has {width} x {height} pixels"
    if size is None:
        sentence = f"{has}, more than {MAX_PIXELS:,}: set data.image_size, or make it smaller"
        raise Unreadable(sentence, TOO_LARGE)
    most = _most_pixels(image)
    if pixels > most:
        raise Unreadable(f"{has}, more than {most:,}: make it smaller", TOO_LARGE)
    if pixels > MAX_PER_BYTE * n_bytes:
        sentence = (
            f"{has} in {n_bytes:,} bytes, more than {MAX_PER_BYTE} per byte, "
            "which no photo has: make it smaller, or remove it"
        )
        raise Unreadable(sentence, TOO_LARGE)
    return next(by for by in (2, 4, 8) if -(-width // by) * -(-height // by) <= MAX_PIXELS)


def _most_pixels(image: ImageFile.ImageFile) -> int:
    """Return how many pixels an image that will be reduced may have."""
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    if is_jpeg and not image.info.get("progressive"):
        return MAX_JPEG
    if image.format == "WEBP":
        return MAX_WEBP
    if image.format == "AVIF":
        return MAX_PIXELS
    return MAX_PIXELS if depths.is_deep_color(image) else MAX_WHOLE


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what turns an image upright; text, or a directory that points nowhere, is ignored."""
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:
        return None


def _reduce(image: Image.Image, divisor: int) -> Image.Image:
    """Make an image smaller by averaging, before any copy of it is made."""
    is_plain = image.mode in ("L", "RGB", "CMYK") and not image.has_transparency_data
    if not is_plain and image.mode != "RGBA":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.reduce(divisor)


def put_on_white(image: Image.Image) -> Image.Image:
    """Return an image of any 8-bit mode as RGB.

    Transparent pixels become white, the paper that most such pictures are meant for.
    """
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def resize_image(image: Image.Image, size: tuple[int, int], fit: str = STRETCH) -> Image.Image:
    """Resize an image, averaging over all pixels when it gets smaller.

    Args:
        image: of any size.
        size: (height, width).
        fit: one of FITS.
    """
    height, width = size
    if fit == CROP:
        return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    if fit == PAD:
        return ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR)
    return image.resize((width, height), Image.Resampling.BILINEAR)

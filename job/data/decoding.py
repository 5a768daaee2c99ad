"""The bytes of one image file to pixels: by content, within bounds, whatever its metadata say.

With `pictures` the only file through which a data set reaches Pillow.
"""

import contextlib
import io
import sys
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError

from job import errors

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
FORMATS = (
    "PNG",
    "JPEG",
    "BMP",
    "WEBP",
    "TIFF",
    "GIF",
    "PPM",
)  # no other decoder of Pillow is reached, whatever a file is called
TO_JPEG = "convert it to JPEG, as `magick mogrify -format jpg` and `heif-convert` do"
CONVERT = dict.fromkeys((".heic", ".heif", ".avif"), TO_JPEG)
MAX_PIXELS = 50_000_000  # of an image that is decoded as it is
MAX_WHOLE = 200_000_000  # of one that is decoded whole and then made smaller: measured 0.8 to 1.8 GB of memory
MAX_WEBP = 120_000_000  # WebP's decoder takes 15 bytes a pixel
MAX_JPEG = 500_000_000  # of a JPEG, which decodes at 1/2 or 1/4; not of a progressive one, which takes 3 to 6 bytes a pixel
MAX_PER_BYTE = 200  # pixels above MAX_PIXELS that a byte of the file may stand for; photos have 1 to 20, bombs 1,000 and more
DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners put into 16
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF's orientation -> what turns the image upright
SIDEWAYS = tuple(TURNS[n] for n in (5, 6, 7, 8))
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"  # what a file begins with


@dataclass(frozen=True)
class Decoded:
    """An image file, decoded."""

    image: Image.Image  # RGB
    size: tuple[int, int]  # (width, height) as a viewer shows it, before it was made smaller
    largest: int | None  # value of a 16-bit image, None for one of 8 bits


def decode(data: bytes, what: str, size: tuple[int, int] | None = None, bits: int = 16) -> Decoded:
    """Decode a file to RGB as a viewer shows it: upright by its EXIF data, alpha over white, of several images the first.

    Args:
        what: names the file in errors.
        size: (height, width) it will be resized to; None: it stays as it is, so may have MAX_PIXELS at most.
        bits: that a 16-bit image holds: 0 to 2**bits - 1 become 0 to 255; larger values become 255.

    Raises: Invalid.
    """
    try:
        with _bounded(data):
            try:
                return _decoded(data, what, size, bits)
            except errors.Invalid:
                raise
            except Exception as exc:
                return _decoded_bare(data, exc, what, size, bits)
    except errors.Invalid:
        raise
    except Image.DecompressionBombError as exc:
        raise errors.Invalid(
            f"{what} has more pixels than are read ({exc}): make it smaller"
        ) from exc
    except UnidentifiedImageError as exc:
        raise _unknown(data, what) from exc
    except Exception as exc:  # of damaged bytes Pillow's decoders raise anything: OSError, SyntaxError, struct.error, ...
        raise errors.Invalid(
            f"{what} is damaged or cut short ({exc}): replace or remove it"
        ) from exc


@contextlib.contextmanager
def _bounded(data: bytes) -> Iterator[None]:
    """Let Pillow's own bound, which is global, be ours, and let it warn of nothing."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = (
        MAX_JPEG if data.startswith(JPEG) else MAX_WHOLE
    ) // 2  # it raises at twice that
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _unknown(data: bytes, what: str) -> errors.Invalid:
    if data[4:8] == b"ftyp" and data[8:12] in (
        b"heic",
        b"heix",
        b"hevc",
        b"mif1",
        b"msf1",
        b"avif",
    ):
        return errors.Invalid(
            f"{what} is HEIC or AVIF, whatever its name, which is not read: {TO_JPEG}"
        )
    return errors.Invalid(
        f"{what} is no {', '.join(FORMATS)} image, or its start is damaged: replace or remove it"
    )


def _decoded_bare(
    data: bytes, first: Exception, what: str, size: tuple[int, int] | None, bits: int
) -> Decoded:
    """Decode without the metadata, which may be all that is wrong. Raises: Invalid, else `first`."""
    plain = bare(data)
    if plain == data:
        raise first
    try:
        return _decoded(plain, what, size, bits)
    except errors.Invalid:
        raise
    except Exception:
        raise first from None


def bare(data: bytes) -> bytes:
    """Return a PNG or a JPEG without what no pixel needs: profiles, texts, thumbnails; anything else as it is."""
    if data.startswith(PNG):
        return _bare_png(data)
    return _bare_jpeg(data) if data.startswith(JPEG) else data


def _bare_png(data: bytes) -> bytes:
    """Keep the chunks that matter, damaged or not, and a sound orientation. Source: PNG (third edition), 5.3 and 5.4."""
    kept, at = [PNG], len(PNG)
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        whole = zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        if (
            not kind[0] & 32 or kind == b"tRNS" or (kind == b"eXIf" and whole)
        ):  # bit 5 of the first letter: no pixel needs it
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _bare_jpeg(data: bytes) -> bytes:
    """Leave out APP1 to APP13, APP15 and comments, up to the first scan. Source: ITU-T T.81, annex B."""
    kept, at = [data[:2]], 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"\xda", b""):
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] not in (*range(0xE1, 0xEE), 0xEF, 0xFE):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _decoded(data: bytes, what: str, size: tuple[int, int] | None, bits: int) -> Decoded:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    by, shape = _divisor(image, len(data), what, size), image.size
    image.verify()  # the checksums of a PNG, which load() does not compare; it uses the file up
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    low = _low_bytes(data) if _is_deep_colour(image) else None
    if by > 1 and isinstance(image, JpegImagePlugin.JpegImageFile):
        image.draft(None, (shape[0] // by, shape[1] // by))
    image.load()
    turn = _turn(image)
    image, largest = _eight_bits(image, low, bits, what)
    if by > 1 and image.size == shape:
        image = _reduced(image, by)
    image = over_white(image)
    if turn is None:
        return Decoded(image, shape, largest)
    return Decoded(image.transpose(turn), shape[::-1] if turn in SIDEWAYS else shape, largest)


def _divisor(image: Image.Image, n_bytes: int, what: str, size: tuple[int, int] | None) -> int:
    """Return what the sides are divided by while a large image is read, 1 for any other. Raises: Invalid for one too large."""
    (width, height), pixels = image.size, image.width * image.height
    if pixels <= MAX_PIXELS:
        return 1
    seen = f"{what} has {width} x {height} pixels"
    if size is None:
        raise errors.Invalid(
            f"{seen}, more than {MAX_PIXELS:,}: set data.image_size, or make it smaller"
        )
    jpeg = isinstance(image, JpegImagePlugin.JpegImageFile) and not image.info.get("progressive")
    most = (
        MAX_JPEG
        if jpeg
        else MAX_WEBP
        if image.format == "WEBP"
        else MAX_PIXELS
        if _is_deep_colour(image)
        else MAX_WHOLE
    )
    if pixels > most:
        raise errors.Invalid(f"{seen}, more than {most:,}: make it smaller")
    if pixels > MAX_PER_BYTE * n_bytes:
        raise errors.Invalid(
            f"{seen} in {n_bytes:,} bytes, more than {MAX_PER_BYTE} a byte: no photo has; make it smaller, or remove it"
        )
    return next(by for by in (2, 4, 8) if -(-width // by) * -(-height // by) <= MAX_PIXELS)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except (
        Exception
    ):  # text where a number is wanted, a directory that points nowhere: nonsense turns nothing
        return None


def _reduced(image: Image.Image, by: int) -> Image.Image:
    """Make an image smaller by averaging, before any copy of it is made."""
    if image.mode not in ("L", "RGB", "RGBA", "CMYK") or (
        image.mode != "RGBA" and image.has_transparency_data
    ):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.reduce(by)


def over_white(image: Image.Image) -> Image.Image:
    """Turn any mode of 8 bits into RGB; what is transparent becomes white, the paper most such pictures are meant for."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


# --- 16 bits ---


def depth(largest: int) -> int:
    """Return the smallest of `DEPTHS` that holds a value."""
    return next(bits for bits in DEPTHS if largest < 1 << bits)


def _eight_bits(
    image: Image.Image, low: np.ndarray | None, bits: int, what: str
) -> tuple[Image.Image, int | None]:
    """Return an image of 8 bits and the largest value of one that had 16, else None. Args: low: bytes of a colour image."""
    if image.mode == "F":
        raise errors.Invalid(
            f"{what} has floating-point values: expected 8 or 16 bits a value; save it as such"
        )
    if not image.mode.startswith("I"):
        return (image, None) if low is None else _eight_bits_of_colour(image, low, bits)
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise errors.Invalid(
            f"{what} has values from {grey.min()} to {grey.max()}: expected 0..65535; save it as 8 or 16 bits"
        )
    return Image.fromarray(_table(bits)[grey.astype(np.uint16, copy=False)]), int(
        grey.max()
    )  # convert() would clip


def _eight_bits_of_colour(
    image: Image.Image, low: np.ndarray, bits: int
) -> tuple[Image.Image, int]:
    """Return the same of colours, of which Pillow keeps the high bytes; at 16 bits these stay."""
    values = np.asarray(image)[..., :3].astype(np.uint16) << 8 | low[..., :3]
    if bits == 16:
        return image, int(values.max())
    scaled = Image.fromarray(_table(bits)[values])
    if image.mode == "RGBA":
        scaled.putalpha(image.getchannel("A"))
    return scaled, int(values.max())


def _table(bits: int) -> np.ndarray:
    """Return uint8 [65536]: 0..2**bits - 1 scaled to 0..255 and rounded, 255 above."""
    top = (1 << bits) - 1
    return ((np.minimum(np.arange(65536), top) * 255 + top // 2) // top).astype(np.uint8)


def _is_deep_colour(image: Image.Image) -> bool:
    return bool(image.tile) and _raw_mode(image)[:-1] in ("RGB;16", "RGBA;16", "RGBX;16")


def _raw_mode(image: Image.Image) -> str:
    arguments = image.tile[0].args
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _low_bytes(data: bytes) -> np.ndarray:
    """Return the low bytes of a 16-bit colour image: Pillow keeps the high ones, so it is told the other byte order."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    raw = _raw_mode(image)
    other = raw[:-1] + (
        "L" if raw.endswith("B") or (raw.endswith("N") and sys.byteorder == "big") else "B"
    )
    arguments = image.tile[0].args
    image.tile = [
        tile._replace(args=(other, *arguments[1:]) if isinstance(arguments, tuple) else other)
        for tile in image.tile
    ]
    return np.asarray(image)

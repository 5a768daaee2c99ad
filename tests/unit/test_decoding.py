"""One image file: any supported depth and format, whatever its metadata, within limits."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from job.data import decoding, metadata, pictures, staging
from job.errors import Invalid
from tests.support.datasets import (
    RED,
    encoded,
    images,
    read_source,
    refused,
    write_folder,
    write_tar,
)

NOISE = images(1, 16, 24, 3)[0]


def chunk(kind, content, crc=None):
    """Return a PNG chunk; `crc` replaces the right checksum by a wrong one."""
    checksum = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(width, height, rows=b"", depth=8, colour=2, *more):
    """Return a PNG made by hand: rows without filter bytes, `more` chunks before the pixels."""
    lines = b"x"
    if rows:
        step = len(rows) // height
        lines = b"".join(b"\0" + rows[i * step : (i + 1) * step] for i in range(height))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels_and_end = chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    return metadata.PNG + head + b"".join(more) + pixels_and_end


def noise_png(*more):
    """Return NOISE as a PNG, with more chunks before the pixels."""
    return png(24, 16, NOISE.tobytes(), 8, 2, *more)


def gray_16_bit(values, bits):
    """Return a gray 16-bit image whose largest value is the largest that `bits` can hold."""
    grey = np.array(values, np.uint16).reshape(1, -1).repeat(4, 0)
    grey[0, 0] = 2**bits - 1
    return encoded(grey)


def pixels(content, size=None, bits=16):
    """Return the pixels of a decoded image."""
    return np.asarray(decoding.decode(content, "x", size, bits).image)


@pytest.fixture(autouse=True)
def _bounds():
    """Decode within our bounds, as every command does."""
    with decoding.bounded():
        yield


# --- 16 bits ---


@pytest.mark.parametrize(
    ("bits", "value", "flat"),
    [(8, 100, 100), (10, 512, 128), (12, 2048, 128), (14, 8192, 128), (16, 32768, 128)],
)
def test_the_depth_of_a_set_is_that_of_its_largest_value(tmp_path, bits, value, flat):
    """All 16-bit images of a set are scaled by the bits of its largest value, in both parts.

    The bits are kept, and a note says if they are fewer than 16.
    """
    files = {
        "train/a/1.png": encoded(np.full((4, 5), value, np.uint16)),
        "train/b/1.png": encoded(np.full((4, 5), 7, np.uint8)),
        "test/a/1.png": gray_16_bit([value] * 5, bits),
    }
    for source in (write_folder(tmp_path / "set", files), write_tar(tmp_path / "a.tar.gz", files)):
        read = read_source(source)
        gray = read.train.images[:][0]
        assert gray.min() == gray.max() == flat, "bright as it is in the set's own range"
        assert read.test.images[:][0, 0, 0].tolist() == [255] * 3
        assert read.train.images[:][1].max() == 7
        assert read.bits == bits
        manifest = staging.stage(read, read.train, read.test, tmp_path).manifest
        assert manifest.bits == bits
        uses = f"2 images of 16 bits use only {bits} of them (the largest value is {2**bits - 1})"
        assert [uses in note for note in read.notes] == ([True] if bits < 16 else [])


def test_an_image_to_predict_has_the_depth_of_the_training_data(tmp_path):
    """One image scales by the bits of the training data; one with more is refused, not clipped."""
    (tmp_path / "1.png").write_bytes(gray_16_bit([2048] * 5, 12))
    assert pictures.read_one(tmp_path / "1.png", (4, 5, 3), 12)[1, 1].tolist() == [128] * 3
    assert pictures.read_one(tmp_path / "1.png", (4, 5, 3))[1, 1].tolist() == [8] * 3
    words = r"has values up to 4095: the model was trained on 10 bits, 0..1023"
    with pytest.raises(Invalid, match=words):
        pictures.read_one(tmp_path / "1.png", (4, 5, 3), 10)


@pytest.mark.parametrize(("bits", "flat"), [(12, 128), (16, 8)])
@pytest.mark.parametrize("alpha", [False, True])
def test_16_bit_color_keeps_its_low_bytes(bits, flat, alpha):
    """The low bytes of 16-bit color count when it holds fewer bits.

    With all 16 bits it stays as Pillow reads it.
    """
    values = np.full((3, 4, 4 if alpha else 3), 2048, ">u2")
    if alpha:
        values[..., 3] = 65535
    found = decoding.decode(png(4, 3, values.tobytes(), 16, 6 if alpha else 2), "x", None, bits)
    assert found.largest == 2048
    assert np.asarray(found.image)[0, 0].tolist() == [flat] * 3


# --- formats ---


LZW = {"compression": "tiff_lzw"}
DEFLATE = {"compression": "tiff_deflate"}


@pytest.mark.parametrize(
    ("suffix", "form", "options"),
    [("tif", "TIFF", {}), ("TIFF", "TIFF", LZW), ("tiff", "TIFF", DEFLATE), ("ppm", "PPM", {})],
)
def test_more_formats_are_read_without_loss(tmp_path, suffix, form, options):
    """TIFF and PPM give the pixels they hold, by content, whatever the suffix."""
    content = encoded(NOISE, form, **options)
    files = {f"a/1.{suffix}": content, "b/1.png": content}
    read = read_source(write_folder(tmp_path / "set", files)).train.images[:]
    assert (read == NOISE).all()


def test_the_first_of_several_images_is_read():
    """The first frame of an animated GIF and the first page of a TIFF are read.

    Transparent pixels of a GIF become white.
    """
    first = Image.new("P", (4, 4), 0)
    second = Image.new("P", (4, 4), 1)
    for image in (first, second):
        image.putpalette([255, 0, 0, 0, 255, 0])
    for form in ("GIF", "TIFF"):
        several = encoded(first, form, save_all=True, append_images=[second])
        assert pixels(several)[0, 0].tolist() == list(RED)
    assert pixels(encoded(first, "GIF", transparency=0))[0, 0].tolist() == [255] * 3


def test_16_bit_gray_in_other_formats():
    """16-bit TIFF, compressed or not, scales as PNG does; a PGM scales by its own largest value."""
    grey = np.array([[0, 128, 129, 257 * 100, 65535]], np.uint16)
    for options in ({}, LZW):
        assert pixels(encoded(grey, "TIFF", **options))[0, :, 0].tolist() == [0, 0, 1, 100, 255]
    pgm = b"P5\n3 1\n4095\n" + np.array([0, 2048, 4095], ">u2").tobytes()
    assert pixels(pgm)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            encoded(Image.new("F", (4, 4), 0.5), "TIFF"),
            "has floating-point values: expected 8 or 16 bits",
        ),
        (
            encoded(np.full((4, 4), -5, np.int32), "TIFF"),
            "has values from -5 to -5: expected 0..65535",
        ),
        (encoded(np.full((4, 4), 70000, np.int32), "TIFF"), "to 70000: expected 0..65535"),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            "is HEIC, whatever its name, which is unsupported: convert it to JPEG",
        ),
        (b"%PDF-1.4", "is not a PNG, JPEG, BMP, WEBP, AVIF, TIFF, GIF, PPM image"),
    ],
)
def test_unsupported_values_and_formats_are_refused(content, words):
    """Floats, values beyond 16 bits and HEIC get one sentence that says what is expected."""
    with pytest.raises(Invalid, match=r"^x ") as caught:
        pixels(content)
    assert words in str(caught.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM"])
def test_a_damaged_file_gets_one_sentence(form):
    """A file with any bit flipped is decoded or refused in one sentence; half a file is refused."""
    whole = encoded(Image.fromarray(NOISE), form)
    rng = np.random.default_rng(3)
    with pytest.raises(Invalid):
        pixels(whole[: len(whole) // 2])
    for _ in range(60):
        broken = bytearray(whole)
        broken[rng.integers(min(len(whole), 200))] ^= 1 << rng.integers(8)
        try:
            decoding.decode(bytes(broken), "x", (8, 8))
        except Invalid as exc:
            assert "\n" not in str(exc)


# --- metadata ---


BOMB = zlib.compress(bytes(70_000_000), 9)  # larger than what Pillow lets a text or a profile have


def kind_of(png_chunk: bytes) -> str:
    """Return the four letters that name a chunk."""
    return png_chunk[4:8].decode()


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"Comment\0\0" + BOMB),
        chunk(b"iCCP", b"icc\0\0" + BOMB),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + BOMB),
        chunk(b"pHYs", b"\0"),
        chunk(b"tEXt", b"a\0b", crc=1),
        chunk(b"gAMA", b"\0"),
        chunk(b"cHRM", b"\0\1"),
        chunk(b"sRGB", b""),
        chunk(b"iCCP", b"no profile"),
        chunk(b"acTL", b"\0"),
        chunk(b"fcTL", b"\0"),
        chunk(b"eXIf", b"no EXIF", crc=7),
    ],
    ids=kind_of,
)
def test_damaged_metadata_of_a_png_are_skipped(extra):
    """Oversized profiles and texts, and short or damaged chunks no pixel needs, are skipped."""
    assert (pixels(noise_png(extra)) == NOISE).all()


def test_damaged_pixels_are_refused_beside_damaged_metadata():
    """Only metadata is skipped: a wrong checksum or a missing end of the pixels is refused."""
    bad = noise_png(chunk(b"pHYs", b"\0"))
    at = bad.index(b"IDAT") + 40
    flipped = bad[:at] + bytes([bad[at] ^ 1]) + bad[at + 1 :]
    for broken in (flipped, bad[:-30], bad.replace(b"IEND", b"IENE")):
        with pytest.raises(Invalid, match=r"damaged|cut short"):
            pixels(broken)


def exif(orientation, kind=3, more=b"\0\0\0\0"):
    """Return EXIF data with one entry, orientation, of any type."""
    head = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12"
    return head + struct.pack(">HI", kind, 1) + orientation + more


def test_nonsense_in_exif_turns_nothing():
    """Invalid EXIF values, directories and segments leave a JPEG as it is."""
    plain = encoded(NOISE, "JPEG", quality=95)
    for content in (
        exif(b"ab\0\0", 2),
        exif(b"\0\0\0\x99", 4)[:-3],
        exif(b"\xff\xff\0\0"),
        b"Exif\0\0MM\0\x2a\xff\xff\xff\xff",
        b"Exif\0\0",
    ):
        assert (pixels(encoded(NOISE, "JPEG", quality=95, exif=content)) == pixels(plain)).all()
    for marker, content in (
        (0xE2, b"MPF\0garbage"),
        (0xE2, b"ICC_PROFILE\0\xff"),
        (0xED, b"Photoshop 3.0\x008BIM\xff"),
        (0xE1, b"Exif\0\0"),
    ):
        segment = bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content
        broken = plain[:2] + segment + plain[2:]
        assert (pixels(broken) == pixels(plain)).all()


def test_a_valid_orientation_holds_beside_nonsense():
    """Text in place of the resolution does not undo the orientation beside it."""
    count = b"\0\x02"
    orientation = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
    resolution = b"\x01\x1a\0\x02\0\0\0\x04abc\0"
    head = b"Exif\0\0MM\0\x2a\0\0\0\x08"
    content = head + count + orientation + resolution + b"\0\0\0\0"
    turned = pixels(encoded(NOISE, "JPEG", quality=95, exif=content))
    assert (turned == np.rot90(pixels(encoded(NOISE, "JPEG", quality=95)), -1)).all()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_orientation_in_every_format(form):
    """A picture stored on its side is turned upright once, size included, in every format."""
    lying = Image.Exif()
    lying[0x0112] = 6
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, :8] = 255
    found = decoding.decode(encoded(picture, form, exif=lying), "x")
    assert found.size == found.image.size == (8, 16)
    assert np.asarray(found.image)[:7].min() > 200
    assert np.asarray(found.image)[9:].max() < 50


# --- large ones ---


@pytest.fixture
def small_limits(monkeypatch):
    """Make the limits a thousand times smaller, to test them on small images."""
    for name in ("MAX_PIXELS", "MAX_WHOLE", "MAX_WEBP", "MAX_JPEG"):
        monkeypatch.setattr(decoding, name, getattr(decoding, name) // 1000)


def ramp(width, height):
    """Return a noisy picture that is dark on the left and bright on the right."""
    noise = np.random.default_rng(0).normal(0, 8, (height, width))
    return (np.linspace(30, 220, width) + noise).astype(np.uint8)[..., None].repeat(3, 2)


@pytest.mark.parametrize(
    ("form", "width", "options"),
    [
        ("JPEG", 512, {}),
        ("JPEG", 800, {}),
        ("PNG", 480, {}),
        ("WEBP", 384, {}),
        ("TIFF", 480, {}),
        ("JPEG", 480, {"progressive": True}),
        ("PNG", 480, {"mode": "P"}),
        ("PNG", 480, {"mode": "RGBA"}),
        ("PNG", 480, {"mode": "I;16"}),
        ("PNG", 480, {"mode": "1"}),
    ],
)
@pytest.mark.usefixtures("small_limits")
def test_a_large_photo_is_made_smaller_while_it_is_read(monkeypatch, form, width, options):
    """A picture with too many pixels is decoded smaller, looks the same and keeps its full size."""
    monkeypatch.setattr(decoding, "resize_image", lambda image, *_: image)  # see what it gets
    height = width // 4 * 3
    options = dict(options)
    mode = options.pop("mode", "RGB")
    plain = Image.fromarray(ramp(width, height))
    deep_gray = np.asarray(plain)[..., 0].astype(np.uint16) * 257
    picture = Image.fromarray(deep_gray) if mode == "I;16" else plain.convert(mode)
    found = decoding.decode(encoded(picture, form, **options), "x", (12, 16))
    assert found.size == (width, height)
    assert found.image.width == width // (2 if width < 700 else 4)
    small = shrink(found.image)
    wanted = shrink(plain)
    assert abs(small - wanted).max() <= (30 if mode in ("P", "1") else 3)


def shrink(image) -> np.ndarray:
    """Return an image at 16 x 12 pixels, as integers."""
    return np.asarray(image.resize((16, 12), Image.Resampling.BILINEAR)).astype(int)


@pytest.mark.usefixtures("small_limits")
def test_a_large_photo_without_a_size_is_refused(tmp_path):
    """Without data.image_size a large photo is refused: the message says to set it."""
    large = encoded(ramp(480, 360), "JPEG")
    message = refused(write_folder(tmp_path / "set", {"a/1.jpg": large, "b/1.jpg": large}))
    assert "480 x 360 pixels, more than 50,000: set data.image_size" in message


def test_a_photo_of_108_megapixels(tmp_path):
    """A phone's photo of 108 megapixels becomes 224 px."""
    (tmp_path / "1.jpg").write_bytes(encoded(Image.new("L", (12000, 9000), 77), "JPEG"))
    assert (pictures.read_one(tmp_path / "1.jpg", (224, 224, 3)) == 77).all()


JPEG_SIZE = b"\0\x08\0\x08"
TINY_JPEG = encoded(Image.new("L", (8, 8)), "JPEG")
TINY_GIF = encoded(Image.new("L", (8, 8)), "GIF")
BOMBS = {
    "png": png(30000, 30000),
    "png in whole": png(13000, 13000),
    "pgm": b"P5\n40000 40000\n255\n" + bytes(9),
    "jpeg": TINY_JPEG.replace(JPEG_SIZE, struct.pack(">HH", 40000, 12000)),
    "jpeg too large": TINY_JPEG.replace(JPEG_SIZE, struct.pack(">HH", 60000, 60000)),
    "gif": TINY_GIF.replace(b"\x08\0\x08\0", struct.pack("<HH", 60000, 60000)),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=list(BOMBS))
def test_a_bomb_is_refused_by_its_header(content):
    """A few bytes that claim hundreds of megapixels are refused before decoding.

    A size to resize to does not change that.
    """
    with pytest.raises(Invalid, match="pixels"):
        decoding.decode(content, "x", (8, 8))

"""What `sources.read` promises: the same arrays from the same bytes, one sentence per error."""

import gzip
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from job import errors
from job.data import archives, decoding
from tests.support.datasets import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    data_id,
    encoded,
    images,
    read_source,
    refused,
    two_classes,
    write_folder,
    write_npz,
    write_tar,
    write_zip,
)


def one_pixel(tmp_path, name, data, **options):
    """Return the top left pixel of an image file, read as the first of a folder."""
    files = {f"a/{name}": data, f"b/{name}": data}
    read = read_source(write_folder(tmp_path / "set", files), **options)
    return read.train.images[:][0, 0, 0].tolist()


def test_no_heavy_import():
    """Importing sources imports neither scikit-learn nor Keras nor TensorFlow."""
    heavy = "{'sklearn', 'keras', 'tensorflow'}"
    code = f"import sys; from job.data import sources; print({heavy} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# --- digits ---


def test_digits():
    """The digits are 32 x 32 or image_size, three equal channels, 0..255, without a test part."""
    read = read_source("digits", location="")
    assert read.notes == ()
    assert "is not used" in read_source("digits", location="/data").notes[0]
    assert read.train.images.shape == (1797, 32, 32, 3)
    assert read.train.images[:].dtype == np.uint8
    assert (read.train.images[:].min(), read.train.images[:].max()) == (0, 255)
    assert (read.train.images[:] == read.train.images[:][..., :1]).all()
    assert read.classes == tuple("0123456789")
    assert read.name == "digits"
    assert read.test is None
    assert read_source("digits", 8).train.images.shape == (1797, 8, 8, 3)


# --- folders ---


def test_folder_with_train_and_test(tmp_path):
    """Classes are sorted by name, images by file name, with suffixes in any case.

    Two reads are equal.
    """
    files = {
        "train/dog/b.PNG": encoded(GREEN),
        "train/dog/a.bmp": encoded(BLUE, "BMP"),
        "train/cat/1.webp": encoded(RED, "WEBP", lossless=True),
        "test/dog/1.Png": encoded(WHITE),
    }
    path = write_folder(tmp_path / "pets", files)
    read = read_source(path)
    assert read.name == "pets"
    assert read.classes == ("cat", "dog")
    assert read.train.images[:][:, 0, 0].tolist() == [list(RED), list(BLUE), list(GREEN)]
    assert read.train.labels.tolist() == [0, 1, 1]
    assert read.test.labels.tolist() == [1]
    assert read.test.images.shape == (1, 4, 4, 3)
    assert read.train.images[:].dtype == np.uint8
    assert np.array_equal(read_source(path).train.images[:], read.train.images[:])


def test_folder_of_classes(tmp_path):
    """Without train/, all class folders at the top are the training part; JPEG is read too."""
    files = {"a/1.jpg": encoded(WHITE, "JPEG"), "b/1.jpeg": encoded(WHITE, "JPEG")}
    read = read_source(write_folder(tmp_path / "set", files))
    assert read.classes == ("a", "b")
    assert read.test is None
    assert (read.train.images[:] == 255).all()


def test_what_is_no_image_is_ignored_and_counted(tmp_path):
    """Hidden and system files are skipped silently.

    Other files, and folders beside train/ and test/, are counted in a note.
    """
    more = {
        "train/cat/.DS_Store": b"",
        "train/cat/Thumbs.db": b"",
        "train/cat/a.txt": b"",
        "README.md": b"",
        "more/cat/1.png": b"no image",
    }
    read = read_source(write_folder(tmp_path / "set", two_classes(**more)))
    assert len(read.train.images) == 2
    assert ["3 files are not used" in note for note in read.notes] == [True]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (two_classes(**{"train/empty/notes.txt": b""}), "class folder 'train/empty'"),
        (
            two_classes(**{"test/bird/1.png": encoded(RED)}),
            "bird in the test part but not in",
        ),
        (two_classes(**{"train/cat/more/1.png": encoded(RED)}), "'train/cat/more/1.png'"),
        (two_classes(**{"Test/cat/1.png": encoded(RED)}), "folder 'Test' of"),
        (
            {"Training/cat/1.png": encoded(RED), "test/cat/1.png": encoded(RED)},
            "rename it to 'train'",
        ),
        ({"a/1.png": encoded(RED), "a/2.png": encoded(RED)}, "only 1 class"),
        ({"1.png": encoded(RED)}, "no class folder: expected train/<class>/<image>"),
        ({"train/1.png": encoded(RED)}, "no class folder in train/"),
        (two_classes(**{"train/cat/2.png": encoded(RED)[:45]}), "image 'train/cat/2.png'"),
        (
            two_classes(**{"train/cat/2.png": encoded(RED)[:-13]}),
            "image 'train/cat/2.png'",
        ),  # the last checksum
        (
            two_classes(**{"train/cat/2.jpg": encoded(images(1, 64, 64)[0], "JPEG")[:-200]}),
            "image 'train/cat/2.jpg'",
        ),
        (two_classes(**{"train/cat/2.png": b"GIF89a no image"}), "image 'train/cat/2.png'"),
        (two_classes(**{"train/cat/2.png": b""}), "image 'train/cat/2.png'"),
        (
            two_classes(**{"train/cat/2.png": encoded(Image.new("L", (16, 16)), "ICO")}),
            "not a PNG, JPEG, BMP, WEBP, AVIF, TIFF, GIF, PPM image",
        ),
    ],
)
def test_a_wrong_folder_is_refused(tmp_path, files, words):
    """An empty or unknown class, a wrong depth and a damaged image are Invalid, by name."""
    path = write_folder(tmp_path / "set", files)
    message = refused(path)
    assert words in message
    assert f'data.source = "{path}"' in message


def test_an_empty_folder_and_an_empty_class(tmp_path):
    """An empty folder, and an empty class folder, are Invalid."""
    (tmp_path / "set").mkdir()
    assert "no class folder" in refused(str(tmp_path / "set"))
    path = write_folder(tmp_path / "set", two_classes())
    (tmp_path / "set/train/fox").mkdir()
    assert "'train/fox'" in refused(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["a.npz", "a.tar.gz", "folder/train/cat/2.png"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, name):
    """Whatever its name and place, what is no regular file is Invalid at once."""
    write_folder(tmp_path / "folder", two_classes())
    os.mkfifo(tmp_path / name)
    message = refused(str(tmp_path / name.partition("/")[0]))
    assert name in message
    assert "neither a file nor a folder" in message


def test_links_in_a_folder_are_followed(tmp_path):
    """A dangling link is Invalid, and a link to its own parent ends."""
    path = write_folder(tmp_path / "set", two_classes())
    (tmp_path / "set/train/dog/2.png").symlink_to(tmp_path / "set/train/cat/1.png")
    (tmp_path / "set/self").symlink_to(tmp_path / "set")
    assert len(read_source(path).train.images) == 3
    (tmp_path / "set/train/dog/3.png").symlink_to(tmp_path / "gone")
    assert "neither a file nor a folder" in refused(path)


# --- sizes ---


def test_unequal_sizes(tmp_path):
    """Images of two sizes are Invalid with both sizes, unless data.image_size makes them equal."""
    files = two_classes(**{"test/cat/1.png": encoded(Image.new("RGB", (9, 6), RED))})
    path = write_folder(tmp_path / "set", files)
    message = refused(path)
    assert "9 x 6" in message
    assert "4 x 4" in message
    assert "'train/cat/1.png'" in message
    assert "set data.image_size" in message
    read = read_source(path, 5)
    assert read.train.images.shape == (2, 5, 5, 3)
    assert read.test.images[:][0, 0, 0].tolist() == list(RED)


def test_height_and_width(tmp_path):
    """data.image_size may be [height, width], for every kind of source.

    Without it, images that are not square stay so.
    """
    files = {f"{c}/1.png": encoded(Image.new("RGB", (9, 6), RED)) for c in "ab"}
    folder = write_folder(tmp_path / "set", files)
    npz = write_npz(tmp_path / "a.npz", x_train=images(2, 6, 9), y_train=[0, 1])
    for source in (folder, npz):
        assert read_source(source).train.images.shape == (2, 6, 9, 3)
        assert read_source(source, [4, 12]).train.images.shape == (2, 4, 12, 3)
    assert read_source("digits", [8, 12]).train.images.shape == (1797, 8, 12, 3)
    assert "data.image_size = [0, 4]" in refused(npz, [0, 4])


def test_all_damage_and_all_sizes_are_reported_at_once(tmp_path):
    """One error names all damaged images.

    Another names the smallest, the largest and the most frequent size.
    """
    images_of_sizes = {}
    for i, size in enumerate((5, 9, 7, 7, 7)):
        images_of_sizes[f"train/cat/{i}.png"] = encoded(Image.new("RGB", (size, 6), RED))
    files = two_classes(**images_of_sizes)
    message = refused(write_folder(tmp_path / "sizes", files))
    for words in (
        "4 x 4 (1 images, 'train/dog/1.png')",
        "9 x 6 (1 images,",
        "7 x 6 (3 images,",
        "[height, width]",
    ):
        assert words in message
    assert "5 x 6" not in message
    assert "and 1 more sizes" in message
    damaged = {f"train/dog/{i}.jpg": b"no image" for i in (7, 8, 9)}
    message = refused(write_folder(tmp_path / "bad", two_classes(**damaged)))
    assert "image 'train/dog/7.jpg'" in message
    assert "in all, 3 of 5 images cannot be read (3 of another format): train/dog/7.jpg" in message


DAMAGED = {
    "train/dog/2.png": encoded(RED)[:-13],
    "train/dog/3.png": b"",
    "train/cat/2.jpg": b"no image",
    "train/cat/3.jpg": b"nor this",
}


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_images_are_counted_or_left_out(tmp_path, caplog, packed):
    """Each damaged file is named with its reason, and all are counted by kind or left out."""
    files = two_classes(**DAMAGED, **{"test/dog/9.png": encoded(BLUE)})
    path = write_zip(tmp_path / "a.zip", files) if packed else write_folder(tmp_path / "a", files)
    message = refused(path)
    counted = "4 of 7 images cannot be read (2 of another format, 1 damaged or cut short, 1 empty)"
    assert f"in all, {counted}: train/cat/2.jpg, " in message
    assert 'data.damaged = "skip"' in message
    for name in DAMAGED:
        assert any(name in record.getMessage() for record in caplog.records)
    read = read_source(path, skip=True)
    assert read.damaged == tuple(sorted(DAMAGED))
    assert any(f"{counted} and are left out: train/cat/2.jpg, " in note for note in read.notes)
    whole = {name: content for name, content in files.items() if name not in DAMAGED}
    other = read_source(write_folder(tmp_path / "whole", whole))
    assert data_id(read, read.train, read.test) == data_id(other, other.train, other.test)


def test_a_member_twice_is_refused(tmp_path):
    """Of two members of one name nobody knows which is meant."""
    path = write_tar(tmp_path / "a.tar", two_classes(), "w")
    with tarfile.open(path, "a") as tar:
        tar.add(
            write_folder(tmp_path / "b", {"x.png": encoded(BLUE)}) + "/x.png", "train/cat/1.png"
        )
    assert "has 'train/cat/1.png' twice" in refused(path)


def test_a_lack_of_memory_is_no_damage(tmp_path, monkeypatch):
    """An image that the memory does not suffice for is not left out as damaged."""

    def fail(*_arguments):
        raise MemoryError

    monkeypatch.setattr(decoding, "resize_image", fail)
    with pytest.raises(MemoryError):
        read_source(write_folder(tmp_path / "a", two_classes()), 4, skip=True)


def test_a_class_without_a_whole_image_is_refused(tmp_path):
    """What is left without the damaged images is checked like any other data."""
    files = {"cat/1.png": encoded(RED), "dog/1.png": b"", "dog/2.png": b"x"}
    message = refused(write_folder(tmp_path / "a", files), skip=True)
    assert "class 'dog' (label 1) has no training image" in message
    all_damaged = {"cat/1.png": b"", "dog/1.png": b""}
    message = refused(write_folder(tmp_path / "b", all_damaged), skip=True)
    assert "2 of 2 images cannot be read (2 empty)" in message


@pytest.mark.parametrize("form", ["folder", "npz"])
@pytest.mark.parametrize(
    ("fit", "wanted"),
    [
        ("stretch", [RED, RED, BLUE, BLUE]),
        ("crop", [RED, GREEN, GREEN, BLUE]),  # the middle
        ("pad", [RED, RED, BLUE, BLUE]),  # bars above and below
    ],
)
def test_how_images_get_another_shape(tmp_path, form, fit, wanted):
    """Wide images are stretched, cropped to the middle, or get black bars, from every source."""
    wide = np.zeros((16, 32, 3), np.uint8)
    wide[:, :13] = RED
    wide[:, 13:19] = GREEN
    wide[:, 19:] = BLUE
    if form == "folder":
        files = {f"{name}/1.png": encoded(wide) for name in "ab"}
        path = write_folder(tmp_path / "a", files)
    else:
        path = write_npz(tmp_path / "a.npz", x_train=[wide, wide], y_train=[0, 1])
    read = read_source(path, 4, fit=fit)
    image = read.train.images[:][0].astype(int)
    assert image.shape == (4, 4, 3)
    assert (image.sum(axis=(1, 2)) == 0).tolist() == [fit == "pad", False, False, fit == "pad"]
    assert (image[1:3].argmax(axis=2) == np.argmax(wanted, axis=1)).all()


def test_shrinking_averages(tmp_path):
    """Shrinking averages pixels: a fine chessboard becomes gray, not black or white."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    path = write_folder(tmp_path / "set", {"a/1.png": encoded(board), "b/1.png": encoded(board)})
    pixels = read_source(path, 8).train.images[:]
    assert pixels.shape == (2, 8, 8, 3)
    assert 120 < pixels.min() <= pixels.max() < 135


def test_an_impossible_image_size():
    """data.image_size below one pixel is Invalid."""
    assert "data.image_size = 0" in refused("digits", 0)


@pytest.mark.parametrize("side", [7072, 10000, 20000])
def test_a_huge_image_is_refused(tmp_path, side):
    """More than 50 million pixels are refused by the header alone, with file and size."""
    header = b"\x89PNG\r\n\x1a\n"
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", b"x"),
        (b"IEND", b""),
    ):
        checksum = archives.zlib.crc32(kind + data)
        header += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    message = refused(write_folder(tmp_path / "set", {"a/big.png": header, "b/big.png": header}))
    assert "'a/big.png'" in message
    assert f"{side} x {side}" in message or str(side * side) in message


# --- kinds of images ---


def test_gray_and_palette(tmp_path):
    """Gray, one-bit and palette images become RGB."""
    assert one_pixel(tmp_path / "l", "1.png", encoded(Image.new("L", (4, 4), 77))) == [77] * 3
    assert one_pixel(tmp_path / "1", "1.png", encoded(Image.new("1", (4, 4), 1))) == [255] * 3
    assert one_pixel(
        tmp_path / "p", "1.png", encoded(Image.new("RGB", (4, 4), RED).quantize())
    ) == list(RED)


def test_alpha_goes_over_white(tmp_path):
    """Transparent pixels become white, half transparent ones half white, in every mode."""
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    gray = Image.new("LA", (4, 4), (0, 0))
    palette = Image.new("P", (4, 4), 0)
    assert one_pixel(tmp_path / "a", "1.png", encoded(clear)) == [255] * 3
    assert one_pixel(tmp_path / "b", "1.png", encoded(half)) == [255, 127, 127]
    assert one_pixel(tmp_path / "c", "1.png", encoded(gray)) == [255] * 3
    assert one_pixel(tmp_path / "d", "1.png", encoded(palette, transparency=0)) == [255] * 3
    webp = encoded(clear, "WEBP", lossless=True)
    assert one_pixel(tmp_path / "e", "1.webp", webp) == [255] * 3


def test_cmyk(tmp_path):
    """A CMYK JPEG becomes RGB, not inverted."""
    picture = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = one_pixel(tmp_path, "1.jpg", picture)
    assert red > 245
    assert green < 10
    assert blue < 10


@pytest.mark.parametrize(
    ("deep", "flat"), [(0, 0), (128, 0), (129, 1), (257 * 100, 100), (32768, 128), (65535, 255)]
)
def test_16_bit_gray_is_scaled(tmp_path, deep, flat):
    """16-bit gray is scaled by 255/65535 and rounded, where Pillow would clip it to white."""
    files = {
        "a/1.png": encoded(np.full((4, 4), deep, np.uint16)),
        "b/1.png": encoded(np.full((4, 4), 65535, np.uint16)),
    }
    read = read_source(write_folder(tmp_path / "set", files))
    assert read.train.images[:][0, 0, 0].tolist() == [flat] * 3
    assert read.bits == 16
    assert not any("bits" in note for note in read.notes)


def test_exif_orientation(tmp_path):
    """An image on its side, by its EXIF data, is turned upright before its size is read."""
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = WHITE
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left becomes the top
    data = encoded(pixels, "JPEG", exif=exif, quality=100)
    path = write_folder(tmp_path / "set", {"a/1.jpg": data, "b/1.jpg": data})
    read = read_source(path).train.images[:]
    assert read.shape == (2, 16, 8, 3)
    assert read[0, :7].min() > 240
    assert read[0, 9:].max() < 15


# --- archives ---


@pytest.mark.parametrize("top", ["", "./", "pets/", "./pets-1.0/"])
@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "zip"])
def test_archives_equal_the_folder(tmp_path, suffix, top):
    """An archive reads as its folder does, in any order, with or without one folder around it."""
    files = two_classes(**{"test/dog/1.png": encoded(BLUE), "train/cat/0.png": encoded(WHITE)})
    folder = read_source(write_folder(tmp_path / "set", files))
    packed = {f"{top}{name}": files[name] for name in reversed(files)}
    packed |= {f"{top}._cat.png": b"", "__MACOSX/pets/train/x/1.png": b"", f"{top}README": b""}
    path = tmp_path / f"pets.{suffix}"
    mode = {"tgz": "w:gz", "tar": "w"}.get(suffix, f"w:{suffix[4:]}")
    zipped = suffix == "zip"
    read = read_source(write_zip(path, packed) if zipped else write_tar(path, packed, mode))
    assert read.name == path.name
    assert read.classes == folder.classes
    for part in ("train", "test"):
        assert np.array_equal(getattr(read, part).images, getattr(folder, part).images)
        assert np.array_equal(getattr(read, part).labels, getattr(folder, part).labels)


def test_classes_at_the_top_of_an_archive(tmp_path):
    """<class>/<image> is recognized with and without one folder around it."""
    files = {"a/1.png": encoded(RED), "b/1.png": encoded(RED)}
    for n, top in enumerate(("", "around/")):
        packed = {f"{top}{name}": data for name, data in files.items()}
        assert read_source(write_zip(tmp_path / f"{n}.zip", packed)).classes == ("a", "b")


@pytest.mark.parametrize("kind", ["tar", "gztar", "zip"])
def test_archives_as_tools_make_them(tmp_path, kind):
    """Folders that tar and zip list as members are no files; an empty class is noticed."""
    write_folder(tmp_path / "in/pets", two_classes())
    read = read_source(shutil.make_archive(str(tmp_path / "a"), kind, tmp_path / "in", "pets"))
    assert read.classes == ("cat", "dog")
    assert len(read.train.images) == 2
    assert not read.notes
    (tmp_path / "in/pets/train/fox").mkdir()
    archive = shutil.make_archive(str(tmp_path / "b"), kind, tmp_path / "in")
    assert "'pets/train/fox'" in refused(archive)


@pytest.mark.parametrize(
    "name", ["../evil.png", "train/../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\evil.png"]
)
def test_names_that_lead_out_are_refused(tmp_path, name):
    """An absolute member name, or one with '..', makes tar and zip Invalid; nothing is written."""
    for write, path in ((write_tar, tmp_path / "a.tar.gz"), (write_zip, tmp_path / "a.zip")):
        message = refused(write(path, two_classes(**{name: encoded(RED)})))
        assert repr(name) in message
        assert "leads out" in message
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "a.zip"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    """A link, device or pipe in a tar makes it Invalid, by name."""
    info = tarfile.TarInfo("train/cat/2.png")
    info.type = kind
    info.linkname = "/etc/passwd"
    message = refused(write_tar(tmp_path / "a.tar", two_classes(), "w", [info]))
    assert "'train/cat/2.png'" in message
    assert "link or a device" in message


def test_links_in_a_zip_are_refused(tmp_path):
    """A symbolic link in a zip makes it Invalid, by name."""
    path = tmp_path / "a.zip"
    write_zip(path, two_classes())
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("train/cat/2.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert "link or a device" in refused(str(path))


def test_bombs_are_refused(tmp_path):
    """A member that claims more than 200 MB is refused before it is read, in tar and zip."""
    bomb = two_classes(**{"train/cat/2.png": bytes(archives.MEMBER_BYTES + 1)})
    assert "200,000,001 bytes" in refused(write_zip(tmp_path / "a.zip", bomb))
    info = tarfile.TarInfo("train/cat/2.png")
    info.size = 10**12
    (tmp_path / "a.tar").write_bytes(info.tobuf())
    assert "1,000,000,000,000 bytes" in refused(str(tmp_path / "a.tar"))


def peak(path) -> int:
    """Return the largest number of bytes that refusing a data set takes."""
    tracemalloc.start()
    try:
        assert "damaged" in refused(str(path))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_size_that_is_a_lie_unpacks_no_more(tmp_path):
    """A zip member larger than it claims is damaged, and no byte beyond its claim is unpacked.

    A tar's long name of any length takes no memory either.
    """
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in two_classes().items():
            archive.writestr(name, bytes(64 << 20) if "cat" in name else data)
        archive.getinfo("train/cat/1.png").file_size = 1000
    assert peak(tmp_path / "a.zip") < 4 << 20
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        info = tarfile.TarInfo("x")
        info.type = kind
        info.size = 64 << 20
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(info.tobuf() + bytes(64 << 20), 1))
        assert peak(tmp_path / "a.tar.gz") < 4 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_any_method_is_read(tmp_path, method):
    """A zip need not be deflated."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for name, pixels in zip("ab", noise, strict=True):
            archive.writestr(f"{name}/1.png", encoded(pixels))
    assert np.array_equal(read_source(str(tmp_path / "a.zip")).train.images[:], noise)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_an_archive_cut_short_is_refused(tmp_path, suffix):
    """A truncated archive is Invalid wherever it is cut, and never a smaller data set."""
    rng = np.random.default_rng(2)
    files = {}
    for name in (f"{c}/{i}.png" for c in "ab" for i in range(3)):
        files[name] = encoded(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8))
    path = tmp_path / f"a.{suffix}"
    if suffix == "zip":
        write_zip(path, files)
    else:
        write_tar(path, files, "w" if suffix == "tar" else f"w:{suffix[4:]}")
    whole = path.read_bytes()
    # A tar ends with kilobytes of zeros.
    end = len(files) * 1024 if suffix == "tar" else len(whole) - 1
    for cut in sorted({*range(0, end, 512), *range(1, end, 331), end}):
        path.write_bytes(whole[:cut])
        assert str(path) in refused(str(path))
    path.write_bytes(whole)
    assert len(read_source(str(path)).train.images) == 6


def test_a_flipped_bit_is_noticed(tmp_path):
    """A broken header in a tar and a wrong checksum of a gzip are Invalid.

    The tarfile module alone takes them for the end.
    """
    files = {f"{c}/{i}.png": encoded(RED) for c in "ab" for i in range(3)}
    path = tmp_path / "a.tar"
    data = bytearray(write_tar(path, files, "w") and path.read_bytes())
    data[4 * 1024] ^= 1  # the name in the fifth header
    path.write_bytes(data)
    assert "no end of archive" in refused(str(path))
    path = tmp_path / "a.tar.gz"
    write_tar(tmp_path / "b.tar", files, "w")
    data = bytearray(gzip.compress((tmp_path / "b.tar").read_bytes()))
    path.write_bytes(data)
    assert len(read_source(str(path)).train.images) == 6
    data[-8] ^= 1  # the checksum
    path.write_bytes(data)
    assert str(path) in refused(str(path))


def test_an_encrypted_zip_is_refused(tmp_path):
    """An encrypted member is Invalid: there is nobody to ask for a password."""
    path = tmp_path / "a.zip"
    data = bytearray(write_zip(path, two_classes()) and path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in refused(str(path))


# --- where it is found ---


@pytest.mark.parametrize(
    "where", ["", "cifar-10", "/nowhere/a.npz", "gs://bucket/a.npz", "ftp://host/a.npz", "a.rar"]
)
def test_what_is_not_supported(tmp_path, monkeypatch, where):
    """A missing or unsupported source is Invalid (78), and the message lists the supported ones."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    message = refused(where)
    assert f'data.source = "{where}"' in message
    assert '"cifar10", "digits", a folder' in message
    assert errors.Invalid.exit_code == 78


def test_a_location_is_blamed_by_its_name(tmp_path):
    """Errors name --data or JOB_DATA where one is given; the source keeps its name."""
    assert '--data (or JOB_DATA) = "/nowhere"' in refused("cifar10", location="/nowhere")
    assert "cifar-10-python.tar.gz" in refused("cifar10", location=str(tmp_path))
    path = write_folder(tmp_path / "set", two_classes())
    assert read_source("https://host/pets.zip", location=path).name == "pets.zip"

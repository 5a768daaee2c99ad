"""Strip the metadata from the bytes of a PNG or a JPEG: damage there need not refuse an image."""

import zlib

PNG = b"\x89PNG\r\n\x1a\n"  # what a PNG begins with
JPEG = b"\xff\xd8"
PNG_ANCILLARY = 0x20  # bit 5 of the first letter of a chunk's type: no pixel needs it
JPEG_SCAN = b"\xda"
JPEG_METADATA = (*range(0xE1, 0xEE), 0xEF, 0xFE)  # APP1 to APP13, APP15 and comments


def strip(data: bytes) -> bytes:
    """Return a PNG or a JPEG without what no pixel needs: profiles, texts, thumbnails.

    Any other format is returned unchanged.
    """
    if data.startswith(PNG):
        return _strip_png(data)
    return _strip_jpeg(data) if data.startswith(JPEG) else data


def _strip_png(data: bytes) -> bytes:
    """Keep the chunks that matter, damaged or not, and an undamaged orientation.

    Source: PNG (third edition), 5.3 and 5.4.
    """
    chunks = [PNG]
    start = len(PNG)
    while start + 12 <= len(data):
        kind = data[start + 4 : start + 8]
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        checksum = int.from_bytes(data[end - 4 : end], "big")
        is_whole = zlib.crc32(data[start + 4 : end - 4]) == checksum
        is_needed = not kind[0] & PNG_ANCILLARY or kind == b"tRNS"
        if is_needed or (kind == b"eXIf" and is_whole):
            chunks.append(data[start:end])
        start = end
    return b"".join([*chunks, data[start:]])


def _strip_jpeg(data: bytes) -> bytes:
    """Remove the metadata up to the first scan. Source: ITU-T T.81, annex B."""
    segments = [data[:2]]
    start = 2
    while data[start : start + 1] == b"\xff" and data[start + 1 : start + 2] not in (
        JPEG_SCAN,
        b"",
    ):
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if data[start + 1] not in JPEG_METADATA:
            segments.append(data[start:end])
        start = end
    return b"".join([*segments, data[start:]])

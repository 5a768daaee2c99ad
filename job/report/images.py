"""Pictures made of images: samples of the data, augmentation and mistakes.

They are PNG, or JPEG where the images are large.
"""

import io

import numpy as np
from PIL import Image

from job.report.drawing import Picture
from job.report.formatting import num
from job.report.results import Collected, Model

PNG_MAX_PX = 48  # larger images are JPEG
THUMBNAIL_PX = 96  # the longer side of an image of its own; larger images are shrunk to it
GRID_PX = 64  # the same, in the grid of augmentation
GAP_PX = 2


def samples(collected: Collected) -> dict[str, Picture]:
    """Return one strip of images per class, by file name."""
    if collected.samples is None:
        return {}
    pictures = {}
    # Many classes have samples of the first few only.
    named = zip(collected.samples, collected.data.classes, strict=False)
    for i, (images, name) in enumerate(named):
        content, kind = _mosaic(images[None])
        alt = f"{len(images)} training images of {name}"
        pictures[f"samples-{i:02d}.{kind}"] = Picture(content, alt)
    return pictures


def augmentation(model: Model) -> Picture | None:
    """Draw some images, each in a row with its variants."""
    if model.augmentation is None:
        return None
    originals, variants = model.augmentation
    rows = np.concatenate([originals[:, None], variants], axis=1)
    content, _ = _mosaic(rows, first_gap=6, jpeg=False)
    alt = (
        f"{len(originals)} training images, each with {variants.shape[1]} variants"
        f" as {model.name} sees them"
    )
    return Picture(content, alt)


def mistakes(model: Model, classes: list[str]) -> dict[str, Picture]:
    """Return the most confident mistakes of the published final, one picture each."""
    pictures = {}
    for i, mistake in enumerate(mistake_entries(model, classes)):
        content, kind = _mosaic(mistake["image"][None, None])
        alt = (
            f"test image {mistake['row']}, {mistake['true']}, taken for {mistake['predicted']}"
            f" with confidence {num(mistake['confidence'], 2)}"
        )
        pictures[f"mistake-{model.name}-{i:02d}.{kind}"] = Picture(content, alt)
    return pictures


def mistake_entries(model: Model, classes: list[str]) -> list[dict]:
    """Return image, row, true and predicted class, and confidence of each stored mistake.

    The most confident one comes first.
    """
    if not model.mistakes:
        return []
    names = ("images", "rows", "labels", "predictions", "confidence")
    columns = [model.mistakes[name] for name in names]
    return [
        {
            "image": image,
            "row": int(row),
            "true": classes[label],
            "predicted": classes[guess],
            "confidence": float(confidence),
        }
        for image, row, label, guess, confidence in zip(*columns, strict=True)
    ]


def _mosaic(images: np.ndarray, first_gap: int = GAP_PX, jpeg: bool = True) -> tuple[bytes, str]:
    """Return images as one picture with small gaps, and its file type.

    Args:
        images: uint8 [rows, columns, h, w, 3].
        first_gap: pixels between the first column and the second.
        jpeg: allow JPEG for large images.
    """
    rows, columns, height, width = images.shape[:4]
    scale = min(1.0, (THUMBNAIL_PX if jpeg else GRID_PX) / max(height, width))
    h = max(round(height * scale), 1)
    w = max(round(width * scale), 1)
    size = (columns * (w + GAP_PX) - GAP_PX + first_gap - GAP_PX, rows * (h + GAP_PX) - GAP_PX)
    kind = "jpg" if jpeg and max(height, width) > PNG_MAX_PX else "png"
    canvas = _canvas(kind, size)
    for r in range(rows):
        for c in range(columns):
            tile = Image.fromarray(images[r, c])
            if scale != 1.0:
                tile = tile.resize((w, h), Image.Resampling.LANCZOS)
            left = c * (w + GAP_PX) + (first_gap - GAP_PX if c else 0)
            canvas.paste(tile, (left, r * (h + GAP_PX)))
    return _encode(canvas, kind), kind


def _canvas(kind: str, size: tuple[int, int]) -> Image.Image:
    """Return an empty picture: white for JPEG, transparent for PNG."""
    if kind == "jpg":
        return Image.new("RGB", size, (255, 255, 255))
    return Image.new("RGBA", size, (0, 0, 0, 0))


def _encode(canvas: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "jpg":
        canvas.save(buffer, "JPEG", quality=82)
    else:
        canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()

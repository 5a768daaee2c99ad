"""Pictures made of images: samples of the data, augmentation, and mistakes; PNG, or JPEG where they are large."""

import io

import numpy as np
from PIL import Image

from job.report.collect import Collected, Model
from job.report.drawing import Picture
from job.report.formatting import num

PNG_MAX_PX = 48  # larger images are shown smaller, and as JPEG
THUMBNAIL_PX = 96


def samples(collected: Collected) -> dict[str, Picture]:
    """Return one strip of images per class."""
    if collected.samples is None:
        return {}
    found = {}
    for i, (images, name) in enumerate(
        zip(collected.samples, collected.data["classes"], strict=False)
    ):
        content, kind = _mosaic(images[None])
        found[f"samples-{i:02d}.{kind}"] = Picture(
            content, f"{len(images)} training images of {name}"
        )
    return found


def augmentation(model: Model) -> Picture | None:
    """Draw each row an image and its variants."""
    if model.augmentation is None:
        return None
    originals, variants = model.augmentation
    content, _ = _mosaic(
        np.concatenate([originals[:, None], variants], axis=1), first_gap=6, jpeg=False
    )
    return Picture(
        content,
        f"{len(originals)} training images, each with {variants.shape[1]} variants as {model.name} sees them",
    )


def mistakes(model: Model, classes: list[str]) -> dict[str, Picture]:
    """Return the most confident mistakes of the published final, each a picture."""
    found = {}
    for i, shown in enumerate(told(model, classes)):
        content, kind = _mosaic(shown["image"][None, None])
        alt = f"test image {shown['row']}, {shown['true']}, taken for {shown['predicted']} with confidence {num(shown['confidence'], 2)}"
        found[f"mistake-{model.name}-{i:02d}.{kind}"] = Picture(content, alt)
    return found


def told(model: Model, classes: list[str]) -> list[dict]:
    """Return what is said of each mistake: image, row, true, predicted, confidence; the most confident first."""
    m = model.mistakes or {
        "images": [],
        "rows": [],
        "labels": [],
        "predictions": [],
        "confidence": [],
    }
    return [
        {
            "image": image,
            "row": int(row),
            "true": classes[label],
            "predicted": classes[guess],
            "confidence": float(confidence),
        }
        for image, row, label, guess, confidence in zip(
            m["images"], m["rows"], m["labels"], m["predictions"], m["confidence"], strict=True
        )
    ]


def _mosaic(images: np.ndarray, first_gap: int = 2, jpeg: bool = True) -> tuple[bytes, str]:
    """Return images uint8 [rows, columns, h, w, 3] as one picture with small gaps, and its file type."""
    height, width = images.shape[2:4]
    large = max(height, width) > PNG_MAX_PX
    limit = THUMBNAIL_PX if jpeg else 64
    scale = min(1.0, limit / max(height, width))
    h, w = max(round(height * scale), 1), max(round(width * scale), 1)
    rows, columns = images.shape[:2]
    kind = "jpg" if large and jpeg else "png"
    canvas = Image.new(
        "RGB" if kind == "jpg" else "RGBA",
        (columns * (w + 2) - 2 + first_gap - 2, rows * (h + 2) - 2),
        (255, 255, 255) if kind == "jpg" else (0, 0, 0, 0),
    )
    for r in range(rows):
        for c in range(columns):
            tile = Image.fromarray(images[r, c])
            tile = tile if scale == 1.0 else tile.resize((w, h), Image.Resampling.LANCZOS)
            canvas.paste(tile, (c * (w + 2) + (first_gap - 2 if c else 0), r * (h + 2)))
    buffer = io.BytesIO()
    canvas.save(
        buffer,
        "JPEG" if kind == "jpg" else "PNG",
        **({"quality": 82} if kind == "jpg" else {"optimize": True}),
    )
    return buffer.getvalue(), kind

"""RandAugment's operations, beside Pillow's."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from job.learning.backend import tf
from job.learning.randaugment import OPERATIONS, operate, randaugment

pytestmark = pytest.mark.slow
RNG = np.random.default_rng(0)
# Smooth pictures of little contrast, with noise.
HEIGHT = 48
WIDTH = 54
SLOPE = np.linspace(60, 160, HEIGHT)[:, None, None] + np.linspace(-20, 20, WIDTH)[None, :, None]
IMAGES = (SLOPE + RNG.normal(0, 6, (3, HEIGHT, WIDTH, 3))).clip(0, 255).round().astype(np.float32)


def ours(name: str, strength: float) -> np.ndarray:
    """Return the images, all changed by one operation."""
    n = len(IMAGES)
    chosen = tf.fill([n], OPERATIONS.index(name))
    return np.asarray(operate(tf.constant(IMAGES), chosen, tf.fill([n], strength)))


def pillow(change) -> np.ndarray:
    """Return the images as a function of Pillow changes each."""
    pictures = [Image.fromarray(image.astype(np.uint8)) for image in IMAGES]
    return np.stack([np.asarray(change(picture), np.float32) for picture in pictures])


@pytest.mark.parametrize(
    ("name", "strength", "change", "tolerance"),
    [
        ("identity", 1.0, lambda p: p, 0.001),
        ("autocontrast", 1.0, ImageOps.autocontrast, 1),
        ("equalize", 1.0, ImageOps.equalize, 8),  # it counts the pixels below; ours, up to a value
        ("solarize", 0.5, lambda p: ImageOps.solarize(p, 128), 0.001),
        ("posterize", -0.5, lambda p: ImageOps.posterize(p, 6), 0.001),
        ("color", 0.5, lambda p: ImageEnhance.Color(p).enhance(1.45), 2),
        ("contrast", -1.0, lambda p: ImageEnhance.Contrast(p).enhance(0.1), 1.5),
        ("brightness", 0.5, lambda p: ImageEnhance.Brightness(p).enhance(1.45), 1),
    ],
)
def test_colors_are_pillows(name, strength, change, tolerance):
    """An operation on colors is Pillow's of that name, up to rounding."""
    np.testing.assert_allclose(ours(name, strength), pillow(change), atol=tolerance)


def test_sharpness_is_pillows():
    """So is sharpness, but at the edges, which Pillow leaves as they are."""
    expected = pillow(lambda p: ImageEnhance.Sharpness(p).enhance(1.9))
    inner = np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(ours("sharpness", 1.0)[inner], expected[inner], atol=2)


@pytest.mark.parametrize(
    ("name", "strength", "rows"),
    [
        # From output to input pixels (x, y), about the center.
        ("rotate", 1.0, (np.cos(np.pi / 6), -0.5, 0, 0.5, np.cos(np.pi / 6), 0)),
        ("shear x", -1.0, (1, -0.3, 0, 0, 1, 0)),
        ("shear y", 1.0, (1, 0, 0, 0.3, 1, 0)),
        ("translate x", 0.5, (1, 0, WIDTH * 75 / 331, 0, 1, 0)),
        ("translate y", -0.5, (1, 0, 0, 0, 1, -HEIGHT * 75 / 331)),
    ],
)
def test_geometry_is_pillows(name, strength, rows):
    """A warp is Pillow's affine transform by the same matrix, where both see the image."""
    a, b, c, d, e, f = rows
    # Pillow counts from the corner of a pixel.
    x, y = WIDTH / 2, HEIGHT / 2
    matrix = (a, b, c + x - a * x - b * y, d, e, f + y - d * x - e * y)

    def change(picture):
        return picture.transform(
            picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )

    inner = np.s_[:, 15:-15, 18:-18]
    np.testing.assert_allclose(ours(name, strength)[inner], pillow(change)[inner], atol=1.5)


def test_each_image_draws_its_own_operations():
    """Two images differ in what changes them; the same seed draws the same."""
    same = tf.constant(np.repeat(IMAGES[:1], 40, axis=0))
    first = np.asarray(randaugment(same, 0.5, tf.constant([1, 2])))
    assert len(np.unique(first.reshape(40, -1), axis=0)) > 20
    assert first.min() >= 0 and first.max() <= 255
    np.testing.assert_array_equal(first, np.asarray(randaugment(same, 0.5, tf.constant([1, 2]))))


@pytest.mark.parametrize("value", [0.0, 255.0])
def test_an_even_image_stays_finite(value):
    """Operations that stretch the values leave an image of one value as it is."""
    even = tf.fill([len(OPERATIONS), 4, 4, 3], value)
    chosen = tf.range(len(OPERATIONS))
    changed = np.asarray(operate(even, chosen, tf.fill([len(OPERATIONS)], 0.0)))
    for name in ("identity", "autocontrast", "equalize", "contrast", "color"):
        np.testing.assert_allclose(changed[OPERATIONS.index(name)], value, atol=1e-3)
    assert np.isfinite(changed).all()

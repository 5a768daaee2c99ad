"""Augmentation: one warp per image, a function of the seed."""

import numpy as np
import tensorflow as tf

from job.learning.augment import warp

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
ALL = {"shift": 0.1, "flip": True, "rotation": 15, "zoom": 0.1, "shear": 0.1}


def warp_images(amounts, seed=1):
    """Return IMAGES after one warp."""
    return warp(IMAGES, amounts, tf.constant([seed, 0], tf.int32)).numpy()


def test_without_amounts_nothing_changes():
    """Without amounts every image comes back as it was."""
    np.testing.assert_allclose(warp_images({}), IMAGES, atol=1e-3)


def test_a_flip_mirrors_some_images():
    """With flip alone each image is itself or its mirror image, and both occur."""
    out = warp_images({"flip": True})
    mirrored = IMAGES[:, :, ::-1].astype(np.float32)
    plain = IMAGES.astype(np.float32)
    same = [np.allclose(a, b, atol=1e-2) for a, b in zip(out, plain, strict=True)]
    turned = [np.allclose(a, b, atol=1e-2) for a, b in zip(out, mirrored, strict=True)]
    assert all(a != b for a, b in zip(same, turned, strict=True))
    assert 10 < sum(same) < 54


def test_a_shift_is_bounded():
    """A shift of 0.25 of 16 pixels moves an image by at most 4 pixels, in both directions."""
    point = np.zeros((200, 17, 17, 1), np.uint8)
    point[:, 8, 8] = 255
    out = warp(point, {"shift": 0.25}, tf.constant([3, 0], tf.int32)).numpy()[..., 0]
    weight = out.sum((1, 2))
    column = (out.sum(1) * np.arange(17)).sum(1) / weight - 8
    assert np.abs(column).max() <= 4.5
    assert column.min() < -3
    assert column.max() > 3


def test_the_seed_decides():
    """The same seed gives the same warp, another seed a different one; values stay in range."""
    assert (warp_images(ALL) == warp_images(ALL)).all()
    assert (warp_images(ALL) != warp_images(ALL, 2)).any()
    assert warp_images(ALL).min() >= 0
    assert warp_images(ALL).max() <= 255.001

"""Augmentation: one warp per image, a function of the seed."""

import numpy as np
import pytest

from job.learning.augment import augment, warp
from job.learning.backend import tf

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
ALL = {"shift": 0.1, "flip": True, "rotation": 15, "zoom": 0.1, "shear": 0.1}


def warp_images(amounts, seed=1):
    """Return IMAGES after one warp."""
    return augment(IMAGES, amounts, tf.constant([seed, 0], tf.int32)).numpy()


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


def test_a_flip_alone_is_not_resampled():
    """A flip gives the bits that the warp gives, as old experiments had it, but exact pixels."""
    seed = tf.constant([1, 0], tf.int32)
    flipped = augment(IMAGES, {"flip": True}, seed).numpy()
    assert flipped.tobytes() == warp(IMAGES, {"flip": True}, seed).numpy().tobytes()
    assert set(flipped[3].ravel()) == set(IMAGES[3].ravel().astype(np.float32))


def test_a_crop_moves_by_whole_pixels():
    """Each image is a window of itself, padded by reflection; every offset occurs."""
    images = np.random.default_rng(1).integers(0, 256, (300, 9, 7, 1), dtype=np.uint8)
    out = augment(images, {"crop": 2}, tf.constant([3, 0], tf.int32)).numpy()
    found = set()
    for image, moved in zip(images, out, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        windows = {(y, x): padded[y : y + 9, x : x + 7] for y in range(5) for x in range(5)}
        found |= {place for place, window in windows.items() if (window == moved).all()}
        assert any((window == moved).all() for window in windows.values())
    assert len(found) == 25


def test_a_crop_wider_than_the_image_reflects_again():
    """However far an image moves, every pixel comes from it."""
    images = np.arange(1, 5, dtype=np.uint8).reshape(1, 2, 2, 1).repeat(50, 0)
    out = augment(images, {"crop": 9}, tf.constant([3, 0], tf.int32)).numpy()
    assert set(out.ravel()) == {1, 2, 3, 4}
    one = augment(images[:, :1, :1], {"crop": 9}, tf.constant([3, 0], tf.int32)).numpy()
    assert set(one.ravel()) == {1}


def test_brightness_and_contrast_keep_to_their_fractions():
    """Brightness multiplies by 0.8 to 1.2; contrast scales the distance to the mean gray."""
    images = np.full((200, 4, 4, 3), 100, np.uint8)
    bright = warp_images_of(images, {"brightness": 0.2})[:, 0, 0, 0] / 100
    assert 0.8 <= bright.min() < 0.83
    assert 1.17 < bright.max() <= 1.2001
    images[:, :2] = 140
    stretched = warp_images_of(images, {"contrast": 0.5})
    factor = (stretched[:, 0, 0, 0] - 120) / 20
    assert 0.5 <= factor.min() < 0.6
    assert 1.4 < factor.max() <= 1.5001
    assert stretched.mean((1, 2, 3)) == pytest.approx(120, abs=1e-3)
    assert warp_images_of(images + 110, {"brightness": 0.9}).max() == 255


def warp_images_of(images, amounts):
    """Return these images, changed."""
    return augment(images, amounts, tf.constant([1, 0], tf.int32)).numpy()


def test_cutout_is_a_rectangle_of_the_mean():
    """The hole has half the sides of the image, less what lies outside, and its mean color."""
    out = warp_images_of(IMAGES, {"cutout": 0.5})
    areas = []
    for image, holed in zip(IMAGES, out, strict=True):
        hole = (holed != image).any(-1)
        areas.append(hole.sum())
        rows, columns = np.nonzero(hole)
        assert hole[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
        assert holed[hole] == pytest.approx(np.tile(image.mean((0, 1)), (hole.sum(), 1)), abs=1e-3)
    assert max(areas) == 64
    assert min(areas) >= 16

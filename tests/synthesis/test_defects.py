"""Drawn defects: where they are, how strong, and the same again with the same seed."""

import numpy as np
import pytest

from amiss.core.images import Images
from amiss.synthesis.defects import LEAST, blob, draw_defect
from amiss.testing import toy_part

IMAGES = [*toy_part(3, seed=0).images, np.full((48, 96, 3), 200, np.uint8), np.zeros((200, 100, 3), np.uint8)]


@pytest.mark.parametrize("seed", range(40))
def test_only_pixels_under_alpha_change_and_they_change_visibly(seed):
    image = IMAGES[seed % len(IMAGES)]
    before = image.copy()
    bad, alpha = draw_defect(image, np.random.default_rng(seed))
    assert bad.shape == image.shape and bad.dtype == np.uint8 and alpha.dtype == np.float32
    assert alpha.shape == image.shape[:2] and alpha.min() >= 0 and 0.2 < alpha.max() <= 1
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(bad[alpha == 0], image[alpha == 0])
    moved = np.abs(bad.astype(float) - image)[alpha > 0].mean()
    assert moved >= LEAST
    assert 0.0005 < (alpha > 0).mean() < 0.15


def test_a_pixel_is_a_mixture_of_the_image_and_what_lies_on_it():
    """The same defect on black and on white: what is left of the image is 1 - alpha."""
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    compared = 0
    for seed in range(30):
        (dark, alpha), (bright, again) = (draw_defect(one, np.random.default_rng(seed)) for one in (black, white))
        if not np.array_equal(alpha, again) or np.abs(dark[alpha > 0]).max() == 0:
            continue  # drawn again on one of them, or a place of the image itself
        left = bright.astype(float) - dark
        np.testing.assert_allclose(left, np.repeat(255 * (1 - alpha)[:, :, None], 3, axis=2), atol=1.01)
        compared += 1
    assert compared >= 10


def test_the_same_seed_draws_the_same_and_another_does_not():
    one, two, other = (draw_defect(IMAGES[0], np.random.default_rng(seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert (one[0] != other[0]).any()


def test_defects_lie_everywhere_and_have_many_sizes():
    alphas = np.stack([draw_defect(IMAGES[0], np.random.default_rng(seed))[1] > 0 for seed in range(300)])
    share = alphas.mean(axis=(1, 2))
    assert share.max() > 10 * share.min()
    covered = alphas.any(axis=0)
    assert covered[2:-2, 2:-2].mean() > 0.95


@pytest.mark.parametrize("size", [(6, 6), (7, 40), (90, 31)])
def test_a_blob_ends_before_its_border_and_is_whole_inside(size):
    for seed in range(10):
        shape = blob(size, np.random.default_rng(seed))
        assert shape.shape == size and shape.min() >= 0 and shape.max() <= 1
        if min(size) > 20:
            edge = np.concatenate([shape[0], shape[-1], shape[:, 0], shape[:, -1]])
            assert edge.max() < 0.5 and shape.max() == 1


def test_small_images_will_do():
    assert draw_defect(np.full((8, 8, 3), 90, np.uint8), np.random.default_rng(0))[0].shape == (8, 8, 3)
    assert len(Images([draw_defect(IMAGES[4], np.random.default_rng(1))[0]])) == 1

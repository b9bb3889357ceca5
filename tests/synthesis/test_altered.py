"""Altered copies are like the image, like no other copy, and the same every time."""

import numpy as np

from amiss.synthesis.altered import LIGHT, NOISE, altered_copies
from amiss.testing import toy_part


def test_copies_differ_a_little_from_the_image_and_from_each_other() -> None:
    image = toy_part(1, seed=0).images[0]
    copies = altered_copies(image)
    assert len(copies) == 8 and all(copy.shape == image.shape and copy.dtype == np.uint8 for copy in copies)
    apart = [np.abs(one.astype(float) - image).mean() for one in copies]
    assert min(apart) > 0.5 and max(apart) < 40
    assert all(np.abs(one.astype(float) - copies[0]).mean() > 0.5 for one in copies[1:])
    assert all(np.array_equal(*pair) for pair in zip(copies, altered_copies(image), strict=True))


def test_a_plain_image_shows_only_light_and_noise() -> None:
    for copy in altered_copies(np.full((60, 80, 3), 120, np.uint8)):
        assert abs(copy.mean() - 120) <= 120 * LIGHT + 0.2
        assert abs(copy.std() - NOISE) < 0.2

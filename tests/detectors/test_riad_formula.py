"""RIAD against plain NumPy: no pixel is copied, and the map is the formula's."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.reconstruction.riad import RIAD, deal
from amiss.features.batch import to_batch
from amiss.statistics.similarity import ms_gms
from amiss.testing import toy_part, toy_texture

TINY = {**RIAD.card.presets["tiny"], "steps": 2}


@pytest.mark.parametrize(("size", "square", "sets"), [((64, 64), 4, 3), ((30, 47), 8, 3), ((20, 20), 16, 2)])
def test_every_pixel_is_missing_once_and_squares_stay_whole(size: tuple[int, int], square: int, sets: int) -> None:
    masks = deal(size, square, sets, seed=1)
    assert masks.shape == (sets, *size) and (masks.sum(axis=0) == 1).all()
    owner = masks.argmax(axis=0)
    for top in range(0, size[0], square):
        for left in range(0, size[1], square):
            assert len(np.unique(owner[top : top + square, left : left + square])) == 1
    counts = np.bincount(owner[::square, ::square].ravel(), minlength=sets)
    assert counts.max() - counts.min() <= 1


def test_no_pixel_reaches_its_own_drawing() -> None:
    """Change one square: what is drawn there stays the same."""
    detector = RIAD(**TINY).fit(toy_texture(4, seed=0).images)
    batch, masks = torch.rand(1, 3, 64, 64), deal((64, 64), 8, 2, seed=0)
    other = batch.clone()
    other[:, :, 16:24, 40:48] = 1 - other[:, :, 16:24, 40:48]
    with torch.no_grad():
        one, two = detector.inpaint(batch, masks[None])[0], detector.inpaint(other, masks[None])[0]
    torch.testing.assert_close(one[:, :, 16:24, 40:48], two[:, :, 16:24, 40:48])
    assert float((one - two).abs().max()) > 1e-4


def test_the_map_by_its_formula() -> None:
    detector = RIAD(**TINY).fit(toy_part(4, seed=0).images)
    test = toy_part(2, seed=1, defective=True).images
    batch = to_batch(torch.from_numpy(np.stack(list(test))))
    total = np.zeros((2, 64, 64))
    for square in detector.squares:
        masks = deal((64, 64), square, detector.sets, seed=0)
        drawn = np.zeros((2, 3, 64, 64))
        for mask in masks:
            with torch.no_grad():
                one = detector.network(batch * torch.from_numpy(1 - mask)).double().numpy()
            drawn += mask / (1 + np.exp(-one))
        total += 1 - ms_gms(batch, torch.from_numpy(drawn).float()).numpy()
    wanted = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in total / len(detector.squares)])
    np.testing.assert_allclose(detector.score(test).map, wanted, rtol=1e-3, atol=1e-5)


def test_images_that_are_too_small_say_the_least_side() -> None:
    with pytest.raises(InputError, match="at least 24 x 24 pixels"):
        RIAD(**TINY).fit(toy_part(4, seed=0).images.resized((20, 20)))
    with pytest.raises(InputError, match="at least 128 x 128 pixels to be halved 7 times"):
        RIAD(**{**TINY, "levels": 7}).fit(toy_part(4, seed=0).images)


def test_one_image_and_constant_images_can_be_learned() -> None:
    for images in (toy_part(1, seed=0).images, Images(np.full((3, 64, 64, 3), 90, np.uint8), size=(64, 64))):
        assert np.isfinite(RIAD(**TINY).fit(images).score(images).map).all()

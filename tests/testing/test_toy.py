"""The toy world is what it says: seeded, with visible defects inside their masks."""

import numpy as np
import pytest

from amiss.core.errors import InputError
from amiss.metrics import auroc
from amiss.testing import ToyWorld, toy_part, toy_texture

WORLDS = [toy_part, toy_texture]


def pixels(world: ToyWorld) -> np.ndarray:
    return np.stack(list(world.images)).astype(np.float64)


@pytest.mark.parametrize("world", WORLDS)
def test_an_oracle_scores_1_and_a_constant_one_half(world) -> None:
    for seed in range(100):
        good, bad = world(2, seed=seed), world(2, seed=1000 + seed, defective=True)
        change = [np.abs(pixels(one) - one.clean).max(axis=(1, 2, 3)) for one in (good, bad)]
        labels = np.concatenate([good.anomalous, bad.anomalous])
        assert labels.tolist() == [False, False, True, True]
        assert auroc(labels, np.concatenate(change)) == 1.0
        assert auroc(labels, np.zeros(4)) == 0.5
        by_pixel = np.abs(pixels(bad) - bad.clean).max(axis=3)
        assert auroc(bad.masks, by_pixel) == 1.0


@pytest.mark.parametrize("world", WORLDS)
def test_masks_are_where_the_image_was_changed(world) -> None:
    good, bad = world(5, seed=0), world(50, seed=0, defective=True)
    assert not good.masks.any()
    np.testing.assert_array_equal(pixels(good), good.clean)
    changed = (pixels(bad) != bad.clean).any(axis=3)
    assert not (changed & ~bad.masks).any()
    assert bad.masks.sum(axis=(1, 2)).min() >= 12
    border = np.ones((64, 64), bool)
    border[8:-8, 8:-8] = False
    assert not (bad.masks & border).any()


@pytest.mark.parametrize("world", WORLDS)
def test_defects_can_be_seen(world) -> None:
    """The mean contrast inside every mask is several times the noise of a good image."""
    bad = world(100, seed=3, defective=True)
    contrast = [np.abs(p - c)[m].mean() for p, c, m in zip(pixels(bad), bad.clean, bad.masks, strict=True)]
    assert min(contrast) > 40


@pytest.mark.parametrize("world", WORLDS)
def test_is_deterministic_and_every_seed_differs(world) -> None:
    one, same, other = (
        world(3, seed=4, defective=True),
        world(3, seed=4, defective=True),
        world(3, seed=5, defective=True),
    )
    np.testing.assert_array_equal(pixels(one), pixels(same))
    np.testing.assert_array_equal(one.masks, same.masks)
    assert (pixels(one) != pixels(other)).any()
    assert one.images.size == (64, 64)
    assert one.clean.dtype == np.uint8


def test_texture_moves_and_part_does_not() -> None:
    spread = {world: pixels(world(40, seed=0)).std(axis=0).mean() for world in WORLDS}
    assert spread[toy_texture] > 2 * spread[toy_part]


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_bad_count(count) -> None:
    with pytest.raises(InputError, match="count"):
        toy_part(count, seed=0)

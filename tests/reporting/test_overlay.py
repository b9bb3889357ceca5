"""Overlays: one absolute scale, nothing where nothing is strange, contours, sizes."""

from __future__ import annotations

import numpy as np
import pytest

from amiss.core.errors import InputError
from amiss.core.scores import Scores
from amiss.reporting.overlay import OUTLINE, ColourScale, fit_inside, outline, overlay, resize_mask
from amiss.rules import Conformal, Fixed

SCALE = ColourScale(1.0, 2.0, 3.0)


def grey(side: int, value: int = 120) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def test_scale_of_a_rule_is_its_median_and_threshold() -> None:
    rule = Conformal(0.05).calibrate(Scores(np.arange(39, dtype=np.float32)))
    scale = ColourScale.of_rule(rule)
    assert (scale.start, scale.threshold, scale.full) == (19.0, rule.threshold, 2 * rule.threshold - 19.0)
    assert rule.p_value(np.array([scale.start]))[0] >= 0.5


@pytest.mark.parametrize("rule", [Fixed(2.0), Fixed(0.0), Fixed(-5.0), Fixed(1e6)])
@pytest.mark.parametrize("normal", [None, [1.0], [7.0] * 9, [1.0, 2.0, 3.0]])
def test_every_rule_has_a_scale(rule: Fixed, normal: list[float] | None) -> None:
    ruled = rule if normal is None else rule.calibrate(Scores(np.array(normal)))
    scale = ColourScale.of_rule(ruled)
    _, cover = scale.colours(np.array([scale.start, scale.threshold + (scale.full - scale.threshold) / 2, scale.full]))
    assert cover[0] == (0 if scale.start < scale.threshold else cover[0])
    assert 0.2 <= cover[1] < cover[2] < 0.5  # seen, and what lies under it too
    before = grey(8)
    np.testing.assert_array_equal(overlay(before, np.full((4, 4), scale.start, np.float32), scale), before)


def test_a_scale_out_of_order_is_refused() -> None:
    with pytest.raises(InputError, match="start <= threshold < full"):
        ColourScale(2.0, 1.0, 3.0)


def test_below_the_median_the_image_is_returned_unchanged() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (70, 50, 3), dtype=np.uint8)
    before = image.copy()
    quiet = rng.uniform(-9, 1.0, (32, 32)).astype(np.float32)
    result = overlay(image, quiet, SCALE, np.zeros((32, 32), bool))
    np.testing.assert_array_equal(result, before)
    assert result is not image


@pytest.mark.parametrize("score", [1.2, 1.9, 2.0, 2.5, 9.0])
def test_one_score_has_one_tint_in_every_image(score: float) -> None:
    calm, wild = np.zeros((16, 16), np.float32), np.full((16, 16), 50, np.float32)
    calm[4:12, 4:12] = wild[4:12, 4:12] = score
    first, second = overlay(grey(16), calm, SCALE), overlay(grey(16), wild, SCALE)
    np.testing.assert_array_equal(first[6:10, 6:10], second[6:10, 6:10])
    assert (first[8, 8] != 120).any()


def test_colours_rise_to_orange_then_red_then_stay() -> None:
    colour, cover = SCALE.colours(np.array([1.0, 1.5, 2.0, 2.5, 3.0, 99.0]))
    assert np.all(np.diff(cover) >= 0)
    assert cover[0] == 0
    assert cover[4] == cover[5] < 1
    np.testing.assert_array_equal(colour[4], colour[5])
    assert np.all(np.diff(colour[:, 1]) <= 0)  # ever less green: yellow, orange, red
    assert colour[2].tolist() == [255, 128, 0]


def test_map_is_resized_to_the_image_and_contour_drawn() -> None:
    scores, mask = np.zeros((20, 10), np.float32), np.zeros((20, 10), bool)
    scores[5:10, 2:6], mask[5:10, 2:6] = 5.0, True
    result = overlay(np.full((200, 50, 3), 30, np.uint8), scores, SCALE, mask)
    assert result.shape == (200, 50, 3)
    drawn = (result == np.array(OUTLINE, np.uint8)).all(axis=2)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (48, 101, 8, 31)
    assert not drawn[49:101, 9:31].any()  # what is marked stays free, and a pixel around it


def test_outline_does_not_touch_its_input() -> None:
    image = grey(10)
    outline(image, np.ones((10, 10), bool))
    assert (image == 120).all()


def test_masks_grow_by_nearest_neighbour_and_shrink_without_loss() -> None:
    mask = np.zeros((8, 8), bool)
    mask[3, 4] = True
    large, small = resize_mask(mask, (24, 16)), resize_mask(mask, (2, 3))
    np.testing.assert_array_equal(large, mask.repeat(3, 0).repeat(2, 1))
    assert small.shape == (2, 3)
    assert small.any()
    np.testing.assert_array_equal(resize_mask(mask, (8, 8)), mask)


def test_fit_inside_only_shrinks() -> None:
    assert fit_inside(np.zeros((100, 50, 3), np.uint8), 200).shape == (100, 50, 3)
    assert fit_inside(np.zeros((100, 3000, 3), np.uint8), 300).shape == (10, 300, 3)
    assert fit_inside(np.zeros((1, 3000, 3), np.uint8), 300).shape == (1, 300, 3)


@pytest.mark.parametrize("size", [(64, 64), (65, 90), (8, 200)])
def test_what_alarms_in_a_large_map_is_seen_in_a_small_image(size: tuple[int, int]) -> None:
    """One pixel among thousands tints the pixel that stands for it, and no other."""
    score_map = np.zeros(size, np.float32)
    row, column = size[0] // 2, size[1] - 1
    score_map[row, column] = 2.5
    changed = np.argwhere((overlay(grey(8), score_map, SCALE) != 120).any(axis=2))
    assert changed.tolist() == [[max(r for r in range(8) if r * size[0] // 8 <= row), 7]]

"""AUPIMO against a sum over a fine grid of false-positive rates that follows the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiss.core.errors import InputError
from amiss.metrics import aupimo

GRID = 4000


def by_definition(masks, maps, low, high, good=None):
    """At each rate of a grid, even in its logarithm, the height of the curve, which is straight between thresholds."""
    clean = [s for s, m in zip(maps, masks, strict=True) if not m.any()] if good is None else [maps[i] for i in good]
    thresholds = np.unique(np.concatenate([scores.ravel() for scores in maps]))[::-1]
    fpr = np.array([0.0, *(np.mean([np.mean(scores >= t) for scores in clean]) for t in thresholds)])
    rates = np.exp(np.log(low) + (np.arange(GRID) + 0.5) / GRID * np.log(high / low))
    values = []
    for mask, scores in zip(masks, maps, strict=True):
        if not mask.any():
            values.append(math.nan)
            continue
        tpr = np.array([0.0, *(np.mean(scores[mask] >= t) for t in thresholds)])
        heights = []
        for rate in rates:
            after = int(np.argmax(fpr >= rate))  # the first threshold that reaches the rate
            share = (rate - fpr[after - 1]) / (fpr[after] - fpr[after - 1])
            heights.append(tpr[after - 1] + share * (tpr[after] - tpr[after - 1]))
        values.append(np.mean(heights))
    return np.array(values)


def random_case(seed, levels=None, images=6, size=(9, 11)):
    rng = np.random.default_rng(seed)
    masks = rng.random((images, *size)) < 0.2
    masks[: images // 2] = False
    maps = rng.random((images, *size)) ** 2 + 0.8 * masks * rng.random((images, *size))
    return masks, (np.floor(maps * levels) if levels else maps).astype(np.float32)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([None, 2, 5, 30]), st.sampled_from([(0.01, 0.1), (0.05, 1.0)]))
def test_agrees_with_a_fine_grid(seed, levels, limits):
    masks, maps = random_case(seed, levels)
    np.testing.assert_allclose(
        aupimo(masks, maps, limits=limits).values, by_definition(masks, maps, *limits), atol=3 / GRID
    )


def test_images_of_different_size_weigh_the_same():
    a, b = random_case(1, size=(6, 20)), random_case(2, size=(15, 12))
    masks, maps = [*a[0], *b[0]], [*a[1], *b[1]]
    found = aupimo(masks, maps, limits=(0.02, 0.2)).values
    np.testing.assert_allclose(found, by_definition(masks, maps, 0.02, 0.2), atol=3 / GRID)


def test_ends_of_the_range():
    masks = np.zeros((2, 100, 1000), bool)
    masks[1, :10, :10] = True
    maps = np.random.default_rng(0).random((2, 100, 1000)).astype(np.float32)
    assert aupimo(masks, np.where(masks, 2, maps)).values[1] == pytest.approx(1, abs=1e-12)
    assert aupimo(masks, np.where(masks, -1, maps)).values[1] == 0.0
    loud = maps.copy()
    loud[0, 0, :20] = 9  # 20 of 100,000 good pixels are higher than any defect: beyond the upper rate
    assert aupimo(masks, np.where(masks, 2, loud)).values[1] == 0.0
    constant = aupimo(masks, np.zeros_like(maps)).values[1]  # height = rate: the mean rate over the logarithm
    assert constant == pytest.approx((1e-4 - 1e-5) / math.log(10), rel=1e-9)


def test_summary_is_over_defective_images():
    masks, maps = random_case(4, images=12)
    pimo = aupimo(masks, maps, limits=(0.01, 0.5))
    known = pimo.values[~np.isnan(pimo.values)]
    assert np.isnan(pimo.values[:6]).all() and pimo.n == len(known) == 6
    assert pimo.mean == pytest.approx(known.mean()) and pimo.median == pytest.approx(np.median(known))
    assert pimo.p33 == pytest.approx(np.quantile(known, 0.33)) and pimo.p33 <= pimo.median


def test_a_defective_image_without_a_mask_is_neither_good_nor_measured():
    masks, maps = random_case(7)
    masks[2] = False
    marked = aupimo(masks, maps, defective=[0, 0, 1, 1, 1, 1], limits=(0.01, 0.1))
    assert math.isnan(marked.values[2]) and marked.n == 3
    np.testing.assert_allclose(marked.values, by_definition(masks, maps, 0.01, 0.1, good=[0, 1]), atol=3 / GRID)
    assert aupimo(masks, maps, limits=(0.01, 0.1)).values[3] != marked.values[3]


def test_without_good_or_defective_images_nothing_is_known():
    masks, maps = random_case(8)
    for chosen in (slice(3, 6), slice(0, 3)):
        pimo = aupimo(masks[chosen], maps[chosen], limits=(0.01, 0.1))
        assert np.isnan(pimo.values).all() and pimo.n == 0
        assert math.isnan(pimo.mean) and math.isnan(pimo.median) and math.isnan(pimo.p33)
    assert aupimo([], []).n == 0


@pytest.mark.parametrize("move", [np.exp, lambda x: 5 * x - 3])
def test_only_the_order_of_scores_counts(move):
    masks, maps = random_case(21, 30)
    before = aupimo(masks, maps.astype(float), limits=(0.01, 0.1)).values
    np.testing.assert_array_equal(aupimo(masks, move(maps.astype(float)), limits=(0.01, 0.1)).values, before)


@pytest.mark.parametrize(
    ("masks", "maps", "options", "message"),
    [
        (np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), {}, "9 pixels together; .* needs at least 100000"),
        (np.zeros((1, 3, 3)), np.zeros((1, 3, 4)), {}, "image 0"),
        (np.zeros((1, 3, 3)), np.full((1, 3, 3), np.inf), {}, "not finite"),
        (np.ones((1, 3, 3)), np.zeros((1, 3, 3)), {"defective": [0]}, "image 0 is called good"),
        (np.ones((1, 3, 3)), np.zeros((1, 3, 3)), {"defective": [0, 1]}, "one value per image"),
        (np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), {"limits": (0.1, 0.01)}, "lower < upper"),
        (np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), {"limits": (0, 0.1)}, "lower < upper"),
        (np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), {"limits": (math.nan, 0.1)}, "lower < upper"),
    ],
)
def test_errors_teach(masks, maps, options, message):
    with pytest.raises(InputError, match=message):
        aupimo(masks, maps, **options)

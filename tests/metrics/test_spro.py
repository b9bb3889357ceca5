"""Saturated overlap against a loop that follows the definition, and against AUPRO where both must agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from amiss.core.errors import InputError
from amiss.metrics import aupro, spro, spro_curve


@dataclass
class Region:
    mask: np.ndarray
    saturation: float


def by_definition(regions, maps, limit):
    """Every distinct score is a threshold; overlap and false-positive rate are counted anew at each."""
    outside = [
        ~np.any([region.mask > 0 for region in marked], axis=0) if marked else np.ones(scores.shape, bool)
        for marked, scores in zip(regions, maps, strict=True)
    ]
    points = [(0.0, 0.0)]
    for threshold in np.unique(np.concatenate([scores.ravel() for scores in maps]))[::-1]:
        shares = [
            min(np.sum((scores >= threshold) & (region.mask > 0)) / region.saturation, 1.0)
            for marked, scores in zip(regions, maps, strict=True)
            for region in marked
        ]
        false = sum(np.sum((s >= threshold) & o) for s, o in zip(maps, outside, strict=True))
        points.append((false / sum(o.sum() for o in outside), float(np.mean(shares))))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        area += (end - x0) * (y0 + y0 + (y1 - y0) * (end - x0) / (x1 - x0)) / 2
    return area / limit


def random_case(seed, levels=None, images=4, size=(8, 9)):
    """Regions of several parts that overlap each other, saturations that are no whole numbers, one good image."""
    rng = np.random.default_rng(seed)
    maps, regions = rng.random((images, *size)), []
    for number in range(images):
        marked = []
        for _ in range(0 if number == 0 else rng.integers(1, 4)):
            mask = rng.random(size) < rng.choice([0.05, 0.3])
            mask[tuple(rng.integers(0, size))] = True
            maps[number] += 0.3 * mask
            marked.append(Region(mask, float(rng.uniform(0.2, mask.sum()))))
        regions.append(marked)
    return regions, (np.floor(maps * levels) if levels else maps).astype(np.float32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([None, 1, 2, 4, 9]), st.sampled_from([1.0, 0.3, 0.1, 0.05, 0.01]))
def test_agrees_with_the_definition(seed, levels, limit):
    regions, maps = random_case(seed, levels)
    assert spro(regions, maps, (limit,))[0] == pytest.approx(by_definition(regions, maps, limit), abs=1e-10)


@pytest.mark.parametrize("levels", [None, 3])
def test_without_saturation_it_is_aupro(levels):
    rng = np.random.default_rng(3)
    masks = rng.random((3, 10, 12)) < 0.15
    maps = rng.random((3, 10, 12)) + 0.3 * masks
    maps = np.floor(maps * levels) if levels else maps
    regions = []
    for mask in masks:
        names, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions.append([Region(names == name, int((names == name).sum())) for name in range(1, count + 1)])
    assert spro(regions, maps, (0.3, 0.05)) == pytest.approx(aupro(masks, maps, (0.3, 0.05)), abs=1e-12)


def test_saturation_is_enough():
    mask = np.zeros((1, 10), bool)
    mask[0, :5] = True
    scores = np.array([[[9, 8, 3, 2, 1, 7, 6, 5, 4, 0.0]]])
    assert spro([[Region(mask, 2)]], scores, (1.0, 0.05)) == (1.0, 1.0)  # two of five pixels are all that counts
    full = spro([[Region(mask, 5)]], scores, (1.0,))[0]
    assert full == pytest.approx((2 / 5) * 4 / 5 + 1 / 5)  # four of five normal pixels score above the other three
    assert spro([[Region(mask, 99)]], scores, (1.0,))[0] == full  # a saturation above the area is the area


def test_parts_of_a_region_are_one():
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = mask[3, 3] = True
    scores = np.zeros((1, 4, 4))
    scores[0, 0, 0] = 1.0
    assert spro([[Region(mask, 1)]], scores, (0.05,)) == (1.0,)
    assert spro([[Region(mask, 2)]], scores, (1.0,))[0] == pytest.approx(0.75)


def test_overlapping_regions_count_each():
    wide, narrow = np.array([[1, 1, 1, 0]]), np.array([[1, 0, 0, 0]])
    scores = np.array([[[0.1, 0.9, 0.8, 0.5]]])
    both = spro([[Region(wide, 2), Region(narrow, 1)]], scores, (1.0,))[0]
    assert both == pytest.approx(0.5)  # wide at once, narrow below the only normal pixel


def test_curve_runs_to_one_and_limits_share_it():
    regions, maps = random_case(5)
    fpr, height = spro_curve(regions, maps)
    assert (fpr[0], height[0], fpr[-1], height[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(fpr) >= 0) and np.all(np.diff(height) >= -1e-12)
    assert spro(regions, maps, (1.0,))[0] == pytest.approx(float(np.trapezoid(height, fpr)), abs=1e-12)
    assert spro(regions, maps)[:2] == (spro(regions, maps, (0.01,))[0], spro(regions, maps, (0.05,))[0])


def test_constant_scores_and_nothing_marked():
    regions, maps = random_case(6)
    assert spro(regions, np.ones_like(maps), (0.3, 0.05)) == pytest.approx((0.15, 0.025))
    assert all(math.isnan(area) for area in spro([[], []], np.zeros((2, 3, 3))))
    assert all(math.isnan(area) for area in spro([[Region(np.ones((3, 3)), 1)]], np.zeros((1, 3, 3))))
    assert all(math.isnan(area) for area in spro([], []))


def test_the_arguments_stay_as_they_were():
    regions, maps = random_case(9)
    before = [[region.mask.copy() for region in marked] for marked in regions], maps.copy()
    spro(regions, maps)
    assert np.array_equal(before[1], maps)
    assert all(
        np.array_equal(a, r.mask)
        for one, marked in zip(before[0], regions, strict=True)
        for a, r in zip(one, marked, strict=True)
    )


ONE = np.ones((3, 3))


@pytest.mark.parametrize(
    ("regions", "maps", "limits", "message"),
    [
        ([[], []], np.zeros((1, 3, 3)), (0.05,), "its regions and a score map, got 2 and 1"),
        ([[Region(np.ones((3, 4)), 1)]], np.zeros((1, 3, 3)), (0.05,), r"the same shape \(H, W\), got \(3, 4\)"),
        ([[Region(np.zeros((3, 3)), 1)]], np.zeros((1, 3, 3)), (0.05,), "at least 1 pixel .*got 0 and 1"),
        ([[Region(ONE, 0)]], np.zeros((1, 3, 3)), (0.05,), "saturation above 0, got 9 and 0"),
        ([[Region(ONE, math.nan)]], np.zeros((1, 3, 3)), (0.05,), "saturation above 0, got 9 and nan"),
        ([[Region(255 * ONE, 1)]], np.zeros((1, 3, 3)), (0.05,), "mask > 0"),
        ([[]], np.full((1, 3, 3), np.nan), (0.05,), "9 of 9 numbers are not finite"),
        ([[]], np.zeros((1, 9)), (0.05,), r"\(H, W\)"),
        ([[]], np.zeros((1, 3, 3)), (0.0,), "limit must be .*got 0.0"),
    ],
)
def test_errors_teach(regions, maps, limits, message):
    with pytest.raises(InputError, match=message):
        spro(regions, maps, limits)

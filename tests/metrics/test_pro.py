"""AUPRO against a loop over every threshold, hand-made curves, and what must leave it unchanged."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from amiss.core.errors import InputError
from amiss.metrics import aupro, pro_curve


def curve_by_loop(masks, maps):
    """Every distinct score is a threshold; each region is asked in turn."""
    labelled = [ndimage.label(mask, structure=np.ones((3, 3))) for mask in masks]
    regions = [(index, names == k) for index, (names, n) in enumerate(labelled) for k in range(1, n + 1)]
    normal = np.concatenate([scores[~mask] for mask, scores in zip(masks, maps, strict=True)])
    fpr, pro = [0.0], [0.0]
    for threshold in sorted({value for scores in maps for value in scores.ravel().tolist()}, reverse=True):
        fpr.append(float((normal >= threshold).mean()))
        pro.append(float(np.mean([(maps[index][where] >= threshold).mean() for index, where in regions])))
    return fpr, pro


def area_by_loop(fpr, pro, limit):
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(zip(fpr, pro, strict=True)):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


def random_case(seed, levels=None, images=4, size=(9, 11), kind=np.float32):
    rng = np.random.default_rng(seed)
    masks = rng.random((images, *size)) < rng.choice([0.05, 0.2, 0.5])
    masks[0] = False  # one good image
    masks[1, 4, 5] = True
    maps = rng.random((images, *size)) + 0.4 * masks
    if levels:
        maps = np.floor(maps * levels)
    return masks, maps.astype(kind)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.sampled_from([None, 1, 2, 3, 8]),
    st.sampled_from([1.0, 0.3, 0.05, 0.123, 0.001]),
    st.sampled_from([np.float32, np.float64]),
)
def test_agrees_with_a_loop_over_thresholds(seed, levels, limit, kind):
    masks, maps = random_case(seed, levels, kind=kind)
    fpr, pro = curve_by_loop(masks, maps)
    assert aupro(masks, maps, (limit,))[0] == pytest.approx(area_by_loop(fpr, pro, limit), abs=1e-10)


@pytest.mark.parametrize("levels", [None, 3])
def test_every_threshold_lies_on_the_curve(levels):
    masks, maps = random_case(11, levels)
    corners = list(zip(*pro_curve(masks, maps), strict=True))
    assert corners[0] == (0.0, 0.0) and corners[-1] == (1.0, 1.0)
    for x, y in zip(*curve_by_loop(masks, maps), strict=True):
        on_curve = any(
            abs(y - (y0 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0))) < 1e-9
            or (x0 == x1 == x and y0 - 1e-9 <= y <= y1 + 1e-9)
            for (x0, y0), (x1, y1) in pairwise(corners)
            if x0 <= x <= x1
        )
        assert on_curve
    assert all(np.all(np.diff(axis) >= 0) for axis in pro_curve(masks, maps))


def test_limits_share_one_curve():
    masks, maps = random_case(5)
    both = aupro(masks, maps)
    assert both == (aupro(masks, maps, (0.3,))[0], aupro(masks, maps, [0.05])[0])
    assert aupro(masks, maps, ()) == ()
    fpr, pro = pro_curve(masks, maps)
    assert aupro(masks, maps, (1,))[0] == pytest.approx(float(np.trapezoid(pro, fpr)), abs=1e-12)


def test_interpolates_at_exactly_the_limit():
    # One region of 2 pixels, 4 normal pixels. Threshold 3: half the region. Threshold 2: all of it, together
    # with 2 of 4 normal pixels, so the curve rises from (0, 1/2) straight to (1/2, 1).
    masks = np.array([[[1, 1, 0, 0, 0, 0]]])
    maps = np.array([[[3, 2, 2, 2, 1, 0]]])
    fpr, pro = pro_curve(masks, maps)
    kept = np.diff(fpr, prepend=-1) + np.diff(pro, prepend=-1) > 0  # corners that coincide, once
    assert fpr[kept].tolist() == [0, 0, 0.5, 1] and pro[kept].tolist() == [0, 0.5, 1, 1]
    # At 1/4 the height is 3/4; the area is 1/4 * (1/2 + 3/4) / 2 = 5/32, over 1/4 = 5/8.
    at_quarter, at_half, at_all = aupro(masks, maps, (0.25, 0.5, 1.0))
    assert (at_quarter, at_half, at_all) == (0.625, 0.75, 0.875)


def test_regions_weigh_the_same_whatever_their_size():
    masks, maps = np.zeros((1, 8, 8), bool), np.zeros((1, 8, 8))
    masks[0, :4, :4] = masks[0, 7, 7] = True
    maps[0, :4, :4] = 1.0  # the large one is found, the single pixel is tied with the background
    assert aupro(masks, maps, (0.5,))[0] == pytest.approx((0.5 + 0.75) / 2)


def test_diagonal_pixels_are_one_region():
    masks = np.zeros((1, 5, 5), bool)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 4, 4] = True
    maps = np.zeros((1, 5, 5))
    maps[0, 4, 4] = 1.0
    assert aupro(masks, maps, (1.0,))[0] == pytest.approx(0.75)  # 1 of 2 regions at once; 1 of 3 would give 2/3


def test_pixels_of_good_images_count_as_false_positives():
    mask, scores = np.zeros((4, 4), bool), np.zeros((4, 4))
    mask[0, 0], scores[0, 0] = True, 1.0
    good = np.zeros((4, 4), bool)
    assert aupro([mask], [scores], (0.3,)) == (1.0,)
    loud = np.full((4, 4), 2.0)  # 16 of 31 normal pixels are higher than the defect
    assert aupro([mask, good], [scores, loud], (0.3, 0.5)) == (0.0, 0.0)
    assert aupro([mask, good], [scores, loud], (1.0,))[0] == pytest.approx(15 / 31)


@pytest.mark.parametrize("levels", [None, 4])
def test_only_the_order_of_scores_counts(levels):
    masks, maps = random_case(21, levels, kind=np.float64)
    before = aupro(masks, maps)
    for other in (np.exp(maps), 7 * maps - 100, np.argsort(np.argsort(np.unique(maps)))):
        moved = other if other.ndim == 3 else other[np.searchsorted(np.unique(maps), maps)]
        assert aupro(masks, moved) == before


def test_order_and_orientation_of_images_do_not_count():
    masks, maps = random_case(22)
    before = aupro(masks, maps)
    assert aupro(masks[::-1], maps[::-1]) == pytest.approx(before, abs=1e-12)
    turned = aupro(np.moveaxis(masks, 1, 2)[:, ::-1], np.moveaxis(maps, 1, 2)[:, ::-1])
    assert turned == pytest.approx(before, abs=1e-12)


def test_images_may_differ_in_size():
    small, large = random_case(1, size=(6, 9)), random_case(2, size=(12, 10))
    masks, maps = [*small[0], *large[0]], [*small[1], *large[1]]
    fpr, pro = curve_by_loop(masks, maps)
    assert aupro(masks, maps) == pytest.approx([area_by_loop(fpr, pro, limit) for limit in (0.3, 0.05)])
    stacked = random_case(3)
    assert aupro(list(stacked[0]), list(stacked[1])) == aupro(*stacked)


def test_perfect_inverted_and_constant_scores():
    masks, _ = random_case(8)
    assert aupro(masks, masks.astype(np.float32)) == (1.0, 1.0)
    assert aupro(masks, -masks.astype(np.float32)) == (0.0, 0.0)
    assert aupro(masks, np.ones(masks.shape)) == pytest.approx((0.15, 0.025))


def test_no_region_or_no_normal_pixel_is_nan():
    for masks in (np.zeros((2, 3, 3)), np.ones((2, 3, 3))):
        assert all(math.isnan(area) for area in aupro(masks, np.random.default_rng(0).random((2, 3, 3))))
        assert np.isnan(pro_curve(masks, np.zeros((2, 3, 3)))).all()
    assert all(math.isnan(area) for area in aupro([], []))


def test_the_arguments_stay_as_they_were():
    masks, maps = random_case(9)
    before = masks.copy(), maps.copy()
    aupro(masks, maps)
    assert np.array_equal(before[0], masks) and np.array_equal(before[1], maps)


@pytest.mark.parametrize(
    ("masks", "maps", "message"),
    [
        (np.zeros((2, 3, 3)), np.zeros((1, 3, 3)), "2 masks and 1 maps"),
        (np.zeros((1, 3, 3)), np.zeros((1, 3, 4)), "image 0"),
        (np.zeros((3, 3)), np.zeros((3, 3)), r"the same shape \(H, W\)"),
        (np.full((1, 3, 3), 255), np.zeros((1, 3, 3)), "mask > 0"),
        (np.zeros((1, 3, 3)), np.full((1, 3, 3), np.nan), "score map of image 0: 9 of 9"),
    ],
)
def test_errors_teach(masks, maps, message):
    with pytest.raises(InputError, match=message):
        aupro(masks, maps)


@pytest.mark.parametrize("limit", [0, -0.1, 1.5, math.nan, True, "0.3"])
def test_limits_are_rates(limit):
    with pytest.raises(InputError, match="limit"):
        aupro(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), (0.3, limit))

"""Regions against SciPy; filters before the rule judge each image alone; filters after it only remove."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from amiss.core.errors import InputError
from amiss.core.scores import Region, Scores
from amiss.postprocess import (
    MASK_FILTERS,
    SCORE_FILTERS,
    IgnoreBorder,
    MinArea,
    RegionOfInterest,
    create_mask_filter,
    create_score_filter,
    find_regions,
)

EXAMPLES = [IgnoreBorder(2), RegionOfInterest.of_mask(np.tri(9, 11)), MinArea(3)]
MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14))
MANY = settings(max_examples=150, deadline=None, derandomize=True)


def regions_by_scipy(mask, score_map):
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    regions = set()
    for number in range(1, count + 1):
        y, x = np.nonzero(labels == number)
        box = (x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1)
        regions.add(Region(tuple(map(int, box)), len(x), float(score_map[labels == number].max())))
    return regions


@MANY
@given(MASKS, st.integers(0, 2**32 - 1))
def test_regions_are_the_8_connected_components_strongest_first(mask, seed):
    score_map = np.random.default_rng(seed).normal(size=mask.shape).astype(np.float32)
    regions = find_regions(mask, score_map)
    assert set(regions) == regions_by_scipy(mask, score_map)
    assert len(set(regions)) == len(regions)
    assert [region.peak for region in regions] == sorted((region.peak for region in regions), reverse=True)
    assert sum(region.area for region in regions) == mask.sum()


def test_an_empty_mask_has_no_regions():
    assert find_regions(np.zeros((4, 4), bool), np.ones((4, 4), np.float32)) == ()


@pytest.mark.parametrize("name", MASK_FILTERS)
@MANY
@given(MASKS, st.integers(1, 20))
def test_a_mask_filter_only_removes_and_removes_all_at_once(name, mask, pixels):
    mask_filter = create_mask_filter(name, pixels=pixels)
    before = mask.copy()
    kept = mask_filter(mask)
    np.testing.assert_array_equal(mask, before)
    assert kept.dtype == bool and kept.shape == mask.shape
    assert not (kept & ~mask).any()
    np.testing.assert_array_equal(mask_filter(kept), kept)


@MANY
@given(MASKS, st.integers(1, 20))
def test_min_area_keeps_whole_regions_that_are_large_enough(mask, pixels):
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    large = [number for number in range(1, count + 1) if (labels == number).sum() >= pixels]
    np.testing.assert_array_equal(MinArea(pixels)(mask), np.isin(labels, large))


def test_ignore_border_gives_the_border_the_lowest_inner_score_of_its_own_image():
    score_map = np.random.default_rng(0).normal(size=(6, 12, 16)).astype(np.float32)
    before = score_map.copy()
    filtered = IgnoreBorder(3)(Scores.of_map(score_map))
    np.testing.assert_array_equal(score_map, before)
    inner = score_map[:, 3:-3, 3:-3]
    np.testing.assert_array_equal(filtered.map[:, 3:-3, 3:-3], inner)
    border = np.ones((12, 16), bool)
    border[3:-3, 3:-3] = False
    assert (filtered.map[:, border] == inner.min(axis=(1, 2))[:, None]).all()
    np.testing.assert_array_equal(filtered.image, inner.max(axis=(1, 2)))


def test_a_bright_border_cannot_alarm():
    score_map = np.zeros((1, 10, 10), np.float32)
    score_map[0, 0, :] = 100
    score_map[0, 5, 5] = 1
    assert IgnoreBorder(1)(Scores.of_map(score_map)).image.tolist() == [1]


@pytest.mark.parametrize("score_filter", [one for one in EXAMPLES if one.name in SCORE_FILTERS])
def test_a_score_filter_judges_each_image_alone(score_filter):
    score_map = np.random.default_rng(1).normal(size=(5, 9, 11)).astype(np.float32)
    together = score_filter(Scores.of_map(score_map))
    alone = Scores.join([score_filter(Scores.of_map(part[None])) for part in score_map])
    np.testing.assert_array_equal(together.map, alone.map)
    np.testing.assert_array_equal(together.image, alone.image)


def test_ignore_border_says_what_it_cannot_do():
    with pytest.raises(InputError, match="needs a score map"):
        IgnoreBorder(1)(Scores(np.zeros(3)))
    with pytest.raises(InputError, match="a border of 4 pixels leaves nothing"):
        IgnoreBorder(4)(Scores.of_map(np.zeros((1, 8, 20))))


@pytest.mark.parametrize("create", [create_mask_filter, create_score_filter])
@pytest.mark.parametrize("pixels", [0, -1, 1.5, "3", True])
def test_pixels_are_a_whole_number_of_at_least_one(create, pixels):
    name = next(iter(MASK_FILTERS if create is create_mask_filter else SCORE_FILTERS))
    with pytest.raises(InputError, match=r"pixels must be a whole number of at least 1, got"):
        create(name, pixels=pixels)


@pytest.mark.parametrize("one", EXAMPLES)
def test_filters_come_back_from_their_name_and_configuration(one):
    create = create_mask_filter if one.name in MASK_FILTERS else create_score_filter
    config = json.loads(json.dumps(one.config()))
    assert create(one.name, **config) == one
    with pytest.raises(InputError, match="Did you mean"):
        create(f"{one.name}s", **config)
    with pytest.raises(InputError, match=f"filter '{one.name}': .*unexpected"):
        create(one.name, **config, colour="red")


def test_every_filter_has_an_example():
    assert {one.name for one in EXAMPLES} == {*MASK_FILTERS, *SCORE_FILTERS}

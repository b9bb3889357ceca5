"""Resampled pixel metrics: a weighted sum of cells against computing the metric on the images themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from amiss.core.errors import InputError
from amiss.metrics import aupimo, aupro, auroc, average_precision, spro
from amiss.metrics.cells import reduce_images
from amiss.metrics.resample import areas, draw, error_bound, percentile_interval

LIMITS = {"pro": (0.3, 0.05), "spro": (0.01, 0.05, 0.1, 0.3, 1.0)}


@dataclass
class Region:
    mask: np.ndarray
    saturation: float


def world(images=14, good=6, size=(150, 160), levels=None, seed=0):
    """Smooth maps, rectangles of all sizes, some of which are found; one defective image without a marked pixel."""
    rng = np.random.default_rng(seed)
    maps = np.stack([gaussian_filter(rng.normal(size=size), 2) * rng.uniform(0.8, 1.2) for _ in range(images)])
    masks, regions = np.zeros(maps.shape, bool), []
    for number in range(images):
        marked = []
        for _ in range(0 if number <= good else rng.integers(1, 4)):
            y, x = rng.integers(0, 120, 2)
            mask = np.zeros(size, bool)
            mask[y : y + rng.integers(2, 30), x : x + rng.integers(2, 30)] = True
            marked.append(Region(mask, float(rng.uniform(1, mask.sum()))))
            masks[number] |= mask
            maps[number] += mask * rng.uniform(0, 0.6)
        regions.append(marked)
    maps = np.floor(maps * levels) if levels else maps
    return masks, maps.astype(np.float32), np.arange(images) >= good, regions


def exactly(masks, maps, defective, regions, chosen):
    """Every metric of a resample, from its images."""
    masks, maps, defective = [masks[i] for i in chosen], [maps[i] for i in chosen], defective[chosen]
    pimo = aupimo(masks, maps, defective=defective)
    overlaps = aupro(masks, maps, LIMITS["pro"]), spro([regions[i] for i in chosen], maps, LIMITS["spro"])
    return {
        "auroc": auroc(np.stack(masks), np.stack(maps)),
        "ap": average_precision(np.stack(masks), np.stack(maps)),
        **{f"pro {limit:g}": area for limit, area in zip(LIMITS["pro"], overlaps[0], strict=True)},
        **{f"spro {limit:g}": area for limit, area in zip(LIMITS["spro"], overlaps[1], strict=True)},
        "aupimo": pimo.mean,
        "aupimo median": pimo.median,
        "aupimo p33": pimo.p33,
    }


@pytest.mark.parametrize("levels", [None, 40])
def test_resamples_are_those_of_the_images(levels):
    masks, maps, defective, regions = world(levels=levels)
    cells = reduce_images(masks, maps, defective, regions=regions)
    weights = np.concatenate([np.ones((1, 14), int), draw(defective, seed=1, resamples=5)])
    found = areas(cells, weights, LIMITS)
    for row, counts in enumerate(weights):
        wanted = exactly(masks, maps, defective, regions, np.repeat(np.arange(14), counts))
        assert {name: found[name][row] for name in wanted} == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("levels", "seed"), [(None, 0), (None, 3), (40, 0)])
def test_the_bound_is_small_and_holds(levels, seed):
    masks, maps, defective, regions = world(levels=levels, seed=seed)
    cells = reduce_images(masks, maps, defective, regions=regions)
    found = areas(cells, np.ones((1, 14), int), LIMITS)
    wanted = exactly(masks, maps, defective, regions, np.arange(14))
    for name, bound in error_bound(cells, LIMITS).items():
        assert abs(found[name][0] - wanted[name]) <= bound + 2e-6, name  # counts are summed in float32
        assert bound < 1e-4, name


def test_a_coarse_grid_has_a_large_bound(monkeypatch):
    """The bound is measured, not assumed: with few cells it is large, and still it holds."""
    monkeypatch.setattr("amiss.metrics.cells.ZONES", ((0.0, 1.0, 0.02),))
    monkeypatch.setattr("amiss.metrics.cells.ANOMALOUS_CELLS", 5)
    monkeypatch.setattr("amiss.metrics.cells.SINGLES", 3)
    masks, maps, defective, regions = world()
    cells = reduce_images(masks, maps, defective, regions=regions)
    found = areas(cells, np.ones((1, 14), int), LIMITS)
    wanted = exactly(masks, maps, defective, regions, np.arange(14))
    bounds = error_bound(cells, LIMITS)
    assert bounds["auroc"] > 1e-4 and bounds["pro 0.05"] > 1e-3
    for name, bound in bounds.items():
        assert abs(found[name][0] - wanted[name]) <= bound + 2e-6, name


def test_a_sample_of_pixels_lays_the_cells_as_well(monkeypatch):
    monkeypatch.setattr("amiss.metrics.cells.SAMPLE", 40_000)
    masks, maps, defective, regions = world()
    cells = reduce_images(masks, maps, defective, regions=regions)
    found = areas(cells, np.ones((1, 14), int), LIMITS)
    wanted = exactly(masks, maps, defective, regions, np.arange(14))
    assert {name: found[name][0] for name in wanted} == pytest.approx(wanted, abs=2e-4)


def test_cells_hold_every_pixel_once():
    masks, maps, defective, regions = world()
    cells = reduce_images(masks, maps, defective, regions=regions)
    assert cells.normal.sum() + cells.anomalous.sum() == maps.size
    assert cells.pixels.tolist() == (~masks).sum(axis=(1, 2)).tolist()
    assert cells.rows.tolist() == np.flatnonzero(masks.any(axis=(1, 2))).tolist()
    np.testing.assert_allclose(cells.overlap["spro"].sum(axis=1), cells.regions["spro"], rtol=1e-5)


def test_images_are_drawn_within_their_class():
    defective = np.array([True] * 5 + [False] * 3)
    weights = draw(defective, seed=0, resamples=4000)
    assert (weights[:, defective].sum(axis=1) == 5).all() and (weights[:, ~defective].sum(axis=1) == 3).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(8), abs=0.05)
    assert weights[:, 0].var() == pytest.approx(5 * 0.2 * 0.8, abs=0.06)
    assert np.array_equal(weights, draw(defective, seed=0, resamples=4000))
    assert not np.array_equal(weights, draw(defective, seed=1, resamples=4000))
    assert draw([1, 1], seed=0, resamples=3).sum(axis=1).tolist() == [2, 2, 2]
    assert draw([], seed=0, resamples=3).shape == (3, 0)


def test_the_interval_is_that_of_drawing_images():
    """A pixel AUROC that varies from image to image: drawing pixels would give an interval far too narrow."""
    masks, maps, defective, _ = world(seed=5)
    cells = reduce_images(masks, maps, defective)
    low, high = percentile_interval(areas(cells, draw(defective, seed=0), {})["auroc"])
    rng = np.random.default_rng(9)
    bad, good, values = np.flatnonzero(defective), np.flatnonzero(~defective), []
    for _ in range(150):
        chosen = np.concatenate([rng.choice(bad, len(bad)), rng.choice(good, len(good))])
        values.append(auroc(masks[chosen], maps[chosen]))
    spread = np.std(values)
    assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.25)
    pixels = np.sqrt(0.25 / masks.sum())  # more than drawing pixels would ever spread
    assert spread > 5 * pixels


def test_constant_scores():
    masks, maps, defective, regions = world()
    cells = reduce_images(masks, np.zeros_like(maps), defective, regions=regions)
    found = areas(cells, draw(defective, seed=0, resamples=3), LIMITS)
    assert found["auroc"] == pytest.approx([0.5] * 3) and found["pro 0.3"] == pytest.approx([0.15] * 3)
    assert found["aupimo"] == pytest.approx([(1e-4 - 1e-5) / math.log(10)] * 3, rel=1e-4)
    assert error_bound(cells, LIMITS) == dict.fromkeys(error_bound(cells, LIMITS), 0.0)


def test_one_class_is_never_faked():
    masks, maps, defective, _ = world()
    only_good = reduce_images(masks[:6], maps[:6], defective[:6])
    found = areas(only_good, draw(defective[:6], seed=0, resamples=3), {"pro": (0.3,)})
    assert all(np.isnan(values).all() for values in found.values())
    only_bad = reduce_images(masks[7:], maps[7:], defective[7:])
    found = areas(only_bad, draw(defective[7:], seed=0, resamples=3), {"pro": (0.3,)})
    assert np.isnan(found["aupimo"]).all() and not np.isnan(found["pro 0.3"]).any()
    everything = reduce_images(np.ones((2, 4, 4)), maps[:2, :4, :4], np.array([True, True]))
    found = areas(everything, np.ones((1, 2), int), {"pro": (0.3,)})
    assert np.isnan(found["auroc"]).all() and np.isnan(found["pro 0.3"]).all()


def test_few_good_pixels_have_no_aupimo():
    masks, maps, _, _ = world()
    cells = reduce_images(masks[:, :50, :50], maps[:, :50, :50], masks[:, :50, :50].any(axis=(1, 2)))
    assert np.isnan(areas(cells, np.ones((1, 14), int), {})["aupimo"]).all()


def test_percentile_interval():
    assert percentile_interval(np.arange(101.0)) == pytest.approx((2.5, 97.5))
    assert percentile_interval(np.array([1.0, math.nan, 1.0])) == (1.0, 1.0)
    assert all(math.isnan(end) for end in percentile_interval(np.array([math.nan])))


@pytest.mark.parametrize(
    ("masks", "maps", "defective", "message"),
    [
        (np.zeros((1, 3, 3)), np.full((1, 3, 3), math.nan), [0], "not finite"),
        (np.zeros((1, 3, 3)), np.zeros((1, 3, 4)), [0], "resize the map"),
        (np.ones((1, 3, 3)), np.zeros((1, 3, 3)), [0], "called good"),
        (np.ones((1, 3, 3)), np.zeros((1, 3, 3)), [0, 1], "one value per image"),
        (np.ones((2, 3, 3)), np.zeros((1, 3, 3)), [1], "2 masks and 1"),
    ],
)
def test_errors_teach(masks, maps, defective, message):
    with pytest.raises(InputError, match=message):
        reduce_images(masks, maps, np.array(defective))


@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 0, "resamples": 0}])
def test_options(options):
    with pytest.raises(InputError):
        draw([0, 1], **options)
    with pytest.raises(InputError, match="one value per image"):
        draw([[0, 1]], seed=0)

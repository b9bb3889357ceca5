"""Weighted pixel metrics: a weighted sum of cells against computing the metric on the images themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from amiss.core.errors import InputError
from amiss.metrics import aupimo, aupro, auroc, average_precision, spro
from amiss.metrics.cells import reduce_images
from amiss.metrics.estimate import estimate_shares
from amiss.metrics.units import units_of
from amiss.metrics.weighted import areas, error_bound, pimo_values

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


def drawn(defective, count):
    """How often each image is in a resample within its class, (count, N)."""
    rng = np.random.default_rng(1)
    weights = np.zeros((count, len(defective)), int)
    for one in (defective, ~defective):
        if one.any():
            weights[:, one] = rng.multinomial(one.sum(), np.full(one.sum(), 1 / one.sum()), count)
    return weights


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
def test_weights_are_as_good_as_images(levels):
    masks, maps, defective, regions = world(levels=levels)
    cells = reduce_images(masks, maps, defective, regions=regions)
    weights = np.concatenate([np.ones((1, 14), int), drawn(defective, 5)])
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


def test_intervals_are_those_of_leaving_out_images():
    """The jackknife written out, each metric computed from the images that are left."""
    masks, maps, defective, regions = world(images=12, good=6, seed=5)
    cells = reduce_images(masks, maps, defective, regions=regions)
    values = exactly(masks, maps, defective, regions, np.arange(12))
    units = units_of(defective)
    found = estimate_shares(values, lambda weights: areas(cells, weights, LIMITS), units)
    without = [exactly(masks, maps, defective, regions, np.delete(np.arange(12), i)) for i in range(12)]
    for name in ("auroc", "ap", "pro 0.3", "spro 0.05", "aupimo"):
        left = np.array([one[name] for one in without])
        wanted = sum(
            (one.sum() - 1) / one.sum() * ((left[one] - left[one].mean()) ** 2).sum() for one in (defective, ~defective)
        )
        assert found[name].variance == pytest.approx(wanted, rel=0.02, abs=1e-7), name
        low, high = found[name].interval()
        assert 0 <= low < values[name] < high <= 1, name


def test_aupimo_of_each_image():
    masks, maps, defective, regions = world()
    cells = reduce_images(masks, maps, defective, regions=regions)
    wanted = aupimo(masks, maps, defective=defective).values[cells.rows]
    assert pimo_values(cells, np.ones((1, 14), np.float32))[0] == pytest.approx(wanted, abs=1e-4)


def test_constant_scores():
    masks, maps, defective, regions = world()
    cells = reduce_images(masks, np.zeros_like(maps), defective, regions=regions)
    found = areas(cells, drawn(defective, 3), LIMITS)
    assert found["auroc"] == pytest.approx([0.5] * 3) and found["pro 0.3"] == pytest.approx([0.15] * 3)
    assert found["aupimo"] == pytest.approx([(1e-4 - 1e-5) / math.log(10)] * 3, rel=1e-4)
    assert error_bound(cells, LIMITS) == dict.fromkeys(error_bound(cells, LIMITS), 0.0)


def test_one_class_is_never_faked():
    masks, maps, defective, _ = world()
    only_good = reduce_images(masks[:6], maps[:6], defective[:6])
    found = areas(only_good, drawn(defective[:6], 3), {"pro": (0.3,)})
    assert all(np.isnan(values).all() for values in found.values())
    only_bad = reduce_images(masks[7:], maps[7:], defective[7:])
    found = areas(only_bad, drawn(defective[7:], 3), {"pro": (0.3,)})
    assert np.isnan(found["aupimo"]).all() and not np.isnan(found["pro 0.3"]).any()
    everything = reduce_images(np.ones((2, 4, 4)), maps[:2, :4, :4], np.array([True, True]))
    found = areas(everything, np.ones((1, 2), int), {"pro": (0.3,)})
    assert np.isnan(found["auroc"]).all() and np.isnan(found["pro 0.3"]).all()


def test_few_good_pixels_have_no_aupimo():
    masks, maps, _, _ = world()
    cells = reduce_images(masks[:, :50, :50], maps[:, :50, :50], masks[:, :50, :50].any(axis=(1, 2)))
    assert np.isnan(areas(cells, np.ones((1, 14), int), {})["aupimo"]).all()


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

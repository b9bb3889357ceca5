"""Intervals of areas: against textbook forms written out, leaving images out one by one, and figures in print."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from amiss.core.errors import InputError
from amiss.metrics import auroc, average_precision, estimate_auroc, estimate_precision, units_of
from amiss.metrics.estimate import Estimate, estimate_shares, share_spread
from amiss.metrics.influence import left_out


def sample(seed, bad=15, good=25, shift=1.5, decimals=8):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([True, False], [bad, good]))
    return labels, (rng.normal(size=bad + good) + shift * labels).round(decimals)


def weighted(metric, labels, scores):
    return lambda weights: {"m": np.array([metric(labels.repeat(row), scores.repeat(row)) for row in weights])}


@pytest.mark.parametrize("decimals", [8, 0])
@pytest.mark.parametrize(("metric", "make"), [(auroc, estimate_auroc), (average_precision, estimate_precision)])
def test_influences_are_those_of_leaving_out_each_image(metric, make, decimals):
    labels, scores = sample(0, decimals=decimals)
    found = make(units_of(labels), scores)
    assert found.value == metric(labels, scores)
    wanted = left_out(weighted(metric, labels, scores), found.units)["m"]
    np.testing.assert_allclose(found.influence, wanted, atol=1e-12)


def test_the_variance_of_clusters_is_obuchowskis():
    """Obuchowski 1997, written out: sums over clusters, and clusters with images of both classes."""
    labels, scores = sample(1, 20, 20)
    unit = np.random.default_rng(2).integers(0, 12, 40)
    found = estimate_auroc(units_of(labels, unit), scores)
    wins = (scores[labels][:, None] > scores[~labels][None]) + 0.5 * (scores[labels][:, None] == scores[~labels][None])
    place_bad, place_good, area = wins.mean(axis=1), wins.mean(axis=0), wins.mean()
    clusters = np.unique(unit)
    bad = np.array([(place_bad - area)[unit[labels] == one].sum() for one in clusters])
    good = np.array([(place_good - area)[unit[~labels] == one].sum() for one in clusters])
    k_bad, k_good, k = len(set(unit[labels])), len(set(unit[~labels])), len(clusters)
    own = k_bad / (k_bad - 1) * (bad**2).sum() / 20**2 + k_good / (k_good - 1) * (good**2).sum() / 20**2
    both = 2 * (bad * good).sum() / 400
    assert k_bad < k or k_good < k or k / (k - 1) == pytest.approx(k_bad / (k_bad - 1))
    share = math.sqrt(k_bad / (k_bad - 1) * k_good / (k_good - 1))
    assert found.variance == pytest.approx(own + share * both)


def test_at_1_000_it_is_newcombes_method_5():
    """Written out with its root from scipy; the quantile is that of t, n of both classes less 2."""
    labels, scores = np.repeat([True, False], [20, 30]), np.arange(50.0)[::-1]

    def variance(t):
        n = 25 - 1
        return t * (1 - t) * (1 + n * (1 - t) / (2 - t) + n * t / (1 + t)) / 600

    reach = stats.t.ppf(0.975, 48)
    low = optimize.brentq(lambda t: 1 - t - reach * math.sqrt(variance(t)), 0.3, 1 - 1e-9)
    found = estimate_auroc(units_of(labels), scores)
    assert found.value == 1.0 and found.interval() == pytest.approx((low, 1.0), abs=1e-9)


def test_a_share_of_units_is_wilsons_interval():
    """Which equals, of 10 in 20 and with the normal quantile, the figure in print: 0.2993 to 0.7007."""
    units = units_of(np.repeat([True, False], [20, 2]))
    influence = np.zeros(22)
    spread = share_spread(units, floor=1)
    low, high = Estimate(0.5, influence, units, spread).interval()
    reach = stats.t.ppf(0.975, 20) ** 2 / 20
    middle, half = 0.5, math.sqrt(reach / 4 + reach**2 / 4) / (1 + reach)
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-9)
    confidence = 1 - 2 * stats.t.sf(stats.norm.ppf(0.975), 20)
    assert Estimate(0.5, influence, units, spread).interval(confidence) == pytest.approx((0.2993, 0.7007), abs=5e-5)


def test_never_without_width_and_narrower_with_more_images():
    widths = []
    for n in (10, 50, 300):
        found = estimate_auroc(units_of(np.repeat([True, False], n)), np.arange(2.0 * n)[::-1])
        assert found.value == 1 and found.interval()[1] == 1
        widths.append(1 - found.interval()[0])
    assert widths[0] > 2 * widths[1] > 8 * widths[2] > 0
    nothing = estimate_auroc(units_of(np.repeat([True, False], 10)), np.arange(20.0))
    assert nothing.value == 0 and nothing.interval() == pytest.approx((0, widths[0]))


@pytest.mark.parametrize(("shift", "bad", "good"), [(1.0, 20, 20), (3.3, 20, 20), (3.3, 20, 60), (5.0, 20, 20)])
def test_it_covers_the_true_area(shift, bad, good):
    """AUROC .76, .99 and .9998, where the bootstrap holds in 90, 72 and 2 of 100."""
    truth, labels = stats.norm.cdf(shift / math.sqrt(2)), np.repeat([True, False], [bad, good])
    rng, units = np.random.default_rng(7), units_of(labels)
    ends = np.array(
        [estimate_auroc(units, rng.normal(size=bad + good) + shift * labels).interval() for _ in range(300)]
    )
    assert ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean() > 0.92


def test_images_of_one_part_are_not_independent():
    """20 parts with 10 images that differ little: as images, the truth is missed in every third interval."""
    rng, each = np.random.default_rng(8), 10
    unit = np.repeat(np.arange(40), each)
    labels, truth = unit < 20, stats.norm.cdf(2 / math.sqrt(2))
    held = np.zeros(2)
    for _ in range(150):
        scores = 2 * labels + math.sqrt(0.8) * rng.normal(size=40)[unit] + math.sqrt(0.2) * rng.normal(size=400)
        for row, units in enumerate((units_of(labels, unit), units_of(labels))):
            low, high = estimate_auroc(units, scores).interval()
            held[row] += low <= truth <= high
    assert held[0] > 0.9 * 150 and held[1] < 0.75 * 150


def test_units_that_all_agree_count_as_one_image_each():
    labels, scores = sample(3, 12, 12)
    once = estimate_auroc(units_of(labels), scores)
    copies = units_of(labels.repeat(5), np.arange(24).repeat(5))
    assert copies.sizes(estimate_auroc(copies, scores.repeat(5)).influence) == pytest.approx((12, 12))
    assert estimate_auroc(copies, scores.repeat(5)).interval() == pytest.approx(once.interval())
    apart = units_of(labels.repeat(5))
    assert apart.sizes(estimate_auroc(apart, scores.repeat(5)).influence) == (60, 60)


def test_one_unit_of_a_class_says_nothing_and_one_class_is_undefined():
    one = estimate_auroc(units_of([0, 0, 0, 1, 1], [0, 1, 2, 3, 3]), np.arange(5.0))
    assert one.value == 1.0 and one.interval() == (0.0, 1.0)
    none = estimate_auroc(units_of([1, 1]), np.arange(2.0))
    assert all(math.isnan(end) for end in (none.value, *none.interval()))
    assert math.isnan(estimate_precision(units_of([0, 0]), np.arange(2.0)).interval()[0])


def test_joined_units_give_nearly_the_same_interval():
    labels, scores = sample(4, 100, 100)
    units = units_of(labels)
    value = {"m": auroc(labels, scores)}
    measure = weighted(auroc, labels, scores)
    fine, coarse = (estimate_shares(value, measure, one)["m"] for one in (units, units.merged(60)))
    assert coarse.units.k == 60 and coarse.variance == pytest.approx(fine.variance, rel=0.4)


@pytest.mark.parametrize(("defective", "unit"), [([0, 2], None), ([[0, 1]], None), ([0, 1], [1])])
def test_units_are_checked(defective, unit):
    with pytest.raises(InputError):
        units_of(defective, unit)
    with pytest.raises(InputError, match="confidence"):
        estimate_auroc(units_of([0, 0, 1, 1]), np.arange(4.0)).interval(95)


def test_a_few_good_images_widen_a_quantile_by_what_little_is_known_of_them():
    """Written out: Student's t with one degree less than the images of equal influence that they count as."""
    labels = np.repeat([True, False], [10, 30])
    influence = np.zeros(40)
    influence[10:14] = [0.05, -0.05, 0.05, -0.05]
    found = Estimate(0.5, influence, units_of(labels), share_spread(units_of(labels), floor=0.5))
    reach = stats.t.ppf(0.975, 4 - 1) ** 2 * 4 * 0.05**2 * 30 / 29
    low, high = found.widened((0.4, 0.7))
    assert (low, high) == pytest.approx((0.5 - math.sqrt(0.01 + reach), 0.5 + math.sqrt(0.04 + reach)))
    assert found.units.influential(influence) == pytest.approx(4) and found.units.influential(0 * influence) == 0


def test_the_ap_of_defects_that_score_alike_is_held():
    """One good image above them lowers every step of recall: before one is seen, its absence says little."""
    rng, units, missed = np.random.default_rng(4), units_of(np.repeat([True, False], [50, 50])), 0
    truth = np.mean(
        [
            average_precision(
                np.repeat([1, 0], 1000), np.concatenate([rng.normal(1.72, 0.3, 1000), rng.normal(size=1000)])
            )
            for _ in range(20)
        ]
    )
    for _ in range(150):
        scores = np.concatenate([rng.normal(1.72, 0.3, 50), rng.normal(size=50)])
        low, high = estimate_precision(units, scores).interval()
        missed += not low <= truth <= high
    assert missed <= 11  # 5 % of 150 are 7.5; the interval without it missed 18

"""Differences of paired rates: Tango's score by constrained maximum likelihood, power by simulation."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm

from amiss.core.errors import InputError
from amiss.metrics.paired_rates import (
    non_inferiority,
    parts_for_difference,
    parts_for_non_inferiority,
    power_of_difference,
    power_of_non_inferiority,
    rate_difference,
)


def slow_z(b: int, c: int, n: int, d: float) -> float:
    """The score statistic with the nuisance share by numerical maximisation of the trinomial likelihood."""

    def cost(q: float) -> float:
        shares = np.array([q + d, q, 1 - 2 * q - d])
        counts = np.array([b, c, n - b - c])
        used = counts > 0
        return -float((counts[used] * np.log(np.maximum(shares[used], 1e-300))).sum())

    found = minimize_scalar(cost, bounds=(max(0, -d), (1 - d) / 2), method="bounded", options={"xatol": 1e-12})
    return (b - c - n * d) / np.sqrt(n * (2 * found.x + d * (1 - d)))


@pytest.mark.parametrize(("b", "c", "n"), [(9, 1, 100), (3, 0, 44), (0, 5, 30), (20, 25, 60), (1, 1, 10)])
def test_the_ends_are_where_the_score_test_rejects(b, c, n):
    found = rate_difference(c, b, n)
    assert found.value == pytest.approx((b - c) / n)
    for end, sign in zip(found.interval, (1, -1), strict=True):
        assert slow_z(b, c, n, end) == pytest.approx(sign * norm.ppf(0.975), abs=2e-3)


def test_it_mirrors_and_has_a_width_without_any_difference():
    low, high = rate_difference(2, 7, 50).interval
    assert rate_difference(7, 2, 50).interval == pytest.approx((-high, -low))
    none = rate_difference(0, 0, 50).interval
    assert none[0] == pytest.approx(-none[1]) and none[1] > 0.05
    assert rate_difference(0, 0, 0).interval == (-1.0, 1.0)


@pytest.mark.parametrize(("shares", "n"), [((0.1, 0.02), 60), ((0.03, 0.03), 40), ((0.3, 0.2), 30)])
def test_the_interval_covers(shares, n):
    rng = np.random.default_rng(6)
    drawn = rng.multinomial(n, [*shares, 1 - sum(shares)], size=2000)
    inside = 0
    known = {}
    for b, c, _ in drawn:
        low, high = known.setdefault((b, c), rate_difference(int(c), int(b), n).interval)
        inside += low <= shares[0] - shares[1] <= high
    assert inside / 2000 >= 0.925


def test_the_error_of_non_inferiority():
    """At the margin itself, shown by mistake in about 5 %: a score test is not exact with few parts."""
    rng = np.random.default_rng(7)
    drawn = rng.multinomial(200, [0.02, 0.07, 0.91], size=2000)
    known = {}
    wrong = [known.setdefault((b, c), non_inferiority(int(c), int(b), 200, 0.05).shown) for b, c, _ in drawn]
    assert np.mean(wrong) <= 0.065
    assert power_of_non_inferiority(200, 0.07, 0.02, 0.05) == pytest.approx(np.mean(wrong), abs=0.015)


def test_the_power_of_mcnemar_by_simulation():
    rng = np.random.default_rng(8)
    drawn = rng.multinomial(150, [0.12, 0.03, 0.85], size=2000)
    known = {(0, 0): 1.0}
    p = [known.setdefault((b, c), binomtest(int(b), int(b + c)).pvalue if b + c else 1.0) for b, c, _ in drawn]
    assert power_of_difference(150, 0.03, 0.12) == pytest.approx(np.mean(np.array(p) <= 0.05), abs=0.03)
    assert power_of_difference(150, 0.0, 0.0) == 0.0


def test_the_number_of_parts_has_the_power():
    n = parts_for_difference(0.02, 0.08)
    assert power_of_difference(n, 0.02, 0.08) >= 0.9 > power_of_difference(int(0.95 * n), 0.02, 0.08)
    m = parts_for_non_inferiority(0.04, 0.04, 0.05)
    assert (
        power_of_non_inferiority(m, 0.04, 0.04, 0.05) >= 0.9 > power_of_non_inferiority(int(0.9 * m), 0.04, 0.04, 0.05)
    )


@pytest.mark.parametrize(("first", "second"), [(0.02, 0.10), (0.05, 0.15), (0.01, 0.04), (0.10, 0.20)])
@pytest.mark.parametrize("power", [0.8, 0.9])
def test_the_number_of_parts_is_near_the_formula_of_connett_smith_and_mchugh(first, second, power):
    """Statistics in Medicine 1987, by the normal distribution; the exact test takes some more."""
    differ, gap = first + second, second - first
    formula = (norm.ppf(0.975) * differ**0.5 + norm.ppf(power) * (differ - gap**2) ** 0.5) ** 2 / gap**2
    assert formula <= parts_for_difference(first, second, power) <= 1.15 * formula + 15


@pytest.mark.parametrize(("each", "margin"), [(0.05, 0.05), (0.03, 0.04), (0.10, 0.08)])
def test_the_number_of_parts_of_non_inferiority_is_near_that_of_the_score_statistic(each, margin):
    """By the normal distribution: Tango's variance at the margin, and that of the truth, written out."""
    d, middle = -margin, -2 * each - 2 * margin
    at_margin = (np.sqrt(middle**2 + 8 * each * d * (1 - d)) - middle) / 4
    deviations = norm.ppf(0.95) * np.sqrt(2 * at_margin + d * (1 - d)) + norm.ppf(0.9) * np.sqrt(2 * each)
    formula = (deviations / margin) ** 2
    assert parts_for_non_inferiority(each, each, margin) == pytest.approx(formula, rel=0.06, abs=8)


@pytest.mark.parametrize(("shares", "margin", "n"), [((0.05, 0.05), 0.05, 300), ((0.02, 0.04), 0.06, 250)])
def test_the_power_of_non_inferiority_by_simulation(shares, margin, n):
    drawn = np.random.default_rng(9).multinomial(n, [*shares, 1 - sum(shares)], size=4000)
    known = {}
    shown = [known.setdefault((b, c), non_inferiority(int(b), int(c), n, margin).shown) for b, c, _ in drawn]
    assert power_of_non_inferiority(n, *shares, margin) == pytest.approx(np.mean(shown), abs=0.025)


def test_what_cannot_be():
    with pytest.raises(InputError, match="must be at most n"):
        rate_difference(5, 6, 10)
    with pytest.raises(InputError, match="give a margin"):
        parts_for_difference(0.05, 0.05)
    with pytest.raises(InputError, match="less than the margin"):
        parts_for_non_inferiority(0.1, 0.02, 0.05)
    with pytest.raises(InputError, match="at most 1"):
        power_of_difference(10, 0.6, 0.6)

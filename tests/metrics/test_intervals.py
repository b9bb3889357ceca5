"""Clopper-Pearson against known values and its promise; rates over lots; `Rate` in words and in JSON."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from amiss.core.errors import InputError
from amiss.metrics import Rate, clopper_pearson, rate_over_lots
from amiss.metrics.intervals import worth_over_lots
from amiss.metrics.multiplicity import simultaneous


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (0, 20, 0.0, 0.1684),
        (2, 100, 0.0024, 0.0704),
        (10, 10, 0.6915, 1.0),
        (5, 10, 0.1871, 0.8129),
        (0, 1, 0.0, 0.975),
    ],
)
def test_known_values(count, n, low, high):
    assert clopper_pearson(count, n) == pytest.approx((low, high), abs=5e-5)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 500), st.integers(1, 500), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_agrees_with_scipy_and_with_its_definition(count, n, confidence):
    count = min(count, n)
    low, high = clopper_pearson(count, n, confidence)
    theirs = stats.binomtest(count, n).proportion_ci(confidence, method="exact")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    tail = (1 - confidence) / 2
    if count > 0:  # at the lower end, as many or more are just too unlikely
        assert stats.binom.sf(count - 1, n, low) == pytest.approx(tail, rel=1e-6)
    if count < n:
        assert stats.binom.cdf(count, n, high) == pytest.approx(tail, rel=1e-6)
    mirrored = clopper_pearson(n - count, n, confidence)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("n", [5, 30, 120])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3, 0.5])
def test_covers_at_least_as_often_as_promised(n, rate):
    drawn = np.random.default_rng(n).binomial(n, rate, size=4000)
    intervals = [clopper_pearson(count, n) for count in range(n + 1)]
    covered = np.array([low <= rate <= high for low, high in intervals])
    assert stats.binom.pmf(np.arange(n + 1), n, rate)[covered].sum() >= 0.95  # exactly
    assert covered[drawn].mean() >= 0.94  # and in 4000 draws


def test_without_trials_nothing_is_known():
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("count", "n"), [(-1, 5), (6, 5), (1.0, 5), (1, 5.0), (True, 5), (0, -1), ("1", 5)])
def test_counts_are_whole_numbers(count, n):
    for make in (clopper_pearson, Rate):
        with pytest.raises(InputError, match="0 <= count <= n"):
            make(count, n)


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_confidence_is_a_rate(confidence):
    with pytest.raises(InputError, match="confidence"):
        clopper_pearson(1, 5, confidence)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (Rate(3, 120), "3 of 120 (2.5 %, 95 % interval 0.5 to 7.2 %)"),
        (Rate(0, 20), "0 of 20 (0.0 %, 95 % interval 0.0 to 16.9 %)"),
        (Rate(20, 20), "20 of 20 (100.0 %, 95 % interval 83.1 to 100.0 %)"),
        (Rate(0, 100_000), "0 of 100000 (0.0 %, 95 % interval 0.0 to 0.0037 %)"),
        (Rate(100_000, 100_000), "100000 of 100000 (100.0 %, 95 % interval 99.9963 to 100.0 %)"),
        (Rate(0, 0), "0 of 0 (rate unknown)"),
    ],
)
def test_rate_in_words(rate, words):
    assert str(rate) == words


def test_rate_in_numbers():
    rate = Rate(np.int64(3), np.int32(120))
    assert rate == Rate(3, 120) and hash(rate) == hash(Rate(3, 120))
    assert rate.rate == 0.025 and rate.interval == clopper_pearson(3, 120)
    assert rate.summary() == {"count": 3, "n": 120, "rate": 0.025, "interval": list(clopper_pearson(3, 120))}
    assert pickle.loads(pickle.dumps(rate)) == rate
    with pytest.raises(AttributeError):
        rate.count = 4  # type: ignore[misc]


def test_rate_of_nothing_is_plain_json():
    assert math.isnan(Rate(0, 0).rate)
    text = json.dumps(Rate(0, 0).summary(), allow_nan=False)
    assert json.loads(text) == {"count": 0, "n": 0, "rate": None, "interval": [0.0, 1.0]}


def test_over_lots_by_hand():
    """Korn and Graubard: n over the design effect, times (t of n - 1 over t of lots - 1) squared; and all alike."""
    events, lots = np.repeat([1, 0, 1, 0], [6, 4, 1, 9]), np.repeat([7, 3], 10)
    rate = rate_over_lots(events, lots)
    share = np.array([6, 1]) / 10
    design = (share.var(ddof=1) / 2) / (0.35 * 0.65 / 19)
    design = (2 * design + 10) / 3
    worth = 20 / design * (stats.t.ppf(0.975, 19) / stats.t.ppf(0.975, 1)) ** 2
    assert (rate.count, rate.n) == (7, 20) and rate.worth == pytest.approx(worth)
    x = 0.35 * worth
    wanted = stats.beta.ppf(0.025, x, worth - x + 1), stats.beta.ppf(0.975, x + 1, worth - x)
    assert rate.interval == pytest.approx(wanted)
    assert rate.summary()["worth"] == rate.worth and str(rate).startswith("7 of 20 (35.0 %, 95 % interval 0.0")


def test_lots_that_differ_widen_and_lots_that_do_not_hardly_do():
    lots = np.repeat(np.arange(20), 10)
    alike, apart = rate_over_lots(np.arange(200) % 10 == 0, lots), rate_over_lots(np.arange(200) < 20, lots)
    assert (alike.count, apart.count) == (20, 20)
    assert alike.interval == pytest.approx(Rate(20, 200).interval, abs=0.02)
    assert np.diff(apart.interval) > 2.5 * np.diff(alike.interval)
    with pytest.raises(InputError, match="lots must be at least 2"):
        rate_over_lots([0, 1], [5, 5])


def test_rare_events_in_few_lots_show_little_of_how_much_lots_differ():
    """6 lots of 100 parts, an event in 5 % of parts on average, a fifth of the variance between lots: 17 % too low."""
    rng, lots = np.random.default_rng(4), np.repeat(np.arange(6), 100)
    held = 0
    for _ in range(200):
        events = rng.random(600) < rng.beta(0.2, 3.8, 6)[lots]
        low, high = rate_over_lots(events, lots).interval
        held += low <= 0.05 <= high
    assert held >= 0.93 * 200
    few = (stats.t.ppf(0.975, 599) / stats.t.ppf(0.975, 5)) ** 2
    assert worth_over_lots(np.zeros(600), lots) == pytest.approx(6 * few)


@pytest.mark.parametrize("rates", [(0.5, 0.9), (0.98, 0.99, 0.5)])
def test_intervals_of_several_types_hold_together(rates):
    """Exactly: independent types, each interval at the Bonferroni level."""
    together = 1.0
    for rate in rates:
        ends = [Rate(count, 12).interval_at(simultaneous(0.95, len(rates))) for count in range(13)]
        held = np.array([low <= rate <= high for low, high in ends])
        together *= stats.binom.pmf(np.arange(13), 12, rate)[held].sum()
    assert together >= 0.95

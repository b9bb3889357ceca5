"""Proofs that may stop early: the error by exact recursion, by simulation and by definition."""

import numpy as np
import pytest
from scipy.stats import binom

from amiss.core.errors import InputError
from amiss.rules.planning import rate_shown
from amiss.rules.sampling import plan_proofs
from amiss.rules.sequential import (
    ABOVE,
    BELOW,
    WEIGHTS,
    anytime_lower,
    anytime_lower_of,
    anytime_missing,
    anytime_needed,
    anytime_upper,
    anytime_upper_of,
    sequential_prospect,
)


@pytest.mark.parametrize(("n", "events", "rate"), [(10, 0, 0.2), (40, 3, 0.3), (7, 7, 0.9)])
def test_the_capital_is_a_mean_of_likelihood_ratios(n, events, rate):
    """The bound is where the mixture of binomial probabilities is 20 times that of the rate itself."""
    high = anytime_upper(n, 0.95, events)
    for p, refuted in ((min(high * 1.001, 1 - 1e-12), True), (high * 0.999, False)):
        ratio = (WEIGHTS * binom.pmf(events, n, BELOW * p)).sum() / binom.pmf(events, n, p)
        assert (ratio >= 20) == (refuted and events < n)


def test_the_bounds_are_wider_than_those_of_one_look_and_meet_the_plan():
    for n, events in ((50, 0), (300, 2), (1000, 30)):
        assert anytime_upper(n, 0.95, events) > rate_shown(n, 0.95, events)
        assert anytime_lower(n, 0.95, events) <= events / n <= anytime_upper(n, 0.95, events)
    for rate in (0.2, 0.01):
        n = anytime_needed(rate, 0.95, 2)
        assert anytime_upper(n, 0.95, 2) <= rate < anytime_upper(n - 1, 0.95, 2)


def test_weights_are_one_stake():
    assert WEIGHTS.sum() == pytest.approx(1) and (BELOW < 1).all()


@pytest.mark.parametrize("rate", [0.3, 0.05, 0.01])
def test_a_false_proof_is_as_rare_as_stated_however_often_one_looks(rate):
    """At the very rate that is to be shown below, over 5,000 looks, exactly."""
    found = sequential_prospect(rate, rate, 0.95, most=5000)
    assert 0.03 < found.chance <= 0.05
    above = sequential_prospect(rate, min(0.99, 1.2 * rate), 0.95, most=5000)
    assert above.chance < found.chance


def test_the_error_stays_inside_by_simulation():
    """Both bounds at every look of 2,000 streams of 400 parts; bench/sequential.py has 10,000 of them."""
    rng = np.random.default_rng(1)
    truth, parts = 0.08, 400
    upper = [[anytime_upper(n, 0.9, k) for k in range(n + 1)] for n in (5, 20, 60, 150, 400)]
    lower = [[anytime_lower(n, 0.9, k) for k in range(n + 1)] for n in (5, 20, 60, 150, 400)]
    counts = np.cumsum(rng.random((2000, parts)) < truth, axis=1)
    seen = [counts[:, n - 1] for n in (5, 20, 60, 150, 400)]
    over = np.any([np.array(table)[k] < truth for table, k in zip(upper, seen, strict=True)], axis=0)
    under = np.any([np.array(table)[k] > truth for table, k in zip(lower, seen, strict=True)], axis=0)
    assert over.mean() <= 0.1 and under.mean() <= 0.1


def test_the_recursion_against_simulation():
    rng = np.random.default_rng(2)
    found = sequential_prospect(0.1, 0.03, 0.95, most=150)
    stops = {anytime_needed(0.1, 0.95, events): events for events in range(8)}
    lengths, shown = [], 0
    for _ in range(4000):
        counts = np.cumsum(rng.random(150) < 0.03)
        at = next((n for n, events in stops.items() if n <= 150 and counts[n - 1] == events), None)
        # stops are passed in the order of their number of parts; the first that fits ends the proof
        lengths.append(150 if at is None else at)
        shown += at is not None
    assert shown / 4000 == pytest.approx(found.chance, abs=0.03)
    assert np.mean(lengths) == pytest.approx(found.average, rel=0.03)


@pytest.mark.parametrize(("rate", "true_rate"), [(0.05, 0.01), (0.02, 0.008)])
def test_double_samples_by_enumeration(rate, true_rate):
    plan = plan_proofs(rate, true_rate)
    two, rng = plan.double, np.random.default_rng(3)
    for at, wanted in ((rate, two.error), (true_rate, two.chance)):
        first, second = rng.binomial(two.n1, at, 100_000), rng.binomial(two.n2, at, 100_000)
        open_ = (first > two.events1) & (first <= two.events2)
        success = (first <= two.events1) | (open_ & (first + second <= two.events2))
        assert success.mean() == pytest.approx(wanted, abs=0.006)
        if at == true_rate:
            assert (two.n1 + two.n2 * open_).mean() == pytest.approx(two.average, rel=0.01)
    assert two.error <= 0.05 and two.chance >= 0.9 and two.average < plan.single.n
    assert plan.sequential.chance >= 0.9


def test_a_single_sample_is_the_smallest():
    single = plan_proofs(0.05, 0.01, power=0.9).single
    assert binom.cdf(single.events, single.n, 0.05) <= 0.05 < binom.cdf(single.events, single.n - 1, 0.05)
    fewer = plan_proofs(0.05, 0.01, power=0.5).single
    assert fewer.events < single.events


def test_what_cannot_be_planned():
    with pytest.raises(InputError, match="true rate must be below"):
        plan_proofs(0.01, 0.01)
    with pytest.raises(InputError, match="true rate must be clearly below"):
        plan_proofs(0.01, 0.0099999)
    with pytest.raises(InputError, match="events must be at most"):
        anytime_upper(3, 0.95, 4)


@pytest.mark.parametrize(("rate", "alike", "each"), [(0.05, 0.3, 20), (0.2, 0.5, 3), (0.02, 0.05, 50)])
def test_bounds_over_lots_hold_at_every_look(rate, alike, each):
    """In 1,000 streams of 60 lots, the capital by its formula; `bench/verdicts.py looks` has more."""
    rng = np.random.default_rng(each)
    shares = rng.binomial(each, rng.beta(rate * (1 / alike - 1), (1 - rate) * (1 / alike - 1), (1000, 60))) / each
    for bets, weights in (
        (BELOW, WEIGHTS),
        (ABOVE[ABOVE * rate < 1], np.full((ABOVE * rate < 1).sum(), 1 / len(ABOVE))),
    ):
        capital = 0.0
        for bet, weight in zip(bets, weights, strict=True):
            capital = capital + weight * np.cumprod(shares * bet + (1 - shares) * (1 - bet * rate) / (1 - rate), axis=1)
        ever = (capital >= 20).any(axis=1)
        assert ever.mean() <= 0.05
        if bets is BELOW:
            assert (anytime_upper_of(shares[0]) < rate) == (capital[0, -1] > 20)
            assert (anytime_missing(rate, shares[0]) == 0) == (capital[0, -1] >= 20)
        else:
            assert (anytime_lower_of(shares[0]) > rate) == (capital[0, -1] > 20)


def test_lots_of_one_part_are_parts_and_shares_are_checked():
    events = np.repeat([0.0, 1.0], [37, 3])
    assert anytime_upper_of(events) == anytime_upper(40, 0.95, 3) and anytime_lower_of(events) == anytime_lower(
        40, 0.95, 3
    )
    assert anytime_missing(0.2, events) == max(0, anytime_needed(0.2, 0.95, 3) - 40)
    for wrong in ([0.5, 1.2], [-0.1], [[0.5]], [float("nan")]):
        with pytest.raises(InputError, match="shares must be"):
            anytime_upper_of(wrong)

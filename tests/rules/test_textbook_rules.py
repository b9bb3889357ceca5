"""Quantile, Bootstrap and Sigma against their definitions, and what they state against simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from amiss.core.errors import CalibrationError, InputError, NotReadyError
from amiss.core.scores import Scores
from amiss.core.words import percent
from amiss.rules import Bootstrap, Conformal, Quantile, Sigma
from amiss.rules.goodness import anderson_darling, normality
from amiss.rules.ranks import count_bound


def fitted(rule, values):
    return rule.calibrate(Scores(np.asarray(values, dtype=float)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=80), st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.98]))
def test_the_quantile_is_the_smallest_score_that_at_most_a_share_lies_above(scores, q):
    if len(scores) < Quantile(q).needed(1 - q):
        with pytest.raises(CalibrationError, match=r"more (is|are) needed"):
            fitted(Quantile(q), scores)
        return
    few_above = [s for s in scores if sum(other > s for other in scores) <= (1 - q) * len(scores) + 1e-9]
    rule = fitted(Quantile(q), scores)
    assert rule.threshold == min(few_above)
    assert rule.threshold == np.quantile(scores, q - 1e-12, method="inverted_cdf")


@pytest.mark.parametrize(("q", "n"), [(0.95, 19), (0.95, 20), (0.9, 57), (0.99, 150)])
def test_the_quantile_states_its_true_mean_rate_and_a_bound_that_holds(q, n):
    draws = np.random.default_rng(n).random((3000, n))
    rules = [fitted(Quantile(q), row) for row in draws]
    rates = np.array([1 - rule.threshold for rule in rules])
    expected = rules[0].rank / (n + 1)
    assert rates.mean() == pytest.approx(expected, abs=4.5 * rates.std() / 3000**0.5)
    assert expected >= 1 - q - 1e-12
    bound = stats.beta(rules[0].rank, n + 1 - rules[0].rank).ppf(0.95)
    assert abs((rates <= bound).mean() - 0.95) < 4.5 * (0.95 * 0.05 / 3000) ** 0.5
    for number in (1 - q, expected, bound):
        assert percent(float(number)) in rules[0].statement()


def test_the_quantile_promises_nothing_and_counts_what_it_sees():
    rule = fitted(Quantile(0.9), range(40))
    assert rule.alpha is None and rule.decide(Scores(np.zeros(1))).alpha is None
    assert "4 of n = 40 " in rule.statement() and "No rate is promised" in rule.statement()
    assert "0 of n = 40 " in fitted(Quantile(0.9), [3.0] * 40).statement()


@pytest.mark.parametrize(("n", "alpha"), [(20, 0.05), (57, 0.1), (300, 0.01), (1000, 0.05)])
def test_the_bootstrap_interval_is_that_of_another_calibration(n, alpha):
    """Of n scores seen, those below the r-th largest of n others are beta-binomial: every order of 2 n is as likely."""
    rule = fitted(Bootstrap(alpha, resamples=20_000, seed=3), np.arange(1, n + 1))
    below = stats.betabinom(n, n + 1 - rule.rank, rule.rank)
    margin = 4.5 * (0.025 * 0.975 / 20_000) ** 0.5
    low, high = rule.interval  # the scores are their own ranks: below the j-th lie j - 1
    assert below.cdf(low - 1) <= 0.025 + margin and below.cdf(low) >= 0.025 - margin
    assert below.sf(min(high, n + 1) - 1) <= 0.025 + margin


@pytest.mark.parametrize(("n", "alpha"), [(20, 0.1), (100, 0.05)])
def test_the_bootstrap_interval_holds_the_threshold_of_others(n, alpha):
    """In 95 of 100 cases; an interval of plain resamples did in 79 to 84."""
    draws = np.random.default_rng(n).standard_t(3, size=(400, 2, n))
    inside = 0
    for seen, other in draws:
        low, high = fitted(Bootstrap(alpha), seen).interval
        inside += low <= fitted(Bootstrap(alpha), other).threshold <= high
    assert inside / 400 >= 0.95 - 3 * (0.05 * 0.95 / 400) ** 0.5


def test_the_bootstrap_has_the_threshold_of_the_quantile_and_one_interval_a_seed():
    scores = np.random.default_rng(0).normal(size=200)
    rule = fitted(Bootstrap(0.05), scores)
    assert rule.threshold == fitted(Quantile(0.95), scores).threshold
    assert rule.interval == fitted(Bootstrap(0.05), scores[::-1]).interval
    assert rule.interval[0] <= rule.threshold <= rule.interval[1]
    widths = [fitted(Bootstrap(0.05, seed=seed), scores).interval for seed in range(20)]
    assert len(set(widths)) > 1
    assert rule.alpha is None


def test_the_bootstrap_says_what_n_supports_and_where_it_cannot_look():
    few = fitted(Bootstrap(0.05), np.arange(20)).statement()
    assert "beyond the largest score seen" in few and "Rates below 4.77 % cannot be seen with n = 20 images" in few
    assert "would be within 3" in fitted(Bootstrap(0.1), np.arange(400)).statement()
    with pytest.raises(CalibrationError, match="needs 99 good calibration images, got 50: 49 more"):
        fitted(Bootstrap(0.01), range(50))


def test_sigma_is_mean_plus_k_deviations():
    scores = np.random.default_rng(1).normal(5, 2, 60).astype(np.float32)
    assert fitted(Sigma(2.5), scores).threshold == pytest.approx(scores.mean() + 2.5 * scores.std(ddof=1), rel=1e-6)


@pytest.mark.parametrize(("n", "k"), [(8, 2), (20, 3), (100, 3)])
def test_the_nominal_rate_of_sigma_is_exact_for_normal_scores(n, k):
    draws = np.random.default_rng(n).normal(size=(20_000, n))
    rates = stats.norm.sf(draws.mean(1) + k * draws.std(1, ddof=1))
    nominal = fitted(Sigma(k), np.arange(n)).nominal
    assert rates.mean() == pytest.approx(nominal, abs=4.5 * rates.std() / 20_000**0.5)
    assert nominal > stats.norm.sf(k)


SHAPES = {
    "uniform": stats.uniform(),
    "normal": stats.norm(),
    "exponential": stats.expon(),
    "heavy": stats.t(2),
    "very skewed": stats.lognorm(2),
    "two values": stats.bernoulli(0.1),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("n", "k"), [(10, 1), (50, 3), (300, 2)])
def test_the_bound_of_sigma_holds_whatever_the_distribution(name, n, k):
    draws = SHAPES[name].rvs((4000, n), random_state=np.random.default_rng(n + k)).astype(float)
    thresholds = draws.mean(1) + k * draws.std(1, ddof=1)
    bounds = np.array([count_bound(count, n) for count in range(n + 1)])
    kept = SHAPES[name].sf(thresholds) <= bounds[(draws > thresholds[:, None]).sum(1)]
    assert kept.mean() >= 0.95 - 4.5 * (0.95 * 0.05 / 4000) ** 0.5


def test_sigma_says_whether_its_rate_can_be_believed():
    good = stats.norm.ppf((np.arange(50) + 0.5) / 50)
    assert "nothing speaks against it" in fitted(Sigma(), good).statement()
    bad = fitted(Sigma(), np.exp(good))
    assert "do not believe that rate" in bad.statement()
    assert "1 of n = 50 " in bad.statement() and percent(count_bound(1, 50)) in bad.statement()


@pytest.mark.parametrize("rule", [Sigma(), Sigma(0)], ids=["3", "0"])
def test_sigma_refuses_what_has_no_spread_or_is_too_small(rule):
    with pytest.raises(CalibrationError, match="all 30 good calibration images score 2"):
        fitted(rule, [2.0] * 30)
    with pytest.raises(CalibrationError, match="8 good calibration images are needed, got 7: 1 more"):
        fitted(rule, range(7))


def test_sigma_refuses_a_threshold_that_no_score_can_have():
    with pytest.raises(CalibrationError, match="larger than any score"):
        fitted(Sigma(9), np.linspace(-3e38, 3e38, 20))


@pytest.mark.parametrize("rule", [Quantile(0.9), Bootstrap(0.1), Conformal(0.1)], ids=lambda rule: rule.name)
def test_constant_scores_are_fine_where_only_ranks_count(rule):
    rule = fitted(rule, [2.0] * 30)
    assert rule.decide(Scores(np.array([2.0, 2.1]))).label.tolist() == [False, True]


@pytest.mark.parametrize("make", [lambda: Quantile(0.9), lambda: Bootstrap(0.1), Sigma])
def test_before_calibration(make):
    with pytest.raises(NotReadyError, match="not calibrated"):
        make().decide(Scores(np.zeros(1)))
    with pytest.raises(NotReadyError, match="not calibrated"):
        make().statement()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Quantile(1.0), "q must be .*, got 1.0"),
        (lambda: Quantile("auto"), "q must be .*, got 'auto'"),
        (lambda: Bootstrap(5), "alpha must be .*, got 5"),
        (lambda: Bootstrap(0.1, resamples=10), "resamples must be .*, got 10"),
        (lambda: Bootstrap(0.1, seed=-1), "seed must be .*, got -1"),
        (lambda: Sigma(-1), "k must be .*, got -1"),
        (lambda: Sigma("three"), "k must be .*, got 'three'"),
    ],
)
def test_arguments_out_of_range(make, word):
    with pytest.raises(InputError, match=word):
        make()


@pytest.mark.parametrize("n", [8, 30, 200])
def test_anderson_darling_is_the_integral_it_stands_for(n):
    """A^2 = n * integral of (F_n(u) - u)^2 / (u (1 - u)) du, summed over a fine grid."""
    levels = np.sort(np.random.default_rng(n).random(n))
    grid = (np.arange(2_000_000) + 0.5) / 2_000_000
    gap = np.searchsorted(levels, grid, side="right") / n - grid
    assert float(anderson_darling(levels)) == pytest.approx(n * np.mean(gap**2 / (grid * (1 - grid))), rel=1e-3)


@pytest.mark.parametrize("n", [8, 30, 200])
def test_normality_is_uniform_for_normal_scores_near_the_level_that_is_used(n):
    draws = np.sort(np.random.default_rng(n).normal(7, 3, (3000, n)), axis=1)
    p = np.array([normality(row) for row in draws])
    for level in (0.01, 0.05, 0.1, 0.5):
        assert (p < level).mean() == pytest.approx(level, abs=4.5 * (level * (1 - level) / 3000) ** 0.5 + 0.1 * level)
    assert ((p > 0) & (p < 1)).all()


def test_normality_finds_what_is_not_normal():
    draws = np.random.default_rng(0)
    assert normality(np.sort(draws.exponential(size=60))) < 1e-3
    assert 0 < normality(np.sort(draws.standard_cauchy(5000))) < 1e-12

"""Conformal and Certified against their definitions, written out; sample sizes against the literature."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from amiss.core.errors import CalibrationError, InputError, NotReadyError
from amiss.core.scores import Scores
from amiss.core.words import percent
from amiss.rules import Certified, Conformal, Fixed, Triage, create_rule
from amiss.rules.ranks import confidence_of, false_alarm_bound

FEW_VALUES = st.integers(0, 6).map(float)  # many ties
CALIBRATION = st.lists(FEW_VALUES, min_size=1, max_size=60)
ALPHAS = st.sampled_from([0.05, 0.07, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.9, 0.999999])


def p_value_by_definition(normal, score):
    return Fraction(1 + sum(1 for s in normal if s >= score), len(normal) + 1)


def fitted(rule, n):
    return rule.calibrate(Scores(np.arange(n, dtype=float)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(CALIBRATION, ALPHAS)
def test_conformal_alarms_exactly_when_the_p_value_is_at_most_alpha(normal, alpha):
    rule = Conformal(alpha)
    if rule.needed(alpha) > len(normal):
        with pytest.raises(CalibrationError):
            rule.calibrate(Scores(np.array(normal)))
        return
    rule = rule.calibrate(Scores(np.array(normal)))
    candidates = np.arange(-1, 8, 0.5)
    decision = rule.decide(Scores(candidates))
    for score, label, p_value in zip(candidates, decision.label, decision.p_value, strict=True):
        exact = p_value_by_definition(normal, score)
        assert p_value == pytest.approx(float(exact), abs=1e-15)
        assert label == (exact <= Fraction(alpha) + Fraction(1, 10**9)), (score, exact)


@pytest.mark.parametrize("n", [9, 19, 99])
def test_the_smallest_p_value(n):
    rule = fitted(Conformal(0.1), n)
    assert float(rule.p_value(np.array(1e9))) == 1 / (n + 1)
    assert rule.p_value_words().startswith(f"No p-value is below {1 / (n + 1):.2g}: n = {n} good images")
    assert Fixed(1.0).p_value_words() == ""


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 400), st.sampled_from([0.02, 0.05, 0.1, 0.3]), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_certified_takes_the_largest_rank_that_keeps_the_promise(n, alpha, confidence):
    ranks = np.arange(1, n + 1)
    promised = ranks[stats.beta.cdf(alpha, ranks, n + 1 - ranks) >= confidence]
    rule = Certified(alpha, confidence)
    if len(promised) == 0:
        with pytest.raises(CalibrationError):
            fitted(rule, n)
        return
    rule = fitted(rule, n)
    assert rule.rank == max(promised)
    assert rule.threshold == n - rule.rank  # the rank-th largest of 0 ... n - 1


@pytest.mark.parametrize(("alpha", "n"), [(0.05, 19), (0.01, 99), (0.1, 9), (0.02, 49), (0.001, 999)])
def test_conformal_needs(alpha, n):
    assert Conformal().needed(alpha) == n
    assert fitted(Conformal(alpha), n).rank == 1
    with pytest.raises(CalibrationError):
        fitted(Conformal(alpha), n - 1)


@pytest.mark.parametrize(("alpha", "n"), [(0.05, 59), (0.01, 299), (0.005, 598), (0.001, 2995)])
def test_certified_needs(alpha, n):
    assert Certified().needed(alpha) == n
    assert fitted(Certified(alpha), n).rank == 1
    with pytest.raises(CalibrationError):
        fitted(Certified(alpha), n - 1)


@pytest.mark.parametrize(("alpha", "n", "rank"), [(0.01, 473, 2), (0.05, 93, 2), (0.01, 628, 3), (0.05, 124, 3)])
def test_certified_lets_another_normal_image_lie_above_the_threshold_from_here_on(alpha, n, rank):
    assert fitted(Certified(alpha), n - 1).rank == rank - 1
    assert fitted(Certified(alpha), n).rank == rank


@pytest.mark.parametrize(
    ("n", "alpha"), [(9, 0.1), (18, 1 / 19), (19, 0.05), (48, 0.05), (49, 0.05), (99, 0.05), (5000, 0.05)]
)
def test_auto_is_five_per_cent_or_the_smallest_alpha_that_n_supports(n, alpha):
    """More good images must not let more defects escape."""
    rule = fitted(Conformal(), n)
    assert rule.alpha == rule.decide(Scores(np.zeros(1))).alpha == pytest.approx(alpha, rel=1e-12)
    assert rule.rank == max(1, int(0.05 * (n + 1) + 1e-9))


@pytest.mark.parametrize("make", [Conformal, Certified])
def test_a_later_calibration_keeps_the_alpha(make):
    first = fitted(make(), 40)
    assert first.config()["alpha"] == first.alpha
    assert fitted(first, 2000).alpha == first.alpha
    assert fitted(make(0.01), 2000).alpha == 0.01
    assert make().config()["alpha"] == "auto"


def test_the_first_sentence_counts_parts():
    assert fitted(Conformal(), 40).in_short() == "About 1 good part in 20 will be rejected."
    assert fitted(Certified(0.01), 400).in_short() == "At most 1 good part in 100 will be rejected."
    assert fitted(Fixed(97.5), 100).in_short() == "2 of 100 good parts would have been rejected."
    assert fitted(Triage(0.1, 0.01), 99).in_short() == (
        "About 1 good part in 10 will not be accepted at once, and about 1 good part in 100 will be rejected without a "
        "person."
    )


def test_auto_with_too_few_images_says_how_many_more_and_what_is_possible_today():
    with pytest.raises(CalibrationError) as caught:
        fitted(Conformal(), 8)
    assert str(caught.value) == (
        "conformal: alpha = 10 % needs 9 good calibration images, got 8: 1 more is needed. "
        "8 support alpha = 11.2 % at best."
    )


def test_an_alpha_that_50_images_cannot_support_is_an_error_that_says_so():
    with pytest.raises(CalibrationError) as caught:
        fitted(Conformal(0.001), 50)
    assert str(caught.value) == (
        "conformal: alpha = 0.1 % needs 999 good calibration images, got 50: 949 more are needed. "
        "50 support alpha = 1.97 % at best."
    )


@pytest.mark.parametrize(
    "rule", [Conformal(0.001), Certified(0.01), Certified(0.05, 0.99)], ids=["conformal", "certified", "surer"]
)
def test_what_an_error_says_is_possible_today_is_possible(rule):
    n = 50
    best = rule.least_alpha(n) * (1 + 1e-9)
    assert fitted(create_rule(rule.name, **{**rule.config(), "alpha": best}), n).rank == 1
    with pytest.raises(CalibrationError):
        fitted(create_rule(rule.name, **{**rule.config(), "alpha": best * 0.99}), n)


@pytest.mark.parametrize(("alpha", "confidence", "n"), [(0.1, 0.9, 50), (0.05, 0.95, 100), (0.05, 0.95, 59)])
def test_certified_holds_for_the_promised_share_of_calibration_sets(alpha, confidence, n):
    draws = np.random.default_rng(n).random((3000, n))
    rates = np.array([1 - Certified(alpha, confidence).calibrate(Scores(row)).threshold for row in draws])
    kept = int((rates <= alpha).sum())  # of uniform scores a share 1 - t lies above t
    exact = confidence_of(fitted(Certified(alpha, confidence), n).rank, n, alpha)
    assert exact >= confidence
    assert abs(kept - 3000 * exact) <= 4.5 * math.sqrt(3000 * exact * (1 - exact))


@pytest.mark.parametrize(("alpha", "n"), [(0.05, 19), (0.05, 50), (0.1, 37), (0.01, 150)])
def test_conformal_keeps_alpha_on_average(alpha, n):
    draws = np.random.default_rng(n).random((3000, n))
    rates = np.array([1 - Conformal(alpha).calibrate(Scores(row)).threshold for row in draws])
    exact = fitted(Conformal(alpha), n).rank / (n + 1)
    assert exact <= alpha
    assert rates.mean() == pytest.approx(exact, abs=4.5 * rates.std() / math.sqrt(3000))


@pytest.mark.parametrize("n", [1, 2, 20, 59, 300, 5000, 100_000])
@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.95, 0.999999])
def test_the_bound_is_the_quantile_of_a_beta(n: int, confidence: float) -> None:
    for rank in {1, min(2, n), max(1, n // 20), max(1, n // 2), n}:
        wanted = stats.beta(rank, n + 1 - rank).ppf(confidence)
        assert false_alarm_bound(rank, n, confidence) == pytest.approx(wanted, rel=1e-8)


def test_the_stated_bound_is_the_quantile_of_the_beta_distribution():
    assert false_alarm_bound(1, 299) == pytest.approx(1 - 0.05 ** (1 / 299))
    assert false_alarm_bound(3, 100, 0.9) == pytest.approx(stats.beta(3, 98).ppf(0.9))
    assert confidence_of(3, 100, false_alarm_bound(3, 100, 0.9)) == pytest.approx(0.9)


def test_statements_carry_n_alpha_and_a_bound():
    assert fitted(Certified(0.01), 299).statement() == (
        "certified: with 95 % confidence at most 1 % of good parts raise an alarm (exactly 0.997 %), from n = 299 good "
        "images of which 0 lie above the threshold."
    )
    assert "2.99 %" in fitted(Conformal(0.01), 99).statement()
    assert "2 % needs n = 49 and 1 % needs n = 99." in fitted(Conformal(), 30).statement()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.floats(1e-7, 1))
def test_percent_has_three_digits_and_never_rounds_down(rate):
    text = percent(rate)
    value = Fraction(text.removesuffix(" %")) / 100
    assert value >= Fraction(rate) - Fraction(1, 10**11)
    assert value <= Fraction(rate) * Fraction(102, 100) + Fraction(1, 10**11)
    assert len(text.removesuffix(" %").replace(".", "").lstrip("0")) <= 3 or rate == 1


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0, "0 %"), (0.05, "5 %"), (0.07, "7 %"), (0.29, "29 %"), (0.1 + 0.2, "30 %"), (1, "100 %"), (0.99999, "100 %")],
)
def test_percent_in_words(rate, text):
    assert percent(rate) == text


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, "5 %", None, True, float("nan")])
@pytest.mark.parametrize("rule", [Conformal, Certified])
def test_an_alpha_that_is_no_rate_is_refused(rule, alpha):
    with pytest.raises(InputError, match=r"alpha must be a number above 0 and below 1"):
        rule(alpha)


@pytest.mark.parametrize("threshold", ["2", None, float("inf"), float("nan"), True])
def test_a_fixed_threshold_is_a_finite_number(threshold):
    with pytest.raises(InputError, match="threshold"):
        Fixed(threshold)


def test_before_calibration_only_a_fixed_threshold_can_decide():
    for rule in (Conformal(), Certified()):
        with pytest.raises(NotReadyError, match="not calibrated"):
            rule.decide(Scores(np.zeros(1)))
    decision = Fixed(1).decide(Scores(np.array([1.0, 1.5])))
    assert decision.label.tolist() == [False, True]
    assert np.isnan(decision.p_value).all() and decision.alpha is None and decision.n == 0


def test_fixed_states_what_it_measured():
    assert "none was measured" in Fixed(1).statement()
    assert "10 of n = 20 " in fitted(Fixed(9.5), 20).statement()
    assert "below 100 %" in fitted(Fixed(-1), 20).statement()


def test_create_rule_knows_names_and_arguments():
    assert create_rule("certified", alpha=0.1, confidence=0.9).config() == {"alpha": 0.1, "confidence": 0.9}
    with pytest.raises(InputError, match="Did you mean 'conformal'"):
        create_rule("conformall")
    with pytest.raises(InputError, match="rule 'fixed'"):
        create_rule("fixed", limit=3)

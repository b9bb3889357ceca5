"""The promise of each class, by simulation with classes whose scores differ, and by definition."""

import numpy as np
import pytest
from scipy import stats

from amiss.core.errors import CalibrationError, InputError
from amiss.core.scores import Scores
from amiss.rules import Conformal, EachClass, parse_rule
from amiss.rules.ranks import false_alarm_bound
from amiss.rules.trade import trade

MEANS, SPREADS, SIZES = np.array([0.0, 1.0, 0.5]), np.array([1.0, 1.5, 0.5]), (120, 30, 60)


def draw(rng: np.random.Generator, sizes: tuple[int, ...] = SIZES) -> Scores:
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    return Scores(rng.normal(MEANS[numbers], SPREADS[numbers]), classes=numbers)


def rates(threshold: float) -> np.ndarray:
    """True rate of each class above a threshold."""
    return stats.norm.sf((np.float32(threshold) - MEANS) / SPREADS)


def test_no_class_has_more_alarms_than_promised() -> None:
    """On average over calibration sets at most alpha of each class, where Conformal has far more of the worst; and the
    bound for one very set holds for each class in 95 % of the sets."""
    rng, alpha, trials = np.random.default_rng(0), 0.1, 1500
    each, pooled = np.zeros((trials, 3)), np.zeros((trials, 3))
    for trial in range(trials):
        normal = draw(rng)
        each[trial] = rates(EachClass(alpha).calibrate(normal).threshold)
        pooled[trial] = rates(Conformal(alpha).calibrate(normal).threshold)
    error = each.std(axis=0) / np.sqrt(trials)
    assert (each.mean(axis=0) <= alpha + 3 * error).all()
    assert each.mean(axis=0).max() > 0.8 * alpha  # no more cautious than it must be for the class that decides
    assert pooled.mean(axis=0).max() > 2 * alpha
    bound = max(false_alarm_bound(int(alpha * (size + 1)), size) for size in SIZES)
    assert ((each <= bound).mean(axis=0) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)).all()
    said = EachClass(alpha).calibrate(draw(rng))
    assert f"{100 * bound:.1f}"[:3] in said.statement() and "30 to 120 of a class" in said.statement()
    assert "Of no class more than about 1 good part in 10" in said.in_short() and trade(said) == ()


def test_p_values_of_each_class_are_valid() -> None:
    rng = np.random.default_rng(1)
    found = np.array([EachClass(0.2).calibrate(draw(rng)).p_value(rng.normal(MEANS, SPREADS)) for _ in range(800)])
    for values in found.T:
        assert stats.kstest(values, "uniform", alternative="greater").pvalue > 1e-3


def test_threshold_and_p_value_by_definition() -> None:
    normal = draw(np.random.default_rng(2))
    rule = EachClass(0.1).calibrate(normal)
    own = [Conformal(0.1).calibrate(Scores(normal.image[normal.classes == number])) for number in range(3)]
    assert rule.thresholds == tuple(one.threshold for one in own) and rule.threshold == max(rule.thresholds)
    scores = np.linspace(-2, 5, 50)
    np.testing.assert_array_equal(rule.p_value(scores), np.max([one.p_value(scores) for one in own], axis=0))
    labels = rule.decide(Scores(scores)).label
    np.testing.assert_array_equal(labels, rule.p_value(scores) <= 0.1)
    assert EachClass().calibrate(normal).alpha == 0.05
    assert EachClass().calibrate(draw(np.random.default_rng(3), (40, 12, 40))).alpha == pytest.approx(1 / 13)


def test_small_classes_are_refused_or_pooled() -> None:
    """Of the small ones together the promise holds: 12 and 10 parts are taken for one class of 22."""
    sizes, rng = (60, 12, 10), np.random.default_rng(4)
    with pytest.raises(
        CalibrationError, match=r"5 % needs 19 good calibration images of every class, got 12 of class 2, 10"
    ):
        EachClass(0.05).calibrate(draw(rng, sizes))
    with pytest.raises(CalibrationError, match=r"got 3 of bolt, 2 of nut together"):
        EachClass(0.05, few="pool").check_classes({"bolt": 3, "nut": 2, "disc": 60})
    found = []
    for _ in range(1500):
        rule = EachClass(0.05, few="pool").calibrate(draw(rng, sizes))
        above = rates(rule.threshold)
        found.append([above[0], (12 * above[1] + 10 * above[2]) / 22])
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.mean(found, axis=0) <= 0.05 + 3 * error).all() and len(rule.thresholds) == 2
    assert "Classes with fewer than 19 calibration images are taken together" in rule.statement()
    with pytest.raises(InputError, match="few must be"):
        EachClass(0.05, few="drop")
    assert parse_rule("each_class:5%,pool").config() == {"alpha": 0.05, "few": "pool"}

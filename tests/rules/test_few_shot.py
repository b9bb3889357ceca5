"""With fewer good images than any rate needs, nothing is said of one."""

import numpy as np
import pytest

from amiss.core.origin import Origin
from amiss.core.scores import Scores
from amiss.rules import Certified, Conformal, FewShot, Fixed, parse_rule
from amiss.rules.few_shot import NEEDED
from amiss.rules.trade import trade
from amiss.splitting import Folds, plan_calibration, rule_for


def test_the_rate_can_be_anything():
    """Of the same kind of parts, sets of four have thresholds that a few or most of the parts to come exceed."""
    rng = np.random.default_rng(0)
    rates = [1 - FewShot().calibrate(Scores(rng.random(4))).threshold for _ in range(2000)]
    assert np.quantile(rates, 0.05) < 0.02 and np.quantile(rates, 0.95) > 0.5
    assert NEEDED == Conformal(0.1).needed(0.1) == 9
    rule = FewShot().calibrate(Scores(rng.random(4)))
    said = f"{rule.in_short()} {rule.statement()}"
    assert "no false-alarm rate is promised from n = 4 good images, and none was measured" in said and "needs 9" in said
    assert "95 %" not in said and "below" not in said


def test_nothing_tells_a_rate():
    rule = FewShot().calibrate(Scores(np.array([3.0, 1.0, 2.0])))
    assert rule.threshold == 3.0 and rule.alpha is None and not rule.tells_rates
    assert np.isnan(rule.decide(Scores(np.array([1.5, 3.5]))).p_value).all()
    assert rule.decide(Scores(np.array([3.0, 3.5]))).label.tolist() == [False, True]
    assert trade(rule) == () and "no p-values" in rule.p_value_words()
    assert isinstance(parse_rule("few_shot"), FewShot)


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_it_is_taken_where_no_alpha_was_asked_for_and_none_is_in_reach(n):
    assert isinstance(rule_for(Conformal(), n), FewShot)
    for rule in (Conformal(0.1), Certified(), Fixed(1.0)):
        assert rule_for(rule, n) is rule
    assert isinstance(rule_for(FewShot(), 9), Conformal) and isinstance(rule_for(Conformal(), 9), Conformal)
    origins = [Origin(part=str(i // 2)) for i in range(2 * n)]
    assert isinstance(rule_for(Conformal(), 2 * n, origins), FewShot)


def test_each_image_calibrates_by_the_others_and_a_single_part_by_itself():
    plan = plan_calibration(4, "auto", FewShot(), 0)
    assert sorted(fold.tolist() for fold in plan.folds) == [[0], [1], [2], [3]] and plan.kind == "folds"
    alone = plan_calibration(1, "auto", FewShot(), 0)
    assert alone.kind == "altered copies" and alone.n == 1 and not alone.folds
    one_part = plan_calibration(3, Folds(), FewShot(), 0, [Origin(part="1")] * 3)
    assert one_part.kind == "altered copies" and one_part.n == 1 and one_part.learn.tolist() == [0, 1, 2]

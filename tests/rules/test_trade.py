"""The table of what other alphas cost, against rules calibrated one by one."""

import numpy as np
import pytest

from amiss.core.lots import Lots
from amiss.core.scores import Scores
from amiss.rules import Certified, Conformal, Fixed, Sigma, Triage
from amiss.rules.ranks import false_alarm_bound
from amiss.rules.trade import trade, trade_legend, trade_lines

NORMAL = Scores(np.random.default_rng(0).normal(size=200))


@pytest.mark.parametrize("rule", [Conformal(), Conformal(0.03), Certified(0.05), Certified(0.1, 0.8)])
def test_each_row_is_a_rule_of_its_own(rule):
    rule = rule.calibrate(NORMAL)
    rows = trade(rule)
    assert [row.alpha for row in rows if row.in_use] == [rule.alpha]
    known = {0.01, 0.02, 0.05, 0.1, rule.alpha}
    make = (lambda alpha: Certified(alpha, rule.confidence)) if isinstance(rule, Certified) else Conformal
    assert {row.alpha for row in rows} == {alpha for alpha in known if make(alpha).needed(alpha) <= 200}
    for row in rows:
        alone = make(row.alpha).calibrate(NORMAL)
        assert row.threshold == alone.threshold
        assert row.bound == pytest.approx(false_alarm_bound(alone.rank, 200, getattr(rule, "confidence", 0.95)))
    assert [row.threshold for row in rows] == sorted((row.threshold for row in rows), reverse=True)


@pytest.mark.parametrize("rule", [Sigma(2), Fixed(2.0), Triage(0.1, 0.02)])
def test_other_rules_stand_among_those_of_conformal(rule):
    rule = rule.calibrate(NORMAL)
    (used,) = [row for row in trade(rule) if row.in_use]
    assert (used.alpha, used.threshold) == (rule.alpha, rule.threshold)
    assert len(trade(rule)) >= 4 and trade(Fixed(2.0)) == ()


def test_lots_count_where_the_promise_is_for_new_ones():
    lots = Lots(np.arange(200) // 5)
    rows = trade(Conformal().calibrate(NORMAL, lots))
    assert [row.alpha for row in rows] == [0.05, 0.1]  # 2 % needs 49 lots, and there are 40
    assert rows[0].bound > trade(Conformal().calibrate(NORMAL))[2].bound


def test_the_table_as_text():
    rule = Conformal().calibrate(Scores(np.arange(60)))
    assert trade_lines(trade(rule), [["1 of 9"], ["2 of 9"], ["3 of 9"]], ["found"]) == [
        "   alpha  threshold  rate below   found",
        "     2 %         59      4.88 %  1 of 9",
        "*    5 %         57      10.2 %  2 of 9",
        "    10 %         54      16.8 %  3 of 9",
    ]
    assert "n = 60 good images" in trade_legend(rule) and "95 % confidence" in trade_legend(rule)
    assert "99.99 % confidence" in trade_legend(Certified(0.2, 0.9999).calibrate(Scores(np.arange(60))))

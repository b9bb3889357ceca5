"""docs/theory/rules.md says nothing that the code does not do."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from amiss.core.errors import CalibrationError
from amiss.core.scores import Scores
from amiss.core.words import percent
from amiss.rules import RULES, Quantile, Sigma, benjamini_hochberg, parse_rule

PAGE = (Path(__file__).parents[2] / "docs" / "theory" / "rules.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
CHOICE = [row for row in ROWS if len(row) == 5]
NEEDS = [(row[0].strip("`").replace("{rate}", rate), int(n)) for row in ROWS if len(row) == 4
         for rate, n in zip(("5%", "1%", "0.1%"), row[1:], strict=True)]  # fmt: skip


def least(rule):
    for n in range(6000):
        try:
            rule.check(n)
        except CalibrationError:
            continue
        return n


@pytest.mark.parametrize(("words", "n"), [*NEEDS, ("tail:0.01%", 2499)])
def test_the_numbers_of_parts(words, n):
    assert least(parse_rule(words)) == n


def test_every_rule_is_in_the_table_with_words_that_work_and_its_kind_of_promise():
    assert len(NEEDS) == 24 and "0.01 % needs 2499" in TEXT
    assert {row[0].strip("`") for row in CHOICE} == {rule.__name__ for rule in RULES.values()}
    normal = Scores(np.random.default_rng(0).normal(size=400))
    for title, words, _, promise, _ in CHOICE:
        rule = parse_rule(words.strip("`")).calibrate(normal)
        assert type(rule).__name__ == title.strip("`")
        assert (rule.alpha is None) == promise.startswith("nothing")


def test_the_numbers_of_the_textbook_rules():
    normal = Scores(np.arange(20))
    assert "2 / 21 = 9.53 %" in TEXT and percent(2 / 21) == "9.53 %"
    assert Quantile(0.95).calibrate(normal).rank == 2 and Quantile(0.95).calibrate(Scores(np.arange(19))).rank == 1
    assert "mean 0.135 % only" in TEXT and percent(float(stats.norm.sf(3))) == "0.135 %"
    assert "n = 20 normally distributed scores it is 0.432 %" in TEXT
    assert percent(Sigma(3).calibrate(normal).nominal) == "0.432 %"


def test_the_numbers_of_the_batch():
    words = re.search(
        r"with n = (\d+), m = (\d+) and rate = (\d+) %, (\d+) of them. .* single one n must be (\d+)", TEXT
    )
    n, m, rate, found, single = map(int, words.groups())
    smallest = np.full(found, 1 / (n + 1))
    good = np.ones(m)
    assert benjamini_hochberg([*smallest, *good[found:]], rate / 100).rejected.sum() == found
    assert not benjamini_hochberg([*smallest[1:], *good[found - 1 :]], rate / 100).rejected.any()
    assert benjamini_hochberg(good, rate / 100, n=single).warning == ""
    assert benjamini_hochberg(good, rate / 100, n=single - 1).warning

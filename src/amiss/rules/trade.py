"""What other alphas would cost: one row per alpha, with its threshold and the bound of its rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from amiss.core.rule import Rule
from amiss.core.scores import Scores
from amiss.core.sentence import Sentence
from amiss.core.words import percent, sure
from amiss.rules.certified import Certified
from amiss.rules.conformal import Conformal
from amiss.rules.each_class import EachClass
from amiss.rules.lots import basis, rate_bound
from amiss.rules.ranks import ALPHAS, RankRule

LEGEND = Sentence(
    "Each row is a rate of false alarms that {basis} support, its threshold, and what the true rate is below "
    "with {confidence} confidence. A smaller rate lets more defects pass.",
    "bench/promises.py this-set",
)


CAUTION = (
    "Choose by what a false alarm and an escape cost you. A rate chosen on these images is then no longer measured by "
    "them: certify it on other parts."
)
"""Said where the truth is known."""


@dataclass(frozen=True)
class Choice:
    """A promise that the calibration scores support.

    Args:
        alpha: False-alarm rate, in (0, 1); None for a rule in use that promises none.
        threshold: Scores above it alarm.
        bound: The true false-alarm rate is at most this, with the confidence of the rule, or 95 %.
        in_use: Whether it is the rule in use.
        rule: The calibrated rule that makes it.
    """

    alpha: float | None
    threshold: float
    bound: float
    in_use: bool
    rule: Rule = field(repr=False, compare=False)

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"alpha": self.alpha, "threshold": self.threshold, "bound": self.bound, "in_use": self.in_use}


def trade(rule: Rule) -> tuple[Choice, ...]:
    """Rows for 1, 2, 5 and 10 %, as far as they are supported, and for the rule in use; highest threshold first.

    Rates are those of `Certified` with its confidence where that is the rule, and otherwise those of `Conformal`.

    Args:
        rule: Calibrated; one that was not, or whose scores tell no rates or those of each class, has no rows.

    Example:
        >>> rule = Conformal(0.05).calibrate(Scores(np.arange(60)))
        >>> [(one.alpha, one.threshold, one.in_use) for one in trade(rule)]
        [(0.02, 59.0, False), (0.05, 57.0, True), (0.1, 54.0, False)]
    """
    if rule.n == 0 or not rule.tells_rates or isinstance(rule, EachClass):
        return ()
    ranked = isinstance(rule, (Conformal, Certified))
    alphas = [alpha for alpha in ALPHAS if _other(rule, alpha).needed(alpha) <= rule.units and alpha != rule.alpha]
    rows = [_row(_other(rule, alpha), rule, alpha) for alpha in alphas]
    if ranked:
        rows.append(_row(rule, rule, rule.alpha, in_use=True))  # type: ignore[arg-type]
    else:
        above = int((rule.normal > np.float32(rule.threshold)).sum())
        rows.append(Choice(rule.alpha, rule.threshold, rate_bound(rule, above), in_use=True, rule=rule))
    return tuple(sorted(rows, key=lambda one: (-one.threshold, one.bound)))


def _other(rule: Rule, alpha: float) -> RankRule:
    return Certified(alpha, rule.confidence) if isinstance(rule, Certified) else Conformal(alpha)


def _row(rank_rule: RankRule, rule: Rule, alpha: float | None, *, in_use: bool = False) -> Choice:
    known = rank_rule if in_use else rank_rule.calibrate(Scores(rule.normal), rule.lots)
    known = known if in_use or rule.weights is None else known.weighted(rule.weights)
    return Choice(alpha, known.threshold, rate_bound(known, known.rank - 1, confidence_in(rule)), in_use, known)


def confidence_in(rule: Rule) -> float:
    """The confidence of its bounds: its own, or 95 %."""
    return rule.confidence if isinstance(rule, Certified) else 0.95


def trade_legend(rule: Rule) -> str:
    """What the table says."""
    return LEGEND(basis=basis(rule), confidence=sure(confidence_in(rule)))


def trade_lines(choices: Sequence[Choice], found: Sequence[Sequence[str]] = (), heads: Sequence[str] = ()) -> list[str]:
    """The table as text, a line per row; a star marks the rule in use.

    Args:
        choices: Rows.
        found: More cells of each row.
        heads: Heads of these.
    """
    cells = [["", "alpha", "threshold", "rate below", *heads]]
    for number, one in enumerate(choices):
        alpha = "none" if one.alpha is None else percent(one.alpha)
        more = found[number] if found else ()
        cells.append(["*" if one.in_use else "", alpha, f"{one.threshold:.4g}", percent(one.bound), *more])
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]

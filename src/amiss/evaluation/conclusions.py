"""What a comparison shows when all its tests are read together: Holm's p-values, rate differences, non-inferiority."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from amiss.evaluation.compare import Comparison
from amiss.metrics import Agreement
from amiss.metrics.intervals import worth_over_lots
from amiss.metrics.multiplicity import holm
from amiss.metrics.paired_rates import NonInferiority, RateDifference, non_inferiority, rate_difference
from amiss.rules.lots import new_lots_bound


@dataclass(frozen=True)
class Conclusions:
    """A comparison read as a whole.

    Args:
        adjusted: Holm's adjusted p-value of each test of the comparison that is defined, by name.
        right_on_good: Share of good parts judged right by the second minus by the first; None without good parts.
        right_on_defective: The same for defective parts.
        non_inferior: Whether the second is no worse than the first by a margin, on "good" and on "defective" parts;
            empty when no margin was given.
    """

    adjusted: Mapping[str, float]
    right_on_good: RateDifference | None
    right_on_defective: RateDifference | None
    non_inferior: Mapping[str, NonInferiority]

    @property
    def shown(self) -> bool:
        """Every non-inferiority that was asked for is shown."""
        return all(one.shown for one in self.non_inferior.values())

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        good, defective = self.right_on_good, self.right_on_defective
        return {
            "adjusted_p_values": dict(self.adjusted),
            "right_on_good": None if good is None else good.summary(),
            "right_on_defective": None if defective is None else defective.summary(),
            "non_inferior": {kind: one.summary() for kind, one in self.non_inferior.items()},
        }


def conclude(comparison: Comparison, margin: float | None = None) -> Conclusions:
    """Read all tests of a comparison together.

    Args:
        comparison: Of two inspectors on the same parts.
        margin: How much worse the second may be, in rate of right verdicts, in (0, 1); None asks nothing.

    Raises:
        InputError: A margin out of range.
    """
    kinds = {"good": comparison.good, "defective": comparison.defective}
    tests = {
        "image_auroc": comparison.image_auroc.p_value,
        "pixel_aupro": comparison.pixel_aupro.p_value,
        "pixel_aupro_05": comparison.pixel_aupro_05.p_value,
        **{kind: one.p_value for kind, one in kinds.items() if one.n},
    }
    known = {kind: one for kind, one in kinds.items() if one.n}
    rates = {kind: difference_of(one) for kind, one in known.items()}
    shown = {} if margin is None else {kind: no_worse(one, margin) for kind, one in known.items()}
    adjusted = {name: p for name, p in holm(tests).items() if not math.isnan(p)}
    return Conclusions(adjusted, rates.get("good"), rates.get("defective"), shown)


def difference_of(found: Agreement) -> RateDifference:
    """Second minus first, over lots where they are the unit."""
    worth = None
    if len(found.lots) > 1:
        moved = [
            (value, lot)
            for lot, (first, second, n) in enumerate(found.lots)
            for value in [-1.0] * first + [1.0] * second + [0.0] * (n - first - second)
        ]
        worth = worth_over_lots(*zip(*moved, strict=True))
    plain = rate_difference(found.only_first, found.only_second, found.n, worth=worth)
    return plain if worth is None else replace(plain, lots=len(found.lots))


def no_worse(found: Agreement, margin: float) -> NonInferiority:
    """By Tango's bound over parts; over lots by the bound that certificates use, which counts each lot once."""
    plain = non_inferiority(found.only_first, found.only_second, found.n, margin)
    if not found.lots:
        return plain
    shares = np.array([(1 + (first - second) / n) / 2 for first, second, n in found.lots])
    return replace(plain, bound=1 - 2 * new_lots_bound(shares, plain.confidence), lots=len(shares))

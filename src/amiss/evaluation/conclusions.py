"""What a comparison shows when all its tests are read together: Holm's p-values, rate differences, non-inferiority."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amiss.evaluation.compare import Comparison
from amiss.metrics.multiplicity import holm
from amiss.metrics.paired_rates import NonInferiority, RateDifference, non_inferiority, rate_difference


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
    counts = {kind: (one.only_first, one.only_second, one.n) for kind, one in kinds.items() if one.n}
    rates = {kind: rate_difference(*some) for kind, some in counts.items()}
    shown = {} if margin is None else {kind: non_inferiority(*some, margin) for kind, some in counts.items()}
    known = {name: p for name, p in holm(tests).items() if not math.isnan(p)}
    return Conclusions(known, rates.get("good"), rates.get("defective"), shown)

"""Several tests or intervals at once: what each must say so that all of them hold together."""

from __future__ import annotations

import math
from collections.abc import Mapping

from amiss.core.checks import check_count, check_rate
from amiss.core.errors import InputError


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's (1979) adjusted p-values: all that are at most 5 % are right together with 95 %, whatever they share.

    Args:
        p_values: By name, in [0, 1]; NaN where a test is not defined, which then counts as none.

    Raises:
        InputError: A p-value outside [0, 1].

    Example:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": float("nan")})
        {'a': 0.03, 'b': 0.06, 'c': 0.06, 'd': nan}
    """
    known = {name: p for name, p in p_values.items() if not math.isnan(p)}
    for name, p in known.items():
        if not 0 <= p <= 1:
            raise InputError(f"the p-value of {name} must be between 0 and 1, got {p!r}")
    adjusted = dict.fromkeys(p_values, math.nan)
    largest = 0.0
    for rank, name in enumerate(sorted(known, key=lambda name: known[name])):
        largest = max(largest, min(1.0, (len(known) - rank) * known[name]))
        adjusted[name] = largest
    return adjusted


def simultaneous(confidence: float, count: int) -> float:
    """The confidence that each of `count` intervals needs so that all of them cover together with `confidence`.

    Bonferroni's, which needs no independence: images of one type are judged against the same good ones.

    Example:
        >>> simultaneous(0.95, 5)
        0.99
    """
    return 1 - (1 - check_rate("confidence", confidence)) / check_count("count", count)

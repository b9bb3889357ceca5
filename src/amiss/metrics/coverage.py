"""How often the intervals of metrics hold, and so what they are called: a 95 % interval, or one of less.

All of them are made for 95 %. `bench/interval_coverage.py` draws samples whose true value is known, in several hundred
settings. An interval that holds in at least 93 of 100 samples in every one of them is called a 95 % interval. Any other
is called by the lowest share that was seen: `docs/generate.py` writes those into ``coverage.json``.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

STATED, ENOUGH = 0.95, 0.93


def held(kind: str, *, several: bool = False) -> float:
    """The confidence that an interval may claim, in (0, 1).

    Args:
        kind: Name of the metric in the study.
        several: Whether several images are one unit: images of a part, or parts of a lot.

    Example:
        >>> held("f1")
        0.95
    """
    known = _short()
    alone = known["alone"].get(kind, STATED)
    return min(alone, known["several"].get(kind, STATED)) if several else alone


@cache
def _short() -> dict[str, dict[str, float]]:
    """Lowest share of samples by name, of the intervals that hold too seldom; "alone" and "several" as in `held`."""
    found: dict[str, dict[str, float]] = json.loads(files("amiss.metrics").joinpath("coverage.json").read_text("utf-8"))
    return found

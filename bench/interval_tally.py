"""What the sections of `interval_coverage.py` share: settings, and counts of intervals that missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = dict[str, Any]
Interval = tuple[float, float]


class Tally:
    """Counts for each interval of a setting how often it missed the truth, on which side, and how wide it was.

    Args:
        setting: What the rows are about.
        rows: Those of earlier runs, of this and of other settings.
    """

    def __init__(self, setting: Row, rows: list[Row] | None = None) -> None:
        self.setting = setting
        self._counts: dict[str, list[float]] = {}
        for row in rows or []:
            if {name: row.get(name) for name in setting} == setting and "coverage" in row:
                n = row["trials"]
                counted = (row["too_high"], row["too_low"], row["no_width"], row.get("rejected", 0))
                self._counts[row["interval"]] = [n, *counted, row["width"] * n]

    @property
    def trials(self) -> int:
        """The fewest of any interval."""
        return int(min((found[0] for found in self._counts.values()), default=0))

    def add(self, name: str, interval: Interval, truth: float) -> None:
        """One trial; 1e-9 of rounding is forgiven."""
        low, high = interval
        found = self._counts.setdefault(name, [0.0] * 6)
        missed = (truth < low - 1e-9, truth > high + 1e-9, high <= low, not low <= 0 <= high)
        for place, value in enumerate((1, *missed, high - low)):
            found[place] += value

    def rows(self) -> list[Row]:
        """One row for each interval: trials, share that held the truth, and counts of those that did not."""
        return [self._row(name, found) for name, found in self._counts.items()]

    def _row(self, name: str, found: list[float]) -> Row:
        n, high, low, flat, rejected = (int(value) for value in found[:5])
        row = {
            "interval": name,
            "trials": n,
            "coverage": round(1 - (high + low) / n, 4),
            "too_high": high,
            "too_low": low,
            "no_width": flat,
            "width": round(found[5] / n, 5),
        }
        return row | ({"rejected": rejected} if name.startswith("difference") else {}) | self.setting


@dataclass(frozen=True)
class Section:
    """Some settings and how to try one.

    Args:
        settings: Plain values.
        run: Adds so many trials to a tally.
        most: Trials of each setting, at most: what they cost.
    """

    settings: tuple[Row, ...]
    run: Callable[[Tally, np.random.Generator, int], None]
    most: int = 10_000

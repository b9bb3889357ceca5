"""Which row is better over several data sets: mean ranks, Friedman's test, signed-rank tests with Holm's correction.

Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006); the pairs are compared by
Wilcoxon's signed-rank test instead of mean ranks (Benavoli et al., JMLR 17, 2016), for the verdict on two rows must
not depend on which others were measured. One data set is one observation: its seeds are averaged, for they share
images.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amiss.evaluation.benchmark.table import METRICS, Row, Table

FEWEST = 5
"""Below this number of data sets no test is made: two-sided, five are the fewest with p < 0.1 for a pair."""

LEVEL = 0.05

DECIMALS = 12
"""Figures that agree to so many decimals are ties: what differs beyond is how the sum was rounded."""


@dataclass(frozen=True)
class Pair:
    """Two rows compared over the data sets.

    Args:
        first: Label.
        second: Label.
        p_value: Two-sided, of Wilcoxon's signed-rank test; 1 when the rows are equal on every data set.
        adjusted: After Holm's correction for the number of pairs.
    """

    first: str
    second: str
    p_value: float
    adjusted: float


@dataclass(frozen=True)
class Ranking:
    """Rows ranked by one metric; rank 1 is best, equal values share their mean rank.

    Args:
        metric: One of `METRICS`.
        labels: Labels of the ranked rows, best mean rank first.
        data: The data sets that all of them share.
        mean_ranks: For each label, (k,).
        left_out: Labels of rows that were measured on fewer than half of the data sets, or lack this metric.
        friedman: p-value of Friedman's test that all rows are alike; None when it was not made.
        pairs: Empty when no test was made.
    """

    metric: str
    labels: tuple[str, ...]
    data: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    left_out: tuple[str, ...] = ()
    friedman: float | None = None
    pairs: tuple[Pair, ...] = ()

    @property
    def decisive(self) -> bool:
        """True when there are tests and enough data sets for at least one pair to fall below `LEVEL`."""
        return 0 < 2.0 * len(self.pairs) * 0.5 ** len(self.data) <= LEVEL

    def statement(self) -> str:
        """What can be said of these ranks, for a person."""
        k, n = len(self.labels), len(self.data)
        title, least = METRICS[self.metric], 2 / 2**n
        count = k * (k - 1) // 2
        if k < 2:
            return f"{title}: fewer than two rows share a data set, so there is nothing to rank."
        sets = f"{n} data set{'s' if n > 1 else ''}"
        if n < FEWEST:
            return (
                f"{title}: {k} rows on {sets}. No rank test: over so few data sets it has no power. Even a row that "
                f"wins on every one of them gets a two-sided p of {min(1.0, least):.3g} at best. The ranks describe "
                "these data sets and no others."
            )
        overall = "" if self.friedman is None else f" Friedman's test that all rows are alike: p = {self.friedman:.3g}."
        power = (
            f"With {sets} and {_pairs(count)} the smallest adjusted p that is possible is {min(1, count * least):.3g}"
        )
        verdict = "." if self.decisive else f", so no pair can be told apart at {LEVEL:g} here."
        return f"{title}: {k} rows on {sets}.{overall} {power}{verdict}"

    def cliques(self) -> list[tuple[int, int]]:
        """First and last place of every longest stretch of neighbours that no pair tells apart; none without tests."""
        apart = {frozenset((pair.first, pair.second)) for pair in self.pairs if pair.adjusted <= LEVEL}

        def alike(first: int, last: int) -> bool:
            inside = itertools.combinations(self.labels[first : last + 1], 2)
            return not any(frozenset(pair) in apart for pair in inside)

        if not self.pairs:
            return []
        places = range(len(self.labels))
        ends = [max(last for last in places[first:] if alike(first, last)) for first in places]
        return [(first, ends[first]) for first in places if ends[first] > max([first, *ends[:first]])]


def rank_rows(table: Table, metric: str) -> Ranking:
    """Rank the preset rows of a table over the data sets that they share.

    Args:
        table: Its rows with settings of their own are not ranked: they may have been tried on these test data.
        metric: One of `METRICS`.
    """
    measured = {row.label: [name for name in table.data if _value(row, name, metric) is not None] for row in table.rows}
    known = [name for name in table.data if any(name in measured[row.label] for row in table.presets)]
    rows = [row for row in table.presets if known and 2 * len(measured[row.label]) >= len(known)]
    data = [name for name in known if all(name in measured[row.label] for row in rows)]
    left_out = tuple(row.label for row in table.presets if row not in rows)
    if not rows or not data:
        return Ranking(metric, (), (), (), left_out)
    from scipy.stats import rankdata

    values = np.array([[_value(row, name, metric) for row in rows] for name in data], np.float64)
    values = values.round(DECIMALS)

    ranks = rankdata(-values, axis=1).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    labels = tuple(rows[place].label for place in order)
    friedman, pairs = compare(values[:, order], labels)
    return Ranking(metric, labels, tuple(data), tuple(float(r) for r in ranks[order]), left_out, friedman, pairs)


def compare(values: NDArray[np.float64], labels: Sequence[str]) -> tuple[float | None, tuple[Pair, ...]]:
    """Friedman's p-value, and every pair of columns with Holm's correction.

    Args:
        values: One row per data set, one column per label, (n, k).
        labels: Labels of the columns.

    Returns:
        The p-value, None with fewer than three columns, and the pairs; None and none below `FEWEST` data sets.

    Example:
        >>> values = np.array([[0.9, 0.8], [0.7, 0.5], [0.8, 0.6], [0.99, 0.9], [0.6, 0.5], [0.95, 0.9]])
        >>> compare(values, ["one", "other"])[1][0].p_value
        0.03125
    """
    from scipy.stats import friedmanchisquare

    n, k = values.shape
    if n < FEWEST or k < 2:
        return None, ()
    alike = bool((values == values[:, :1]).all())
    overall = None if k < 3 else 1.0 if alike else float(friedmanchisquare(*values.T).pvalue)
    found = [
        (a, b, _signed_rank((values[:, a] - values[:, b]).round(DECIMALS)))
        for a, b in itertools.combinations(range(k), 2)
    ]
    adjusted = holm([p_value for _, _, p_value in found])
    pairs = [Pair(labels[a], labels[b], p, fixed) for (a, b, p), fixed in zip(found, adjusted, strict=True)]
    return overall, tuple(pairs)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values after Holm's step-down correction, in the same order.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - done) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def _signed_rank(difference: NDArray[np.float64]) -> float:
    from scipy.stats import wilcoxon

    return float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0


def _value(row: Row, data: str, metric: str) -> float | None:
    spread = row.cells[data].spread(metric) if data in row.cells else None
    return None if spread is None else spread.mean


def _pairs(count: int) -> str:
    return "one pair" if count == 1 else f"{count} pairs"

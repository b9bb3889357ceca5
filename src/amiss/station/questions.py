"""What people ask of a recipe: has it changed, where and what are the defects, which lots, how much is missed?

`blind` leaves out parts whose audit waits for a label: for people who are to label them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from amiss.core.sentence import Sentence
from amiss.core.verdict import Label
from amiss.ledger.labels import audited, types
from amiss.ledger.reader import Filter, Reader
from amiss.metrics import Rate
from amiss.reporting.shift_page import LOT_NOTE

SHOWN = 2000
"""Parts of one chart, the newest."""

GRID = 3
"""Rows and columns of places on the part."""

LOTS = 200

AUDIT = Sentence(
    "Of parts that were drawn at random and labelled by a person who did not see the verdict, n = {n}; intervals at "
    "95 % confidence take parts for independent of one another.",
    "tests/metrics/test_intervals.py::test_covers_at_least_as_often_as_promised",
)


def scores(reader: Reader, recipe: str, since: str | None = None, *, blind: bool = False) -> dict[str, Any]:
    """The newest scores in the order of the parts, and what the control charts said last."""
    parts = reader.parts(Filter(recipe=recipe, since=since, blind=blind), limit=SHOWN)
    rows = [[part["seq"], part["score"], part["threshold"], part["label"], part["p_value"]] for part in reversed(parts)]
    charts = reader.charts(Filter(recipe=recipe))
    last = charts[-1] if charts else {"alarm": False, "kind": "", "text": "", "first": None, "last": None, "at": None}
    said = {name: last[name] for name in ("alarm", "kind", "text", "first", "last", "at")}
    return {**said, "alarm": bool(said["alarm"]), "scores": rows}


def pareto(reader: Reader, recipe: str, since: str | None = None, *, blind: bool = False) -> dict[str, Any]:
    """Where alarming regions lie on the part, and which types of defects people named."""
    places: Counter[tuple[int, int]] = Counter()
    parts = regions = 0
    for part in reader.every_part(Filter(recipe=recipe, since=since, label=Label.ANOMALOUS, blind=blind)):
        parts += 1
        for left, top, width, height in (region["box"] for region in part["regions"] if part["height"]):
            regions += 1
            row = int(GRID * (top + height / 2) / part["height"])
            column = int(GRID * (left + width / 2) / part["width"])
            places[min(GRID - 1, max(0, row)), min(GRID - 1, max(0, column))] += 1
    found = [{"row": row, "column": column, "count": count} for (row, column), count in places.most_common()]
    named = [{"type": name, "count": count} for name, count in types(reader, recipe, since)]
    return {"parts": parts, "regions": regions, "grid": GRID, "places": found, "types": named}


def lots(reader: Reader, recipe: str, since: str | None = None, *, blind: bool = False) -> dict[str, Any]:
    """Every lot with the share of its parts that are anomalous, the newest lots first."""
    only = Filter(recipe=recipe, since=since, blind=blind)
    counted: dict[str | None, Counter[str]] = {}
    for row in reader.counts(only, by="lot"):
        counted.setdefault(row["lot"], Counter())[row["label"]] += row["parts"]
    spans = reader.spans(only)
    found = []
    for lot, count in counted.items():
        judged = sum(count.values()) - count[Label.ERROR]
        rate = _plain(Rate(count[Label.ANOMALOUS], judged))
        first, last = spans[lot]
        own = {"lot": lot, "parts": sum(count.values()), "anomalous": count[Label.ANOMALOUS]}
        own |= {"review": count[Label.REVIEW], "errors": count[Label.ERROR], "first": first, "last": last}
        found.append({**own, **rate})
    found.sort(key=lambda one: -one["last"])
    return {"lots": found[:LOTS], "more": max(0, len(found) - LOTS), "confidence": 0.95, "words": LOT_NOTE()}


def estimates(reader: Reader, recipe: str) -> dict[str, Any]:
    """False alarms and escapes among parts that were drawn at random, with exact intervals; errors are left out."""
    found = audited(reader, recipe)
    good = [one.label for one in found if one.truth == "good"]
    bad = [one.label for one in found if one.truth == "defective"]
    alarms = sum(label == Label.ANOMALOUS for label in good)
    missed = sum(label == Label.GOOD for label in bad)
    return {
        "audited": len(good) + len(bad),
        "not_blind": sum(one.truth is None for one in found),
        "false_alarms": {"count": alarms, "of": len(good), **_plain(Rate(alarms, len(good)))},
        "escapes": {"count": missed, "of": len(bad), **_plain(Rate(missed, len(bad)))},
        "confidence": 0.95,
        "words": AUDIT(n=len(good) + len(bad)),
    }


def _plain(rate: Rate) -> dict[str, Any]:
    """Share, interval, and both in words that are rounded outward."""
    if rate.n == 0:
        return {"share": None, "low": None, "high": None, "text": ""}
    low, high = rate.interval
    return {"share": rate.rate, "low": low, "high": high, "text": str(rate)}

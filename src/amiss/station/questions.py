"""What people ask of a recipe: has it changed, where and what are the defects, which lots, how much is missed?

`blind` leaves out parts whose audit waits for a label: for people who are to label them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from amiss.core.sentence import Sentence
from amiss.core.verdict import Label
from amiss.ledger.labels import audited, truths, types
from amiss.ledger.reader import Filter, Reader
from amiss.ledger.shadows import Disagreement, count_compared, disagreements, pairs
from amiss.metrics import Rate, mcnemar
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

SHADOW = Sentence(
    "Versions {acting} (judges) and {shadow} (in the shadow) have judged the same {n} parts; on {differ} one of them "
    "accepts and the other does not, and people have labelled {labelled} of these. p-values by McNemar's exact test, "
    "of good and of defective parts apart; intervals at 95 % confidence take parts for independent of one another.",
    "tests/metrics/test_paired.py::test_mcnemar_is_a_binomial_test",
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
    """Every lot with the share of anomalous parts, of those whose verdict may be told; the newest first."""
    everything = Filter(recipe=recipe, since=since)
    counted: dict[str | None, Counter[str]] = {}
    for row in reader.counts(everything if not blind else replace(everything, blind=True), by="lot"):
        counted.setdefault(row["lot"], Counter())[row["label"]] += row["parts"]
    parts: Counter[str | None] = Counter()
    for row in reader.counts(everything, by="lot"):
        parts[row["lot"]] += row["parts"]
    found = []
    for lot, (first, last) in reader.spans(everything).items():
        count = counted.get(lot, Counter())
        told = sum(count.values())
        rate = _plain(Rate(count[Label.ANOMALOUS], told - count[Label.ERROR]))
        own = {"lot": lot, "parts": parts[lot], "waiting": parts[lot] - told, "anomalous": count[Label.ANOMALOUS]}
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


def shadow(reader: Reader, recipe: str, left_out: int = 0) -> dict[str, Any] | None:
    """What the version in the shadow says beside the one that judges; None where there is none.

    Only parts on which one accepts and the other does not can tell them apart: people label those, and McNemar's exact
    test asks whether one of them is right more often than a fair coin would be. By lots where all of them are known.

    Args:
        reader: Of the store.
        recipe: What kind of part.
        left_out: Parts that there was no time to compare, since the station began.
    """
    pair = pairs(reader).get(recipe)
    if pair is None:
        return None
    compared, differ = count_compared(reader, pair), disagreements(reader, pair)
    known = truths(reader, [one.part for one in differ])
    found = [(one, known[one.part]) for one in differ if known.get(one.part) in ("good", "defective")]
    facts: dict[str, Any] = {"recipe": recipe, "acting": pair.acting, "version": pair.version, "compared": compared}
    differing = {"count": len(differ), "of": compared, **_plain(Rate(len(differ), compared))}
    tests = {truth: _told(found, truth) for truth in ("good", "defective")}
    right = sum(one["shadow_right"] for one in tests.values())
    won = {"count": right, "of": len(found), **_plain(Rate(right, len(found)))}
    words = SHADOW(shadow=pair.version, acting=pair.acting, n=compared, differ=len(differ), labelled=len(found))
    facts |= {"differ": differing, "labelled": len(found), "unlabelled": sum(one.part not in known for one in differ)}
    return {**facts, "shadow_right": won, **tests, "left_out": left_out, "confidence": 0.95, "words": words}


def _told(found: list[tuple[Disagreement, str]], truth: str) -> dict[str, Any]:
    """Who was right on the disputed parts of one truth, and McNemar's exact p-value."""
    own = [one for one, said in found if said == truth]
    acting = [(one.was == Label.GOOD) is (truth == "good") for one in own]
    lots = [one.lot for one in own if one.lot is not None]
    known = len(lots) == len(own) > 0
    agreement = mcnemar(acting, [not right for right in acting], lots if known else None)
    facts = {"acting_right": agreement.only_first, "shadow_right": agreement.only_second}
    return {**facts, "p_value": agreement.p_value, "lots": len(set(lots)) if known else None}


def _plain(rate: Rate) -> dict[str, Any]:
    """Share, interval, and both in words that are rounded outward."""
    if rate.n == 0:
        return {"share": None, "low": None, "high": None, "text": ""}
    low, high = rate.interval
    return {"share": rate.rate, "low": low, "high": high, "text": str(rate)}

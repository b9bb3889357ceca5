"""From a store to the page of a shift: how many, which lots, since when, where on the part, and what it looked like."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from amiss.core.decode import decode_image, read_bytes
from amiss.core.errors import DataError, ImageError
from amiss.core.verdict import Label
from amiss.ledger.reader import Filter, Reader
from amiss.metrics import Rate
from amiss.metrics.intervals import rate_over_lots
from amiss.reporting.shift_page import FEW_LOTS, LotRow, Photo, Quarantine, Shift, draw_map, draw_photo, draw_scores

LISTED = 300
"""Parts of one quarantine that the page lists; all are counted."""

LOTS = 100
"""Lots that the page lists, those with the highest share of anomalous parts first."""


def collect_shift(reader: Reader, only: Filter, *, photos: int = 24) -> Shift:
    """Everything that the page of a shift shows.

    Args:
        reader: Of the store.
        only: Which parts.
        photos: Worst parts that are shown.

    Raises:
        DataError: There is no such part.
    """
    walk = _Walk()
    for part in reader.every_part(only):
        walk.add(part)
    if walk.first is None or walk.last is None:
        raise DataError(f"{reader.store}: no part with {only.summary() or 'a verdict'}")
    seq, head = reader.head()
    worst = [_photo(reader, part) for part in reader.worst(only, photos)]
    return Shift(
        station=reader.station,
        only=only.summary(),
        first=walk.first,
        last=walk.last,
        counts={str(label): walk.labels[label] for label in Label},
        late=walk.late,
        rate=walk.rate(),
        lots=walk.lots()[:LOTS],
        more_lots=max(0, len(walk.by_lot) - LOTS),
        scores=draw_scores(walk.seqs, walk.scores, walk.thresholds),
        places=draw_map(walk.places),
        regions=len(walk.places),
        photos=tuple(worst),
        quarantines=tuple(_quarantines(reader, only)),
        reasons=walk.reasons.most_common(20),
        versions=_versions(reader, only),
        head=(seq, head),
    )


class _Walk:
    """What is summed up over all parts, in one pass: numbers only."""

    def __init__(self) -> None:
        self.first: dict[str, Any] | None = None
        self.last: dict[str, Any] | None = None
        self.labels: Counter[str] = Counter()
        self.by_lot: dict[str | None, Counter[str]] = {}
        self.late = 0
        self.seqs: list[int] = []
        self.scores: list[float] = []
        self.thresholds: list[float] = []
        self.places: list[tuple[float, float]] = []
        self.reasons: Counter[str] = Counter()
        self._events: list[tuple[int, int]] = []
        self._numbers: dict[str, int] = {}

    def add(self, part: dict[str, Any]) -> None:
        self.first, self.last = self.first or part, part
        label, lot = part["label"], part["lot"]
        self.labels[label] += 1
        self.late += part["late"]
        self.by_lot.setdefault(lot, Counter())[label] += 1
        if label == Label.ERROR:
            self.reasons[part["reason"][:120]] += 1
            return
        self.seqs.append(part["seq"])
        self.scores.append(part["score"])
        self.thresholds.append(np.nan if part["threshold"] is None else part["threshold"])
        if lot is not None:
            self._events.append((int(label == Label.ANOMALOUS), self._numbers.setdefault(lot, len(self._numbers))))
        if label == Label.ANOMALOUS and part["height"]:
            for left, top, width, height in (region["box"] for region in part["regions"]):
                self.places.append(((left + width / 2) / part["width"], (top + height / 2) / part["height"]))

    def rate(self) -> Rate:
        """Anomalous among the judged; over lots where each part has one and there are enough of them."""
        judged = len(self.scores)
        if len(self._numbers) >= FEW_LOTS and len(self._events) == judged:
            events, lots = zip(*self._events, strict=True)
            return rate_over_lots(events, lots)
        return Rate(self.labels[Label.ANOMALOUS], judged)

    def lots(self) -> list[LotRow]:
        """Worst first; parts of one lot are alike, so that an interval is for this lot alone."""
        rows = []
        for lot, counts in self.by_lot.items():
            judged = sum(counts.values()) - counts[Label.ERROR]
            rate = Rate(counts[Label.ANOMALOUS], judged)
            rows.append(LotRow(lot, sum(counts.values()), rate, counts[Label.REVIEW], counts[Label.ERROR]))
        return sorted(rows, key=lambda row: (-(row.rate.rate if row.rate.n else 0.0), row.lot or ""))


def _photo(reader: Reader, part: dict[str, Any]) -> Photo:
    drawn = ""
    try:
        image = decode_image(read_bytes(reader.store.image(part["sha256"])), name=part["name"])
        drawn = draw_photo(image, [region["box"] for region in part["regions"]])
    except ImageError:
        pass  # not kept any more
    return Photo(part, drawn)


def _quarantines(reader: Reader, only: Filter) -> list[Quarantine]:
    """What the charts spoke of last: one for each stretch, with the parts that may be bad."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in reader.charts(only):
        if row["alarm"] and row["first"] is not None:
            found[row["recipe"], row["first"]] = row
    quarantines = []
    for row in found.values():
        last = row["last"] if row["last"] is not None else 2**31 - 1
        parts = reader.between(row["first"], last, row["recipe"])
        lots = Counter(part["lot"] for part in parts if part["lot"] is not None)
        quarantines.append(Quarantine(row, len(parts), tuple(sorted(lots.items())), tuple(parts[:LISTED])))
    return quarantines


def _versions(reader: Reader, only: Filter) -> list[dict[str, Any]]:
    """Versions that judged, with what is stated of them."""
    known = {(row["recipe"], row["version"]): row for row in reader.versions()}
    asked = [row for row in reader.deployments() if only.recipe in (None, row["recipe"])]
    return [{**row, **known.get((row["recipe"], row["version"]), {"about": {}}), "since": row["at"]} for row in asked]

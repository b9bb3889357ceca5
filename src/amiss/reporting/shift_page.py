"""`write_shift`: a shift on one HTML page: counts, lots, scores, where on the part, what to set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from amiss.core.sentence import Sentence
from amiss.metrics import Rate
from amiss.reporting.charts import Tick, nice_ticks
from amiss.reporting.gallery import data_uri
from amiss.reporting.overlay import OUTLINE, fit_inside
from amiss.reporting.page import render
from amiss.storage import write_file

WIDTH, HEIGHT = 940.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 926.0, 14.0, 222.0
DOTS = 4000
"""More parts than that are drawn as the lowest and highest score of each of so many groups."""

ABOVE = 4.0
"""The axis of scores ends this many times as far above the lowest score as the highest threshold lies."""

CELLS = 24
"""Cells along each side of the map of regions."""

THUMBNAIL = 260

OVER_LOTS = Sentence(
    "Anomalous among the judged: {rate}; from {lots} lots.",
    "tests/metrics/test_intervals.py::test_lots_that_differ_widen_and_lots_that_do_not_hardly_do",
)
FEW_LOTS = 5
"""With fewer of them nothing useful is said about other lots."""

PLAIN = Sentence(
    "Anomalous among the judged: {rate}; the interval takes parts for independent of one another.",
    "tests/metrics/test_intervals.py::test_covers_at_least_as_often_as_promised",
)
LOT_NOTE = Sentence(
    "Each interval, at 95 % confidence, is for further parts of that lot; the worst of many lots looks worse than "
    "it is.",
    "tests/metrics/test_intervals.py::test_covers_at_least_as_often_as_promised",
)


@dataclass(frozen=True)
class LotRow:
    """What came of one lot."""

    lot: str | None
    parts: int
    rate: Rate
    review: int
    errors: int


@dataclass(frozen=True)
class Photo:
    """One of the worst parts; the image is a data URI, "" where it is not kept."""

    part: dict[str, Any]
    image: str = field(repr=False)


@dataclass(frozen=True)
class Quarantine:
    """What a chart spoke of: its words, how many parts, of which lots, and the first of them."""

    chart: dict[str, Any]
    count: int
    lots: tuple[tuple[str, int], ...]
    parts: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Dots:
    """The chart of scores in SVG units."""

    good: str
    bad: str
    threshold: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    thinned: bool
    beyond: int


@dataclass(frozen=True)
class Cell:
    """One cell of the map of regions, 0 to 1 from left and top; `share` is its count over the largest."""

    x: float
    y: float
    count: int
    share: float


@dataclass(frozen=True)
class Shift:
    """Everything that the page shows.

    Args:
        station: Whose.
        only: What was asked for.
        first: The first part.
        last: The last part.
        counts: Parts by label.
        late: Parts that were late.
        rate: Anomalous among the judged.
        lots: Worst first.
        more_lots: Lots that are not listed.
        scores: Their chart; None without any.
        places: Where regions lie on the part.
        regions: How many.
        photos: Worst first.
        quarantines: What the charts spoke of.
        reasons: Why images could not be used, most often first.
        versions: What judged.
        head: Number and hash of the last event.
    """

    station: str
    only: dict[str, str]
    first: dict[str, Any]
    last: dict[str, Any]
    counts: dict[str, int]
    late: int
    rate: Rate
    lots: list[LotRow]
    more_lots: int
    scores: Dots | None
    places: tuple[Cell, ...]
    regions: int
    photos: tuple[Photo, ...]
    quarantines: tuple[Quarantine, ...]
    reasons: list[tuple[str, int]]
    versions: list[dict[str, Any]]
    head: tuple[int, str]


def write_shift(path: Path, shift: Shift) -> None:
    """Write the page, complete or not at all.

    Args:
        path: Its file.
        shift: What it shows.
    """
    rate = str(shift.rate)
    over_lots = shift.rate.worth is not None
    words = OVER_LOTS(rate=rate, lots=len(shift.lots) + shift.more_lots) if over_lots else PLAIN(rate=rate)
    page = render(
        "shift.html.jinja",
        s=shift,
        total=sum(shift.counts.values()),
        rate_words=words,
        lot_note=LOT_NOTE(),
        cells=CELLS,
        version=version("amiss"),
    )
    write_file(path, page)


def draw_scores(seqs: Sequence[int], scores: Sequence[float], thresholds: Sequence[float]) -> Dots | None:
    """Scores in the order of the parts, those above the threshold apart.

    Args:
        seqs: Numbers of their events.
        scores: One per judged part.
        thresholds: What each was compared with, NaN for nothing.
    """
    if not scores:
        return None
    x, y = np.asarray(seqs, np.float64), np.asarray(scores, np.float64)
    limit = np.asarray(thresholds, np.float64)
    keep = _thin(y)
    x, y, limit = x[keep], y[keep], limit[keep]
    known = limit[~np.isnan(limit)]
    low, high = float(min([y.min(), *known])), float(max([y.max(), *known]))
    if len(known):  # else one strange part would press all others onto a line
        high = min(high, low + ABOVE * ((float(known.max()) - low) or (high - low)))
    beyond = int((y > high).sum())
    y = np.minimum(y, high)
    span = high - low or abs(high) or 1.0
    low, high = low - 0.05 * span, high + 0.05 * span
    across = LEFT + (RIGHT - LEFT) * (x - x[0] + 0.5) / (x[-1] - x[0] + 1)
    up = BOTTOM - (BOTTOM - TOP) * (y - low) / (high - low)
    bad = np.asarray(scores)[keep] > limit
    numbers = [at for at in nice_ticks(float(x[0]), float(max(x[-1], x[0] + 1)), 10) if at == int(at)]
    return Dots(
        good=_dots(across[~bad], up[~bad]),
        bad=_dots(across[bad], up[bad]),
        threshold=_steps(across, BOTTOM - (BOTTOM - TOP) * (limit - low) / (high - low)),
        x_ticks=tuple(
            Tick(LEFT + (RIGHT - LEFT) * (at - x[0] + 0.5) / (x[-1] - x[0] + 1), f"{at:g}") for at in numbers
        ),
        y_ticks=tuple(
            Tick(BOTTOM - (BOTTOM - TOP) * (at - low) / (high - low), f"{at:g}") for at in nice_ticks(low, high, 6)
        ),
        thinned=len(scores) > len(y),
        beyond=beyond,
    )


def draw_map(places: Sequence[tuple[float, float]]) -> tuple[Cell, ...]:
    """Cells in which centres of regions lie.

    Args:
        places: Each from 0 to 1, from left and top.
    """
    counts = np.zeros((CELLS, CELLS), np.int64)
    for x, y in places:
        counts[min(CELLS - 1, max(0, int(y * CELLS))), min(CELLS - 1, max(0, int(x * CELLS)))] += 1
    most = max(1, int(counts.max()))
    return tuple(
        Cell(column / CELLS, row / CELLS, int(counts[row, column]), float(counts[row, column]) / most)
        for row, column in np.argwhere(counts)
    )


def draw_photo(image: NDArray[np.uint8], boxes: Sequence[Sequence[int]]) -> str:
    """A small image with a frame around each region, as a data URI."""
    small = np.ascontiguousarray(fit_inside(image, THUMBNAIL))
    height, width = small.shape[0] / image.shape[0], small.shape[1] / image.shape[1]
    for left, top, wide, high in boxes:
        corner = (max(0, int(left * width) - 2), max(0, int(top * height) - 2))
        other = (int((left + wide) * width) + 1, int((top + high) * height) + 1)
        cv2.rectangle(small, corner, other, OUTLINE, 1)
    return data_uri(small)


def _thin(y: NDArray[np.float64]) -> NDArray[np.intp]:
    if len(y) <= DOTS:
        return np.arange(len(y))
    groups = np.array_split(np.arange(len(y)), DOTS // 2)
    ends = [at for group in groups for at in (group[y[group].argmin()], group[y[group].argmax()])]
    return np.unique([0, *ends, len(y) - 1])


def _dots(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    return "".join(f"M{a:.1f} {b:.1f}h.01" for a, b in zip(x, y, strict=True))


def _steps(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """A line that is drawn where there is a threshold, and steps where another version judged."""
    path, before = "", np.nan
    for number, (a, b) in enumerate(zip(x, y, strict=True)):
        if np.isnan(b):
            before = np.nan
            continue
        if np.isnan(before):
            path += f"M{LEFT if number == 0 else a:.1f} {b:.1f}"
        elif b != before:
            path += f"H{a:.1f}V{b:.1f}"
        before = b
    return path + ("" if np.isnan(before) else f"H{RIGHT:.1f}")
